//! The webhook's secure port.

pub mod secure;
