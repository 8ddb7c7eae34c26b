//! The door under faults: its processes killed, the audit's database gone and back, none of it left, the API server
//! restarted. What is refused stays refused, nothing is let in that would not have been, and the audit has lost and doubled
//! nothing.
//!
//! Runs alone: while it runs, the API server asks in vain for what others write.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use imagefactory_crds::Build;
use imagefactory_tests::busy::{figure, times};
use imagefactory_tests::dockerfile::slow;
use imagefactory_tests::door::{Told, heard};
use imagefactory_tests::process::Process;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use kube::api::ListParams;
use serde_json::{Value, json};

/// Persons who are refused while webhooks die, and how often each: below what is folded in a minute.
const PERSONS: usize = 12;
const EACH: usize = 9;

async fn not_entitled(purpose: &str) -> TestTenant {
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with(purpose, off).await;
    heard().await;
    tenant
}

fn is_refused(told: &Told) -> bool {
    (told.http, told.reason()) == (403, "tenant_capability_not_entitled")
}

/// New pods of the webhook, now and when this goes: Kubernetes waits longer each time that a container ends.
struct Fresh(Cluster);

impl Fresh {
    fn pods(cluster: &Cluster) -> Self {
        let fresh = Self(cluster.clone());
        fresh.make();
        fresh
    }

    fn make(&self) {
        self.0.restart(&self.0.installation.namespace, &self.0.webhook());
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.make();
        }
    }
}

async fn no_build_is_there(tenant: &TestTenant) {
    let left = tenant.api::<Build>().list(&ListParams::default()).await.unwrap();
    assert!(
        left.items.is_empty() && tenant.pods().await.is_empty(),
        "something was let in"
    );
}

/// Each of several persons is refused some times, under names that nobody else uses. Gives what each attempt was told, and
/// when.
async fn refused_meanwhile(tenant: &TestTenant) -> BTreeMap<String, (Instant, Told)> {
    let mut persons = Vec::new();
    for person in 0..PERSONS {
        let user = format!("person-{person}-of-{}", tenant.name);
        let client = tenant.cluster.client_as(&user, &["system:masters"]).await;
        let attempts: Vec<_> = (0..EACH)
            .map(|number| format!("p{person}-{number}"))
            .map(|name| (name.clone(), tenant.raw_build(&name)))
            .collect();
        persons.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for (name, what) in attempts {
                let answer = what.send(&client, false).await;
                told.push((name, (Instant::now(), answer)));
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            told
        }));
    }
    let mut all = BTreeMap::new();
    for person in persons {
        all.extend(person.await.unwrap());
    }
    all
}

/// The door's answer, as soon as there is one: a container that was killed again comes back after a pause.
async fn answered(tenant: &TestTenant, name: &str) -> Told {
    until("the door answers", 90, async || {
        let told = tenant.raw_build(name).send(&tenant.client(), false).await;
        (told.http < 500).then_some(told)
    })
    .await
}

/// Times that each name was refused, by the audit.
fn recorded(tenant: &TestTenant) -> BTreeMap<String, u64> {
    let mut recorded = BTreeMap::new();
    for entry in tenant.recorded(&["--kind", "denial"]) {
        let event = &entry["event"];
        let name = event["resource"]["name"].as_str().unwrap_or_default().to_owned();
        *recorded.entry(name).or_default() += event["count"].as_u64().unwrap();
    }
    recorded
}

async fn kill_webhooks(cluster: &Cluster) {
    let processes = until("a webhook runs", 60, async || {
        Some(cluster.webhook_processes()).filter(|found| !found.is_empty())
    });
    processes.await.iter().for_each(Process::kill);
}

/// Kills all webhooks, takes the audit away with its database, kills them again while all that is refused is on their spools
/// alone, and gives the audit back when some have come back. Tells from when until when there was none.
async fn kills(cluster: &Cluster) -> Range<Instant> {
    let pause = async |seconds: u64| tokio::time::sleep(Duration::from_secs(seconds)).await;
    pause(4).await;
    kill_webhooks(cluster).await;
    pause(3).await;
    let namespace = &cluster.installation.namespace;
    let away = cluster.scale(namespace, &cluster.audit_deployment(), 0).await;
    let pods = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=audit";
    let gone = [
        "wait",
        "pod",
        "-n",
        namespace,
        "-l",
        pods,
        "--for=delete",
        "--timeout=60s",
    ];
    let _ = cluster.kubectl().run(&gone).expect_ok();
    let from = Instant::now();
    pause(9).await;
    kill_webhooks(cluster).await;
    // They are back after the kubelet's first pause.
    pause(12).await;
    let until = Instant::now();
    drop(away);
    from..until
}

