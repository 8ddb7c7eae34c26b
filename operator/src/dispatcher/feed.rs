//! Carries what the watches show into the queue: who runs, who has ended, who is gone.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use imagefactory_core::build::PodView;
use imagefactory_core::build::names::{Identity, Stage};
use imagefactory_core::dispatch::{BuildId, Claim, Doubt, claim, holding, id_of};
use imagefactory_core::image_scan;
use imagefactory_core::partial::Pod;
use imagefactory_core::work::Work;
use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_BUILD_UID, LABEL_STAGE, LABEL_TENANT, tenant_namespace};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{reference, scans, seed};
use crate::context::Context;
use crate::runner::chain;
use crate::watches::Hubs;

/// How soon what failed is tried again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What is looked at.
enum Touched {
    Build(Arc<BuildId>),
    Doubt(Doubt),
}

/// Opens the queue once it is known what runs, then follows the watches until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    // Before anything is read: what changes meanwhile comes again.
    let builds = hubs.builds.changes().filter_map(|build| ready(id_of(&build)));
    let scans = hubs
        .image_scans
        .changes()
        .filter_map(|scan| ready(image_scan::id_of(&scan)));
    let builds = stream::select(builds, scans);
    let pods = hubs.pods.changes().filter_map(|pod| ready(builds_pod(&*pod)));
    let doubts = context.dispatcher.doubts.stream().map(Touched::Doubt);
    let mut touched = stream::select(stream::select(builds, pods).map(Touched::Build), doubts);
    tokio::select! {
        () = stop.cancelled() => return,
        () = open(&context) => {}
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            next = touched.next() => match next {
                Some(Touched::Build(id)) => look(&id, &context),
                Some(Touched::Doubt(doubt)) => { tokio::spawn(find_out(doubt, context.clone())); }
                None => return,
            },
        }
    }
}

fn ready<T>(value: Option<T>) -> std::future::Ready<Option<T>> {
    std::future::ready(value)
}

async fn open(context: &Arc<Context>) {
    while let Err(error) = seed::seed(context).await {
        warn!(
            error = chain(&error),
            "what runs could not be asked for; nothing starts yet"
        );
        tokio::time::sleep(PAUSE).await;
    }
    info!("the queue is open");
}

/// Brings one build's place up to date.
fn look(id: &BuildId, context: &Context) {
    if id.work == Work::Scan {
        return scans::look(id, context);
    }
    let dispatcher = &context.dispatcher;
    let found = context.stores.builds.get(&reference(&Arc::new(id.clone())));
    let Some(build) = found.filter(|build| build.uid().as_deref() == Some(&*id.uid)) else {
        dispatcher.withdraw(id);
        return;
    };
    match claim(build.status.as_ref()) {
        Claim::Settled if has_live_pod(&build, context) => {}
        Claim::Settled if has_ended_pod(&build, context) => dispatcher.with(|queue| queue.release(id, u32::MAX)),
        // Its pod may have been made and not be shown yet: a slot that it was told of is given back when the API server
        // has none.
        Claim::Settled => dispatcher.withdraw(id),
        Claim::Holds { .. } => hold(&build, context),
        Claim::Waits { .. } if has_live_pod(&build, context) => hold(&build, context),
        Claim::Waits { turn } => dispatcher.with(|queue| queue.release(id, turn.saturating_sub(1))),
    }
}

/// The build runs. What it takes of the quota was known when it was granted its slot; here it can only shrink.
fn hold(build: &Build, context: &Context) {
    if let Some(holding) = holding(build, None, &context.settings) {
        context.dispatcher.with(|queue| queue.hold(&holding));
    }
}

/// Whether the pod of the attempt that goes on, or of the one before, runs or may come to.
pub(super) fn has_live_pod(build: &Build, context: &Context) -> bool {
    let Some(identity) = Identity::of(build) else {
        return false;
    };
    let before = identity.before(Stage::Build);
    let mut attempts = std::iter::once(identity).chain(before);
    attempts.any(|identity| shown(&identity, context).is_some_and(|pod| !pod.has_ended()))
}

/// Whether the pod of the last attempt is shown, and has ended.
fn has_ended_pod(build: &Build, context: &Context) -> bool {
    Identity::of(build).is_some_and(|identity| shown(&identity, context).is_some_and(|pod| pod.has_ended()))
}

/// The pod that builds in that attempt.
fn shown(identity: &Identity, context: &Context) -> Option<PodView> {
    let name = ObjectRef::new(&identity.object_name(Stage::Build)).within(&identity.namespace);
    let pod = context.stores.pods.get(&name).map(|pod| PodView::of(&pod));
    pod.filter(|pod| pod.build_uid.as_deref() == Some(&identity.uid))
}

/// Asks the API server whether something runs on a slot that its build has no use for any more.
async fn find_out(doubt: Doubt, context: Arc<Context>) {
    if doubt.id.work == Work::Scan {
        return scans::find_out(doubt, context).await;
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &tenant_namespace(&doubt.id.tenant));
    let of_build = ListParams::default()
        .labels(&format!("{LABEL_BUILD_UID}={},{LABEL_STAGE}=build", doubt.id.uid))
        .fields(seed::LIVE);
    // A pass that was given the slot before its Build went may be about to make the pod.
    context.dispatcher.passes.over(&doubt.id.uid).await;
    loop {
        match pods.list_metadata(&of_build).await {
            Ok(list) if list.items.is_empty() => {
                debug!(build = &*doubt.id.name, "slot is given back");
                context.dispatcher.with(|queue| queue.dispel(&doubt));
                return;
            }
            // Its end will be an event.
            Ok(_) => return,
            Err(error) => {
                warn!(error = chain(&error), "could not ask for a build's pods");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The build that a pod builds for; none for pods that scan or publish.
pub(super) fn builds_pod<K: ResourceExt>(pod: &K) -> Option<Arc<BuildId>> {
    let labels = pod.labels();
    if labels.get(LABEL_STAGE).map(String::as_str) != Some(Stage::Build.as_str()) {
        return None;
    }
    let tenant = labels.get(LABEL_TENANT)?;
    // Elsewhere anybody may write such labels, and would hold slots by them.
    if pod.namespace() != Some(tenant_namespace(tenant)) {
        return None;
    }
    Some(Arc::new(BuildId {
        tenant: tenant.as_str().into(),
        name: labels.get(LABEL_BUILD)?.as_str().into(),
        uid: labels.get(LABEL_BUILD_UID)?.as_str().into(),
        work: Work::Build,
    }))
}
