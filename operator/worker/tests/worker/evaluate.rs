//! `evaluate`: what the scanner wrote is judged and attached; what can't be read is Unknown.

use axum::Router;
use axum::routing::get;
use imagefactory_core::step::{AppliedPolicy, BuildFacts, EvaluateStep, Evaluated, MAX_REPORT, PushStep, Report};
use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::build::{FailureClass, Judgement, PlatformImage};
use imagefactory_crds::image_policy::{PolicyRule, SeverityLimits};
use imagefactory_worker::registry::{Digest, Reference};
use imagefactory_worker::{evaluate, push};
use serde_json::{Value, json};

use super::support::server::serve_plain;
use super::support::{FakeRegistry, Pod, repository};

const VERSION: &str = r#"{"Version":"0.66.0","VulnerabilityDB":{"Version":2,"UpdatedAt":"2026-10-01T06:00:00Z","NextUpdate":"2026-10-02T06:00:00Z","DownloadedAt":"2026-10-01T09:00:00Z"}}"#;

struct Scene {
    registry: FakeRegistry,
    pod: Pod,
    step: EvaluateStep,
}

impl Scene {
    async fn new() -> Self {
        Self::with_server(VERSION).await
    }

    async fn with_server(version: &'static str) -> Self {
        let registry = FakeRegistry::basic("staging", "secret").await;
        let pod = Pod::trusting(&[&registry]);
        pod.credential("credentials/staging", &registry.host, "staging", "secret");
        let name = format!("{}/staging/acme/shop/web", registry.host);
        let prefix = format!("{}/staging/acme", registry.host);
        pod.layout_image(&[b"one"]);
        let staged = PushStep {
            repository: name.clone(),
            credential_prefix: prefix.clone(),
            tag: "a".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: None,
            deadline: None,
        };
        let digest = push::run(&staged, &pod.places, &pod.roots(), |_| ())
            .await
            .unwrap()
            .digest;
        registry.state().seen.clear();
        let port = serve_plain(Router::new().route("/version", get(move || async move { version }))).await;
        let scene = Self {
            step: EvaluateStep {
                repository: name,
                digest,
                platforms: Vec::new(),
                resolved: false,
                may_lack_referrers: false,
                credential_prefix: prefix,
                policies: vec![policy("none-critical", Some(0))],
                server_url: format!("http://127.0.0.1:{port}"),
                java_database: false,
                build: None,
            },
            registry,
            pod,
        };
        scene
            .pod
            .write("reports/0/report.json", scene.report(&["LOW"]).to_string());
        scene.pod.write("reports/0/sbom.json", scene.sbom().to_string());
        scene
    }

    fn report(&self, severities: &[&str]) -> Value {
        let name = format!("{}@{}", self.step.repository, self.step.digest);
        let findings: Vec<_> = severities
            .iter()
            .enumerate()
            .map(|(number, severity)| json!({ "VulnerabilityID": format!("CVE-2026-{number}"), "PkgName": "bash", "InstalledVersion": "5", "Severity": severity }))
            .collect();
        json!({
            "SchemaVersion": 2,
            "CreatedAt": "2026-10-01T12:00:00.5Z",
            "ArtifactName": name,
            "Metadata": { "RepoDigests": [name] },
            "Results": [{ "Target": "debian", "Class": "os-pkgs", "Type": "debian", "Packages": [{ "Name": "bash", "Version": "5" }], "Vulnerabilities": findings }],
        })
    }

    fn sbom(&self) -> Value {
        let name = format!("{}@{}", self.step.repository, self.step.digest);
        let property = json!({ "name": "aquasecurity:trivy:RepoDigest", "value": name });
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "metadata": { "component": { "type": "container", "name": "web", "properties": [property] } },
            "components": [{ "type": "library", "name": "bash", "version": "5", "purl": "pkg:deb/debian/bash@5" }],
        })
    }

    async fn evaluate(&self) -> Evaluated {
        evaluate::run(&self.step, &self.pod.places, &self.pod.roots())
            .await
            .unwrap()
    }

    /// The verdict is Unknown, nothing is said of the scan, and nothing was attached.
    async fn assert_unknown(&self, why: &str) {
        let evaluated = self.evaluate().await;
        assert_eq!(evaluated.verdict.result, Judgement::Unknown, "{why}");
        assert!(!evaluated.verdict.publishable && evaluated.scan.is_none(), "{why}");
        assert!(self.registry.writes_seen().is_empty(), "{why}");
        let causes = evaluated.verdict.policies[0].causes.join(" ").to_lowercase();
        assert!(causes.contains("report") || causes.contains("sbom"), "{why}: {causes}");
    }
}

