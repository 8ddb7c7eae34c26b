//! The same object tells the same event, in whatever form it is known.

use imagefactory_crds::audit::{DELETED, EventKind, spec_hash};
use imagefactory_crds::denial::Code;
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::{Build, ImageScan, Project, QuarantineRequest, Tenant};
use serde_json::{Value, json};

use super::{Audited, Teller, id};
use crate::build::fixtures::at;

const UID: &str = "6f1c4a0e-0000-4000-8000-000000000001";

fn teller() -> Teller<'static> {
    Teller {
        user: "system:serviceaccount:image-factory-system:operator",
        now: at(100),
    }
}

/// A build that reached this phase at that second of its life; one that began has a start.
fn build(phase: &str, second: i64, reason: &str, began: bool) -> Build {
    let (succeeded, since) = match phase {
        "Succeeded" => ("True", second),
        "Failed" | "Cancelled" | "TimedOut" => ("False", second),
        _ => ("Unknown", 0),
    };
    let mut value = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": UID},
        "spec": {"projectRef": {"name": "web"}},
        "status": {"observedGeneration": 1, "phase": phase, "phaseTime": at(second), "conditions": [{
            "type": "Succeeded", "status": succeeded, "reason": reason, "message": "What there is to say.",
            "lastTransitionTime": at(since),
        }]},
    });
    if began {
        value["status"]["startTime"] = json!(at(1));
    }
    serde_json::from_value(value).unwrap()
}

