//! Several tenants under a low cap of the platform: it holds at every instant, also when the leader is killed, and a small
//! tenant is served between the builds of one that floods.
//!
//! Runs alone: it changes the platform's cap and ends the operator's pods.

use imagefactory_tests::building::status_of;
use imagefactory_tests::busy::times;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::record::Record;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant, is_settled};
use serde_json::json;

/// The platform's cap in these tests.
const CAP: usize = 3;
/// Builds of the tenant that floods: some here, hundreds in `make soak`.
fn flooding() -> u32 {
    times("IMAGEFACTORY_FLOOD", 8)
}
/// How long they may take all together, in seconds: each is a pod and two jobs, three at a time.
const LONGEST: u64 = 1800;

async fn flood(tenant: &TestTenant) {
    for number in 0..flooding() {
        tenant.start(&format!("f{number}"), json!({"source": quick()})).await;
    }
}

async fn all_settled(tenant: &TestTenant, names: &[String]) {
    until("every build has ended", LONGEST, async || {
        for name in names {
            if !is_settled(&tenant.build(name).await) {
                return None;
            }
        }
        Some(())
    })
    .await;
    for name in names {
        let build = tenant.has_succeeded(name).await;
        assert_eq!(status_of(&build).attempts, Some(1));
    }
}

fn names() -> Vec<String> {
    (0..flooding()).map(|number| format!("f{number}")).collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_small_tenant_is_served_between_the_builds_of_one_that_floods() {
    let _alone = crate::ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let _restored = cluster.with_settings(|settings| settings["dispatch"]["maxBuilds"] = json!(CAP));
    let large = TestTenant::create("floods").await;
    let small = TestTenant::create("small").await;
    let record = Record::of(&large.client(), &[&large.namespace, &small.namespace]);
    flood(&large).await;
    for name in ["one", "two", "three"] {
        small.start(name, json!({"source": quick()})).await;
    }
    for name in ["one", "two", "three"] {
        small.has_succeeded(name).await;
    }
    let order = record.started();
    let before = |place: usize| {
        order
            .iter()
            .take(place)
            .filter(|(namespace, _)| *namespace == large.namespace)
            .count()
    };
    let places: Vec<usize> = (0..order.len())
        .filter(|place| order[*place].0 == small.namespace)
        .collect();
    assert_eq!(places.len(), 3);
    for pair in places.windows(2) {
        let between = before(pair[1]) - before(pair[0]);
        assert!(
            between <= 2,
            "{between} of the flood between two of the small tenant's: {order:?}"
        );
    }
    all_settled(&large, &names()).await;
    assert_eq!(record.most_builds(None), CAP, "every slot was used, and no more");
    assert!(
        record.most_pods(None) <= CAP,
        "{} pods lived at a time",
        record.most_pods(None)
    );
    for name in names() {
        for pair in record.queues_of(&large.namespace, &name).windows(2) {
            let is_news = pair[1].limit != pair[0].limit || pair[1].position * 2 <= pair[0].position;
            assert!(is_news, "{name}: {pair:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_caps_hold_while_leaders_are_killed() {
    let _alone = crate::ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let _restored = cluster.with_settings(|settings| settings["dispatch"]["maxBuilds"] = json!(CAP));
    let tenant = TestTenant::create_with("killed", json!({"quota": {"concurrentBuilds": 2}})).await;
    let other = TestTenant::create("besides").await;
    let record = Record::of(&tenant.client(), &[&tenant.namespace, &other.namespace]);
    flood(&tenant).await;
    for name in ["one", "two"] {
        other.start(name, json!({"source": quick()})).await;
    }
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        let leader = cluster.leader().await;
        cluster.kill_operator_pod(&leader);
    }
    all_settled(&tenant, &names()).await;
    all_settled(&other, &["one".to_owned(), "two".to_owned()]).await;
    assert!(record.most_builds(None) <= CAP && record.most_pods(None) <= CAP);
    assert!(record.most_builds(Some(&tenant.namespace)) <= 2 && record.most_pods(Some(&tenant.namespace)) <= 2);
    assert_eq!(record.started().len(), flooding() as usize + 2, "one pod for each");
}
