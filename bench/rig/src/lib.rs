//! What measurements (`bench/`) and tests of the programs (`operator/tests/faults/`, `operator/tests/killed/`) stand on.
//!
//! | module | does |
//! |---|---|
//! | [`control_plane`] | etcd and kube-apiserver of its own, kube-controller-manager where it is wanted |
//! | [`door`] | the webhook and the audit, to be killed and started again |
//! | [`postgres`] | a real PostgreSQL of its own, to be ended and started again |
//! | [`process`] | a process that ends with its handle |
//! | [`setup`] | kinds, namespaces, policy, tenants |
//! | [`reports`] | what the steps of a good build say |
//! | [`error`] | why it can't be |

pub mod control_plane;
pub mod door;
pub mod error;
pub mod postgres;
pub mod process;
pub mod reports;
pub mod setup;
