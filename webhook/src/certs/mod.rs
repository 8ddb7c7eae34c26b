//! Certificates: what is served, and how it comes to be there. In mode `self` they are made and renewed by the replicas
//! themselves and shared in a Secret; in mode `files` somebody else does that and mounts them.

pub mod cluster;
pub mod held;
pub mod keeper;
pub mod make;
pub mod pair;
pub mod plan;

pub use held::Held;
pub use imagefactory_serving::tls::{Pair, Served};
pub use pair::PairError;
pub use plan::{Step, Terms, plan};
