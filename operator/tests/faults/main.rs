//! The operator under faults: its real watches, controllers, dispatcher, keeper and janitor, in this process, against a
//! real API server, with a layer between them that crashes it before and after each request, and drops, delays and
//! reorders what it hears. Every schedule must come to the end that the scenario comes to without faults.
//!
//! | module | does |
//! |---|---|
//! | [`scenario`] | tenants, builds, how their pods end, what users do |
//! | [`fault`] | what goes wrong, and where |
//! | [`layer`] | numbers requests and events, and does to them what the schedule says |
//! | [`clock`], [`instance`] | the operator as a process: a thread, a clock that runs faster, death and another start |
//! | [`kubelet`], [`outcome`], [`users`] | everybody else who writes, without faults |
//! | [`world`], [`normal`] | what really is, what must hold at every moment, and end states to compare |
//! | [`lab`], [`run`], [`ending`], [`plan`] | the API server, one schedule, its verdict, all schedules |
//!
//! `docs/decisions/0018` says why it is so, CONTRIBUTING.md how it is run and a schedule is run again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says why it ends"
)]

mod clock;
mod ending;
mod fault;
mod instance;
mod kubelet;
mod lab;
mod layer;
mod normal;
mod outcome;
mod plan;
mod run;
mod scenario;
mod users;
mod world;

#[test]
#[ignore = "needs etcd and kube-apiserver, which hack/tools/build.sh builds"]
fn every_schedule_of_faults_ends_as_if_nothing_had_gone_wrong() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // What the operator says, if RUST_LOG asks for it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .try_init();
    let summary = plan::run_all();
    println!("{}", summary.line());
    assert!(summary.failed.is_empty(), "{}", summary.failed.join("\n\n"));
}
