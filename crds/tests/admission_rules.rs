//! What is let in and what is not: roles, grants, confirmations, stamps, lifetimes, warnings and what is audited.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

#[path = "admission_rules/attempts.rs"]
mod attempts;
#[path = "admission_rules/confirmations.rs"]
mod confirmations;
#[path = "admission_rules/grants.rs"]
mod grants;
#[path = "admission_rules/lifetimes.rs"]
mod lifetimes;
#[path = "admission_rules/persons.rs"]
mod persons;
#[path = "admission_rules/scans.rs"]
mod scans;
#[path = "admission_rules/work.rs"]
mod work;
