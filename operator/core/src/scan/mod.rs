//! What scanners write, read in full: the report of findings, the SBOM, and which database the server used.
//!
//! Nothing here decides. A document that is not what it should be is an error and never an empty result: the verdict
//! makes Unknown of it. Descriptions, references and the like are skipped while reading and never held.

mod bounded;
mod error;
mod finding;
pub mod report;
pub mod sbom;
mod score;
pub mod server;
mod trivy;

pub use error::ReportError;
pub use finding::{Class, Finding, FixStatus, Severity};
pub use report::{OperatingSystem, Package, Report, counts};
pub use sbom::{Component, Sbom};
pub use score::{Score, ScoreError};
pub use server::{DatabaseInfo, ServerVersion};
