//! Toxics: what a link does to the octets of a connection, by Toxiproxy's names, attributes and meaning.
//!
//! Comes in: [`Toxic`]s (from scenario files and from the HTTP API), and octets with the time of their arrival. Goes out:
//! which octets go on, when, and where a connection ends ([`Chain`]). No IO, no clock, and randomness is passed in.
//! [`tap`](crate::tap) drives it with sockets.

mod chain;
mod list;
pub mod remote;
pub mod service;
mod stage;
mod toxic;

pub use chain::{Chain, Next};
pub use list::{ToxicExists, ToxicList};
pub use stage::Parcel;
pub use toxic::{Active, AttributeError, Kind, Stream, Toxic, toxic_types};

#[cfg(test)]
mod chain_tests;
