//! What builds rest on goes away while they stand in every stage, and comes back: every build comes to its right end,
//! once.
//!
//! Runs alone: it takes servers of the cluster away from everybody.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{failure_of, phase_of, reason_of, status_of, told};
use imagefactory_tests::busy::{Busy, figure, times};
use imagefactory_tests::dockerfile::{BEGUN, DONE, slow};
use imagefactory_tests::kept::logs_of;
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::{Pod, PodStatus, Service};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tokio::time::sleep;

/// Waits until the API server's own Service leads to it, as pods reach it.
async fn service_answers(busy: &Busy) {
    let services = Api::<Service>::namespaced(busy.tenant.client(), "default");
    let service = services.get("kubernetes").await.expect("the API server has a Service");
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap();
    let address: SocketAddr = format!("{address}:443").parse().unwrap();
    let began = std::time::Instant::now();
    until("the API server answers at its Service's address", 90, async || {
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
    })
    .await;
    figure(&format!("the API server's Service answers after {:?}", began.elapsed()));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn etcd_pauses_the_api_server_is_killed_and_the_kubelet_is_away_and_every_build_is_done_once() {
    let _alone = crate::ALONE.lock().await;
    for round in 0..times("IMAGEFACTORY_FAULT_ROUNDS", 1) {
        let mut busy = Busy::start("servers").await;
        let cluster = busy.tenant.cluster.clone();
        figure(&format!("round {round}: etcd stands still for 10 s"));
        let frozen = cluster.server("etcd").freeze();
        sleep(Duration::from_secs(10)).await;
        drop(frozen);
        busy.spread().await;
        // Killed, it leaves its Service as it is; asked to end, it takes itself out of it.
        let is_killed = round % 2 == 0;
        figure(if is_killed {
            "the API server is killed"
        } else {
            "the API server is asked to end"
        });
        let down = if is_killed {
            cluster.take_down("kube-apiserver")
        } else {
            cluster.shut_down("kube-apiserver")
        };
        sleep(Duration::from_secs(5)).await;
        drop(down);
        service_answers(&busy).await;
        busy.spread().await;
        figure("the kubelet stands still");
        let frozen = cluster.server("kubelet").freeze();
        sleep(Duration::from_secs(times("IMAGEFACTORY_KUBELET_AWAY", 15).into())).await;
        drop(frozen);
        busy.ends_well().await;
    }
}

/// Builds that wait for their next attempt.
async fn waiting(busy: &Busy) -> Vec<Build> {
    let builds = busy.tenant.api::<Build>().list(&ListParams::default()).await;
    let mut builds = builds.expect("listing builds").items;
    builds.retain(|build| {
        build
            .status
            .as_ref()
            .is_some_and(|status| status.next_attempt_at.is_some())
    });
    builds
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_registry_that_goes_away_and_comes_back_costs_attempts_and_no_build() {
    let _alone = crate::ALONE.lock().await;
    let busy = Busy::start("registry").await;
    let down = busy.tenant.cluster.take_down("registry");
    let found = until("a build waits for its next attempt to push", 120, async || {
        let found = waiting(&busy).await;
        let pushes = |build: &Build| failure_of(build).class == FailureClass::Publish;
        found.iter().any(pushes).then_some(found)
    })
    .await;
    drop(down);
    for build in &found {
        figure(&told(build));
        // Its time may have come, and then it waits for a slot.
        assert!(
            ["Publish", "Scan", "Infrastructure", "TenantLimit"].contains(&reason_of(build)),
            "{}",
            told(build)
        );
        assert!(!["Failed", "Succeeded"].contains(&phase_of(build)));
        assert!(!status_of(build).retries.is_empty());
    }
    busy.ends_well().await;
    for build in found {
        let name = build.metadata.name.unwrap();
        let status = busy.tenant.build(&name).await.status.unwrap();
        assert!(!status.retries.is_empty(), "{name} says what it was tried again for");
        assert!(status.failure.is_none() && status.next_attempt_at.is_none());
    }
}

/// How long a registry takes connections and answers nothing: less than it takes until a step of ours gives up.
const HANGS: Duration = Duration::from_secs(40);

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_registry_that_hangs_for_a_while_costs_scans_an_attempt_and_no_build() {
    let _alone = crate::ALONE.lock().await;
    let busy = Busy::start("hangs").await;
    let frozen = busy.tenant.cluster.server("registry").freeze();
    sleep(HANGS).await;
    figure(&format!("the registry goes on and finds {:?}", busy.phases().await));
    drop(frozen);
    busy.ends_well().await;
    for name in &busy.names {
        let build = busy.tenant.build(name).await;
        let status = status_of(&build);
        assert_eq!(status.attempts, Some(1), "a push waits so long: {:?}", status.retries);
        // The scanner's own client does not.
        for retries in &status.retries {
            assert!(
                retries.class == FailureClass::Scan && retries.count <= 2,
                "{name}: {retries:?}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_registry_that_hangs_on_costs_a_build_its_time_and_no_more() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("hangs-on").await;
    // Less than it takes until a push gives up by itself.
    let spec = json!({"source": slow(5), "timeout": "60s"});
    tenant.start("late", spec).await;
    tenant.reaches("late", "Building").await;
    let pod = tenant.pod_of("late").await;
    until("its step has begun", 60, async || {
        tenant.log(&pod, "build").await.contains(BEGUN).then_some(())
    })
    .await;
    let frozen = tenant.cluster.server("registry").freeze();
    let build = tenant.settled("late").await;
    let seen = tenant
        .api::<Pod>()
        .get(&pod)
        .await
        .expect("the pod stays")
        .status
        .unwrap();
    drop(frozen);
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("TimedOut", "TimedOut"),
        "{}",
        told(&build)
    );
    let (status, failure) = (status_of(&build), failure_of(&build));
    assert_eq!(failure.class, FailureClass::Timeout);
    assert!(failure.next.contains("spec.timeout"), "{failure:?}");
    assert_eq!((status.attempts, status.retries.len()), (Some(1), 0));
    pushed_until_its_time_was_up(&seen);
    until("its logs are kept", 60, async || {
        let build = tenant.build("late").await;
        (logs_of(&build) > 0).then_some(())
    })
    .await;
    let kept = tenant.kept_logs("late");
    assert!(kept.contains(BEGUN) && kept.contains(DONE), "{kept}");
    assert!(tenant.jobs_of(&build).await.is_empty());
    assert_eq!(tenant.pods_of(&build).await.len(), 1);
    tenant.is_not_published("late").await;
}

/// The pod ended in its last container within the time that it had and the grace that it has then.
fn pushed_until_its_time_was_up(pod: &PodStatus) {
    assert_eq!(
        (pod.phase.as_deref(), pod.reason.as_deref()),
        (Some("Failed"), Some("DeadlineExceeded"))
    );
    let push = pod
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == "push");
    let ended = push.and_then(|push| push.state.as_ref()?.terminated.as_ref());
    let ended = ended.expect("it was pushing").finished_at.as_ref().unwrap().0;
    let took = ended.duration_since(pod.start_time.as_ref().unwrap().0).as_secs();
    figure(&format!("its pod ended after {took} s"));
    // Its minute at the least, a grace of 10 s, and the pauses in which a busy kubelet looks.
    assert!((59..=150).contains(&took), "it ended after {took} s");
}