fn request(phase: &str, reason: &str, pending: bool) -> QuarantineRequest {
    let mut value: Value = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "QuarantineRequest",
        "metadata": {"name": "redis", "namespace": "tenant-acme", "uid": UID},
        "spec": {"projectRef": {"name": "web"}, "source": {"image": "quay.io/a/b:1"}, "justification": "why"},
        "status": {"observedGeneration": 1, "phase": phase, "phaseTime": at(9), "conditions": [{
            "type": "Succeeded", "status": "False", "reason": reason, "message": "", "lastTransitionTime": at(9),
        }]},
    });
    if pending {
        value["status"]["pendingApprovalAt"] = json!(at(1));
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn each_phase_that_is_reached_is_one_event_however_often_it_is_told() {
    let told = |phase, second| build(phase, second, phase, true).event(teller()).unwrap();
    let building = told("Building", 5);
    assert_eq!(building, told("Building", 5));
    assert_eq!(
        (building.kind, building.action.as_str()),
        (EventKind::Transition, "Building")
    );
    assert_eq!(building.id, format!("{UID}-Building-{}", at(5).as_second()));
    assert_eq!(building.time, at(5));
    assert_ne!(building.id, told("Scanning", 5).id);
    assert_ne!(building.id, told("Building", 60).id, "a retry reaches it again");
    assert_eq!(
        (building.tenant.as_deref(), building.project.as_deref()),
        (Some("acme"), Some("web"))
    );
}

#[test]
fn an_ended_build_tells_the_same_event_when_little_of_it_is_kept() {
    for phase in ["Succeeded", "Failed", "Cancelled", "TimedOut"] {
        let whole = build(phase, 30, "Build", true);
        let mut kept = whole.clone();
        let status = kept.status.as_mut().unwrap();
        status.phase_time = None;
        status.conditions[0].message = String::new();
        let (whole, kept) = (whole.event(teller()).unwrap(), kept.event(teller()).unwrap());
        assert_eq!((whole.id, whole.time, whole.kind), (kept.id, kept.time, kept.kind));
        assert_eq!(kept.message, "Build", "at least the cause");
    }
}

#[test]
fn a_build_that_was_never_allowed_is_a_denial_with_its_code() {
    let refused = build("Failed", 3, "tenant_capability_not_entitled", false);
    let event = refused.event(teller()).unwrap();
    assert_eq!((event.kind, event.action.as_str()), (EventKind::Denial, "create"));
    assert_eq!(event.code, Some(Code::TenantCapabilityNotEntitled));
    assert_eq!(event.capability, Some(Capability::Build));
    assert_eq!(event.message, "What there is to say.");
    assert_eq!(event.fold_key, "", "each of them has a name, and is told");
    assert_eq!(Some(event.id), refused.event_id());
}

#[test]
fn what_was_stopped_or_failed_is_no_denial() {
    let stopped = build("Failed", 3, "tenant_capability_not_entitled", true).event(teller());
    let stopped = stopped.unwrap();
    assert_eq!(
        (stopped.kind, stopped.code),
        (EventKind::Transition, Some(Code::TenantCapabilityNotEntitled))
    );
    let failed = build("Failed", 3, "Source", false).event(teller()).unwrap();
    assert_eq!((failed.kind, failed.code), (EventKind::Transition, None));
}

#[test]
fn a_request_is_denied_if_it_was_never_pending() {
    let denied = request("Failed", "sor_registration_required", false).event(teller());
    let denied = denied.unwrap();
    assert_eq!(
        (denied.kind, denied.code, denied.capability),
        (EventKind::Denial, Some(Code::SorRegistrationRequired), None)
    );
    let stopped = request("Failed", "sor_registration_required", true).event(teller());
    assert_eq!(stopped.unwrap().kind, EventKind::Transition);
    let withdrawn = request("Withdrawn", "Withdrawn", true);
    assert_eq!(withdrawn.event(teller()).unwrap().action, "Withdrawn");
    assert_eq!(withdrawn.gone(teller()), None, "runs are told by their phases");
}

#[test]
fn a_run_that_nobody_has_looked_at_tells_nothing() {
    let mut new = build("Building", 3, "Building", false);
    new.status = None;
    assert_eq!((new.event_id(), new.event(teller())), (None, None));
}

#[test]
fn what_was_seen_has_the_hash_that_an_attempt_of_it_has() {
    let mut tenant = Tenant::new(
        "acme",
        serde_json::from_value(json!({"suspended": true, "owners": []})).unwrap(),
    );
    assert_eq!(tenant.event(teller()), None, "what has no uid is not stored");
    (tenant.metadata.uid, tenant.metadata.generation) = (Some("u-1".to_owned()), Some(3));
    let event = tenant.event(teller()).unwrap();
    assert_eq!(
        (event.id.as_str(), event.tenant.as_deref(), event.time),
        ("u-1-seen-3", Some("acme"), at(100))
    );
    assert_eq!(event.kind, EventKind::Confirmation);
    assert_eq!(event.after_hash, spec_hash(&tenant.spec));
    let gone = tenant.gone(teller()).unwrap();
    assert_eq!((gone.id.as_str(), gone.after_hash.as_str()), ("u-1-gone", DELETED));
}

#[test]
fn a_project_is_told_with_its_tenant() {
    let mut project = Project::new("web", serde_json::from_value(json!({})).unwrap());
    project.metadata.namespace = Some("tenant-acme".to_owned());
    project.metadata.uid = Some("u-2".to_owned());
    let event = project.event(teller()).unwrap();
    assert_eq!(
        (event.tenant.as_deref(), event.project.as_deref()),
        (Some("acme"), Some("web"))
    );
    assert_eq!(event.resource.kind, "Project");
}

#[test]
fn an_id_keeps_to_what_the_intake_takes() {
    let id = id("../../\n etc", &"x".repeat(100));
    assert!(
        id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        "{id}"
    );
    let longest = request("PendingApproval", "PendingApproval", true);
    assert!(longest.event_id().unwrap().len() <= 64);
}

#[test]
fn a_scan_is_denied_if_it_never_began_and_stopped_if_it_did() {
    let scan = |began: bool| -> ImageScan {
        let mut value = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
            "metadata": {"name": "again", "namespace": "tenant-acme", "uid": UID},
            "spec": {"projectRef": {"name": "web"}, "image": "registry.example.com/images/acme/web:1"},
            "status": {"observedGeneration": 1, "phase": "Failed", "phaseTime": at(9), "conditions": [{
                "type": "Succeeded", "status": "False", "reason": "tenant_capability_not_entitled", "message": "",
                "lastTransitionTime": at(9),
            }]},
        });
        if began {
            value["status"]["startTime"] = json!(at(1));
        }
        serde_json::from_value(value).unwrap()
    };
    let denied = scan(false).event(teller()).unwrap();
    assert_eq!(
        (denied.kind, denied.capability),
        (EventKind::Denial, Some(Capability::OnDemandImageScanning))
    );
    assert_eq!(denied.resource.kind, "ImageScan");
    assert_eq!(scan(true).event(teller()).unwrap().kind, EventKind::Transition);
}
