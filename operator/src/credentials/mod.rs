//! The role that places staging credentials in tenants' namespaces and makes the scanner's token.
//!
//! It reads credentials from a mounted directory and none from the API server: its service account may create Secrets
//! and patch the one name `imagefactory-staging`, no more (docs/decisions/0004). Everything it does can be done twice,
//! so it needs no leader.

mod content;
mod place;
mod plan;
mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::ready;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use imagefactory_crds::Tenant;
use imagefactory_crds::names::tenant_namespace;
use kube::ResourceExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::health;
use crate::runner::chain;
use crate::startup::Role;
use crate::watches::{Hub, News, Selection, trim, watch};
use content::Contents;
use imagefactory_serving::Gates;
use plan::Ledger;

/// How often the mounted directory is read.
const PERIOD: Duration = Duration::from_secs(10);
/// Name in logs and metrics.
const NAME: &str = "credentials";

/// Why the role can't go on.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A task that runs as long as the process does has ended.
    #[error("the watch of tenants ended, which it must not")]
    WatchEnded,
}

/// Runs until the process is asked to end.
///
/// # Errors
/// When the watch of tenants ends.
pub(crate) async fn run(role: Role, source: PathBuf) -> Result<(), CredentialsError> {
    let tenants = Hub::<Tenant>::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(
        &role.client,
        tenants.clone(),
        Selection::all(trim::object),
        role.metrics.clone(),
    ));
    let problems = Problems::default();
    health::add_watch(&role.ready, "tenants", &tenants, role.metrics.heartbeats());
    problems.show_in(&role.ready);
    let stop = role.stop.clone();
    let work = Worker {
        role,
        source,
        tenants,
        problems,
        ledger: Ledger::default(),
        began: Instant::now(),
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = work.go_on() => Ok(()),
        _ = tasks.join_next() => Err(CredentialsError::WatchEnded),
    }
}

struct Worker {
    role: Role,
    source: PathBuf,
    tenants: Hub<Tenant>,
    problems: Problems,
    ledger: Ledger,
    began: Instant,
}

impl Worker {
    async fn go_on(mut self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let news = News::of(self.tenants.store(), crate::controllers::tenant::digest);
        let touched = self.tenants.subscribe();
        let mut touched = touched.filter(move |tenant| ready(news.is_news(tenant)));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(tenant) = touched.next() => {
                    self.ledger.try_at_once(&tenant.name_any());
                    while let Some(Some(tenant)) = touched.next().now_or_never() {
                        self.ledger.try_at_once(&tenant.name_any());
                    }
                }
            }
            self.make_token().await;
            if self.tenants.is_synced() {
                self.place_all().await;
            }
        }
    }

    async fn place_all(&mut self) {
        let contents = match Contents::read(&self.source).await {
            Ok(contents) => contents,
            Err(error) => return self.problems.set(Part::Source, Some(chain(&error))),
        };
        self.problems.set(Part::Source, contents.problem());
        let desired = self.desired(&contents);
        for placement in self.ledger.due(&desired, self.began.elapsed()) {
            let Some(content) = contents.of_tenant(&placement.tenant) else {
                continue;
            };
            let started = Instant::now();
            let placed = place::place(&self.role.client, &placement, content).await;
            let outcome = if placed.is_ok() { "changed" } else { "failed" };
            self.role.metrics.reconciled(NAME, outcome, started.elapsed());
            match &placed {
                Ok(()) => info!(tenant = placement.tenant, "staging credential placed"),
                Err(error) => warn!(
                    tenant = placement.tenant,
                    error = chain(error),
                    "staging credential not placed"
                ),
            }
            self.ledger
                .note(&placement, content.hash(), placed.is_ok(), self.began.elapsed());
        }
    }

    /// What belongs in each tenant's namespace that exists.
    fn desired(&self, contents: &Contents) -> BTreeMap<String, content::Hash> {
        let tenants = self.tenants.store().state();
        let ready = tenants
            .iter()
            .filter(|tenant| has_namespace(tenant))
            .map(|tenant| tenant.name_any());
        ready
            .filter_map(|tenant| {
                contents
                    .of_tenant(&tenant)
                    .map(|content| (tenant.clone(), content.hash()))
            })
            .collect()
    }

    async fn make_token(&mut self) {
        let now = self.began.elapsed();
        if !self.ledger.token_is_due(now) {
            return;
        }
        let settings = &self.role.settings;
        let made = token::make(&self.role.client, &settings.work_namespace, &settings.scan.token_secret).await;
        self.ledger.note_token(made.is_ok(), now);
        match made {
            Ok(()) => self.problems.set(Part::Token, None),
            Err(error) => {
                let text = chain(&error);
                warn!(error = text, "scanner's token could not be made");
                self.problems.set(Part::Token, Some(text));
            }
        }
    }
}

/// Whether the operator has made the tenant's namespace and it is not about to go.
fn has_namespace(tenant: &Tenant) -> bool {
    let named = tenant.status.as_ref().and_then(|status| status.namespace.as_ref());
    tenant.metadata.deletion_timestamp.is_none()
        && named.is_some_and(|namespace| namespace.as_str() == tenant_namespace(&tenant.name_any()))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Source,
    Token,
}

/// What keeps the role from its work, for the readiness gates.
#[derive(Clone, Default)]
struct Problems(Arc<Mutex<BTreeMap<Part, String>>>);

impl Problems {
    fn set(&self, part: Part, problem: Option<String>) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &problem {
            Some(text) => problems.insert(part, text.clone()),
            None => problems.remove(&part),
        };
        drop(problems);
        if let Some(text) = problem.filter(|text| known.as_ref() != Some(text)) {
            warn!(problem = text, "credentials role is hindered");
        }
    }

    fn show_in(&self, gates: &Gates) {
        for (name, part) in [("source", Part::Source), ("scanner-token", Part::Token)] {
            let problems = self.clone();
            gates.add(name, move || {
                problems
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(&part)
                    .map(|text| format!("an end of: {text}"))
            });
        }
    }
}
