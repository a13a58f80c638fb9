//! SMTP without IO: what a receiving session understands and answers, and what a sending one writes
//! and reads.
//!
//! Comes in: octets from a client ([`session`]) or a server ([`dialogue`]). Goes out: events and
//! octets to write. The drivers own the sockets and the clock and call in here.

pub mod command;
pub mod data;
pub mod dialogue;
pub mod parameter;
pub mod path;
pub mod reply;
pub mod session;

pub use command::{Command, PeerCommand};
pub use parameter::{Body, MailFrom, Notify, RcptTo, Ret, decode_xtext, encode_xtext};
pub use reply::Reply;
pub use session::{Event, Kind, Peer, Session, SessionConfig, Transaction};