fn policy(name: &str, critical: Option<u32>) -> AppliedPolicy {
    let limits = SeverityLimits {
        critical,
        ..SeverityLimits::default()
    };
    let spec = ImagePolicySpec {
        max_vulnerabilities: Some(limits),
        ..ImagePolicySpec::default()
    };
    AppliedPolicy {
        name: name.to_owned(),
        hash: format!("sha256:{}", "a".repeat(64)),
        spec,
    }
}

#[tokio::test]
async fn a_good_image_passes_and_its_evidence_is_attached() {
    let scene = Scene::new().await;
    let evaluated = scene.evaluate().await;
    assert_eq!(
        (evaluated.verdict.result, evaluated.verdict.publishable),
        (Judgement::Pass, true)
    );
    assert_eq!(evaluated.digest, scene.step.digest);
    let scan = evaluated.scan.unwrap();
    assert_eq!(
        (scan.scanner.as_str(), scan.packages, scan.vulnerabilities.low),
        ("trivy 0.66.0", 1, 1)
    );
    assert_eq!(scan.database_time.unwrap().0.to_string(), "2026-10-01T06:00:00Z");
    assert_eq!(scan.scan_time.0.to_string(), "2026-10-01T12:00:00.5Z");

    let referrers = scan.referrers.unwrap();
    assert!(scan.platforms.is_empty());
    let client = scene.pod.client(scene.pod.credentials("credentials/staging"));
    let at = repository(&scene.step.repository);
    let listed = client
        .referrers(&at, &Digest::parse(&scene.step.digest).unwrap())
        .await
        .unwrap();
    assert_eq!(
        listed.iter().map(Digest::as_str).collect::<Vec<_>>(),
        [referrers.sbom.as_str(), referrers.report.as_str()]
    );
    for (digest, kind, file) in [
        (&listed[0], evaluate::SBOM_TYPE, "sbom.json"),
        (&listed[1], evaluate::REPORT_TYPE, "report.json"),
    ] {
        let manifest: Value = serde_json::from_slice(&client.pull_manifest(&at, digest).await.unwrap().bytes).unwrap();
        assert_eq!(
            (
                manifest["artifactType"].as_str(),
                manifest["subject"]["digest"].as_str()
            ),
            (Some(kind), Some(scene.step.digest.as_str()))
        );
        assert_eq!(
            manifest["annotations"]["org.opencontainers.image.created"],
            "2026-10-01T12:00:00.5Z"
        );
        let layer = Digest::parse(manifest["layers"][0]["digest"].as_str().unwrap()).unwrap();
        let content = client.read_blob(&at, &layer, 1 << 20).await.unwrap();
        assert_eq!(
            content.as_ref(),
            std::fs::read(scene.pod.path("reports/0").join(file)).unwrap()
        );
    }
}

#[tokio::test]
async fn evaluating_again_gives_the_same_digests() {
    let scene = Scene::new().await;
    let first = scene.evaluate().await;
    let writes = scene.registry.writes_seen().len();
    assert_eq!(scene.evaluate().await, first);
    assert_eq!(scene.registry.writes_seen().len(), writes);
}

#[tokio::test]
async fn a_finding_over_the_limit_fails_and_is_attached_all_the_same() {
    let scene = Scene::new().await;
    scene
        .pod
        .write("reports/0/report.json", scene.report(&["CRITICAL", "LOW"]).to_string());
    let evaluated = scene.evaluate().await;
    assert_eq!(
        (evaluated.verdict.result, evaluated.verdict.publishable),
        (Judgement::Fail, false)
    );
    assert_eq!(evaluated.scan.unwrap().vulnerabilities.critical, 1);
}

