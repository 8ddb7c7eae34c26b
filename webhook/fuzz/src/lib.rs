//! Inputs of a fuzzer, and what no input can do: make the webhook panic or answer something that is not well-formed, give
//! one write two answers, or let in what the operator's own check then refuses as not entitled.
//!
//! | module | does |
//! |---|---|
//! | [`seeds`] | objects to begin with: the examples and the fixtures of the schema's tests |
//! | [`input`] | bytes to a review: as JSON, or as changes of a seed |
//! | [`worlds`] | what the webhook's caches hold while it is asked |
//! | [`check`] | what must hold of the answer |
//!
//! `hack/test/fuzz.sh` builds and runs the targets; the tests of this package give every seed to the checks.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fuzzer hears of what it found by a panic"
)]

pub mod check;
pub mod input;
pub mod seeds;
pub mod worlds;

/// Kinds that have a target each; a kind more is a line here, and a seed in examples/ or in the fixtures.
pub const KINDS: [&str; 8] = [
    "Tenant",
    "TenantSettings",
    "Project",
    "Build",
    "ImageScan",
    "QuarantineRequest",
    "SorRecord",
    "ImagePolicy",
];

/// The target that takes its input for a whole review.
pub const REVIEW: &str = "review";

/// What a target does with an input. Panics where something does not hold.
pub fn run(target: &str, bytes: &[u8]) {
    if target == REVIEW {
        check::bytes(bytes);
        return;
    }
    let Some(kind) = KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(target)) else {
        panic!("no such target: {target}");
    };
    let asked = input::of_kind(kind, bytes);
    check::asked(&asked);
}
