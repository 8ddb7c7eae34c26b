//! Failures that are tried again, until it works or the budget is spent.

use imagefactory_crds::build::FailureClass;
use serde_json::json;

use super::{Do, Scenario, When};
use crate::outcome::Outcome;

pub fn all() -> Vec<Scenario> {
    let cases = [
        (
            "git server away",
            "build",
            Outcome::Fails("prepare", FailureClass::Source, "GitUnreachable"),
            3,
        ),
        (
            "registry of bases away",
            "build",
            Outcome::Fails("prepare", FailureClass::Pull, "RegistryUnreachable"),
            3,
        ),
        (
            "staging registry away",
            "build",
            Outcome::Fails("push", FailureClass::Publish, "RegistryUnavailable"),
            4,
        ),
        ("push crashes", "build", Outcome::Crashes("push"), 4),
        ("build pod evicted", "build", Outcome::Evicted, 4),
        ("scanner crashes", "scan", Outcome::Crashes("scan"), 3),
        ("scan pod evicted", "scan", Outcome::Evicted, 4),
        (
            "output registry away",
            "publish",
            Outcome::Fails("publish", FailureClass::Publish, "RegistryUnreachable"),
            4,
        ),
        ("publish pod evicted", "publish", Outcome::Evicted, 4),
    ];
    let mut all = Vec::new();
    for (name, stage, outcome, budget) in cases {
        let once = Scenario::new(format!("{name}, once")).build("b", json!({}));
        all.push(once.ends_as("b", stage, 1, outcome.clone()));
        let mut always = Scenario::new(format!("{name}, always")).build("b", json!({}));
        for attempt in 1..=budget {
            always = always.ends_as("b", stage, attempt, outcome.clone());
        }
        all.push(always);
    }
    all.push(
        Scenario::new("build pod evicted, no retries")
            .build("b", json!({"retries": 0}))
            .ends_as("b", "build", 1, Outcome::Evicted),
    );
    let by_hand = |name: &str, retries: u32| {
        Scenario::new(name)
            .build("b", json!({"retries": retries}))
            .ends_as("b", "build", 1, Outcome::Hangs)
            .step(When::Phase("b", "Building"), Do::Delete("pods", "b-build-1"))
            .loses_logs()
    };
    all.push(by_hand("pod deleted by hand, tried again", 5));
    all.push(by_hand("pod deleted by hand, no retries", 0));
    all
}