#[tokio::test]
async fn broken_evidence_is_unknown_and_no_crash() {
    let scene = Scene::new().await;
    let (report, sbom) = (scene.report(&[]).to_string(), scene.sbom().to_string());
    let cut = |text: &str| text.chars().take(text.len() / 2).collect::<String>();
    let other = report.replace(&scene.step.digest, Digest::of(b"other").as_str());
    for (why, file, text) in [
        ("empty report", "report.json", String::new()),
        ("cut report", "report.json", cut(&report)),
        ("report of another image", "report.json", other),
        ("report of another kind", "report.json", sbom.clone()),
        (
            "something after the report",
            "report.json",
            format!("{report} {report}"),
        ),
        ("empty SBOM", "sbom.json", String::new()),
        ("cut SBOM", "sbom.json", cut(&sbom)),
        (
            "SBOM of another image",
            "sbom.json",
            sbom.replace(&scene.step.digest, Digest::of(b"other").as_str()),
        ),
    ] {
        scene.pod.write("reports/0/report.json", &report);
        scene.pod.write("reports/0/sbom.json", &sbom);
        scene.pod.write(&format!("reports/0/{file}"), text);
        scene.assert_unknown(why).await;
    }
}

#[tokio::test]
async fn a_report_that_is_missing_or_a_link_is_unknown() {
    for name in ["report.json", "sbom.json"] {
        let scene = Scene::new().await;
        let path = scene.pod.path("reports/0").join(name);
        let moved = scene.pod.path("reports/0/moved.json");
        std::fs::rename(&path, &moved).unwrap();
        scene.assert_unknown(name).await;
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        scene.assert_unknown(name).await;
    }
}

#[tokio::test]
async fn without_a_vulnerability_database_the_verdict_is_unknown() {
    for version in [r#"{"Version":"0.66.0"}"#, "not json", ""] {
        let scene = Scene::with_server(version).await;
        let evaluated = scene.evaluate().await;
        assert_eq!(
            (evaluated.verdict.result, evaluated.verdict.publishable),
            (Judgement::Unknown, false),
            "{version}"
        );
        assert!(evaluated.scan.unwrap().database_time.is_none());
    }
}

#[tokio::test]
async fn a_server_that_is_gone_makes_the_verdict_unknown() {
    let mut scene = Scene::new().await;
    scene.step.server_url = "http://127.0.0.1:1".to_owned();
    let evaluated = scene.evaluate().await;
    assert_eq!(evaluated.verdict.result, Judgement::Unknown);
    let causes = evaluated.verdict.policies[0].causes.join(" ");
    assert!(causes.contains("server did not say"), "{causes}");
}

#[tokio::test]
async fn the_report_of_many_policies_fits_a_termination_message() {
    let mut scene = Scene::new().await;
    let long: Vec<_> = (0..8).map(|number| format!("{}{number}", "p".repeat(120))).collect();
    scene.step.policies = (0..4)
        .map(|number| policy(&format!("policy-{number}"), Some(0)))
        .collect();
    for AppliedPolicy { spec, .. } in &mut scene.step.policies {
        spec.denied_packages = long.iter().map(|name| name.as_str().into()).collect();
        spec.denied_licences = long.iter().map(|name| name.as_str().into()).collect();
        spec.max_cvss = Some("0".into());
        spec.max_vulnerabilities = Some(SeverityLimits {
            critical: Some(0),
            high: Some(0),
            medium: Some(0),
            low: Some(0),
            unknown: Some(0),
        });
    }
    let mut report = scene.report(&["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"]);
    report["Results"][0]["Packages"] = long
        .iter()
        .map(|name| json!({ "Name": name, "Version": "1", "Licenses": [name] }))
        .collect();
    scene.pod.write("reports/0/report.json", report.to_string());
    let evaluated = scene.evaluate().await;
    assert_eq!(evaluated.verdict.result, Judgement::Fail);
    let text = Report::Done(evaluated).encode();
    assert!(
        text.len() <= MAX_REPORT && text.len() > MAX_REPORT / 2,
        "{}: {text}",
        text.len()
    );
    let Some(Report::<Evaluated>::Done(read)) = Report::decode(&text) else {
        panic!("not a verdict: {text}")
    };
    assert_eq!(read.verdict.policies.len(), 4, "no policy is left out");
    assert!(
        read.verdict
            .policies
            .iter()
            .all(|policy| policy.result == Judgement::Fail)
    );
}

