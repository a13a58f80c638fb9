//! Proxies by name, with Toxiproxy's HTTP API (v2): what `gauntlet proxy` serves.
//!
//! Comes in: JSON from clients of Toxiproxy and from its config file. Goes out: proxies of [`tap`](crate::tap), each with its
//! toxics. The API's paths, bodies, status codes and errors are Toxiproxy's.

mod api;
mod collection;
mod error;
mod input;

pub use api::router;
pub use collection::{Collection, ProxyView};
pub use error::ApiError;
