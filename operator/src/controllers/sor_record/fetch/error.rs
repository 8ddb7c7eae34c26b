//! What can go wrong while records are fetched.

use std::path::PathBuf;

use imagefactory_core::sor_record::listing::{ListingError, MAX_BYTES};

/// What can go wrong while records are fetched. No message has a token or an answer in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SorError {
    /// The client can't be made.
    #[error("could not make a client of the system of record")]
    Client(#[source] reqwest::Error),
    /// The certificates can't be read.
    #[error("could not read the certificates that the system of record is trusted by")]
    Certificates(#[source] reqwest::Error),
    /// The token can't be read.
    #[error("could not read the token from {path}")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token is none.
    #[error("the file with the token holds no token")]
    NoToken,
    /// It did not answer, or the answer broke off.
    #[error("the system of record did not answer")]
    Ask(#[source] reqwest::Error),
    /// It answered with an error.
    #[error("the system of record answered with {0}")]
    Status(u16),
    /// It says that nothing has changed, although nothing was known.
    #[error("the system of record says that nothing has changed, and was not asked that")]
    NothingKnown,
    /// The answer is too long.
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The answer is none.
    #[error(transparent)]
    Listing(#[from] ListingError),
}