/// Persons are refused meanwhile, on other threads than that of what takes the audit away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the cluster of `make cluster`"]
async fn webhooks_killed_and_the_audit_away_under_refusals_let_nothing_in_and_lose_and_double_no_denial() {
    let _alone = crate::ALONE.lock().await;
    for round in 0..times("IMAGEFACTORY_DOOR_KILLS", 1) {
        let tenant = not_entitled("f-killed").await;
        let _fresh = Fresh::pods(&tenant.cluster);
        let (told, away) = tokio::join!(refused_meanwhile(&tenant), kills(&tenant.cluster));
        tenant.cluster.until_door_stands();
        let refused: BTreeMap<_, _> = told.iter().filter(|(_, (_, told))| is_refused(told)).collect();
        let spooled = refused.values().filter(|(when, _)| away.contains(when)).count();
        figure(&format!(
            "round {round}: {} of {} were refused by the door, {spooled} of these while the audit was away for {:?}",
            refused.len(),
            told.len(),
            away.end - away.start
        ));
        assert!(spooled > PERSONS / 2, "the door answers while there is no audit");
        assert!(told.values().all(|(_, told)| told.http >= 400), "nothing is let in");
        let unanswered = told.values().filter(|(_, told)| !is_refused(told));
        for (_, told) in unanswered {
            assert_eq!(
                told.http, 500,
                "the API server says that nobody answered: {}",
                told.body
            );
        }
        no_build_is_there(&tenant).await;
        // What was spooled is delivered within the longest pause of whoever delivers.
        let found = until("every answered denial is on record", 90, async || {
            let found = recorded(&tenant);
            refused.keys().all(|name| found.contains_key(*name)).then_some(found)
        })
        .await;
        let doubled: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "on record more than once: {doubled:?}");
        let told = answered(&tenant, "afterwards").await;
        assert!(is_refused(&told), "{}", told.body);
    }
    let cluster = Cluster::connect().await;
    assert!(cluster.operator_audit(&["verify"]).contains("entries are whole"));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn without_a_webhook_nothing_is_let_in_and_what_runs_runs_on() {
    let _alone = crate::ALONE.lock().await;
    let refused = not_entitled("f-none").await;
    let entitled = TestTenant::create("f-entitled").await;
    entitled.start("runs", json!({"source": slow(20)})).await;
    entitled.reaches("runs", "Building").await;
    let namespace = entitled.cluster.installation.namespace.clone();
    let webhook = entitled.cluster.webhook();
    let away = entitled.cluster.scale(&namespace, &webhook, 0).await;
    until("the API server finds nobody to ask", 60, async || {
        let told = entitled.raw_build("never").send(&entitled.client(), true).await;
        (told.http >= 500).then_some(())
    })
    .await;
    for tenant in [&refused, &entitled] {
        let told = tenant.raw_build("never").send(&tenant.client(), false).await;
        assert_eq!((told.http, told.reason()), (500, "InternalError"), "{}", told.body);
        assert!(told.message().contains("failed calling webhook"), "{}", told.body);
    }
    entitled.has_succeeded("runs").await;
    drop(away);
    entitled.cluster.until_door_stands();
    let answers = until("the door answers again", 60, async || {
        let one = refused.raw_build("never").send(&refused.client(), false).await;
        let other = entitled.raw_build("later").send(&entitled.client(), true).await;
        (one.http < 500 && other.http < 500).then_some((one, other))
    })
    .await;
    assert!(is_refused(&answers.0), "{}", answers.0.body);
    assert_eq!(answers.1.http, 201, "{}", answers.1.body);
    no_build_is_there(&refused).await;
    refused.denials_are("tenant_capability_not_entitled", 1).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_api_server_that_was_away_finds_the_door_as_it_was() {
    let _alone = crate::ALONE.lock().await;
    let tenant = not_entitled("f-server").await;
    assert!(is_refused(
        &tenant.raw_build("before").send(&tenant.client(), false).await
    ));
    let down = tenant.cluster.take_down("kube-apiserver");
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(down);
    // A client of before may hold connections that are gone.
    let client = tenant.cluster.client_as("somebody", &["system:masters"]).await;
    let told = until("the door is asked again", 60, async || {
        let told = tenant.raw_build("after").send(&client, true).await;
        (told.http < 500).then_some(told)
    })
    .await;
    assert!(is_refused(&told), "{}", told.body);
    assert!(is_refused(&tenant.raw_build("after").send(&client, false).await));
    // Its watches go on too: it hears of what changes now.
    let on: Value = json!({"spec": {"capabilities": {"build": true, "changeReason": "another test"}}});
    tenant.patch(on).await;
    until("the door has heard of it", 30, async || {
        let told = tenant.raw_build("entitled").send(&client, true).await;
        (told.http == 201).then_some(())
    })
    .await;
    tenant.denials_are("tenant_capability_not_entitled", 2).await;
}
