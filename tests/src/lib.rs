//! Harness of the black-box tests: everything that a test needs to speak with a deployed Image Factory and with what
//! lies around it, and nothing of the operator itself.
//!
//! | module | does |
//! |---|---|
//! | [`environment`] | what `.cluster/env` says; the only cluster that is ever spoken to |
//! | [`cluster`] | clients, also in another's name, and where the chart was installed |
//! | [`kubectl`] | the same by the command line, as people see it |
//! | [`tenant`] | a Tenant of a test's own, gone with the test, and told at length where the test fails |
//! | [`building`] | Builds in it: start, wait, read |
//! | [`record`] | what a watch has shown, to say what held at every instant |
//! | [`dockerfile`] | sources that many tests build |
//! | [`wait`] | wait for something, with a limit |
//! | [`registry`], [`git`], [`prometheus`], [`audit`] | what a third party sees |
//! | [`access`] | who may do what, asked and tried |
//! | [`door`], [`denials`], [`on_record`] | what is refused at admission, row by row, and what is on record of it |
//! | [`load`] | a load under which no request may fail |
//! | [`operator`] | the operator's own pods and settings, for the tests that run alone |
//! | [`process`], [`busy`] | faults: servers frozen and killed while builds stand in every stage, and what must hold after |
//! | [`store`], [`kept`] | where logs are kept, as tests change it, and what is read from there |
//! | [`proxy`], [`emulation`] | what lies between builds and the world; what a node runs that is not its own |
//! | [`chart`] | the chart as it is rendered, without a cluster |
//!
//! A test that needs the cluster is marked `#[ignore = "needs the cluster of \`make cluster\`"]`; `make test` runs it.
//! They lie in `tests/cluster`, and run side by side. One that changes what all others rely on lies in `tests/alone`,
//! whose tests run one after the other, before those of `tests/cluster`; one that also takes minutes in `tests/soak`, which only `make soak` runs. Each folder is one
//! program, since linking one for each file took minutes.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a harness that can't go on ends the test and says why"
)]

pub mod access;
pub mod audit;
pub mod building;
pub mod busy;
pub mod chart;
pub mod cluster;
pub mod denials;
pub mod dockerfile;
pub mod door;
mod dump;
pub mod emulation;
pub mod environment;
pub mod git;
pub mod image;
pub mod kept;
pub mod kubectl;
pub mod load;
pub mod on_record;
pub mod operator;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod record;
pub mod registry;
pub mod store;
pub mod system_of_record;
pub mod tenant;
pub mod wait;

pub use building::{failure_of, is_settled, phase_of, reason_of};
pub use cluster::Cluster;
pub use tenant::TestTenant;
