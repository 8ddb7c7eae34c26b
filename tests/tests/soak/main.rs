//! What only `make soak` runs: it takes minutes, or the whole cluster away.

mod node;
mod reports;
mod volumes;
