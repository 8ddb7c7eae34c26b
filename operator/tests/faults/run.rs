//! One schedule from its beginning to its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::fault::Fault;
use crate::instance::Operator;
use crate::kubelet::Kubelet;
use crate::lab::Lab;
use crate::layer::Layer;
use crate::normal::{differences, end_state};
use crate::scenario::{Home, Scenario, When};
use crate::users;
use crate::world::Seen;

/// Longest that a schedule may take, on the wall's clock.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may be written at the end, on the operator's clock: longer than every pause of its own but the
/// janitor's.
const QUIET: Duration = Duration::from_secs(26);
/// Writes in the quiet time that change nothing.
const REPEATED: usize = 2;

/// What came of a schedule.
#[derive(Default)]
pub struct Ran {
    /// Requests, each with how many of the same came before.
    pub trace: Vec<(String, usize)>,
    /// Events, by kind.
    pub events: BTreeMap<String, usize>,
    /// The end state.
    pub state: BTreeMap<String, Value>,
    /// Whether every fault came to pass.
    pub happened: bool,
    /// What is wrong; nothing, if all is well.
    pub problems: Vec<String>,
}

/// Runs a scenario with these faults. Without an expected end state, it is found out.
pub async fn run(
    lab: &Lab,
    scenario: &Arc<Scenario>,
    faults: &[Fault],
    expected: Option<&BTreeMap<String, Value>>,
) -> Ran {
    let tenant = home(lab, scenario).await;
    let mut ran = in_tenant(lab, &tenant, scenario, faults, expected).await;
    lab.forget_archive(&tenant);
    let seen = lab.world.of(&tenant);
    if !users::clean(&lab.client, &seen).await {
        let left: Vec<_> = seen.objects().into_keys().collect();
        ran.problems.push(format!("what the test made can not be taken away: {left:?}"));
    }
    // Of what went wrong, more may be left than is known of.
    if scenario.home == Home::Lent && ran.problems.is_empty() {
        lab.give_back(&scenario.tenant, tenant);
    }
    ran
}

/// The tenant of a schedule: a new one, or one that is there.
async fn home(lab: &Lab, scenario: &Scenario) -> String {
    if scenario.home == Home::New {
        return lab.new_name();
    }
    let free = if scenario.home == Home::Lent { lab.borrow(&scenario.tenant) } else { None };
    if let Some(tenant) = free {
        return tenant;
    }
    let mut making = Scenario::new("a tenant is made").of(scenario.tenant.clone(), Home::New);
    making.before.clear();
    let ready = When::Is("tenants", "TENANT", "/status/conditions/0/status", true_text());
    making = making.until(ready).until(When::Reason("tenantsettings", "settings", "Active"));
    let tenant = lab.new_name();
    let made = in_tenant(lab, &tenant, &Arc::new(making), &[], None).await;
    assert!(made.problems.is_empty(), "a tenant can not be made: {:?}", made.problems);
    tenant
}

fn true_text() -> Value {
    "True".into()
}

async fn in_tenant(
    lab: &Lab,
    tenant: &str,
    scenario: &Arc<Scenario>,
    faults: &[Fault],
    expected: Option<&BTreeMap<String, Value>>,
) -> Ran {
    let seen = lab.world.of(tenant);
    let layer = Layer::new(tenant, lab.client.clone(), lab.io.clone(), faults);
    let kubelet = Kubelet {
        client: lab.client.clone(),
        seen: seen.clone(),
        scenario: scenario.clone(),
    };
    let kubelet = tokio::spawn(kubelet.run());
    if scenario.home == Home::New {
        lab.make_tenant(tenant, &scenario.tenant).await;
    }
    users::prepare(&lab.client, tenant, &seen, scenario).await;
    let operator = Operator::start(&layer, &lab.settings(scenario, tenant));
    let (client, steps, of, what) = (lab.client.clone(), scenario.clone(), tenant.to_owned(), seen.clone());
    let users = tokio::spawn(async move { users::run(&client, &of, &what, &steps).await });
    let watched = Watched {
        tenant,
        scenario,
        seen: &seen,
        layer: &layer,
        operator: &operator,
    };
    let mut problems = match watched.until_over(users, expected).await {
        Ok(()) => Vec::new(),
        Err(problems) => problems,
    };
    problems.extend(seen.broken());
    if kubelet.is_finished() {
        problems.push("the kubelet's double ended".to_owned());
    }
    kubelet.abort();
    // It ends with its handle, and has to be waited for.
    let _ = tokio::task::spawn_blocking(move || drop(operator)).await;
    Ran {
        trace: layer.trace(),
        events: layer.events(),
        state: end_state(&seen, tenant, scenario.logs),
        happened: layer.all_happened(),
        problems,
    }
}

