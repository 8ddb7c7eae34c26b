//! TLS: the certificate that is served as it is now, where it is read from files, and connections with limits.

mod files;
mod heard;
mod listen;
pub(crate) mod places;
mod served;

pub use files::{Files, FilesError, follow, follow_text};
pub use listen::{Closing, Limits, config, serve};
pub use served::{LoadError, Pair, Served};
