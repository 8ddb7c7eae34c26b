//! Builds that may not run: they say why, in the words of the contract, and no pod of theirs ever exists.
//!
//! The door refuses what is not entitled (door_denials); what the operator refuses itself was let in while it was, and
//! waits for room when that changes.

use imagefactory_crds::build::FailureClass;
use imagefactory_crds::{Build, Project};
use imagefactory_tests::building::{conditions_of, failure_of, message_of, reason_of, told};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::wait::{stays, until};
use imagefactory_tests::{TestTenant, phase_of};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Expects that nobody ever asked for a pod or a job for what lies in the tenant's namespace: by the API server's audit
/// log, which also knows of pods that are gone again.
async fn nothing_ever_ran(tenant: &TestTenant, audit: &imagefactory_tests::audit::AuditLog, builds: &[Build]) {
    let uids: Vec<_> = builds.iter().filter_map(|build| build.metadata.uid.clone()).collect();
    let ran: Vec<String> = audit
        .events()
        .iter()
        .filter(|event| event.verb == "create" && ["pods", "jobs"].contains(&event.resource().as_str()))
        .filter(|event| event.namespace() == tenant.namespace || uids.iter().any(|uid| event.name().contains(uid)))
        .map(imagefactory_tests::audit::AuditEvent::told)
        .collect();
    assert!(ran.is_empty(), "{ran:#?}");
    assert!(tenant.pods().await.is_empty());
}

/// Expects a denial: the code as the reason, no failure class, the end's conditions, and an Event that says it.
async fn is_denied(tenant: &TestTenant, build: &str, code: &str, message: &str) -> Build {
    let build = tenant.settled(build).await;
    assert_eq!(
        (phase_of(&build), reason_of(&build), message_of(&build)),
        ("Failed", code, message)
    );
    assert_eq!(
        conditions_of(&build),
        [("Ready", "False"), ("Stalled", "True"), ("Succeeded", "False")]
    );
    assert!(
        build
            .status
            .as_ref()
            .is_some_and(|status| status.failure.is_none() && status.pod_name.is_none())
    );
    let name = build.metadata.name.clone().unwrap_or_default();
    until("an Event says it", 30, async || {
        let events = tenant.events_about(&name).await;
        events
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(code) && event.message.as_deref() == Some(message))
    })
    .await;
    build
}

/// A tenant whose builds are let in and wait: there is no room for a pod.
async fn without_room(purpose: &str) -> TestTenant {
    TestTenant::create_with(purpose, json!({"quota": {"pods": 0}})).await
}

async fn waits_for_room(tenant: &TestTenant, build: &str) {
    until(&format!("{build} waits for room"), 30, async || {
        (reason_of(&tenant.build(build).await) == "QuotaLimit").then_some(())
    })
    .await;
}

