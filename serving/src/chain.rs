//! An error with its causes as one line of text.

use std::error::Error;

/// The error and its causes, outermost first. What the API server answered is said in its own words, once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            add(&mut text, &status.message);
            break;
        }
        add(&mut text, &error.to_string());
        next = error.source();
    }
    text
}

/// Some errors say their cause themselves: it is not said again.
fn add(text: &mut String, also: &str) {
    if text.is_empty() {
        text.push_str(also);
    } else if !text.ends_with(also) {
        text.push_str(": ");
        text.push_str(also);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not apply the quota")]
    struct Outer(#[source] kube::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("could not read: {0}")]
    struct Says(#[source] std::io::Error);

    #[test]
    fn what_the_server_said_stands_in_the_chain_once() {
        let status = kube::core::Status::failure("exceeded quota", "Forbidden").with_code(403);
        assert_eq!(
            chain(&Outer(kube::Error::Api(Box::new(status)))),
            "could not apply the quota: exceeded quota"
        );
    }

    #[test]
    fn a_cause_that_an_error_says_itself_is_not_said_again() {
        let error = Says(std::io::Error::other("no disk"));
        assert_eq!(chain(&error), "could not read: no disk");
    }
}
