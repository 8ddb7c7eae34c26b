//! The condition `Ready` of kinds that configure (product.md, Status), with the companions that kstatus reads.

use imagefactory_crds::conditions::{self, ConditionStatus, READY, RECONCILING, STALLED, Statement, find};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is what its spec asks for.
    Ready,
    /// On the way.
    InProgress,
    /// It failed for now and is tried again.
    Retrying,
    /// It failed, and nothing more happens without a change by a person.
    Stalled,
}

/// Where an object stands, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Where it stands.
    pub standing: Standing,
    /// CamelCase.
    pub reason: String,
    /// For people, with what to do next.
    pub message: String,
}

impl Readiness {
    /// A readiness of these parts.
    #[must_use]
    pub fn new(standing: Standing, reason: &str, message: impl Into<String>) -> Self {
        Self {
            standing,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// The conditions that say so: `Ready` always, `Reconciling` and `Stalled` only while true.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        let (ready, companion) = match self.standing {
            Standing::Ready => (ConditionStatus::True, None),
            Standing::InProgress => (ConditionStatus::Unknown, Some(RECONCILING)),
            Standing::Retrying => (ConditionStatus::False, Some(RECONCILING)),
            Standing::Stalled => (ConditionStatus::False, Some(STALLED)),
        };
        std::iter::once((READY, ready))
            .chain(companion.map(|type_| (type_, ConditionStatus::True)))
            .map(|(type_, status)| Statement {
                type_,
                status,
                reason: self.reason.clone(),
                message: self.message.clone(),
            })
            .collect()
    }

    /// The conditions that say so, where an object of this metadata had `before`.
    #[must_use]
    pub fn conditions(&self, before: &[Condition], object: &ObjectMeta, now: Timestamp) -> Vec<Condition> {
        let mut conditions = before.to_vec();
        conditions::set(
            &mut conditions,
            &self.statements(),
            object.generation.unwrap_or_default(),
            now,
        );
        conditions
    }
}

/// Why carrying a plan out failed for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// CamelCase.
    pub reason: String,
    /// What failed.
    pub message: String,
}

impl From<&Trouble> for Readiness {
    fn from(trouble: &Trouble) -> Self {
        Self::new(
            Standing::Retrying,
            &trouble.reason,
            format!("{}. It is tried again.", trouble.message),
        )
    }
}

/// How long after an object's creation something that it needs may be missing before that counts as settled: what was
/// applied together arrives one by one, and whoever waits for it (Flux, Helm) gives up on `Stalled`.
pub const GRACE: SignedDuration = SignedDuration::from_secs(15);

/// The readiness of an object that lacks something which only a person can bring.
#[must_use]
pub fn lacking(object: &ObjectMeta, now: Timestamp, reason: &str, message: impl Into<String>) -> Readiness {
    let young = object
        .creation_timestamp
        .as_ref()
        .is_some_and(|created| now.duration_since(created.0) < GRACE);
    Readiness::new(
        if young { Standing::Retrying } else { Standing::Stalled },
        reason,
        message,
    )
}

/// `Stalled` as it is now, where the object has come to a halt, or for another reason than before: worth an Event.
#[must_use]
pub fn came_to_a_halt<'a>(before: &[Condition], now: &'a [Condition]) -> Option<&'a Condition> {
    let stalled = find(now, STALLED)?;
    let told = find(before, STALLED).is_some_and(|old| old.reason == stalled.reason);
    (!told).then_some(stalled)
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::conditions::set;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn conditions(standing: Standing, reason: &str) -> Vec<Condition> {
        let mut conditions = Vec::new();
        set(
            &mut conditions,
            &Readiness::new(standing, reason, "m").statements(),
            1,
            Timestamp::UNIX_EPOCH,
        );
        conditions
    }

    #[test]
    fn each_standing_has_the_conditions_that_kstatus_expects() {
        for (standing, expected) in [
            (Standing::Ready, vec![("Ready", "True")]),
            (
                Standing::InProgress,
                vec![("Ready", "Unknown"), ("Reconciling", "True")],
            ),
            (Standing::Retrying, vec![("Ready", "False"), ("Reconciling", "True")]),
            (Standing::Stalled, vec![("Ready", "False"), ("Stalled", "True")]),
        ] {
            let conditions = conditions(standing, "A");
            let said: Vec<_> = conditions
                .iter()
                .map(|c| (c.type_.as_str(), c.status.as_str()))
                .collect();
            assert_eq!(said, expected, "{standing:?}");
        }
    }

    #[test]
    fn only_coming_to_a_halt_is_worth_an_event() {
        let ready = conditions(Standing::Ready, "Active");
        let stalled = conditions(Standing::Stalled, "PolicyNotFound");
        assert!(came_to_a_halt(&ready, &stalled).is_some());
        assert!(came_to_a_halt(&[], &stalled).is_some());
        assert!(came_to_a_halt(&conditions(Standing::Retrying, "PolicyNotFound"), &stalled).is_some());
        assert!(came_to_a_halt(&conditions(Standing::Stalled, "SubjectNotAllowed"), &stalled).is_some());
        assert!(came_to_a_halt(&stalled, &stalled).is_none());
        assert!(came_to_a_halt(&stalled, &ready).is_none());
        assert!(came_to_a_halt(&ready, &conditions(Standing::Retrying, "Forbidden")).is_none());
    }

    #[test]
    fn what_is_missing_at_first_may_still_come() {
        let created = Timestamp::from_second(1000).unwrap();
        let object = ObjectMeta {
            creation_timestamp: Some(Time(created)),
            ..ObjectMeta::default()
        };
        let standing = |later: i64| {
            let now = created + SignedDuration::from_secs(later);
            lacking(&object, now, "PolicyNotFound", "m").standing
        };
        assert_eq!([0, 14].map(standing), [Standing::Retrying; 2]);
        assert_eq!([15, 1000].map(standing), [Standing::Stalled; 2]);
    }
}
