//! Watches a schedule until it is over, and judges how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::instance::Operator;
use crate::layer::Layer;
use crate::normal::{differences, end_state};
use crate::scenario::Scenario;
use crate::users;
use crate::world::Seen;

/// Longest that a schedule may take, on the wall's clock.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may be written at the end, on the operator's clock: longer than every pause of its own but the
/// janitor's.
const QUIET: Duration = Duration::from_secs(26);
/// How often it may look as if it were over.
const ROUNDS: usize = 3;
/// Writes in the quiet time that change nothing.
const REPEATED: usize = 2;

/// A schedule that runs.
pub struct Watched<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// What happens beside faults.
    pub scenario: &'a Scenario,
    /// What there is.
    pub seen: &'a Seen,
    /// What passed.
    pub layer: &'a Layer,
    /// The operator.
    pub operator: &'a Operator,
}

impl Watched<'_> {
    /// Waits until the end, and a while longer. Without an expected end state, until it is quiet.
    pub async fn until_over(
        &self,
        mut users: JoinHandle<()>,
        expected: Option<&BTreeMap<String, Value>>,
    ) -> Result<(), Vec<String>> {
        let end = Instant::now() + PATIENCE;
        match timeout_at(end, &mut users).await {
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
        // It may be equal by chance on its way; but not again and again.
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            self.until_equal(end, expected).await?;
            match self.stays_quiet().await {
                Ok(()) => return Ok(()),
                Err(problems) => last = problems,
            }
        }
        Err(last)
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
        let changed: BTreeSet<_> = changed
            .filter(|key| version(before.get(key)) != version(after.get(key)))
            .collect();
        let writes = self.layer.writes() - writes;
        if changed.is_empty() && writes <= REPEATED {
            return Ok(());
        }
        let requests = self.last_requests();
        Err(vec![format!(
            "after the end, {writes} writes; changed: {changed:?}; last requests {requests:?}"
        )])
    }

    fn last_requests(&self) -> Vec<(String, usize)> {
        let trace = self.layer.trace();
        trace.into_iter().rev().take(12).rev().collect()
    }

    fn shown(&self) -> String {
        let builds = self.seen.all("builds").into_iter();
        let builds = builds.map(|build| build["status"]["conditions"].to_string());
        format!(
            "{:?}; last requests {:?}",
            builds.collect::<Vec<_>>(),
            self.last_requests()
        )
    }
}
