//! Virtual machines under QEMU, and the network between them.
//!
//! Comes in: a program, its configuration, and an address. Goes out: a guest that runs it, and which can be killed, frozen,
//! saved, reverted, migrated and starved. Nothing here knows of mail: the harness's substrate `vm` is made of this.
//!
//! - [`image`]: kernel, initramfs and the file system with the program, made once and cached.
//! - [`disk`]: a guest's data disk and its copies.
//! - [`guest`]: a QEMU process as a typestate: stopped, running, saved.
//! - [`qmp`]: what QEMU is told, and what it answers.
//! - [`switch`]: an Ethernet switch between the guests, on which ways are cut, delayed and made to lose frames.
//! - [`stack`]: hosts of the harness's own on that switch, which pass TCP connections between it and loopback ports.
//!
//! No root is needed for any of it.

pub mod disk;
mod error;
pub mod guest;
pub mod image;
mod keeper;
pub mod qmp;
pub mod stack;
pub mod switch;
mod tool;

pub use error::Error;
