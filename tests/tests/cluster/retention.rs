//! Finished builds and scans go as their project says, and only those that nobody named; and a build says what it used.

use std::collections::BTreeSet;
use std::time::Duration;

use imagefactory_crds::build::{FailureClass, Usage};
use imagefactory_crds::project::Project;
use imagefactory_crds::{Build, ImageScan};
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{LONGEST, failure_of, output_of, status_of, told};
use imagefactory_tests::dockerfile::{BASE, inline, quick};
use imagefactory_tests::tenant::PROJECT;
use imagefactory_tests::wait::{stays, until};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The janitor looks once a minute.
const ROUNDS: u64 = 180;

async fn retains(tenant: &TestTenant, retention: Value) {
    let change = Patch::Merge(json!({"spec": {"retention": retention}}));
    tenant
        .api::<Project>()
        .patch(PROJECT, &PatchParams::default(), &change)
        .await
        .expect("changing the Project");
}

/// A Build whose name the API server makes.
async fn generated(tenant: &TestTenant, change: Value) -> Build {
    let mut spec = json!({"projectRef": {"name": PROJECT}});
    spec.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    let build: Build = tenant
        .make(json!({"metadata": {"generateName": "made-"}, "spec": spec}))
        .await;
    tenant.settled(&build.name_any()).await
}

async fn names(tenant: &TestTenant) -> BTreeSet<String> {
    names_of::<Build>(tenant).await
}

async fn names_of<K>(tenant: &TestTenant) -> BTreeSet<String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let listed = tenant.api::<K>().list(&ListParams::default()).await;
    let listed = listed.expect("listing what is there");
    listed.iter().map(ResourceExt::name_any).collect()
}

fn all<K: Resource>(objects: &[&K]) -> BTreeSet<String> {
    objects.iter().map(|object| object.name_any()).collect()
}

