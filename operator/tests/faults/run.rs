//! One schedule from its beginning to its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::ending::Watched;
use crate::fault::Fault;
use crate::instance::Operator;
use crate::kubelet::Kubelet;
use crate::lab::Lab;
use crate::layer::Layer;
use crate::normal::end_state;
use crate::scenario::{Home, Scenario, When};
use crate::users;

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
        ran.problems
            .push(format!("what the test made can not be taken away: {left:?}"));
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
    let free = if scenario.home == Home::Lent {
        lab.borrow(&scenario.tenant)
    } else {
        None
    };
    if let Some(tenant) = free {
        return tenant;
    }
    let mut making = Scenario::new("a tenant is made").of(scenario.tenant.clone(), Home::New);
    making.before.clear();
    let ready = When::Is("tenants", "TENANT", "/status/conditions/0/status", true_text());
    making = making
        .until(ready)
        .until(When::Reason("tenantsettings", "settings", "Active"));
    let tenant = lab.new_name();
    let made = in_tenant(lab, &tenant, &Arc::new(making), &[], None).await;
    assert!(
        made.problems.is_empty(),
        "a tenant can not be made: {:?}",
        made.problems
    );
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
