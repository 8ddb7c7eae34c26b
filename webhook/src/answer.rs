//! An AdmissionReview as it goes out: the one place where a decision becomes what a client of the API server sees.

use imagefactory_crds::admission::Decision;
use imagefactory_crds::denial::Denial;
use kube::core::admission::AdmissionResponse;
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};

use crate::review::Asked;

/// Longest warning, in characters: the API server cuts what is longer.
const MAX_WARNING: usize = 120;
/// Longest message of a denial, in characters.
const MAX_MESSAGE: usize = 2000;

/// The answer to a request.
#[must_use]
pub fn answer(asked: &Asked, decision: Decision) -> AdmissionResponse {
    let mut answer = AdmissionResponse::from(asked);
    answer.result = Status::default();
    if !decision.warnings.is_empty() {
        answer.warnings = Some(
            decision
                .warnings
                .iter()
                .map(|warning| cut(warning, MAX_WARNING))
                .collect(),
        );
    }
    if let Some(denial) = decision.denial {
        answer.allowed = false;
        answer.result = status(asked, denial);
    }
    answer
}

fn status(asked: &Asked, denial: Denial) -> Status {
    let causes = denial.causes.into_iter().map(|cause| StatusCause {
        reason: cause.reason.to_owned(),
        message: cut(&cause.message, MAX_MESSAGE),
        field: cause.field,
    });
    Status {
        status: Some(StatusSummary::Failure),
        code: denial.code.http(),
        reason: denial.code.as_str().to_owned(),
        message: cut(&denial.message, MAX_MESSAGE),
        details: Some(StatusDetails {
            name: asked.name.clone(),
            group: asked.kind.group.clone(),
            kind: asked.kind.kind.clone(),
            uid: String::new(),
            causes: causes.collect(),
            retry_after_seconds: 0,
        }),
        metadata: None,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(cut("kurz", 4), "kurz");
        assert_eq!(cut("längere", 4), "län…");
    }
}
