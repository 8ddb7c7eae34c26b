//! A leader that is asked to end, killed, or frozen past its lease: the next one takes over, never before it may, and one
//! that was frozen changes nothing more.
//!
//! Runs alone: it ends the operator's processes. Times are printed and never asserted.

use std::time::Duration;

use imagefactory_crds::Project;
use imagefactory_tests::audit::{AuditEvent, AuditLog};
use imagefactory_tests::busy::{Busy, figure, times};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Projects that are changed in turn, so that a leader always has something to write.
const PROJECTS: usize = 10;

/// Changes Projects as fast as the operator may well write about them, until it is dropped.
struct Work(JoinHandle<()>);

impl Work {
    async fn begin(tenant: &TestTenant) -> Self {
        for number in 0..PROJECTS {
            tenant.project(&format!("p{number}"), json!({})).await;
        }
        let projects: Api<Project> = tenant.api();
        Self(tokio::spawn(async move {
            for number in 0.. {
                let change = Patch::Merge(json!({"spec": {"description": format!("change {number}")}}));
                // The API server may have something else to do; the next change comes soon.
                let name = format!("p{}", number % PROJECTS);
                let _ = projects.patch(&name, &PatchParams::default(), &change).await;
                sleep(Duration::from_millis(20)).await;
            }
        }))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn lease(cluster: &Cluster) -> LeaseSpec {
    let api = Api::<k8s_openapi::api::coordination::v1::Lease>::namespaced(
        cluster.client.clone(),
        &cluster.installation.namespace,
    );
    let found = api
        .get(&cluster.installation.operator)
        .await
        .expect("the operator has a lease");
    found.spec.unwrap_or_default()
}

/// When the lease runs out that `spec` speaks of.
fn end_of(spec: &LeaseSpec) -> Timestamp {
    let lasts = Duration::from_secs(spec.lease_duration_seconds.unwrap().unsigned_abs().into());
    spec.renew_time.clone().unwrap().0 + lasts
}

/// Waits until another holds the lease, and gives its name and the lease that it took.
async fn another(cluster: &Cluster, before: &str) -> (String, LeaseSpec) {
    until("another leads", 60, async || {
        let spec = lease(cluster).await;
        let holder = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty() && holder != before)?;
        Some((holder, spec))
    })
    .await
}

/// What that pod wrote from `since` on; the lease apart, which only the election writes.
fn written(audit: &AuditLog, pod: &str, since: Timestamp) -> Vec<AuditEvent> {
    let mut events = audit.events();
    events.retain(|event| event.pod() == Some(pod) && event.received > since);
    events.retain(|event| event.mutates() && event.resource() != "leases");
    events
}

async fn first_write(audit: &AuditLog, pod: &str, since: Timestamp) -> Timestamp {
    until("the next leader writes", 60, async || {
        written(audit, pod, since).into_iter().map(|event| event.received).min()
    })
    .await
}

/// Waits until every pod of the operator is ready, and gives the leader.
async fn all_ready(cluster: &Cluster) -> String {
    cluster.until_rolled_out(&cluster.installation.namespace, &cluster.installation.operator);
    until("two candidates are there", 60, async || {
        (cluster.operator_pods().await.len() > 1).then_some(())
    })
    .await;
    cluster.leader().await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_leader_that_is_asked_to_end_gives_its_lease_back_before_it_runs_out() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("handover").await;
    let cluster = &tenant.cluster;
    let leader = all_ready(cluster).await;
    let _work = Work::begin(&tenant).await;
    sleep(Duration::from_secs(2)).await;
    let (audit, before) = (cluster.audit(), lease(cluster).await);
    let asked = Timestamp::now();
    cluster.operator_process(&leader).terminate();
    let (next, after) = another(cluster, &leader).await;
    let acted = first_write(&audit, &next, asked).await;
    let took = after.acquire_time.clone().unwrap().0;
    figure(&format!(
        "asked to end: the next leader has the lease after {:#}, and writes after {:#}",
        took.duration_since(asked),
        acted.duration_since(asked)
    ));
    assert!(took < end_of(&before), "the lease was given back, not waited out");
    assert!(after.lease_transitions > before.lease_transitions);
    assert!(
        written(&audit, &leader, took).is_empty(),
        "who gave the lease back writes no more"
    );
    all_ready(cluster).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn after_a_kill_the_next_leader_waits_the_lease_out_and_then_makes_the_next_pod() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("killed").await;
    let cluster = &tenant.cluster;
    let leader = all_ready(cluster).await;
    let (audit, process) = (cluster.audit(), cluster.operator_process(&leader));
    // It does nothing from here on, and its pod is gone before it ends: else the kubelet starts it again in that
    // pod, which holds the lease still.
    let stopped = process.freeze();
    let killed = Timestamp::now();
    let before = lease(cluster).await;
    cluster.kill_operator_pod(&leader);
    process.kill();
    drop(stopped);
    tenant.start("next", json!({"source": quick()})).await;
    let (next, after) = another(cluster, &leader).await;
    let pods = until("the next pod is made", 60, async || {
        let mut made = written(&audit, &next, killed);
        made.retain(|event| {
            event.verb == "create" && event.resource() == "pods" && event.namespace() == tenant.namespace
        });
        (!made.is_empty()).then_some(made)
    })
    .await;
    let took = after.acquire_time.clone().unwrap().0;
    figure(&format!(
        "killed: the next leader has the lease after {:#}, the next pod is made after {:#}",
        took.duration_since(killed),
        pods[0].received.duration_since(killed)
    ));
    assert!(took >= end_of(&before), "nobody takes a lease that has not run out");
    assert!(after.lease_transitions > before.lease_transitions);
    assert!(written(&audit, &leader, killed).is_empty());
    tenant.has_succeeded("next").await;
    all_ready(cluster).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_leader_that_was_frozen_past_its_lease_changes_nothing_when_it_goes_on() {
    let _alone = crate::ALONE.lock().await;
    let busy = Busy::start("frozen").await;
    let cluster = &busy.tenant.cluster;
    let _work = Work::begin(&busy.tenant).await;
    let freezes = times("IMAGEFACTORY_FREEZES", 2);
    let (mut stale, mut refused) = (Vec::new(), Vec::new());
    for number in 0..freezes {
        let leader = all_ready(cluster).await;
        let audit = cluster.audit();
        // Each at another moment of what the leader does.
        sleep(Duration::from_millis(500 + u64::from(number * 37 % 200))).await;
        let frozen = cluster.operator_process(&leader).freeze();
        let at = Timestamp::now();
        let (next, _) = another(cluster, &leader).await;
        first_write(&audit, &next, at).await;
        let thawed = Timestamp::now();
        drop(frozen);
        sleep(Duration::from_secs(4)).await;
        assert_ne!(lease(cluster).await.holder_identity.as_deref(), Some(leader.as_str()));
        let busy_before = written(&audit, &leader, at - Duration::from_secs(1)).len();
        // What was on its way when it was frozen goes out yet. It names the version that it is about, and another has
        // written since.
        let (late, too_late): (Vec<_>, Vec<_>) = written(&audit, &leader, thawed)
            .into_iter()
            .partition(AuditEvent::succeeded);
        figure(&format!(
            "freeze {number}: {busy_before} writes in the second before, {} after the thaw, {} refused",
            late.len(),
            too_late.len()
        ));
        let is_overtaken = |event: &AuditEvent| ["Conflict", "AlreadyExists", "NotFound"].contains(&event.reason());
        assert!(too_late.iter().all(is_overtaken), "{too_late:#?}");
        stale.extend(late.iter().map(AuditEvent::told));
        refused.extend(too_late.iter().map(AuditEvent::told));
        // A container that ends again and again is kept waiting for longer and longer; a new pod is not.
        cluster.kill_operator_pod(&leader);
    }
    drop(_work);
    figure(&format!(
        "{freezes} freezes, {} writes of leaders whose time was over, {} refused: {refused:?}",
        stale.len(),
        refused.len()
    ));
    assert!(stale.is_empty(), "{stale:#?}");
    busy.ends_well().await;
}