struct Watched<'a> {
    tenant: &'a str,
    scenario: &'a Scenario,
    seen: &'a Seen,
    layer: &'a Layer,
    operator: &'a Operator,
}

impl Watched<'_> {
    async fn until_over(
        &self,
        mut users: tokio::task::JoinHandle<()>,
        expected: Option<&BTreeMap<String, Value>>,
    ) -> Result<(), Vec<String>> {
        let end = Instant::now() + PATIENCE;
        match tokio::time::timeout_at(end, &mut users).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(vec![format!("a user could not do what was to be done: {error}")]),
            Err(_) => {
                users.abort();
                return Err(vec![format!("what users wait for does not come: {}", self.shown())]);
            }
        }
        self.until(end, "it does not end", || self.scenario.is_over(self.seen, self.tenant))
            .await?;
        let Some(expected) = expected else {
            return self.until_quiet(end).await;
        };
        self.until_equal(end, expected).await?;
        self.stays_quiet().await
    }

    async fn until(&self, end: Instant, what: &str, holds: impl Fn() -> bool) -> Result<(), Vec<String>> {
        while !holds() {
            if self.operator.has_died() {
                return Err(vec!["the operator's thread ended".to_owned()]);
            }
            if Instant::now() > end {
                return Err(vec![format!("{what}: {}", self.shown())]);
            }
            sleep(users::LOOK).await;
        }
        Ok(())
    }

    async fn until_equal(&self, end: Instant, expected: &BTreeMap<String, Value>) -> Result<(), Vec<String>> {
        loop {
            let found = differences(expected, &end_state(self.seen, self.tenant, self.scenario.logs));
            if found.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(found);
            }
            sleep(5 * users::LOOK).await;
        }
    }

    /// Waits until nothing was written for a while.
    async fn until_quiet(&self, end: Instant) -> Result<(), Vec<String>> {
        let (mut writes, mut since) = (self.layer.writes(), self.operator.clock.passed());
        while self.operator.clock.passed() < since + QUIET {
            sleep(users::LOOK).await;
            if self.layer.writes() != writes {
                (writes, since) = (self.layer.writes(), self.operator.clock.passed());
            }
            if Instant::now() > end {
                return Err(vec![format!("it does not become quiet: {:?}", self.last_requests())]);
            }
        }
        Ok(())
    }

    /// Looks that nothing changes any more, and that next to nothing is written: a write that is on its way while the
    /// watch still shows what was before is repeated once, and changes nothing.
    async fn stays_quiet(&self) -> Result<(), Vec<String>> {
        let (before, writes, since) = (self.seen.objects(), self.layer.writes(), self.operator.clock.passed());
        let begun = Instant::now();
        while self.operator.clock.passed() < since + QUIET && begun.elapsed() < PATIENCE {
            sleep(users::LOOK).await;
        }
        let after = self.seen.objects();
        let version = |object: Option<&Arc<Value>>| object.map(|object| object["metadata"]["resourceVersion"].clone());
        let changed = before.keys().chain(after.keys());
        let changed: BTreeSet<_> = changed.filter(|key| version(before.get(key)) != version(after.get(key))).collect();
        let writes = self.layer.writes() - writes;
        if changed.is_empty() && writes <= REPEATED {
            return Ok(());
        }
        let requests = self.last_requests();
        Err(vec![format!("after the end, {writes} writes; changed: {changed:?}; last requests {requests:?}")])
    }

    fn last_requests(&self) -> Vec<(String, usize)> {
        let trace = self.layer.trace();
        trace.into_iter().rev().take(12).rev().collect()
    }

    fn shown(&self) -> String {
        let builds = self.seen.all("builds").into_iter();
        let builds = builds.map(|build| build["status"]["conditions"].to_string());
        format!("{:?}; last requests {:?}", builds.collect::<Vec<_>>(), self.last_requests())
    }
}
