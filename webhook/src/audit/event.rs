//! What is audited of a decision.

use imagefactory_crds::admission::{Attempt, Requester};
use imagefactory_crds::audit::{Actor, AuditEvent, EventKind, Resource};
use imagefactory_crds::denial::Denial;
use imagefactory_crds::sor_record::NotRegistered;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::admission::Operation;
use serde_json::json;

use super::bounds::{bounded, hash};
use crate::review::Asked;

/// What was decided, as far as it is audited.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It was refused.
    Denied(&'a Denial),
    /// It was let in, and is of those changes that are recorded.
    LetIn(&'a Attempt),
}

/// Where it happened.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Tenant, where there is one.
    pub tenant: Option<String>,
    /// Project, where there is one.
    pub project: Option<String>,
    /// Hash of the spec as it is; empty on create.
    pub before_hash: String,
    /// Hash of the spec as it would be, or that it goes.
    pub after_hash: String,
}

/// The event of a decision about a request, within bounds.
#[must_use]
pub fn event(asked: &Asked, user: &Requester, place: Place, verdict: Verdict<'_>, now: Timestamp) -> AuditEvent {
    let resource = resource(asked);
    let action = action(&asked.operation);
    let mut event = AuditEvent {
        id: format!("{:032x}", rand::random::<u128>()),
        time: now,
        kind: EventKind::Attempt,
        actor: actor(user),
        action: action.to_owned(),
        tenant: place.tenant,
        project: place.project,
        code: None,
        capability: None,
        message: String::new(),
        reason: None,
        before: None,
        after: None,
        before_hash: place.before_hash,
        after_hash: place.after_hash,
        write_key: write_key(asked, user, &resource),
        fold_key: String::new(),
        count: 1,
        resource,
    };
    match verdict {
        Verdict::Denied(denial) => {
            event.kind = EventKind::Denial;
            event.code = Some(denial.code);
            event.capability = denial.capability;
            event.message.clone_from(&denial.message);
            event.fold_key = fold_key(&event, denial);
        }
        Verdict::LetIn(attempt) => {
            event.before.clone_from(&attempt.before);
            event.after.clone_from(&attempt.after);
            event.reason.clone_from(&attempt.reason);
        }
    }
    bounded(event)
}

/// Word of an operation in events, logs and metrics.
#[must_use]
pub fn action(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Connect => "connect",
    }
}

fn actor(user: &Requester) -> Actor {
    let mut groups = user.groups.clone();
    groups.sort();
    groups.dedup();
    Actor {
        user: user.name.clone(),
        groups,
    }
}

fn resource(asked: &Asked) -> Resource {
    let object = asked.object.as_ref().or(asked.old_object.as_ref());
    let sent = object.and_then(|object| object.metadata.name.clone());
    let stored = asked.old_object.as_ref();
    Resource {
        kind: asked.kind.kind.clone(),
        namespace: asked.namespace.clone().unwrap_or_default(),
        name: Some(asked.name.clone())
            .filter(|name| !name.is_empty())
            .or(sent)
            .unwrap_or_default(),
        uid: stored.and_then(ResourceExt::uid).unwrap_or_default(),
    }
}

/// What makes one write one: the API server may ask more than once for it, each time with another review uid. What has
/// neither uid nor name, since the API server makes the name of `generateName` after the mutating call, has no key: two
/// such requests alike are two objects that somebody wants. Where that call refuses, it is the last that is asked.
fn write_key(asked: &Asked, user: &Requester, resource: &Resource) -> String {
    if resource.uid.is_empty() && resource.name.is_empty() {
        return String::new();
    }
    let which = if resource.uid.is_empty() {
        json!([asked.kind.kind, resource.namespace, resource.name])
    } else {
        json!([resource.uid])
    };
    let spec = asked.object.as_ref().and_then(|object| object.data.get("spec"));
    hash(&(&user.name, action(&asked.operation), which, hash(&spec)))
}

