//! One node of Gauntlet's reference cluster: an SMTP transport with shadow redundancy and Safety Net.
//!
//! A message's way: [`smtp`] (session core) and `receive` (its driver) → `accept` (stored, copied, acked)
//! → [`delivery`] → Safety Net. The copy's way: [`shadow`]. In front of it there may be a [`front_end`]. Both rest on [`store`]; everything from
//! outside comes through [`env`].

mod accept;
pub mod client;
pub mod config;
pub mod delivery;
pub mod env;
pub mod front_end;
pub mod groups;
pub mod http;
mod legacy;
mod member;
pub mod message;
mod node;
pub mod production;
mod receive;
pub mod sabotage;
mod safety_net;
pub mod service;
pub mod shadow;
pub mod smtp;
pub mod store;
mod trace;
pub mod tracking;
pub mod view;

pub use member::Member;
pub use node::{Node, StartError};
