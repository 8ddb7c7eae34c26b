//! How long a decision takes in the process: bytes of a review to its answer, with caches of ten tenants and of three thousand.
//!
//! Criterion compares means between runs. What one request in a hundred takes, its samples do not tell, so each decision of
//! another run is timed by itself. A line of JSON for each figure goes to the standard output, as from the bench.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that can not go on ends"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use futures::executor::block_on;
use imagefactory_webhook::audit::Recorder;
use imagefactory_webhook::caches::Caches;
use imagefactory_webhook::door::Door;
use imagefactory_webhook::metrics::Metrics;
use imagefactory_webhook::review::read;
use serde_json::{Value, json};

/// Decisions that are timed one by one.
const TIMED: usize = 100_000;

fn object(kind: &str, name: &str, namespace: Option<&str>, spec: &Value) -> Value {
    let mut object =
        json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn door(tenants: usize, projects: usize) -> Door {
    let spec = json!({"owners": [{"kind": "Group", "name": "bench-team"}],
        "capabilities": {"build": true, "changeReason": "Measurement of the factory"}});
    let of_tenants = (0..tenants).map(|number| object("Tenant", &format!("t{number}"), None, &spec));
    let namespaces = (0..tenants).map(|number| {
        json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": format!("tenant-t{number}"), "labels": {"imagefactory.dev/tenant": format!("t{number}")}}})
    });
    let of_projects = (0..projects).map(|number| {
        let namespace = format!("tenant-t{}", number % tenants);
        object("Project", &format!("p{number}"), Some(&namespace), &json!({}))
    });
    let caches = Caches::new(Duration::from_secs(1 << 30));
    caches
        .fill(&json!({
            "tenants": of_tenants.collect::<Vec<_>>(), "namespaces": namespaces.collect::<Vec<_>>(),
            "projects": of_projects.collect::<Vec<_>>(),
        }))
        .unwrap();
    let settings = json!({
        "onboarding": {"build": false},
        "persons": {"platformGroups": [], "securityGroups": [], "gitopsAccounts": [], "ownAccounts": []},
    });
    let settings = serde_json::from_value(settings).unwrap();
    Door::new(caches, &settings, Recorder::Log, Arc::new(Metrics::default()))
}

/// Reviews of Builds, scattered over the projects.
fn reviews(tenants: usize, projects: usize) -> Vec<Vec<u8>> {
    let build = |number: usize| {
        let namespace = format!("tenant-t{}", number % tenants);
        let build = object(
            "Build",
            "shop-1",
            Some(&namespace),
            &json!({"projectRef": {"name": format!("p{number}")},
            "source": {"git": {"url": "https://git.example.com/team/shop.git", "revision": "main"}}}),
        );
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4", "name": "shop-1", "namespace": namespace,
                "kind": {"group": "imagefactory.dev", "version": "v1alpha1", "kind": "Build"},
                "resource": {"group": "imagefactory.dev", "version": "v1alpha1", "resource": "builds"},
                "operation": "CREATE", "userInfo": {"username": "olga", "groups": ["bench-team", "system:authenticated"]},
                "object": build, "oldObject": null, "dryRun": false,
            },
        })
        .to_string()
        .into_bytes()
    };
    (0..512).map(|number| build(number * 7919 % projects)).collect()
}

fn decide(door: &Door, review: &[u8]) -> Vec<u8> {
    let asked = read(review).unwrap();
    let answer = block_on(door.validate(&asked));
    assert!(answer.allowed, "{:?}", answer.result);
    serde_json::to_vec(&answer.into_review()).unwrap()
}

fn timed(door: &Door, reviews: &[Vec<u8>]) -> Vec<Duration> {
    let mut times: Vec<_> = (0..TIMED)
        .map(|number| {
            let review = &reviews[number % reviews.len()];
            let began = Instant::now();
            black_box(decide(door, black_box(review)));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (tenants, projects) in [(10, 30), (3000, 10_000)] {
        let (door, reviews) = (door(tenants, projects), reviews(tenants, projects));
        let mut number = 0;
        criterion.bench_function(&format!("decision, {tenants} tenants"), |bencher| {
            bencher.iter(|| {
                number += 1;
                decide(&door, &reviews[number % reviews.len()])
            });
        });
        let times = timed(&door, &reviews);
        for (name, at, goal) in [("p50", TIMED / 2, ""), ("p99", TIMED / 100 * 99, "50")] {
            let figure = format!("decision in process, {tenants} tenants, {name}");
            let value = times[at].as_secs_f64() * 1e6;
            println!(
                "{}",
                json!({"figure": figure, "unit": "µs", "value": (value * 100.0).round() / 100.0, "goal": goal})
            );
        }
    }
    criterion.final_summary();
}
