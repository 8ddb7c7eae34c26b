//! Whether a failure is tried again, and when. Each class has a budget of its own; the build may allow fewer in all.
//!
//! Only what may pass by itself is tried again: a registry that did not answer, a node that went away. What would fail
//! the same way again (a missing commit, a refused credential, a step of the Dockerfile) is final at once, and so is
//! what policy says.

use imagefactory_crds::build::{ClassRetries, Failure, FailureClass};
use jiff::{SignedDuration, Timestamp};

use crate::settings::RetrySettings;

/// The next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Not before this.
    pub at: Timestamp,
    /// Retries so far, this one included.
    pub retries: Vec<ClassRetries>,
    /// What all attempts so far took of the timeout, in seconds.
    pub used_seconds: u32,
}

/// What a decision about a retry rests on.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Retries so far.
    pub retries: &'a [ClassRetries],
    /// What earlier attempts took of the timeout, in seconds.
    pub used_seconds: Option<u32>,
    /// Most retries, if the build says.
    pub most: Option<u32>,
    /// When the attempt began that has failed.
    pub began: Timestamp,
    /// What was left of the timeout then.
    pub left: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// The next attempt after this failure; none if it is final.
#[must_use]
pub fn next(failure: &Failure, attempt: &Attempt<'_>, settings: &RetrySettings) -> Option<Retry> {
    let so_far = attempt.retries;
    let of_class = |class: FailureClass| so_far.iter().find(|retries| retries.class == class);
    let count = of_class(failure.class).map_or(0, |retries| retries.count);
    let all: u32 = so_far.iter().map(|retries| retries.count).sum();
    let ran = attempt.now.duration_since(attempt.began).max(SignedDuration::ZERO);
    let may = passes_by_itself(failure)
        && count < budget(failure.class, settings)
        && attempt.most.is_none_or(|most| all < most)
        && ran < attempt.left;
    if !may {
        return None;
    }
    let used = attempt.used_seconds.unwrap_or_default();
    let others = so_far.iter().filter(|retries| retries.class != failure.class).copied();
    let this = ClassRetries {
        class: failure.class,
        count: count + 1,
    };
    Some(Retry {
        at: whole_second(attempt.now)?.checked_add(pause(count, settings)).ok()?,
        retries: others.chain([this]).collect(),
        used_seconds: used.saturating_add(u32::try_from(ran.as_secs()).unwrap_or(u32::MAX)),
    })
}

/// As a status has it: what is said of the next attempt and when it is made are the same moment.
fn whole_second(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second()).ok()
}

/// Doubled with each retry of the class.
fn pause(retries: u32, settings: &RetrySettings) -> SignedDuration {
    let doubled = settings
        .backoff_seconds
        .saturating_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX));
    SignedDuration::from_secs(doubled.min(settings.max_backoff_seconds).into())
}

fn budget(class: FailureClass, settings: &RetrySettings) -> u32 {
    match class {
        FailureClass::Source => settings.source,
        FailureClass::Pull => settings.pull,
        FailureClass::Evicted => settings.evicted,
        FailureClass::Scan => settings.scan,
        FailureClass::Publish => settings.publish,
        FailureClass::Infrastructure => settings.infrastructure,
        FailureClass::Build | FailureClass::OutOfMemory | FailureClass::Policy | FailureClass::Timeout => 0,
    }
}

/// Whether the same attempt may well end otherwise next time. For classes that speak of somebody's server, the
/// reasons that say so are listed; of our own and the cluster's failures, those that say the opposite.
fn passes_by_itself(failure: &Failure) -> bool {
    let reason = failure.reason.as_str();
    match failure.class {
        FailureClass::Source => ["GitUnreachable", "GitFetchFailed"].contains(&reason),
        FailureClass::Pull | FailureClass::Publish => NETWORK.contains(&reason),
        FailureClass::Scan => NETWORK.contains(&reason) || CRASHED.contains(&reason),
        FailureClass::Evicted => true,
        FailureClass::Infrastructure => !LASTING.contains(&reason),
        FailureClass::Build | FailureClass::OutOfMemory | FailureClass::Policy | FailureClass::Timeout => false,
    }
}

