//! The history of a run: what happened, as seen from outside, in one order.

mod event;
mod fault;
mod reader;
mod recorder;
mod wire_line;

pub use event::*;
pub use fault::Fault;
pub use reader::{History, HistoryError, parse, read};
pub use recorder::Recorder;
