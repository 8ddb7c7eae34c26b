//! Builds that come to their end by themselves at the first attempt.

use imagefactory_crds::build::{FailureClass, Judgement};
use serde_json::json;

use super::{Do, Home, Scenario, When, build, tenant};
use crate::outcome::Outcome;

pub fn all() -> Vec<Scenario> {
    let one = |name: &str| Scenario::new(name).build("b", json!({}));
    let mut all = vec![
        one("good build"),
        Scenario::new("good build by docker").build("b", json!({"method": "docker"})),
        Scenario::new("good build by buildx").build("b", json!({"method": "buildx"})),
        Scenario::new("good build that was made before").before_start("b"),
        one("step of the Dockerfile fails").ends_as("b", "build", 1, Outcome::Crashes("build")),
        one("build runs out of memory").ends_as("b", "build", 1, Outcome::OutOfMemory("build")),
        one("evidence of another image").ends_as("b", "scan", 1, Outcome::OtherDigest),
        Scenario::new("project is missing").build("b", json!({"projectRef": {"name": "none"}})),
        Scenario::new("policy is missing").build("b", json!({"policyRef": {"name": "none"}})),
        Scenario::new("output is somebody else's")
            .build("b", json!({"output": {"image": "elsewhere.example.com/a/b:1"}})),
        one("project archived while building").step(
            When::Phase("b", "Building"),
            Do::Merge("projects", "web", json!({"spec": {"archived": true}})),
        ),
        one("two builds, one slot")
            .of(tenant(1), Home::Lent)
            .build("c", json!({})),
        one("three builds of different priority, one slot")
            .of(tenant(1), Home::Lent)
            .build("c", json!({"priority": 5}))
            .build("d", json!({"priority": -5})),
        one("a failing and a good build, one slot")
            .of(tenant(1), Home::Lent)
            .build("c", json!({}))
            .ends_as("b", "build", 1, Outcome::Crashes("build")),
        one("a build of the same name after another was deleted")
            .step(When::Phase("b", "Succeeded"), Do::Delete("builds", "b"))
            .step(When::Gone("builds", "b"), Do::Create("builds", build("b", json!({}))))
            .until(When::Phase("b", "Succeeded"))
            // Those of the first are swept.
            .until(When::Count("jobs", 2))
            .loses_logs(),
    ];
    for (judgement, name) in [
        (Judgement::Fail, "policy refuses"),
        (Judgement::Unknown, "policy does not know"),
    ] {
        all.push(one(name).ends_as("b", "scan", 1, Outcome::Judged(judgement)));
    }
    let lasting = [
        ("prepare", "build", FailureClass::Source, "CommitNotFound"),
        ("prepare", "build", FailureClass::Pull, "Unauthorized"),
        ("push", "build", FailureClass::Build, "InvalidLayout"),
        ("publish", "publish", FailureClass::Publish, "Unauthorized"),
        ("evaluate", "scan", FailureClass::Scan, "ReportTooLarge"),
    ];
    for (container, stage, class, reason) in lasting {
        let name = format!("{container} fails for good: {reason}");
        all.push(one(&name).ends_as("b", stage, 1, Outcome::Fails(container, class, reason)));
    }
    all
}

impl Scenario {
    /// With a build that is there when the operator starts.
    fn before_start(mut self, name: &'static str) -> Self {
        self.before.push(Do::Create("builds", build(name, json!({}))));
        self
    }
}
