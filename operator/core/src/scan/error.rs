//! Why a document of the scanner can't be used.

use std::io;

/// Why a report, an SBOM or a version can't be used. The text names places, never content: what is read is hostile,
/// and the text ends up in status.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file could not be read.
    #[error("it could not be read")]
    Io(#[source] io::Error),
    /// The file ends before the document does.
    #[error("it is empty or cut off")]
    Truncated(#[source] serde_json::Error),
    /// The file is not JSON, or not JSON of this kind.
    #[error("it does not parse at line {line}, column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A version of the format that this code does not know.
    #[error("its format has a version that is not supported")]
    UnsupportedVersion,
    /// Another kind of document.
    #[error("it is a document of another kind")]
    OtherKind,
}

impl From<serde_json::Error> for ReportError {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Io => Self::Io(error.into()),
            serde_json::error::Category::Eof => Self::Truncated(error),
            serde_json::error::Category::Syntax | serde_json::error::Category::Data => Self::Malformed {
                line: error.line(),
                column: error.column(),
                source: error,
            },
        }
    }
}
