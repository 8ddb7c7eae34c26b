//! What happens in a scenario beside faults: a tenant, builds, how their pods end, and what users do meanwhile.

mod builds;
mod retries;
mod stops;
mod tenants;
mod texts;

pub use texts::{build, project, tenant};

use imagefactory_crds::names::LABEL_STAGE;
use serde_json::Value;

use crate::outcome::Outcome;
use crate::world::Seen;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Spec of its tenant.
    pub tenant: Value,
    /// Whether the tenant is made beforehand, and can be used again by who needs the same.
    pub home: Home,
    /// Done before the operator starts.
    pub before: Vec<Do>,
    /// Done one after another, each as soon as it is time.
    pub steps: Vec<(When, Do)>,
    /// Pods that do not end well: build, stage, attempt.
    pub outcomes: Vec<(&'static str, &'static str, u32, Outcome)>,
    /// Beside that every build is settled.
    pub ends: Vec<When>,
    /// Builds that are not settled at the end.
    pub open: Vec<&'static str>,
    /// Whether every log is kept in every run. Not where somebody deletes a pod by hand.
    pub logs: bool,
    /// Pause before a retry.
    pub backoff_seconds: u32,
}

/// Where the tenant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is there, and is as it was afterwards.
    Lent,
    /// It is there, and is changed.
    Used,
    /// The scenario makes it.
    New,
}

/// What somebody does. Names stand for objects in the tenant's namespace.
#[derive(Clone, Debug)]
pub enum Do {
    /// Creates an object of that kind.
    Create(&'static str, Value),
    /// Merges into one.
    Merge(&'static str, &'static str, Value),
    /// Deletes one.
    Delete(&'static str, &'static str),
}

/// When it is time.
#[derive(Clone, Debug)]
pub enum When {
    /// At once.
    Now,
    /// The build is in that phase.
    Phase(&'static str, &'static str),
    /// The object has a condition with that reason.
    Reason(&'static str, &'static str, &'static str),
    /// There is such an object.
    Exists(&'static str, &'static str),
    /// There is none.
    Gone(&'static str, &'static str),
    /// There is none of that kind.
    None(&'static str),
    /// There are so many of that kind.
    Count(&'static str, usize),
    /// The value at that pointer is this.
    Is(&'static str, &'static str, &'static str, Value),
    /// There is a value at that pointer.
    Has(&'static str, &'static str, &'static str),
    /// A pod of that stage is on a node.
    OnNode(&'static str),
}

impl When {
    /// Whether it is.
    pub fn holds(&self, seen: &Seen, tenant: &str) -> bool {
        let at = |seen: &Seen, kind: &str, name: &str, pointer: &str| {
            at(seen, kind, &name.replace("TENANT", tenant), pointer)
        };
        match self {
            Self::Now => true,
            Self::Phase(build, phase) => at(seen, "builds", build, "/status/phase") == *phase,
            Self::Reason(kind, name, reason) => {
                let conditions = at(seen, kind, name, "/status/conditions");
                let mut conditions = conditions.as_array().cloned().unwrap_or_default().into_iter();
                conditions.any(|condition| condition["reason"] == *reason)
            }
            Self::Exists(kind, name) => seen.get(kind, &name.replace("TENANT", tenant)).is_some(),
            Self::Gone(kind, name) => seen.get(kind, &name.replace("TENANT", tenant)).is_none(),
            Self::Count(kind, count) => seen.all(kind).len() == *count,
            Self::None(kind) => seen.all(kind).is_empty(),
            Self::Has(kind, name, pointer) => !at(seen, kind, name, pointer).is_null(),
            Self::Is(kind, name, pointer, value) => at(seen, kind, name, pointer) == *value,
            Self::OnNode(stage) => {
                let of_stage = |pod: &Value| pod["metadata"]["labels"][LABEL_STAGE] == *stage;
                let mut pods = seen.all("pods").into_iter();
                pods.any(|pod| of_stage(&pod) && pod["spec"]["nodeName"].is_string())
            }
        }
    }
}

fn at(seen: &Seen, kind: &str, name: &str, pointer: &str) -> Value {
    let object = seen.get(kind, name);
    object
        .and_then(|object| object.pointer(pointer).cloned())
        .unwrap_or_default()
}

/// Whether the end of a build is written.
pub fn is_settled(build: &Value) -> bool {
    let conditions = build["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let succeeded = conditions.iter().find(|condition| condition["type"] == "Succeeded");
    succeeded.is_some_and(|succeeded| succeeded["status"] != "Unknown")
}

impl Scenario {
    /// A scenario in a tenant as most are, with a project `web`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tenant: tenant(10),
            home: Home::Lent,
            before: vec![Do::Create("projects", project("web"))],
            steps: Vec::new(),
            outcomes: Vec::new(),
            ends: Vec::new(),
            open: Vec::new(),
            logs: true,
            backoff_seconds: 1,
        }
    }

    /// With a build, made at once, whose spec says this too.
    pub fn build(self, name: &'static str, more: Value) -> Self {
        self.step(When::Now, Do::Create("builds", build(name, more)))
    }

    /// With something that happens.
    pub fn step(mut self, when: When, what: Do) -> Self {
        self.steps.push((when, what));
        self
    }

    /// With a pod that ends so.
    pub fn ends_as(mut self, build: &'static str, stage: &'static str, attempt: u32, outcome: Outcome) -> Self {
        self.outcomes.push((build, stage, attempt, outcome));
        self
    }

    /// With something that must be so at the end.
    pub fn until(mut self, when: When) -> Self {
        self.ends.push(when);
        self
    }

    /// Of this tenant.
    pub fn of(mut self, tenant: Value, home: Home) -> Self {
        (self.tenant, self.home) = (tenant, home);
        self
    }

    /// Where somebody takes pods away, and their logs may go with them.
    pub fn loses_logs(mut self) -> Self {
        self.logs = false;
        self
    }

    /// Where a retry does not come before somebody acted.
    pub fn slow_retries(mut self) -> Self {
        self.backoff_seconds = 3000;
        self
    }

    /// How a pod ends.
    pub fn outcome(&self, build: &str, stage: &str, attempt: u32) -> Outcome {
        let mut found = self.outcomes.iter();
        let found = found.find(|(of, at, nth, _)| *of == build && *at == stage && *nth == attempt);
        found.map_or(Outcome::Good, |(.., outcome)| outcome.clone())
    }

    /// Whether everything has happened that is to, but for what the operator still writes.
    pub fn is_over(&self, seen: &Seen, tenant: &str) -> bool {
        let settled = seen.all("builds").iter().all(|build| {
            let name = build["metadata"]["name"].as_str().unwrap_or_default();
            is_settled(build) || self.open.contains(&name)
        });
        settled && self.ends.iter().all(|when| when.holds(seen, tenant))
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    [builds::all(), retries::all(), stops::all(), tenants::all()].concat()
}
