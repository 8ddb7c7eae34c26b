//! Verdicts: what policy refuses is never given its name; what can't be judged is Unknown, and Unknown is not a pass.

use imagefactory_crds::ImagePolicy;
use imagefactory_crds::build::{FailureClass, Judgement};
use imagefactory_tests::building::{failure_of, message_of, output_of, status_of, told};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::{files, inline, vulnerable, with_packages};
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::{Cluster, TestTenant, phase_of, reason_of};
use serde_json::{Value, json};

async fn policy(purpose: &str, spec: Value) -> ClusterObject {
    let cluster = Cluster::connect().await;
    let object = json!({"metadata": {"name": unique(purpose)}, "spec": spec});
    ClusterObject::create::<ImagePolicy>(&cluster, "imagepolicy", object).await
}

fn of_policy(name: &str) -> Value {
    json!({"policyRef": {"name": name}})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_vulnerable_image_is_refused_and_its_tag_is_never_set() {
    let tenant = TestTenant::create("vulnerable").await;
    tenant.start("refused", json!({"source": vulnerable()})).await;
    let build = tenant.settled("refused").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Failed", "PolicyFailed"),
        "{}",
        told(&build)
    );
    assert_eq!(failure_of(&build).class, FailureClass::Policy);
    let status = status_of(&build);
    let verdict = status.verdict.as_ref().expect("it was judged");
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Fail, false));
    assert!(
        verdict.policies[0].causes[0].to_lowercase().contains("critical"),
        "{:?}",
        verdict.policies
    );
    let scan = status.scan.as_ref().expect("it was scanned");
    assert_eq!(
        (scan.vulnerabilities.critical, scan.vulnerabilities.fixable),
        (1, 1),
        "{scan:?}"
    );
    assert!(status.output.is_none());
    tenant.is_not_published("refused").await;
    let (repository, _) = tenant.default_output("refused");
    assert!(
        !tenant.cluster.registry().has_repository(&repository).await,
        "not even by digest"
    );
    let jobs: Vec<_> = tenant
        .jobs_of(&build)
        .await
        .into_iter()
        .filter_map(|job| job.metadata.name)
        .collect();
    assert!(jobs.iter().all(|name| name.starts_with("scan-")), "{jobs:?}");
    // The evidence is kept beside the image that was refused.
    let staged = status.staged.as_ref().expect("it was staged");
    let referrers = tenant
        .cluster
        .registry()
        .referrers(&staged.repository, &staged.digest)
        .await;
    assert!(referrers.len() >= 2, "{referrers:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn in_mode_dry_run_a_fail_is_published_and_says_so() {
    let dry_run = policy(
        "dry-run",
        json!({"mode": "DryRun", "maxVulnerabilities": {"critical": 0}}),
    )
    .await;
    let tenant = TestTenant::create_with("dry-run", of_policy(&dry_run.name)).await;
    tenant.start("published", json!({"source": vulnerable()})).await;
    let build = tenant.settled("published").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Succeeded", "PublishedDryRun"),
        "{}",
        told(&build)
    );
    assert!(message_of(&build).contains("DryRun"), "{}", message_of(&build));
    let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Fail, true));
    let (repository, tag) = tenant.default_output("published");
    let found = tenant
        .cluster
        .registry()
        .manifest(&repository, &tag)
        .await
        .expect("the tag is set");
    assert_eq!(found.digest, output_of(&build).digest.0);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_policy_that_applies_must_pass() {
    let strict = policy("strict", json!({"maxVulnerabilities": {"low": 0}})).await;
    let denies = policy("denies", json!({"deniedPackages": ["tar"]})).await;
    let tenant = TestTenant::create("several").await;
    tenant.project("strict", of_policy(&strict.name)).await;
    tenant
        .start(
            "of-the-project",
            json!({"source": with_packages(), "projectRef": {"name": "strict"}}),
        )
        .await;
    let mut denied = of_policy(&denies.name);
    denied["source"] = with_packages();
    tenant.start("of-the-build", denied).await;
    tenant.start("of-the-tenant", json!({"source": with_packages()})).await;
    for (name, policy) in [("of-the-project", &strict.name), ("of-the-build", &denies.name)] {
        let build = tenant.settled(name).await;
        assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
        let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
        let said: Vec<_> = verdict
            .policies
            .iter()
            .map(|said| (said.name.as_str(), said.result))
            .collect();
        assert_eq!(said, [("default", Judgement::Pass), (policy, Judgement::Fail)]);
        tenant.is_not_published(name).await;
    }
    tenant.has_succeeded("of-the-tenant").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_in_which_no_package_is_found_is_unknown_also_in_mode_dry_run() {
    let dry_run = policy(
        "dry-run",
        json!({"mode": "DryRun", "maxVulnerabilities": {"critical": 0}}),
    )
    .await;
    let optional = policy(
        "optional",
        json!({"maxVulnerabilities": {"critical": 0}, "sbom": "Optional"}),
    )
    .await;
    let source = files(&[("Dockerfile", "FROM scratch\nCOPY file /\n"), ("file", "not a package")]);
    for (policy, reason) in [(&dry_run.name, "EvidenceUnknown"), (&optional.name, "Published")] {
        let tenant = TestTenant::create_with("no-package", of_policy(policy)).await;
        tenant.start("scratch", json!({"source": source})).await;
        let build = tenant.settled("scratch").await;
        assert_eq!(reason_of(&build), reason, "{}", told(&build));
        if reason == "EvidenceUnknown" {
            let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
            assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
            tenant.is_not_published("scratch").await;
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_policy_that_ignores_what_has_no_fix_lets_it_pass() {
    let lax = policy("lax", json!({"maxVulnerabilities": {"high": 0}, "ignoreUnfixed": true})).await;
    let strict = policy("strict", json!({"maxVulnerabilities": {"high": 0}})).await;
    let package = "Package: libldap-2.5-0\\nSource: openldap\\nStatus: install ok installed\\nArchitecture: amd64\\n\
                   Version: 2.5.13+dfsg-5\\nMaintainer: x <x@example.org>\\nDescription: x\\n\\n";
    let source = inline(&format!(
        "FROM debian:bookworm-slim\nRUN printf '{package}' >> /var/lib/dpkg/status\n"
    ));
    let tenant = TestTenant::create_with("unfixed", of_policy(&lax.name)).await;
    tenant.start("lax", json!({"source": source})).await;
    let mut spec = of_policy(&strict.name);
    spec["source"] = source;
    tenant.start("strict", spec).await;
    tenant.has_succeeded("lax").await;
    let build = tenant.settled("strict").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
}

/// A rule as a policy has it.
fn rule(name: &str, expression: &str, message: &str) -> Value {
    json!({"name": name, "expression": expression, "message": message})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn rules_are_asked_about_findings_packages_and_the_build() {
    let holds = policy(
        "holds",
        json!({"rules": [
            rule("debian", "image.osFamily == 'debian' && packages.exists(p, p.name == 'bash' && p.type == 'deb')", "no"),
            rule("whose", "build.tenant.startsWith('rules-') && build.source == 'inline' && build.method == 'kaniko'", "no"),
            rule("base", "build.bases.all(b, b.repository == 'docker.io/library/debian' && b.digest.startsWith('sha256:'))", "no"),
            rule("counts", "counts.total == findings.size() && evidence.ageHours <= 1", "no"),
        ]}),
    )
    .await;
    let fails = policy(
        "fails",
        json!({"rules": [rule("serious", "!findings.exists(f, f.severity == 'CRITICAL' && f.fixable)", "Update it.")]}),
    )
    .await;
    let tenant = TestTenant::create_with("rules", of_policy(&holds.name)).await;
    tenant.start("passes", json!({"source": with_packages()})).await;
    let mut failing = of_policy(&fails.name);
    failing["source"] = vulnerable();
    tenant.start("fails", failing).await;
    tenant.has_succeeded("passes").await;
    let build = tenant.settled("fails").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
    let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
    assert_eq!(verdict.policies[1].causes, ["rule serious: Update it."]);
    tenant.is_not_published("fails").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_rule_without_an_answer_is_unknown_and_a_policy_that_is_none_says_so() {
    let no_answer = policy(
        "no-answer",
        json!({"mode": "DryRun", "rules": [rule("beyond", "findings[99999].id == 'x' || true", "never said")]}),
    )
    .await;
    let invalid = policy(
        "invalid",
        json!({"mode": "DryRun", "rules": [rule("typo", "counts.criticl == 0", "never said")]}),
    )
    .await;
    let tenant = TestTenant::create("no-answer").await;
    for policy in [&no_answer.name, &invalid.name] {
        let mut spec = of_policy(policy);
        spec["source"] = with_packages();
        tenant.start(policy, spec).await;
    }
    for (policy, cause) in [
        (&no_answer.name, "rule beyond has no answer for this image"),
        (&invalid.name, "rule typo is not valid: counts has no field criticl"),
    ] {
        let build = tenant.settled(policy).await;
        assert_eq!(reason_of(&build), "EvidenceUnknown", "{}", told(&build));
        let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
        assert!(
            verdict.policies[1].causes[0].starts_with(cause),
            "{:?}",
            verdict.policies
        );
        tenant.is_not_published(policy).await;
    }
    let api: kube::Api<ImagePolicy> = kube::Api::all(tenant.cluster.client.clone());
    let status = api
        .get(&invalid.name)
        .await
        .expect("the policy")
        .status
        .expect("it was seen");
    let ready = imagefactory_crds::conditions::find(&status.conditions, "Ready").expect("Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Invalid"));
    assert!(
        ready.message.contains("rule \"typo\": counts has no field criticl"),
        "{}",
        ready.message
    );
    assert!(status.hash.is_none());
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_is_made_from_allowed_sources_only() {
    let bases = policy(
        "bases",
        json!({"allowedSources": {"bases": ["docker.io/library/alpine"]}}),
    )
    .await;
    let git = policy("git", json!({"allowedSources": {"git": ["git.example.com/acme"]}})).await;
    let tenant = TestTenant::create("sources").await;
    for (name, policy) in [("of-bases", &bases.name), ("of-git", &git.name)] {
        let mut spec = of_policy(policy);
        spec["source"] = with_packages();
        tenant.start(name, spec).await;
    }
    let build = tenant.settled("of-bases").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
    let verdict = status_of(&build).verdict.as_ref().expect("it was judged");
    assert!(
        verdict.policies[1].causes[0].contains("debian:bookworm-slim"),
        "{:?}",
        verdict.policies
    );
    tenant.is_not_published("of-bases").await;
    let build = tenant.settled("of-git").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
    assert!(status_of(&build).pod_name.is_none(), "nothing was built");
    assert_eq!(failure_of(&build).class, FailureClass::Policy);
}
