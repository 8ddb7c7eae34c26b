//! Every file in examples/ is applied as a user applies it, and its Builds end as their comments say.
//!
//! A comment `# Ends as Failed (PolicyFailed)` in a Build's document names phase and reason of its end; without one it
//! is `Succeeded (Published)`. Tenants get names of their own here, so that a demo beside this test is left alone.

use std::collections::BTreeMap;

use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::{Build, ImageScan, QuarantineRequest, Tenant, conditions, names};
use imagefactory_tests::building::{LONGEST, told};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::tenant::take_away;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, is_settled, phase_of, reason_of};
use kube::Api;
use serde_json::Value;

/// The files, in the order of their names, with every Tenant renamed.
fn examples(cluster: &Cluster) -> (Vec<(String, String)>, BTreeMap<String, String>) {
    let folder = cluster.environment.path("examples");
    let entries = std::fs::read_dir(folder)
        .expect("examples/ is there")
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are examples");
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("reading an example");
    let mut files: Vec<_> = paths
        .iter()
        .map(|path| (path.display().to_string(), read(path)))
        .collect();
    let all: Vec<Value> = files
        .iter()
        .flat_map(|(_, text)| documents(text))
        .map(|(_, object)| object)
        .collect();
    let named = all
        .iter()
        .filter(|object| object["kind"] == "Tenant")
        .filter_map(|object| object["metadata"]["name"].as_str());
    let renamed: BTreeMap<String, String> = named.map(|name| (name.to_owned(), unique(name))).collect();
    for (_, text) in &mut files {
        for (name, other) in &renamed {
            *text = text.replace(name, other);
        }
    }
    (files, renamed)
}

/// The documents of a file: as text, with its comments, and as an object.
fn documents(text: &str) -> Vec<(String, Value)> {
    let parts = text
        .split("\n---\n")
        .map(|part| (part.to_owned(), serde_yaml::from_str(part).expect("an example is YAML")));
    parts
        .filter(|(_, object): &(String, Value)| !object.is_null())
        .collect()
}

/// Phase and reason that a Build's comments announce.
fn announced(text: &str) -> (String, String) {
    let words = text
        .lines()
        .filter(|line| line.trim_start().starts_with('#'))
        .find_map(|line| line.split_once("Ends as "));
    let words = words.map_or("Succeeded (Published)", |(_, rest)| rest);
    let (phase, rest) = words.split_once(" (").expect("as in `Ends as Failed (PolicyFailed)`");
    let reason = rest.split_once(')').map_or(rest, |(reason, _)| reason);
    (phase.trim().to_owned(), reason.to_owned())
}

/// Tenants, and records of the system of record, that go with the test.
struct Gone(Cluster, Vec<String>, Vec<String>);

impl Drop for Gone {
    fn drop(&mut self) {
        for tenant in &self.1 {
            take_away(&self.0, tenant);
        }
        for record in &self.2 {
            let _ = self
                .0
                .kubectl()
                .run(&["delete", "sorrecord", record, "--ignore-not-found"]);
        }
    }
}

