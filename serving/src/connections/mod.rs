//! Connections of a port, with limits: how many, and how long each may hold its place.

mod heard;
mod listen;
pub(crate) mod places;

pub use listen::{Closing, Limits, Wire, serve};
