//! TLS: the certificate that is served as it is now, and where it is read from files.

mod config;
mod files;
mod served;

pub use config::config;
pub use files::{Files, FilesError, follow, follow_text};
pub use served::{LoadError, Pair, Served};