/// Reasons of our own containers when a registry did not answer as it should.
const NETWORK: [&str; 4] = [
    "RegistryUnreachable",
    "RegistryUnavailable",
    "RegistryProtocol",
    "BlobChanged",
];
/// Reasons of a scan that broke off: the scanner's client when its server, or the registry, is away; a container that
/// ended without a report.
const CRASHED: [&str; 5] = [
    "ScannerFailed",
    "SbomFailed",
    "StepCrashed",
    "PodFailed",
    "BackoffLimitExceeded",
];
/// Failures of the platform that are the same again.
const LASTING: [&str; 8] = [
    "InvalidCaBundle",
    "UserNamespaceMissing",
    "ClientFailed",
    "InvalidStep",
    "ReportTooLong",
    "PodRejected",
    "JobRejected",
    "DeadlineExceeded",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::failure::blank;

    fn settings() -> RetrySettings {
        RetrySettings {
            backoff_seconds: 10,
            max_backoff_seconds: 35,
            ..RetrySettings::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn decide(class: FailureClass, reason: &str, so_far: &[(FailureClass, u32)], most: Option<u32>) -> Option<Retry> {
        let retries = so_far.iter().map(|(class, count)| ClassRetries {
            class: *class,
            count: *count,
        });
        let attempt = Attempt {
            retries: &retries.collect::<Vec<_>>(),
            used_seconds: Some(7),
            most,
            began: at(100),
            left: SignedDuration::from_secs(60),
            now: at(120),
        };
        next(&blank(class, reason, String::new(), ""), &attempt, &settings())
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        for (class, reason, again) in [
            (FailureClass::Source, "GitUnreachable", true),
            (FailureClass::Source, "CommitNotFound", false),
            (FailureClass::Source, "GitUnauthorized", false),
            (FailureClass::Pull, "RegistryUnreachable", true),
            (FailureClass::Pull, "BaseImageNotFound", false),
            (FailureClass::Publish, "RegistryUnavailable", true),
            (FailureClass::Publish, "RegistryUnauthorized", false),
            (FailureClass::Publish, "DigestMismatch", false),
            (FailureClass::Scan, "StepCrashed", true),
            (FailureClass::Scan, "ScannerFailed", true),
            (FailureClass::Scan, "SbomFailed", true),
            (FailureClass::Scan, "WrongEvidence", false),
            (FailureClass::Evicted, "NodeShutdown", true),
            (FailureClass::Infrastructure, "PodDeleted", true),
            (FailureClass::Infrastructure, "UserNamespaceMissing", false),
            (FailureClass::Build, "BuildFailed", false),
            (FailureClass::OutOfMemory, "OOMKilled", false),
            (FailureClass::Policy, "PolicyFailed", false),
            (FailureClass::Timeout, "TimedOut", false),
        ] {
            assert_eq!(decide(class, reason, &[], None).is_some(), again, "{class:?} {reason}");
        }
    }

    #[test]
    fn each_class_has_a_budget_of_its_own_and_the_pause_doubles_up_to_a_limit() {
        let after = |count| {
            decide(
                FailureClass::Evicted,
                "Evicted",
                &[(FailureClass::Evicted, count)],
                None,
            )
        };
        assert_eq!(after(0).unwrap().at, at(130));
        assert_eq!(after(1).unwrap().at, at(140));
        assert_eq!(after(2).unwrap().at, at(155));
        assert_eq!(after(3), None);
        let other = decide(FailureClass::Evicted, "Evicted", &[(FailureClass::Pull, 3)], None).unwrap();
        assert_eq!(other.retries.len(), 2);
    }

    #[test]
    fn a_build_may_allow_fewer_retries_than_the_budgets() {
        let so_far = [(FailureClass::Pull, 1)];
        assert_eq!(decide(FailureClass::Evicted, "Evicted", &so_far, Some(1)), None);
        assert_eq!(decide(FailureClass::Evicted, "Evicted", &[], Some(0)), None);
        assert!(decide(FailureClass::Evicted, "Evicted", &so_far, Some(2)).is_some());
        let pulls = [(FailureClass::Pull, settings().pull)];
        assert_eq!(decide(FailureClass::Pull, "RegistryUnreachable", &pulls, Some(5)), None);
    }

    #[test]
    fn what_the_attempt_took_counts_towards_the_timeout() {
        let retry = decide(FailureClass::Evicted, "Evicted", &[], None).unwrap();
        assert_eq!(retry.used_seconds, 27);
        let attempt = Attempt {
            retries: &[],
            used_seconds: None,
            most: None,
            began: at(0),
            left: SignedDuration::from_secs(60),
            now: at(60),
        };
        let failure = blank(FailureClass::Evicted, "Evicted", String::new(), "");
        assert_eq!(
            next(&failure, &attempt, &settings()),
            None,
            "no time is left for another"
        );
    }
}
