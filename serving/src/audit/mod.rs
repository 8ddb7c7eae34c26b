//! The way to the audit's intake: a client of it, and when it is left alone for a while.

pub mod breaker;
pub mod intake;

pub use breaker::Breaker;
pub use intake::{Address, Intake, IntakeError};
