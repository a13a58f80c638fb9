//! What stands on every link: it reads the SMTP that passes, records it, fires triggers, and breaks the link.
//!
//! Comes in: octets of both directions. Goes out: the same octets (or not, when the link is broken),
//! [`Event::Wire`](crate::history::Event::Wire) records, and actions for the runner when a trigger's
//! event goes by. The simulator and the proxy use the same [`Board`].

mod board;
mod content;
mod line;
mod link_state;
mod observer;
mod proxy;
mod pump;
mod reply_faults;
mod splice;
#[cfg(test)]
mod toxics_tests;
mod trigger;

pub use board::{Board, Call, Fired, Link, TapConnection, TriggeredAction};
pub use link_state::{FlowState, LinkState};
pub use observer::{Direction, Observer};
pub(crate) use proxy::bind_loopback;
pub use proxy::{Counters, Dial, Proxy, Target, Traffic};
pub use reply_faults::{ReplyFault, ReplyFaults};
pub use trigger::{TriggerError, When, event_names, local_event_names};
