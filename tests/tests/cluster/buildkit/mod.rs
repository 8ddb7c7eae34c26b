//! The builder image of BuildKit, in the pod that the factory gives it: no privilege, Pod Security `baseline`, a user
//! namespace, and the seccomp profile that the chart keeps on the nodes.

mod cache;
mod layout;
pub mod platforms;
mod pod;
mod policy;
pub mod probes;
mod stages;
