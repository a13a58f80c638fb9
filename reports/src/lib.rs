//! A run's verdicts, and their rendering.
//!
//! Comes in: a [`RunReport`], filled by the harness's checkers. Goes out: what it comes to ([`Conclusion`], [`Summary`],
//! one answer per guarantee), and its renderings: [`json`] for programs and for reading back, [`junit`] for CI servers,
//! [`markdown`] for job summaries, [`html`] for a browser, [`terminal`] for the person at the keyboard.
//! What unsupported operations did to mail is a table of its own in them ([`DamageTable`]).
//! Every rendering shows text that came from outside (replies, file names, panics), so each escapes for its own format.
//!
//! This crate does not know the guarantee catalogue. Renderings that show a guarantee's text take a lookup from ID to text.

pub mod certificate;
mod conclusion;
mod damage;
mod error;
mod html;
mod json;
mod junit;
mod ledger;
pub mod lint;
mod markdown;
mod merge;
pub mod probe;
mod summary;
mod terminal;
mod text;
mod verdict;

pub use conclusion::Conclusion;
pub use damage::{Damage, DamageTable, LifePhase, Operation, PhaseToll, Toll};
pub use error::ReportError;
pub use html::html;
pub use json::{from_json, json};
pub use junit::junit;
pub use ledger::{Exposure, MailLedger};
pub use markdown::markdown;
pub use merge::{MergeError, merge};
pub use summary::{Finding, GuaranteeReport, Summary};
pub use terminal::{Style, terminal};
pub use text::duration;
pub use verdict::*;

/// Gives a guarantee's statement for its ID, when there is one: the caller knows the catalogue.
pub type Statements<'a> = &'a dyn Fn(&str) -> Option<String>;
