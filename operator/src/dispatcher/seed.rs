//! What runs and what waits when a process becomes leader.
//!
//! The stores may lag behind what the leader before did last, so the API server itself is asked which build pods live:
//! a pod whose build's status does not say so yet takes its slot all the same.

use std::sync::Arc;

use imagefactory_core::build::plan::{Situation, Wish, wish};
use imagefactory_core::build::{Observed, validate};
use imagefactory_core::dispatch::{BuildId, Claim, Holding, Slot, application, claim, holding};
use imagefactory_core::partial::Pod;
use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_ATTEMPT, LABEL_STAGE};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::feed::{builds_pod, has_live_pod};
use super::{reference, scans};
use crate::context::Context;
use crate::controllers::build::references;

/// Field selector of pods that run or may come to.
pub(super) const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Pods asked for at a time.
const PAGE: u32 = 500;

/// Enters everything and opens the queue.
pub(super) async fn seed(context: &Context) -> Result<(), kube::Error> {
    let pods = live_pods(context).await?;
    let builds = context.stores.builds.state();
    for build in &builds {
        let runs = match claim(build.status.as_ref()) {
            Claim::Holds { .. } => true,
            Claim::Waits { .. } | Claim::Settled => has_live_pod(build, context),
        };
        if runs {
            hold(build, context);
        }
    }
    for (id, attempt) in &pods {
        adopt(id, *attempt, context);
    }
    // Their status says that they run before their jobs exist.
    scans::hold(context);
    for build in &builds {
        enter(build, context);
    }
    scans::enter(context);
    context.dispatcher.with(imagefactory_core::dispatch::Queue::open);
    Ok(())
}

/// Build pods that live, with their attempt: as the API server knows them now, not as a cache does.
async fn live_pods(context: &Context) -> Result<Vec<(Arc<BuildId>, u32)>, kube::Error> {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let mut page = ListParams::default()
        .labels(&format!("{LABEL_STAGE}=build"))
        .fields(LIVE)
        .limit(PAGE);
    let mut found = Vec::new();
    loop {
        let list = pods.list_metadata(&page).await?;
        found.extend(list.items.iter().filter_map(|pod| {
            let attempt = pod.labels().get(LABEL_ATTEMPT).and_then(|attempt| attempt.parse().ok());
            Some((builds_pod(pod)?, attempt.unwrap_or(1)))
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn hold(build: &Build, context: &Context) {
    let found = references(build, context);
    let validated = validate(build, found.references(), &context.settings).ok();
    let of_settled = || imagefactory_core::dispatch::id_of(build).map(|id| unknown(&id, u32::MAX));
    let holding = holding(build, validated.as_ref(), &context.settings).or_else(of_settled);
    if let Some(holding) = holding {
        context.dispatcher.with(|queue| queue.hold(&holding));
    }
}

/// A pod that the stores may not show yet.
fn adopt(id: &Arc<BuildId>, attempt: u32, context: &Context) {
    if context.dispatcher.lock().holds(&id.uid) {
        return;
    }
    let build = context.stores.builds.get(&reference(id));
    match build.filter(|build| build.uid().as_deref() == Some(&*id.uid)) {
        Some(build) => hold(&build, context),
        None => context.dispatcher.with(|queue| queue.hold(&unknown(id, attempt))),
    }
}

/// A slot of which nothing more is known.
fn unknown(id: &Arc<BuildId>, turn: u32) -> Holding {
    Holding {
        id: id.clone(),
        turn,
        demand: None,
        limits: None,
    }
}

/// Whatever waits goes to its place before the first slot is given away.
fn enter(build: &Build, context: &Context) {
    if !matches!(claim(build.status.as_ref()), Claim::Waits { .. }) {
        return;
    }
    let found = references(build, context);
    let validated = validate(build, found.references(), &context.settings);
    let situation = Situation {
        build,
        validated: &validated,
        observed: &Observed::default(),
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    let Wish::Slot(validated) = wish(&situation) else {
        return;
    };
    let Some(application) = application(build, validated, &context.settings) else {
        return;
    };
    context.dispatcher.with(|queue| {
        if !queue.holds(&application.id.uid) {
            let _ = queue.apply(&application);
        }
    });
}
