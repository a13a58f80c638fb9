//! The node's two databases, each one redb file with group commit.
//!
//! Comes in: requests. Goes out: a receipt each, which resolves when the request is durable. Requests
//! take effect in the order in which they were submitted; many of them share one commit. A failed
//! commit poisons the database: nothing is durable from then on, and every receipt says so. A full disk
//! poisons nothing: the receipts wait until there is room (TC-07).

mod backend;
mod commit;
mod mailbox;
mod transport;

pub use commit::{Receipt, StoreError};
pub use mailbox::{MailboxStore, MailboxWrite, StoredMail};
pub use transport::{
    Discard, DiscardKind, Loaded, OpenFailure, SafetyNetEntry, SafetyNetRole, ShadowRecord,
    TransportStore, TransportWrite,
};
