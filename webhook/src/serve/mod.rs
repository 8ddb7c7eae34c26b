//! The two ports.

pub mod plain;
pub mod secure;
