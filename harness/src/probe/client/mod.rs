//! `gauntlet probe --client`: what the standards say of a server's sending side.
//!
//! Comes in: where to listen, how mail gets into the client under test ([`ClientProbe`]). Goes out: a
//! [`ProbeReport`](gauntlet_reports::probe::ProbeReport), as for the receiving side. Called by `gauntlet probe --client`.
//!
//! The probe is the client's next hop. A case sends a message through the client, says how the next hop answers it, and looks at
//! what the client does. The reading order: [`manners`] says how the next hop can behave, [`hop`] does it, [`seen`] is what it
//! saw, [`hub`] is where the two meet, [`context`] what a case is given, [`cases`] has them, [`run`] drives them.

pub mod cases;
pub mod context;
pub mod hop;
pub mod hub;
pub mod manners;
pub mod run;
pub mod seen;
pub mod submit;
mod tls;

#[cfg(test)]
mod testing;

pub use run::{ClientProbe, ListenError, run};