/// What is alike in equal denials.
fn fold_key(event: &AuditEvent, denial: &Denial) -> String {
    let capability = denial.capability.map(|capability| capability.key());
    hash(&(
        &event.actor.user,
        &event.action,
        &event.resource.kind,
        &event.resource.namespace,
        denial.code.as_str(),
        capability,
        // Those that are counted apart are folded apart.
        NotRegistered::told(&denial.message).map(NotRegistered::as_str),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagefactory_crds::denial::Code;
    use serde_json::Value;

    const CREATE: &[u8] = include_bytes!("../../tests/reviews/build-create.json");

    fn review(change: impl FnOnce(&mut Value)) -> Asked {
        let mut review: Value = serde_json::from_slice(CREATE).unwrap();
        change(&mut review["request"]);
        crate::review::read(review.to_string().as_bytes()).unwrap()
    }

    fn told(asked: &Asked, verdict: Verdict<'_>, place: Place) -> AuditEvent {
        event(
            asked,
            &crate::subject::requester(asked),
            place,
            verdict,
            Timestamp::now(),
        )
    }

    fn denied(asked: &Asked) -> AuditEvent {
        let denial = Denial::new(Code::TenantCapabilityNotEntitled, "No.");
        told(asked, Verdict::Denied(&denial), Place::default())
    }

    #[test]
    fn the_event_of_a_review_that_is_long_everywhere_is_one_that_the_intake_takes() {
        for long in ["x".repeat(40_000), "\u{1}".repeat(40_000), "🦀".repeat(10_000)] {
            let asked = review(|request| {
                let groups: Vec<String> = (0..100).map(|number| format!("{number}{long}")).collect();
                request["userInfo"] = json!({"username": long, "groups": groups});
                request["kind"]["kind"] = json!(long);
                request["namespace"] = json!(long);
                request["name"] = json!(long);
                request["object"]["metadata"]["name"] = json!(long);
                request["object"]["spec"]["projectRef"]["name"] = json!(long);
                request["oldObject"] = request["object"].clone();
                request["oldObject"]["metadata"]["uid"] = json!(long);
            });
            let place = || Place {
                tenant: Some(long.clone()),
                project: Some(long.clone()),
                before_hash: long.clone(),
                after_hash: long.clone(),
            };
            let denial = Denial::new(Code::TenantCapabilityNotEntitled, long.clone());
            let attempt = Attempt {
                before: Some(json!(long)),
                after: Some(json!([long])),
                reason: Some(long.clone()),
            };
            for verdict in [Verdict::Denied(&denial), Verdict::LetIn(&attempt)] {
                let event = told(&asked, verdict, place());
                assert_eq!(imagefactory_store::check(&event, Timestamp::now()), Ok(()));
                assert!(crate::audit::spool::fits(&event));
                assert!(event.project.is_some_and(|project| long.starts_with(&project)));
            }
        }
    }

    #[test]
    fn the_same_write_has_one_key_whatever_its_review_is_called_and_another_object_has_another() {
        let again = review(|request| request["uid"] = json!("another"));
        let other = review(|request| {
            request["name"] = json!("other");
            request["object"]["metadata"]["name"] = json!("other");
        });
        let key = denied(&review(|_| ())).write_key;
        assert!(!key.is_empty());
        assert_eq!(denied(&again).write_key, key);
        assert_ne!(denied(&other).write_key, key);
    }

    #[test]
    fn of_objects_that_have_no_name_yet_none_is_taken_for_another() {
        let asked = review(|request| {
            request["name"] = json!("");
            request["object"]["metadata"] = json!({"generateName": "web-", "namespace": "tenant-acme"});
        });
        let event = denied(&asked);
        assert_eq!((event.resource.name.as_str(), event.write_key.as_str()), ("", ""));
        assert!(!event.fold_key.is_empty(), "a flood of them is folded");
    }
}
