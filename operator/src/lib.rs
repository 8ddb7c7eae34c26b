//! The operator: watches, reads, applies, reports. What is to be done, `imagefactory_core` decides.
//!
//! | module | does |
//! |---|---|
//! | [`config`] | flags, environment and the installation's settings, checked once |
//! | [`startup`] | the roles `run` and `credentials`: client, stores, tasks, order of shutdown |
//! | [`context`] | what a reconciler may touch |
//! | [`watches`] | every kind watched once, shared by all controllers |
//! | [`runner`] | one generic function that runs a controller: logs, metrics, events, back-off |
//! | [`apply`] | every write goes through here |
//! | [`leader`] | one process acts at a time |
//! | [`controllers`] | one module for each kind, and the janitor beside them |
//! | [`credentials`] | the role that places staging credentials in tenant namespaces |
//! | [`audit`] | the role that stores the audit: intake, list, verify |
//! | [`auditor`] | tells the audit how runs stand and what was seen |
//! | [`dispatcher`] | gives builds their slots |
//! | [`janitor`] | removes jobs that nobody needs any more |
//! | [`selftest`] | asks whether a release answers, for `helm test` |
//! | [`crds`] | prints the CustomResourceDefinitions |
//! | [`metrics`], [`health`] | what the process says of itself |

pub mod apply;
pub mod archive;
pub mod audit;
pub mod auditor;
pub mod config;
pub mod context;
pub mod controllers;
pub mod crds;
pub mod credentials;
pub mod dispatcher;
pub mod health;
pub mod janitor;
pub mod keeper;
pub mod leader;
pub mod metrics;
pub mod runner;
pub mod selftest;
pub mod show_logs;
pub mod startup;
pub mod watches;

#[cfg(test)]
mod testing;
