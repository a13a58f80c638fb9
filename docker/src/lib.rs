//! Target files, images, and the container engine.
//!
//! Comes in: the name of a mail transfer agent, or a target file of the user's own. Goes out: what the file says
//! ([`target::Target`]), its image ([`engine::Engine::image`]), and containers of it. Called by the harness; nothing here
//! knows of scenarios, histories or verdicts.

pub mod engine;
pub mod target;
