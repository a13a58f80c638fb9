//! Delivery: where a message goes, when it is tried, what becomes of each recipient.

mod delay;
pub mod dsn;
pub(crate) mod expansion;
pub(crate) mod results;
pub mod scheduler;
pub(crate) mod worker;
