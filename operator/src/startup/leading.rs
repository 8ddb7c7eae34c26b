//! The role `run`: warm caches, then election, then controllers; and the same backwards.
//!
//! On SIGTERM: controllers take no new work and finish what they have begun, the lease is released, the process ends
//! with 0. On a lost lease: everything is dropped where it stands and the process ends with an error.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Role, StartupError};
use crate::archive::Archive;
use crate::auditor::Auditor;
use crate::config::RunArgs;
use crate::context::Context;
use crate::controllers;
use crate::dispatcher::Dispatcher;
use crate::health;
use crate::keeper::Keeper;
use crate::leader::{Candidacy, Election, Lost, Timing};
use crate::metrics::{LogsWaiting, Queue, Telling};
use crate::watches::Hubs;
use imagefactory_crds::names::FIELD_MANAGER;
use imagefactory_serving::audit::{Address, Intake};
use imagefactory_serving::tls::follow_text;

/// How long reconciles in flight may take after the process was asked to end.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether the caches are filled.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn lead(role: Role, args: &RunArgs) -> Result<(), StartupError> {
    let hubs = Hubs::default();
    let keeper = Keeper::new(Archive::open(&role.settings)?);
    role.metrics.add_collector(LogsWaiting(keeper.clone()));
    let mut watches = JoinSet::new();
    hubs.start(&role.client, &role.metrics, &mut watches);
    health::add_watches(&role.ready, &hubs, role.metrics.heartbeats());
    role.metrics.add_builds(hubs.builds.store());
    role.metrics
        .add_quarantine(hubs.quarantine_requests.store(), hubs.sor_records.store());
    let mut election = candidate(&role, args);
    // A process with empty caches does not stand for election: it could not act if it won. But the time counts for it that
    // the lease of one who died stands still.
    tokio::select! {
        _ = futures::future::join(filled(&hubs), election.look()) => {}
        () = role.stop.cancelled() => return Ok(()),
        _ = watches.join_next() => return Err(StartupError::Ended("a watch")),
    }
    watch_over(&election, &role);
    let client = election.fence().around(&role.client);
    let auditor = auditor(&role, args);
    tokio::select! {
        ended = act(&role, &hubs, context(&role, &hubs, args, keeper, client), (election, auditor)) => ended,
        _ = watches.join_next() => Err(StartupError::Ended("a watch")),
    }
}

async fn filled(hubs: &Hubs) {
    while !hubs.synced().iter().all(|(_, synced)| *synced) {
        sleep(LOOK).await;
    }
    info!("caches are filled");
}

fn candidate(role: &Role, args: &RunArgs) -> Election {
    let settings = &role.settings;
    let candidacy = Candidacy {
        name: format!("{}-operator", settings.cluster_role_prefix),
        me: args
            .common
            .pod_name
            .clone()
            .unwrap_or_else(|| format!("operator_{:016x}", rand::random::<u64>())),
        timing: Timing::of_lease(args.lease()),
    };
    let api = Api::namespaced(role.client.clone(), &settings.release_namespace);
    Election::new(api, candidacy, Timestamp::now)
}

fn watch_over(election: &Election, role: &Role) {
    let stuck = election.stuck();
    role.alive.add("election", move || {
        stuck().then(|| "the election, whose loop is stuck".to_owned())
    });
}

/// From candidate to leader to the end.
async fn act(
    role: &Role,
    hubs: &Hubs,
    context: Arc<Context>,
    (election, auditor): (Election, Option<Auditor>),
) -> Result<(), StartupError> {
    let mut leads = election.leads();
    let leave = CancellationToken::new();
    let mut election = Elected {
        task: tokio::spawn(election.run(leave.clone())),
        leave,
    };
    tokio::select! {
        _ = leads.wait_for(|leads| *leads) => {}
        () = role.stop.cancelled() => return election.leave().await,
        ended = &mut election.task => return lost(ended),
    }
    role.metrics.set_leader(true);
    let work = CancellationToken::new();
    let (mut tasks, mut telling) = (JoinSet::new(), JoinSet::new());
    controllers::start(&context, hubs, &work, &mut tasks);
    if let Some(auditor) = auditor {
        telling.spawn(auditor.run(hubs.clone(), work.clone()));
    }
    let ended = tokio::select! {
        () = role.stop.cancelled() => Ok(()),
        ended = &mut election.task => lost(ended),
        _ = tasks.join_next() => Err(StartupError::Ended("a controller")),
        Some(_) = telling.join_next() => Err(StartupError::Ended("telling the audit")),
    };
    role.metrics.set_leader(false);
    // On a lost lease the tasks are dropped here, where they stand: another process may act soon.
    ended?;
    work.cancel();
    tokio::select! {
        ended = &mut election.task => lost(ended),
        () = finish(&mut tasks) => {
            let left = election.leave().await;
            // An audit that does not answer keeps nobody from leading: each event has an id, by which it is stored once.
            finish(&mut telling).await;
            left
        }
    }
}

/// Who tells the audit, where there is one.
fn auditor(role: &Role, args: &RunArgs) -> Option<Auditor> {
    let Some(url) = args.audit_url.clone() else {
        warn!("no address of the audit's intake: it is told nothing");
        return None;
    };
    let intake = Intake::new(Address {
        url,
        token: args.audit_token.clone(),
        authorities: follow_text(args.audit_ca.clone()),
    });
    let settings = &role.settings;
    let (namespace, account) = (&settings.release_namespace, &settings.operator_service_account);
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let shown = Telling::default();
    role.metrics.add_collector(shown.clone());
    Some(Auditor::new(intake, user, shown, Timestamp::now))
}

fn context(role: &Role, hubs: &Hubs, args: &RunArgs, keeper: Keeper, client: Client) -> Arc<Context> {
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: args.common.pod_name.clone(),
    };
    let dispatcher = Arc::new(Dispatcher::new(&role.settings));
    role.metrics.add_collector(Queue(dispatcher.clone()));
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings: role.settings.clone(),
        stores: hubs.stores(),
        dispatcher,
        metrics: role.metrics.clone(),
        keeper,
        clock: Timestamp::now,
    })
}

/// Lets reconciles in flight finish, for a while.
async fn finish(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        warn!("reconciles in flight took too long and were dropped");
    }
    tasks.shutdown().await;
}

struct Elected {
    task: JoinHandle<Result<(), Lost>>,
    leave: CancellationToken,
}

impl Elected {
    /// Releases the lease, if it is held.
    async fn leave(self) -> Result<(), StartupError> {
        self.leave.cancel();
        lost(self.task.await)
    }
}

fn lost(ended: Result<Result<(), Lost>, tokio::task::JoinError>) -> Result<(), StartupError> {
    match ended {
        Ok(ended) => ended.map_err(StartupError::Lost),
        Err(_) => Err(StartupError::Ended("the election")),
    }
}