#[tokio::test]
async fn evidence_that_can_not_be_attached_is_a_failure() {
    let scene = Scene::new().await;
    scene
        .pod
        .credential("credentials/staging", &scene.registry.host, "staging", "wrong");
    let failure = evaluate::run(&scene.step, &scene.pod.places, &scene.pod.roots())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Scan, "RegistryUnauthorized")
    );
    let mut outside = Scene::new().await;
    outside.step.credential_prefix = format!("{}/staging/other", outside.registry.host);
    let failure = evaluate::run(&outside.step, &outside.pod.places, &outside.pod.roots())
        .await
        .unwrap_err();
    assert_eq!(failure.reason, "RepositoryNotAllowed");
    assert!(outside.registry.seen().is_empty());
    assert!(Reference::parse(&outside.step.repository).is_ok());
}

/// The scene's image and another one as two images of one index.
async fn two_images() -> Scene {
    let mut scene = Scene::new().await;
    let other = scene.pod.layout_image(&[b"two"]);
    let step = PushStep {
        repository: scene.step.repository.clone(),
        credential_prefix: scene.step.credential_prefix.clone(),
        tag: "b".to_owned(),
        max_bytes: 1 << 20,
        platforms: Vec::new(),
        cache: None,
        deadline: None,
    };
    push::run(&step, &scene.pod.places, &scene.pod.roots(), |_| ())
        .await
        .unwrap();
    for (file, text) in [
        ("report.json", scene.report(&["HIGH", "HIGH"])),
        ("sbom.json", scene.sbom()),
    ] {
        let text = text.to_string().replace(&scene.step.digest, other.as_str());
        scene.pod.write(&format!("reports/1/{file}"), text);
    }
    scene.step.platforms = [
        ("linux/amd64", scene.step.digest.as_str()),
        ("linux/arm64", other.as_str()),
    ]
    .map(|(platform, digest)| PlatformImage {
        platform: platform.to_owned(),
        digest: digest.into(),
    })
    .to_vec();
    scene.step.digest = Digest::of(b"the index").to_string();
    scene.registry.state().seen.clear();
    scene
}

#[tokio::test]
async fn each_image_of_an_index_is_judged_by_its_own_evidence() {
    let mut scene = two_images().await;
    let evaluated = scene.evaluate().await;
    assert_eq!(
        (evaluated.verdict.result, evaluated.verdict.publishable),
        (Judgement::Pass, true)
    );
    assert_eq!(evaluated.digest, scene.step.digest);
    let scan = evaluated.scan.unwrap();
    assert!(scan.referrers.is_none());
    assert_eq!(
        (scan.vulnerabilities.low, scan.vulnerabilities.high),
        (1, 2),
        "the highest of each"
    );
    let client = scene.pod.client(scene.pod.credentials("credentials/staging"));
    let at = repository(&scene.step.repository);
    for (found, image) in scan.platforms.iter().zip(&scene.step.platforms) {
        assert_eq!((&found.platform, &found.digest), (&image.platform, &image.digest));
        let listed = client
            .referrers(&at, &Digest::parse(&image.digest).unwrap())
            .await
            .unwrap();
        let listed: Vec<_> = listed.iter().map(Digest::as_str).collect();
        let referrers = found.referrers.as_ref().unwrap();
        assert_eq!(listed, [referrers.sbom.as_str(), referrers.report.as_str()]);
    }
    scene.step.policies[0].spec.max_vulnerabilities = Some(SeverityLimits {
        high: Some(0),
        ..SeverityLimits::default()
    });
    let verdict = scene.evaluate().await.verdict;
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Fail, false));
    let cause = &verdict.policies[0].causes[0];
    assert!(cause.starts_with("linux/arm64: "), "{cause}");
}

