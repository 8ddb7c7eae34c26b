//! An AdmissionReview as it comes in: bytes to a request whose object is not yet of a kind.

use http::StatusCode;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionReview, META_API_VERSION_V1, META_KIND};

/// A request as the API server sends it.
pub type Asked = AdmissionRequest<DynamicObject>;

/// Most bytes of a review. An object has at most 3 MB at the API server, and a review of an update holds two.
pub const MAX_REVIEW_BYTES: usize = 8 * 1024 * 1024;

/// Why something is no review that can be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON in UTF-8, nested too deep, or without a review's fields.
    #[error("this is no AdmissionReview: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// Another kind or version of review.
    #[error("only {META_API_VERSION_V1} {META_KIND} is understood")]
    Version,
    /// A review that asks nothing.
    #[error("the review holds no request")]
    Empty,
}

impl ReviewError {
    /// How it is answered: always as the sender's mistake.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Reads a review. Nesting beyond 128 levels is an error of the parser, never a full stack.
///
/// # Errors
/// When it is none that can be answered.
pub fn read(bytes: &[u8]) -> Result<Asked, ReviewError> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(bytes).map_err(ReviewError::Unreadable)?;
    if review.types.api_version != META_API_VERSION_V1 || review.types.kind != META_KIND {
        return Err(ReviewError::Version);
    }
    review.try_into().map_err(|_| ReviewError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_utf_8_and_deep_nesting_are_errors_of_the_sender() {
        let deep = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"object":{}{}}}}}"#,
            "[".repeat(1000),
            "]".repeat(1000)
        );
        for bytes in [&b"{\"kind\": \"\xff\"}"[..], deep.as_bytes(), b"", b"[]", b"null"] {
            assert!(matches!(read(bytes), Err(ReviewError::Unreadable(_))));
        }
    }

    #[test]
    fn a_review_of_another_version_is_not_guessed_at() {
        let older = br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#;
        assert!(matches!(read(older), Err(ReviewError::Version)));
        let empty = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#;
        assert!(matches!(read(empty), Err(ReviewError::Empty)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = read(&bytes);
        }
    }
}