async fn apply(cluster: &Cluster, file: &str, text: &str) {
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=image-factory-demo",
        "-f",
        "-",
    ];
    let answer = cluster.kubectl().run_with(&arguments, text);
    // The namespace of a Tenant in the same file comes a moment after it.
    let tenants = documents(text)
        .into_iter()
        .filter(|(_, object)| object["kind"] == "Tenant");
    let tenants: Vec<String> = tenants
        .filter_map(|(_, object)| Some(object["metadata"]["name"].as_str()?.to_owned()))
        .collect();
    assert!(answer.ok || !tenants.is_empty(), "{file}: {}", answer.stderr);
    for name in &tenants {
        until(&format!("Tenant {name} of {file} is Ready"), 60, async || {
            let tenant = Api::<Tenant>::all(cluster.client.clone()).get(name).await.ok()?;
            conditions::is_true(&tenant.status?.conditions, "Ready").then_some(())
        })
        .await;
    }
    if !answer.ok {
        let _ = cluster.kubectl().run_with(&arguments, text).expect_ok();
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_example_is_applied_and_its_builds_end_as_their_comments_say() {
    let cluster = Cluster::connect().await;
    let (files, renamed) = examples(&cluster);
    let _gone = Gone(
        cluster.clone(),
        renamed.values().cloned().collect(),
        names_of(&files, "SorRecord"),
    );
    for (file, text) in &files {
        apply(&cluster, file, text).await;
    }
    let mut builds = 0;
    for (text, object) in files.iter().flat_map(|(_, text)| documents(text)) {
        if object["kind"] != "Build" {
            continue;
        }
        let text_of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (text_of("name"), text_of("namespace"));
        assert!(
            names::tenant_of_namespace(&namespace).is_some(),
            "{name} names its namespace"
        );
        let api = Api::<Build>::namespaced(cluster.client.clone(), &namespace);
        let build = until(&format!("{name} has ended"), LONGEST, async || {
            Some(api.get(&name).await.expect("it was applied")).filter(is_settled)
        })
        .await;
        let ended = (phase_of(&build).to_owned(), reason_of(&build).to_owned());
        assert_eq!(ended, announced(&text), "{name}: {}", told(&build));
        builds += 1;
    }
    assert!(builds >= 3, "{builds} Builds");
    requests_wait(&cluster, &files).await;
    scan_succeeds(&cluster, &renamed).await;
}

/// The example of a scan, of the image that an example before it published, ends well.
async fn scan_succeeds(cluster: &Cluster, renamed: &BTreeMap<String, String>) {
    let path = cluster.environment.path("examples/scan/scan.yaml");
    let mut text = std::fs::read_to_string(path).expect("reading the example");
    let prefix = cluster.installation.text("/output/prefix");
    text = text.replace("registry.example.com/images", prefix);
    for (name, other) in renamed {
        text = text.replace(name, other);
    }
    apply(cluster, "scan/scan.yaml", &text).await;
    let (text, object) = documents(&text).remove(0);
    let text_of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let api = Api::<ImageScan>::namespaced(cluster.client.clone(), &text_of("namespace"));
    let ended = until("the scan has ended", LONGEST, async || {
        let status = api.get(&text_of("name")).await.ok()?.status?;
        status.is_settled().then_some(status)
    })
    .await;
    let reason = conditions::find(&ended.conditions, "Succeeded").map(|found| found.reason.clone());
    let said = (
        ended.phase.expect("it has a phase").as_str().to_owned(),
        reason.unwrap_or_default(),
    );
    assert_eq!(said, announced(&text), "{ended:?}");
}

/// Names of the objects of a kind.
fn names_of(files: &[(String, String)], kind: &str) -> Vec<String> {
    let objects = files.iter().flat_map(|(_, text)| documents(text));
    objects
        .filter(|(_, object)| object["kind"] == kind)
        .filter_map(|(_, object)| Some(object["metadata"]["name"].as_str()?.to_owned()))
        .collect()
}

/// Every request of the examples is allowed, and waits.
async fn requests_wait(cluster: &Cluster, files: &[(String, String)]) {
    let mut requests = 0;
    for (_, object) in files.iter().flat_map(|(_, text)| documents(text)) {
        if object["kind"] != "QuarantineRequest" {
            continue;
        }
        let text_of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let api = Api::<QuarantineRequest>::namespaced(cluster.client.clone(), &text_of("namespace"));
        until(&format!("{} waits for approval", text_of("name")), 60, async || {
            let status = api.get(&text_of("name")).await.ok()?.status?;
            (status.phase == Some(RequestPhase::PendingApproval)).then_some(())
        })
        .await;
        requests += 1;
    }
    assert!(requests >= 1, "no QuarantineRequest");
}

#[test]
fn a_comment_announces_the_end() {
    let failed = ("Failed".to_owned(), "PolicyFailed".to_owned());
    assert_eq!(
        announced("# A test. Ends as Failed (PolicyFailed), since\nkind: Build"),
        failed
    );
    assert_eq!(
        announced("kind: Build"),
        ("Succeeded".to_owned(), "Published".to_owned())
    );
}