#[tokio::test]
async fn one_image_without_evidence_makes_the_whole_index_unknown() {
    let broken = |scene: &Scene| {
        let swapped = [("0", "1"), ("1", "0")].map(|(from, to)| {
            let path = scene.pod.path(&format!("reports/{from}/report.json"));
            (to, std::fs::read(path).unwrap())
        });
        for (to, bytes) in swapped {
            scene.pod.write(&format!("reports/{to}/report.json"), bytes);
        }
    };
    let missing = |scene: &Scene| std::fs::remove_file(scene.pod.path("reports/1/sbom.json")).unwrap();
    for why in ["swapped", "missing"] {
        let scene = two_images().await;
        if why == "swapped" {
            broken(&scene);
        } else {
            missing(&scene);
        }
        let evaluated = scene.evaluate().await;
        assert_eq!(evaluated.verdict.result, Judgement::Unknown, "{why}");
        assert!(!evaluated.verdict.publishable && evaluated.scan.is_none(), "{why}");
        let causes = &evaluated.verdict.policies[0].causes;
        assert!(causes[0].contains("linux/arm64"), "{why}: {causes:?}");
    }
}

#[tokio::test]
async fn rules_and_ages_are_judged_by_what_the_step_says_of_the_build_and_by_the_clock() {
    let mut scene = Scene::new().await;
    let spec = &mut scene.step.policies[0].spec;
    spec.rules = vec![PolicyRule {
        name: "kaniko".into(),
        expression: "build.method == 'kaniko' && findings.all(f, f.severity == 'LOW')".into(),
        message: "By kaniko only.".into(),
    }];
    let unknown = scene.evaluate().await.verdict;
    assert_eq!(unknown.result, Judgement::Unknown, "nothing is known of the build");
    for (method, result) in [("kaniko", Judgement::Pass), ("buildx", Judgement::Fail)] {
        scene.step.build = Some(BuildFacts {
            method: method.to_owned(),
            ..BuildFacts::default()
        });
        assert_eq!(scene.evaluate().await.verdict.result, result, "{method}");
    }
    scene.step.policies[0].spec.rules.clear();
    scene.step.policies[0].spec.max_evidence_age = Some("1h".into());
    let mut report = scene.report(&["LOW"]);
    report["CreatedAt"] = json!("2020-01-01T00:00:00Z");
    scene.pod.write("reports/0/report.json", report.to_string());
    let verdict = scene.evaluate().await.verdict;
    assert_eq!(
        (verdict.result, verdict.publishable),
        (Judgement::Unknown, false),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn where_the_credential_may_not_write_the_counts_are_told_if_the_step_may_lack_referrers() {
    let mut scene = Scene::new().await;
    scene
        .pod
        .credential("credentials/staging", &scene.registry.host, "staging", "wrong");
    let refused = evaluate::run(&scene.step, &scene.pod.places, &scene.pod.roots()).await;
    assert_eq!(refused.unwrap_err().reason, "RegistryUnauthorized");
    scene.step.may_lack_referrers = true;
    let evaluated = scene.evaluate().await;
    assert_eq!(evaluated.verdict.result, Judgement::Pass);
    let scan = evaluated.scan.unwrap();
    assert!(scan.referrers.is_none() && scan.vulnerabilities.low == 1, "{scan:?}");
    assert_eq!(scene.registry.writes_seen().len(), 0);
}

#[tokio::test]
async fn what_was_resolved_is_judged_and_nothing_where_nothing_was() {
    let mut scene = Scene::new().await;
    let digest = std::mem::take(&mut scene.step.digest);
    scene.step.resolved = true;
    let nothing = evaluate::run(&scene.step, &scene.pod.places, &scene.pod.roots()).await;
    assert_eq!(nothing.unwrap_err().reason, "InvalidStep");
    scene
        .pod
        .write("image/image.json", json!({"digest": digest}).to_string());
    let evaluated = scene.evaluate().await;
    assert_eq!((evaluated.digest, evaluated.verdict.result), (digest, Judgement::Pass));
}
