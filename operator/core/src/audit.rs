//! What the operator tells the audit: transitions and refusals of runs, as their status says, and what it has seen of
//! objects that configure, so that attempts are confirmed. Pure, and the same each time for the same object: an event that
//! is told twice is stored once.

use imagefactory_crds::audit::{Actor, AuditEvent, DELETED, EventKind, Resource, spec_hash};
use imagefactory_crds::conditions::{SUCCEEDED, find};
use imagefactory_crds::denial::Code;
use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::{Build, build::Phase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Serialize;

/// Longest message of an event, in characters.
const MAX_MESSAGE: usize = 512;

/// What a Build's status tells; none while it tells nothing.
///
/// Of what was refused, the refusal; of everything else the phase it went to. An attempt that is repeated tells its phases
/// again.
#[must_use]
pub fn of_build(build: &Build, operator: &str) -> Option<AuditEvent> {
    let status = build.status.as_ref()?;
    let phase = status.phase?;
    let succeeded = find(&status.conditions, SUCCEEDED)?;
    let code = Code::parse(&succeeded.reason);
    let uid = build.metadata.uid.as_deref()?;
    let attempt = status.attempts.unwrap_or_default();
    let resource = resource("Build", &build.metadata)?;
    Some(AuditEvent {
        id: id(uid, &format!("{}-{attempt}", phase.as_str())),
        time: succeeded.last_transition_time.0,
        kind: if is_refusal(phase, code) {
            EventKind::Denial
        } else {
            EventKind::Transition
        },
        action: if is_refusal(phase, code) {
            "create"
        } else {
            phase.as_str()
        }
        .to_owned(),
        tenant: tenant_of_namespace(&resource.namespace).map(str::to_owned),
        project: Some(build.spec.project_ref.name.0.clone()),
        code,
        message: told(succeeded),
        ..blank(resource, operator)
    })
}

fn is_refusal(phase: Phase, code: Option<Code>) -> bool {
    phase == Phase::Failed && code.is_some()
}

fn told(condition: &Condition) -> String {
    let text = if condition.message.is_empty() {
        &condition.reason
    } else {
        &condition.message
    };
    text.chars().take(MAX_MESSAGE).collect()
}

/// That an object stands so. Once for each of its generations.
#[must_use]
pub fn seen(
    kind: &str,
    metadata: &ObjectMeta,
    spec: &impl Serialize,
    operator: &str,
    now: Timestamp,
) -> Option<AuditEvent> {
    let uid = metadata.uid.as_deref()?;
    let generation = metadata.generation.unwrap_or_default();
    Some(AuditEvent {
        id: id(uid, &format!("seen-{generation}")),
        time: now,
        kind: EventKind::Confirmation,
        action: "seen".to_owned(),
        after_hash: spec_hash(spec),
        ..of_configuration(kind, metadata, operator)?
    })
}

/// That an object is gone.
#[must_use]
pub fn gone(kind: &str, metadata: &ObjectMeta, operator: &str, now: Timestamp) -> Option<AuditEvent> {
    let uid = metadata.uid.as_deref()?;
    Some(AuditEvent {
        id: id(uid, "gone"),
        time: now,
        kind: EventKind::Confirmation,
        action: "gone".to_owned(),
        after_hash: DELETED.to_owned(),
        ..of_configuration(kind, metadata, operator)?
    })
}

fn of_configuration(kind: &str, metadata: &ObjectMeta, operator: &str) -> Option<AuditEvent> {
    let resource = resource(kind, metadata)?;
    let tenant = match kind {
        "Tenant" => Some(resource.name.clone()),
        _ => tenant_of_namespace(&resource.namespace).map(str::to_owned),
    };
    let project = (kind == "Project").then(|| resource.name.clone());
    Some(AuditEvent {
        tenant,
        project,
        ..blank(resource, operator)
    })
}

/// At most 64 characters of those that an id may have: a uid of the API server is 36 of them, and what follows is ours.
fn id(uid: &str, what: &str) -> String {
    format!("{uid}-{what}")
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(64)
        .collect()
}

fn resource(kind: &str, metadata: &ObjectMeta) -> Option<Resource> {
    Some(Resource {
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
    })
}

fn blank(resource: Resource, operator: &str) -> AuditEvent {
    AuditEvent {
        id: String::new(),
        time: Timestamp::UNIX_EPOCH,
        kind: EventKind::Transition,
        actor: Actor {
            user: operator.to_owned(),
            groups: Vec::new(),
        },
        action: String::new(),
        resource,
        tenant: None,
        project: None,
        code: None,
        capability: None,
        message: String::new(),
        reason: None,
        before: None,
        after: None,
        before_hash: String::new(),
        after_hash: String::new(),
        write_key: String::new(),
        fold_key: String::new(),
        count: 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::build::fixtures::at;

    const OPERATOR: &str = "system:serviceaccount:image-factory-system:operator";

    fn build(phase: &str, succeeded: &str, reason: &str) -> Build {
        let value: Value = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": "6f1c4a0e-0000-4000-8000-000000000001"},
            "spec": {"projectRef": {"name": "web"}},
            "status": {"observedGeneration": 1, "phase": phase, "attempts": 2, "conditions": [{
                "type": "Succeeded", "status": succeeded, "reason": reason, "message": "What there is to say.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_state_of_an_attempt_is_one_event_however_often_it_is_told() {
        let told = |phase, succeeded, reason| of_build(&build(phase, succeeded, reason), OPERATOR).unwrap();
        let building = told("Building", "Unknown", "Building");
        assert_eq!(building, told("Building", "Unknown", "Building"));
        assert_eq!(building.kind, EventKind::Transition);
        assert_eq!(building.id, "6f1c4a0e-0000-4000-8000-000000000001-Building-2");
        assert_ne!(building.id, told("Scanning", "Unknown", "Scanning").id);
        assert_eq!(
            (building.tenant.as_deref(), building.project.as_deref()),
            (Some("acme"), Some("web"))
        );
    }

    #[test]
    fn a_build_that_was_refused_is_a_denial_with_its_code() {
        let refused = build("Failed", "False", "tenant_capability_not_entitled");
        let event = of_build(&refused, OPERATOR).unwrap();
        assert_eq!(event.kind, EventKind::Denial);
        assert_eq!(event.code, Some(Code::TenantCapabilityNotEntitled));
        let failed = of_build(&build("Failed", "False", "Build"), OPERATOR).unwrap();
        assert_eq!((failed.kind, failed.code), (EventKind::Transition, None));
    }

    #[test]
    fn a_build_that_nobody_has_looked_at_tells_nothing() {
        let mut new = build("Building", "Unknown", "Building");
        new.status = None;
        assert_eq!(of_build(&new, OPERATOR), None);
    }

    #[test]
    fn what_was_seen_has_the_hash_that_an_attempt_of_it_has() {
        let metadata: ObjectMeta =
            serde_json::from_value(json!({"name": "acme", "uid": "u-1", "generation": 3})).unwrap();
        let spec = json!({"suspended": true, "owners": []});
        let event = seen("Tenant", &metadata, &spec, OPERATOR, at(5)).unwrap();
        assert_eq!(
            (event.id.as_str(), event.tenant.as_deref()),
            ("u-1-seen-3", Some("acme"))
        );
        assert_eq!(event.after_hash, spec_hash(&json!({"owners": [], "suspended": true})));
        assert_eq!(gone("Tenant", &metadata, OPERATOR, at(6)).unwrap().after_hash, DELETED);
    }

    #[test]
    fn an_id_keeps_to_what_the_intake_takes() {
        let id = id("../../\n etc", &"x".repeat(100));
        assert!(
            id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{id}"
        );
    }
}
