//! Templates of a Project, what is recorded of a Build, and reruns.
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

use imagefactory_crds::build::FailureClass;
use imagefactory_crds::{Build, Project};
use imagefactory_tests::building::{output_of, status_of};
use imagefactory_tests::dockerfile::{BASE, files, git, inline, quick};
use imagefactory_tests::git::GitRepository;
use imagefactory_tests::{Cluster, TestTenant};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

/// A label of the image that a Build published.
async fn label(cluster: &Cluster, build: &Build, name: &str) -> Value {
    let output = output_of(build);
    let (repository, _) = output.image.rsplit_once(':').unwrap_or((&output.image, ""));
    let config = cluster.registry().config(repository, &output.digest).await;
    config
        .pointer(&format!("/config/Labels/{name}"))
        .cloned()
        .unwrap_or_default()
}

/// The image's labels tell which argument and which label won.
fn template() -> Value {
    json!({
        "name": "labelled",
        "source": inline(&format!("FROM {BASE}\nARG A=none\nARG B=none\nLABEL a=$A\nLABEL b=$B\n")),
        "buildArgs": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}],
        "labels": [{"name": "of", "value": "template"}],
        "timeout": "10m",
    })
}

async fn change(tenant: &TestTenant, project: &str, spec: Value) {
    let change = Patch::Merge(json!({ "spec": spec }));
    let projects = tenant.api::<Project>();
    projects
        .patch(project, &PatchParams::default(), &change)
        .await
        .expect("changing the Project");
}

fn by(project: &str, template: &str, more: Value) -> Value {
    let mut spec = json!({"projectRef": {"name": project}, "templateRef": {"name": template}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_build_says_comes_before_its_template_and_all_of_it_is_recorded() {
    let tenant = TestTenant::create("template").await;
    tenant.project("with", json!({"templates": [template()]})).await;
    let own = json!({"buildArgs": [{"name": "A", "value": "build"}]});
    let build = tenant.succeeds("by-template", by("with", "labelled", own)).await;
    for (name, value) in [("a", "build"), ("b", "template"), ("of", "template")] {
        assert_eq!(label(&tenant.cluster, &build, name).await, json!(value), "{name}");
    }
    let recorded = status_of(&build).resolved_spec.as_ref().expect("it is recorded");
    assert_eq!(recorded.template.as_deref(), Some("labelled"));
    assert_eq!(recorded.inputs.timeout.as_deref(), Some("10m"));
    assert_eq!(recorded.inputs.build_args.len(), 2);
    assert_eq!(
        recorded.output.as_ref().and_then(|output| output.image.as_deref()),
        Some(output_of(&build).image.as_str())
    );
    let size = serde_json::to_string(status_of(&build)).unwrap().len();
    assert!(size < 10_000, "what the operator writes stays under 10 kB: {size}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_waits_runs_what_its_template_said_when_it_was_taken_on() {
    let tenant = TestTenant::create_with("waits", json!({"quota": {"pods": 0}})).await;
    tenant.project("with", json!({"templates": [template()]})).await;
    tenant.start("waits", by("with", "labelled", json!({}))).await;
    tenant.reaches("waits", "Queued").await;
    let mut other = template();
    other["buildArgs"] = json!([{"name": "A", "value": "changed"}]);
    change(&tenant, "with", json!({"templates": [other]})).await;
    tenant.patch(json!({"spec": {"quota": {"pods": null}}})).await;
    let build = tenant.has_succeeded("waits").await;
    assert_eq!(label(&tenant.cluster, &build, "a").await, json!("template"));
    let later = tenant.succeeds("later", by("with", "labelled", json!({}))).await;
    assert_eq!(label(&tenant.cluster, &later, "a").await, json!("changed"));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nothing_goes_in_by_a_template_that_a_build_could_not_say() {
    let tenant = TestTenant::create("smuggle").await;
    let templates = json!([
        {"name": "reads", "source": quick(), "pullSecrets": [{"name": "push"}]},
        {"name": "elsewhere", "source": quick(), "output": {"repository": "registry.elsewhere.example/x/y"}},
        {"name": "wide", "source": quick(), "resources": {"limits": {"memory": "65Gi"}}},
        {"name": "placed", "source": quick(), "placement": {"priorityClassName": "system-node-critical"}},
    ]);
    tenant.project("with", json!({ "templates": templates })).await;
    let push = json!({"output": {"pushSecretRef": {"name": "push"}}});
    for (name, own, class, reason) in [
        ("reads", push, FailureClass::Source, "InvalidSpec"),
        ("wide", json!({}), FailureClass::Source, "InvalidSpec"),
        ("elsewhere", json!({}), FailureClass::Publish, "OutputNotAllowed"),
        ("placed", json!({}), FailureClass::Source, "PlacementNotAllowed"),
        ("unknown", json!({}), FailureClass::Source, "TemplateNotFound"),
    ] {
        let failure = tenant.fails(name, class, by("with", name, own)).await;
        assert_eq!(failure.reason, reason, "{failure:?}");
        assert!(
            status_of(&tenant.build(name).await).pod_name.is_none(),
            "{name} has no pod"
        );
    }
    let unknown = imagefactory_tests::failure_of(&tenant.build("unknown").await).message;
    assert!(unknown.contains("unknown") && unknown.contains("with"), "{unknown}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_rerun_builds_the_commit_that_was_built_and_outlives_the_first_build() {
    let tenant = TestTenant::create("rerun").await;
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "");
    let commit =
        |version: &str| repository.commit(&[("Dockerfile", &format!("FROM {BASE}\nLABEL version={version}\n"))]);
    let first = commit("first");
    repository.push();
    let source = git(&repository.url(environment.get("GIT_URL")), None);
    tenant.succeeds("first", json!({ "source": source })).await;
    commit("second");
    repository.push();

    let again = tenant.succeeds("again", json!({"rerunOf": {"name": "first"}})).await;
    assert_eq!(label(&tenant.cluster, &again, "version").await, json!("first"));
    let built = status_of(&again)
        .source
        .as_ref()
        .and_then(|source| source.commit.as_ref());
    assert_eq!(built, Some(&first));
    assert!(
        output_of(&again).image.ends_with(":again"),
        "{}",
        output_of(&again).image
    );

    tenant
        .api::<Build>()
        .delete("first", &DeleteParams::default())
        .await
        .expect("deleting the first");
    let third = tenant.succeeds("third", json!({"rerunOf": {"name": "again"}})).await;
    assert_eq!(label(&tenant.cluster, &third, "version").await, json!("first"));
    let failure = tenant
        .fails("gone", FailureClass::Source, json!({"rerunOf": {"name": "first"}}))
        .await;
    assert_eq!(failure.reason, "RerunNotFound");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_rerun_takes_inline_files_from_the_first_build_and_nothing_of_another_project() {
    let tenant = TestTenant::create("rerun-inline").await;
    let long = format!("FROM {BASE}\nLABEL from=first\n{}", "# a comment\n".repeat(600));
    let source = files(&[("Dockerfile", &long)]);
    tenant.succeeds("first", json!({ "source": source })).await;
    let again = tenant.succeeds("again", json!({"rerunOf": {"name": "first"}})).await;
    assert_eq!(label(&tenant.cluster, &again, "from").await, json!("first"));

    tenant.project("other", json!({})).await;
    let elsewhere = json!({"projectRef": {"name": "other"}, "rerunOf": {"name": "first"}});
    let failure = tenant.fails("elsewhere", FailureClass::Source, elsewhere).await;
    assert_eq!(failure.reason, "RerunOfOtherProject");
}
