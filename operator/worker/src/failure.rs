//! How errors become what a step reports: whose failure it is, the cause in one word, what happened, what to do.

use imagefactory_core::step::StepFailure;
use imagefactory_crds::build::FailureClass;

use crate::ca::CaError;
use crate::registry::{RegistryError, chain};

/// The status of a Build holds 512 and 256.
const MAX_MESSAGE: usize = 500;
const MAX_NEXT: usize = 250;

/// A failure, its texts cut to what a status holds and free of control characters: parts may be a tenant's.
#[must_use]
pub fn failure(class: FailureClass, reason: &str, message: &str, next: &str) -> StepFailure {
    StepFailure {
        class,
        reason: reason.to_owned(),
        message: cut(message, MAX_MESSAGE),
        next: cut(next, MAX_NEXT),
    }
}

/// A failure at a registry.
#[must_use]
pub fn registry_failure(class: FailureClass, error: &RegistryError) -> StepFailure {
    failure(class, error.reason(), &chain(error), &error.next())
}

/// A failure of the certificate authorities that were given.
#[must_use]
pub fn ca_failure(error: &CaError) -> StepFailure {
    let (class, whose) = match error {
        CaError::Build => (FailureClass::Source, "the ConfigMap that caBundle names"),
        _ => (
            FailureClass::Infrastructure,
            "the platform's CA bundle (ask your administrator)",
        ),
    };
    let next = format!("Correct {whose}: PEM certificates, one after the other.");
    failure(class, "InvalidCaBundle", &chain(error), &next)
}

fn cut(text: &str, limit: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= limit {
        return clean;
    }
    clean.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_characters_and_cleaned() {
        let made = failure(FailureClass::Build, "X", &"ü\n".repeat(2000), "a\u{1b}[31m");
        assert_eq!(made.message.chars().count(), MAX_MESSAGE);
        assert!(made.message.ends_with('…') && !made.message.contains('\n'));
        assert_eq!(made.next, "a [31m");
    }
}