/// By their end, then by name, as the factory orders them.
fn sorted(mut builds: Vec<Build>) -> Vec<Build> {
    builds.sort_by_key(|build| (status_of(build).completion_time.clone(), build.name_any()));
    builds
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_newest_builds_with_generated_names_stay_and_those_that_somebody_named() {
    let tenant = TestTenant::create("kept").await;
    // Over at once, and without a pod.
    let over = json!({"source": quick(), "cancelled": true});
    let named = tenant.start("named", over.clone()).await;
    tenant.settled("named").await;
    let mut builds = Vec::new();
    for _ in 0..4 {
        builds.push(generated(&tenant, over.clone()).await);
    }
    let builds = sorted(builds);
    let [_, _, third, fourth] = &builds[..] else {
        panic!("four builds")
    };
    stays("nobody said that anything goes", 5, async || {
        names(&tenant).await.len() == 5
    })
    .await;

    retains(&tenant, json!({"maxBuilds": 2})).await;
    let expected = all(&[&named, third, fourth]);
    until(
        "two of four stay, and the one that somebody named",
        ROUNDS,
        async || (names(&tenant).await == expected).then_some(()),
    )
    .await;
    until("the project counts what is there", 60, async || {
        let project = tenant.api::<Project>().get(PROJECT).await.expect("reading the Project");
        let total = project.status?.builds?.total;
        (total == 3).then_some(())
    })
    .await;

    retains(&tenant, json!({"maxBuilds": 1, "includeApplied": true})).await;
    let expected = all(&[fourth]);
    until("only the newest stays", ROUNDS, async || {
        (names(&tenant).await == expected).then_some(())
    })
    .await;
}

/// A scan that is over at once, and without a pod, by what its metadata say of its name.
async fn over(tenant: &TestTenant, metadata: Value) -> ImageScan {
    let (repository, tag) = tenant.default_output("any");
    let spec = json!({"projectRef": {"name": PROJECT}, "image": format!("{repository}:{tag}"), "cancelled": true});
    let scan: ImageScan = tenant.make(json!({"metadata": metadata, "spec": spec})).await;
    let name = scan.name_any();
    until(&format!("scan {name} has ended"), LONGEST, async || {
        let scan = tenant.api::<ImageScan>().get(&name).await.ok()?;
        scan.status
            .as_ref()
            .is_some_and(|status| status.is_settled())
            .then_some(scan)
    })
    .await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn finished_scans_go_by_the_words_for_builds_and_are_counted_beside_them() {
    let capabilities = json!({"build": true, "onDemandImageScanning": true, "changeReason": "a test"});
    let tenant = TestTenant::create_with("keptscans", json!({"capabilities": capabilities})).await;
    let named = over(&tenant, json!({"name": "named"})).await;
    let mut scans = Vec::new();
    for _ in 0..4 {
        scans.push(over(&tenant, json!({"generateName": "made-"})).await);
    }
    scans.sort_by_key(|scan| {
        let status = scan.status.as_ref().expect("it has ended");
        (status.completion_time.clone(), scan.name_any())
    });
    let [_, _, third, fourth] = &scans[..] else {
        panic!("four scans")
    };
    let mut builds = BTreeSet::new();
    for _ in 0..2 {
        let build = generated(&tenant, json!({"source": quick(), "cancelled": true})).await;
        builds.insert(build.name_any());
    }

    retains(&tenant, json!({"maxBuilds": 2})).await;
    let expected = all(&[&named, third, fourth]);
    until(
        "two of four scans stay, and the one that somebody named",
        ROUNDS,
        async || (names_of::<ImageScan>(&tenant).await == expected).then_some(()),
    )
    .await;
    assert_eq!(names(&tenant).await, builds, "scans push out no builds");

    retains(&tenant, json!({"maxBuilds": 1, "includeApplied": true})).await;
    let expected = all(&[fourth]);
    until("only the newest scan stays", ROUNDS, async || {
        (names_of::<ImageScan>(&tenant).await == expected).then_some(())
    })
    .await;
}

/// As the janitor would an hour later.
async fn remove_what_was_made_for(tenant: &TestTenant, build: &Build) {
    let kubectl = tenant.cluster.kubectl();
    for job in tenant.jobs_of(build).await {
        let (name, namespace) = (job.name_any(), job.namespace().unwrap());
        let _ = kubectl.run(&["delete", "job", &name, "-n", &namespace]).expect_ok();
    }
    let pod = tenant.pod_of(&build.name_any()).await;
    let _ = kubectl
        .run(&["delete", "pod", &pod, "-n", &tenant.namespace])
        .expect_ok();
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_goes_last_and_leaves_its_logs_its_image_and_the_newest_success() {
    let tenant = TestTenant::create("goeslast").await;
    let first = generated(&tenant, json!({"source": quick()})).await;
    let second = generated(&tenant, json!({"source": quick()})).await;
    // Times of completion are whole seconds, and by names the last may not be the newest.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let third = generated(&tenant, json!({"source": quick(), "cancelled": true})).await;
    for build in [&first, &second] {
        assert!(status_of(build).output.is_some(), "{}", told(build));
    }
    retains(&tenant, json!({"maxBuilds": 1})).await;
    stays("a build stays while its pods do", 75, async || {
        names(&tenant).await == all(&[&first, &second, &third])
    })
    .await;
    remove_what_was_made_for(&tenant, &first).await;
    remove_what_was_made_for(&tenant, &second).await;
    let expected = all(&[&second, &third]);
    until("the older success is gone", ROUNDS, async || {
        (names(&tenant).await == expected).then_some(())
    })
    .await;

    let run = format!("{}/{PROJECT}/{}", tenant.name, first.uid().unwrap());
    let logs = tenant.cluster.kept_logs(&run);
    assert!(logs.contains("==> 1/build-build.log "), "{logs}");
    let output = output_of(&first);
    let (repository, _) = tenant.default_output(&first.name_any());
    let published = tenant
        .cluster
        .registry()
        .manifest(&repository, output.digest.as_str())
        .await;
    assert!(published.is_some(), "{repository}@{}", output.digest);
    stays("the newest success stays", 70, async || {
        names(&tenant).await == expected
    })
    .await;
}

fn usage_of(build: &Build) -> Usage {
    status_of(build)
        .usage
        .as_deref()
        .copied()
        .unwrap_or_else(|| panic!("status.usage is there: {}", told(build)))
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_says_what_it_used_by_each_method_that_is_started_by_us() {
    let tenant = TestTenant::create("used").await;
    // A second of work, and 64 MiB of memory that is no file.
    let step =
        "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; head -c 67108864 /dev/zero | tail -c 67108864 | wc -c";
    let source = inline(&format!("FROM {BASE}\nRUN {step}\n"));
    for method in ["kaniko", "docker", "buildx"] {
        tenant.start(method, json!({"method": method, "source": source})).await;
    }
    for method in ["kaniko", "docker", "buildx"] {
        let usage = usage_of(&tenant.has_succeeded(method).await);
        assert!((1..600).contains(&usage.cpu_seconds), "{method}: {usage:?}");
        assert!((64 << 20..16 << 30).contains(&usage.peak_memory), "{method}: {usage:?}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_failed_build_says_what_it_used_and_its_log_and_exit_code_are_its_own() {
    let tenant = TestTenant::create("usedup").await;
    let source = inline(&format!("FROM {BASE}\nRUN echo it broke at $((40 + 2)) && exit 7\n"));
    for method in ["kaniko", "docker"] {
        tenant.start(method, json!({"method": method, "source": source})).await;
    }
    // Kaniko ends with the code of its step, our launcher of BuildKit with its own.
    for (method, code) in [("kaniko", 7), ("docker", 1)] {
        let build = tenant.settled(method).await;
        let failure = failure_of(&build);
        assert_eq!(
            (failure.class, failure.exit_code),
            (FailureClass::Build, Some(code)),
            "{}",
            told(&build)
        );
        let log = failure.log.unwrap_or_default();
        assert!(
            log.contains("it broke at 42") && !log.contains("imagefactory: used"),
            "{log}"
        );
        assert!(usage_of(&build).cpu_seconds > 0);
    }
}
