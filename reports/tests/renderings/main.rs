//! What people and programs read of a run: every rendering of one hand-written report.

mod fixture;
mod html;
mod json;
mod junit;
mod markdown;
mod probe;
mod terminal;
mod xml;
