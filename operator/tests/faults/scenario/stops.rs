//! Builds that somebody stops.

use serde_json::{Value, json};

use super::{Do, Home, Scenario, When, tenant};
use crate::outcome::Outcome;

fn cancel(build: &'static str) -> Do {
    Do::Merge("builds", build, json!({"spec": {"cancelled": true}}))
}

fn spec(of: &Value) -> Value {
    json!({"spec": of})
}

/// A build whose pod, at that stage, ends so at the first attempt.
fn hangs(name: &str, stage: &'static str, outcome: Outcome) -> Scenario {
    Scenario::new(name)
        .build("b", json!({}))
        .ends_as("b", stage, 1, outcome)
}

pub fn all() -> Vec<Scenario> {
    [cancelled(), in_the_queue(), taken_away()].concat()
}

fn cancelled() -> Vec<Scenario> {
    vec![
        hangs("cancelled while building", "build", Outcome::Hangs).step(When::Phase("b", "Building"), cancel("b")),
        hangs("cancelled while no node takes it", "build", Outcome::NoNode)
            .step(When::Phase("b", "Preparing"), cancel("b")),
        // By its pod and not by the phase: that is written before there is a job, and a cancel may come in between.
        hangs("cancelled while scanning", "scan", Outcome::Hangs).step(When::OnNode("scan"), cancel("b")),
        hangs("cancelled while publishing, too late", "publish", Outcome::Waits)
            .step(When::Phase("b", "Publishing"), cancel("b")),
        hangs("cancelled after its end", "build", Outcome::Good).step(When::Phase("b", "Succeeded"), cancel("b")),
        Scenario::new("cancelled from the start").build("b", json!({"cancelled": true})),
        hangs("cancelled while it waits to be tried again", "build", Outcome::Evicted)
            .slow_retries()
            .step(When::Has("builds", "b", "/status/nextAttemptAt"), cancel("b")),
        hangs("timed out", "build", Outcome::Hangs).with_timeout("60s"),
    ]
}

fn in_the_queue() -> Vec<Scenario> {
    let queued = |name: &str| {
        hangs(name, "build", Outcome::Hangs).of(tenant(1), Home::Lent).step(
            When::Phase("b", "Building"),
            Do::Create("builds", super::build("c", json!({}))),
        )
    };
    vec![
        queued("cancelled in the queue")
            .step(When::Phase("c", "Queued"), cancel("c"))
            .step(When::Phase("c", "Cancelled"), cancel("b")),
        queued("archived in the queue")
            .step(
                When::Phase("c", "Queued"),
                Do::Merge("projects", "web", spec(&json!({"archived": true}))),
            )
            .step(
                When::Is("builds", "c", "/status/conditions/0/status", json!("False")),
                cancel("b"),
            ),
        queued("deleted in the queue")
            .step(When::Phase("c", "Queued"), Do::Delete("builds", "c"))
            .step(When::Gone("builds", "c"), cancel("b")),
    ]
}

fn taken_away() -> Vec<Scenario> {
    let withdrawn = json!({"capabilities": {"build": false, "changeReason": "T-2"}});
    vec![
        hangs("deleted while building", "build", Outcome::Hangs)
            .step(When::Phase("b", "Building"), Do::Delete("builds", "b"))
            .until(When::None("builds"))
            .until(When::None("pods"))
            .loses_logs(),
        hangs("deleted while scanning", "scan", Outcome::Hangs)
            .step(When::Phase("b", "Scanning"), Do::Delete("builds", "b"))
            .until(When::None("builds"))
            .until(When::None("jobs"))
            .until(When::None("pods"))
            .loses_logs(),
        hangs("capability withdrawn while building", "build", Outcome::Hangs)
            .of(tenant(9), Home::Used)
            .step(
                When::Phase("b", "Building"),
                Do::Merge("tenants", "TENANT", spec(&withdrawn)),
            ),
        hangs("suspended in the queue, then resumed", "build", Outcome::Hangs)
            .of(tenant(1), Home::Used)
            .step(
                When::Phase("b", "Building"),
                Do::Create("builds", super::build("c", json!({}))),
            )
            .step(
                When::Phase("c", "Queued"),
                Do::Merge("tenants", "TENANT", spec(&json!({"suspended": true}))),
            )
            .step(When::Reason("builds", "c", "TenantSuspended"), cancel("b"))
            .step(
                When::Phase("b", "Cancelled"),
                Do::Merge("tenants", "TENANT", spec(&json!({"suspended": false}))),
            ),
    ]
}

impl Scenario {
    /// Its build has this timeout.
    fn with_timeout(mut self, timeout: &str) -> Self {
        for (_, step) in &mut self.steps {
            if let Do::Create("builds", build) = step {
                build["spec"]["timeout"] = timeout.into();
            }
        }
        self
    }
}