async fn change_project(tenant: &TestTenant, name: &str, spec: Value) {
    let change = Patch::Merge(json!({ "spec": spec }));
    let projects = tenant.api::<Project>();
    let changed = projects.patch(name, &PatchParams::default(), &change).await;
    changed.expect("changing the Project");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_waits_when_the_capability_is_withdrawn_fails_with_its_code_and_never_runs() {
    let tenant = without_room("not-entitled").await;
    let audit = tenant.cluster.audit();
    tenant.start("denied", json!({"source": quick()})).await;
    waits_for_room(&tenant, "denied").await;
    let off = json!({"capabilities": {"build": false, "changeReason": "withdrawn by a test"}});
    tenant.patch(json!({ "spec": off })).await;
    let message = "Image build is not enabled for this tenant. Contact your administrator to request access.";
    let build = is_denied(&tenant, "denied", "tenant_capability_not_entitled", message).await;
    nothing_ever_ran(&tenant, &audit, &[build]).await;
    let status = tenant.read().await.status.expect("the Tenant has a status");
    let capability = serde_json::to_value(&status.capabilities[0]).unwrap();
    assert_eq!(
        capability,
        json!({
            "name": "build",
            "enabled": false,
            "code": "tenant_capability_not_entitled",
            "message": "Image build is not enabled for this tenant.",
            "remediation": "Contact your administrator to request access.",
        })
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_project_can_turn_builds_off_and_an_archived_one_starts_none() {
    let tenant = without_room("archived").await;
    let audit = tenant.cluster.audit();
    for project in ["archived", "narrowed"] {
        tenant.project(project, json!({})).await;
        tenant
            .start(project, json!({"projectRef": {"name": project}, "source": quick()}))
            .await;
        waits_for_room(&tenant, project).await;
    }
    change_project(&tenant, "archived", json!({"archived": true})).await;
    change_project(&tenant, "narrowed", json!({"capabilities": {"build": false}})).await;
    let archived = tenant.settled("archived").await;
    assert_eq!(
        (phase_of(&archived), reason_of(&archived)),
        ("Failed", "project_archived"),
        "{}",
        told(&archived)
    );
    assert!(message_of(&archived).contains("archived"), "{}", message_of(&archived));
    let narrowed = tenant.settled("narrowed").await;
    assert_eq!(
        reason_of(&narrowed),
        "tenant_capability_not_entitled",
        "{}",
        told(&narrowed)
    );
    nothing_ever_ran(&tenant, &audit, &[archived, narrowed]).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_a_build_refers_to_must_be_there() {
    let tenant = TestTenant::create("references").await;
    let audit = tenant.cluster.audit();
    let elsewhere = format!(
        "{}/tenant-of-others/app:1",
        tenant.cluster.installation.text("/output/prefix")
    );
    let staging = format!(
        "{}/{}/app:1",
        tenant.cluster.installation.text("/staging/prefix"),
        tenant.name
    );
    let cases = [
        (
            "project",
            FailureClass::Source,
            "ProjectNotFound",
            json!({"projectRef": {"name": "nowhere"}, "source": quick()}),
        ),
        ("source", FailureClass::Source, "SourceMissing", json!({})),
        (
            "policy",
            FailureClass::Policy,
            "PolicyNotFound",
            json!({"policyRef": {"name": "nowhere"}, "source": quick()}),
        ),
        (
            "foreign",
            FailureClass::Publish,
            "OutputNotAllowed",
            json!({"output": {"image": elsewhere}, "source": quick()}),
        ),
        (
            "staging",
            FailureClass::Publish,
            "OutputNotAllowed",
            json!({"output": {"image": staging}, "source": quick()}),
        ),
    ];
    for (name, _, _, spec) in &cases {
        tenant.start(name, spec.clone()).await;
    }
    let mut builds = Vec::new();
    for (name, class, reason, _) in cases {
        let build = tenant.settled(name).await;
        assert_eq!(
            (phase_of(&build), reason_of(&build)),
            ("Failed", class.as_str()),
            "{}",
            told(&build)
        );
        assert_eq!(
            (failure_of(&build).class, failure_of(&build).reason.as_str()),
            (class, reason),
            "{name}"
        );
        builds.push(build);
    }
    nothing_ever_ran(&tenant, &audit, &builds).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn builds_of_a_suspended_tenant_wait_and_start_when_it_is_lifted() {
    let tenant = without_room("suspended").await;
    let audit = tenant.cluster.audit();
    for name in ["waits", "given-up"] {
        tenant.start(name, json!({"source": quick()})).await;
        waits_for_room(&tenant, name).await;
    }
    tenant
        .patch(json!({"spec": {"suspended": true, "quota": {"pods": null}}}))
        .await;
    let build = until("the build waits", 30, async || {
        Some(tenant.build("waits").await).filter(|build| reason_of(build) == "TenantSuspended")
    })
    .await;
    assert_eq!(phase_of(&build), "Queued");
    assert_eq!(
        conditions_of(&build),
        [("Ready", "Unknown"), ("Reconciling", "True"), ("Succeeded", "Unknown")]
    );
    stays("nothing starts", 5, async || tenant.pods().await.is_empty()).await;
    tenant.cancel("given-up").await;
    let given_up = tenant.settled("given-up").await;
    assert_eq!((phase_of(&given_up), reason_of(&given_up)), ("Cancelled", "Cancelled"));
    nothing_ever_ran(&tenant, &audit, &[build, given_up]).await;
    tenant.patch(json!({"spec": {"suspended": false}})).await;
    tenant.has_succeeded("waits").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_comes_before_its_project_does_not_fail() {
    let tenant = TestTenant::create("together").await;
    tenant
        .start("early", json!({"projectRef": {"name": "late"}, "source": quick()}))
        .await;
    until("the build was seen", 30, async || {
        Some(tenant.build("early").await).filter(|build| !reason_of(build).is_empty())
    })
    .await;
    tenant.project("late", json!({})).await;
    tenant.has_succeeded("early").await;
}
