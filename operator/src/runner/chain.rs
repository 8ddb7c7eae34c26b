//! An error with its causes as one line of text.

use std::error::Error;

/// Longest note of an event, in bytes. The API server refuses one of more than 1,024.
pub(super) const MAX_NOTE: usize = 1000;

/// The error and its causes, outermost first. What the API server answered is said in its own words, once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            text.push_str(&status.message);
            break;
        }
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The text, at most `limit` bytes long, cut between characters.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not apply the quota")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn what_the_server_said_stands_in_the_chain_once() {
        let status = kube::core::Status::failure("exceeded quota", "Forbidden").with_code(403);
        assert_eq!(
            chain(&Outer(kube::Error::Api(Box::new(status)))),
            "could not apply the quota: exceeded quota"
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("aüb", 99), "aüb");
        assert_eq!(cut("", 0), "");
    }
}
