//! Project: whether builds can start in it, and what its builds did.

pub mod counts;
pub mod quota;
pub mod status;
pub mod throttle;

#[cfg(test)]
mod tests;

pub use counts::{Counted, count};
pub use quota::within_quota;
pub use status::{Situation, readiness, status};
