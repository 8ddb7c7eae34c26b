//! Removes what nobody needs any more: jobs and pods of settled builds and scans, old logs, expired staged images, and
//! finished builds and scans where somebody says so. What goes, [`imagefactory_core`] decides; nothing goes before its logs are
//! safe.

mod old_logs;
mod pods;
mod retention;
mod staged;

pub(crate) use pods::{is_safe, job_may_go, may_go};

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::build::sweep::{Known, MadeFor, Superfluous, made_for, superfluous};
use imagefactory_core::partial::Job;
use imagefactory_core::work::Work;
use imagefactory_crds::{Build, ImageScan};
use jiff::SignedDuration;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{self, Writable, Write};
use crate::context::Context;
use pods::OfJobs;
use staged::Staged;

/// How often it is looked through what there is.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks through everything once a minute until `stop`. A sweep that is under way ends where it stands: each of its steps may be
/// repeated, and the next leader must not wait for a store that does not answer.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(sweeps(&context)).await;
}

async fn sweeps(context: &Context) {
    let (mut round, mut staged) = (0, Staged::default());
    loop {
        tokio::time::sleep(PERIOD).await;
        sweep(round, &mut staged, context).await;
        round += 1;
    }
}

async fn sweep(round: u64, staged: &mut Staged, context: &Context) {
    // First: what is left of a build that is gone tells of its image.
    staged.sweep(context).await;
    jobs(context).await;
    pods::sweep(context).await;
    old_logs::sweep(round, context).await;
    retention::sweep(staged, context).await;
    context
        .metrics
        .keep_only(&context.stores.tenants, &context.stores.projects);
}

async fn jobs(context: &Context) {
    let pods = OfJobs::all(context);
    for job in context.stores.jobs.state() {
        let Some(build) = made_for(&job) else { continue };
        if let Some(reason) = judge(&job, &build, context)
            && (reason == Superfluous::Expired || is_gone(&build, context).await)
            && pods.are_safe(&job, context)
        {
            remove(&job, reason, context).await;
        }
    }
}

fn judge(job: &Job, build: &MadeFor, context: &Context) -> Option<Superfluous> {
    let keep = SignedDuration::from_secs(context.settings.builds.job_ttl_seconds);
    known(build, context, |known| {
        superfluous(job, build, known, context.now(), keep)
    })
}

/// Tells `decide` what is known of a build or scan.
fn known<T>(build: &MadeFor, context: &Context, decide: impl FnOnce(Option<Known<'_>>) -> T) -> T {
    let MadeFor { namespace, name, .. } = build;
    let stores = &context.stores;
    let found = match build.work {
        Work::Build => {
            let build = stores.builds.get(&ObjectRef::new(name).within(namespace));
            build.map(|build| {
                (
                    build.uid(),
                    build.status.as_ref().and_then(|status| status.completion_time.clone()),
                )
            })
        }
        Work::Scan => {
            let scan = stores.image_scans.get(&ObjectRef::new(name).within(namespace));
            scan.map(|scan| {
                (
                    scan.uid(),
                    scan.status.as_ref().and_then(|status| status.completion_time.clone()),
                )
            })
        }
    };
    let (uid, completed) = found.clone().unwrap_or_default();
    let uid = uid.unwrap_or_default();
    decide(found.map(|_| Known {
        uid: &uid,
        completed: completed.map(|time| time.0),
    }))
}

/// Asks the API server: a store that lags must not cost a running build its scan. An error is no absence.
async fn is_gone(build: &MadeFor, context: &Context) -> bool {
    match build.work {
        Work::Build => {
            is_gone_from(
                &Api::<Build>::namespaced(context.client.clone(), &build.namespace),
                build,
            )
            .await
        }
        Work::Scan => {
            is_gone_from(
                &Api::<ImageScan>::namespaced(context.client.clone(), &build.namespace),
                build,
            )
            .await
        }
    }
}

async fn is_gone_from<K: Writable>(api: &Api<K>, build: &MadeFor) -> bool {
    match api.get_opt(&build.name).await {
        Ok(found) => found.is_none_or(|found| found.uid().as_deref() != Some(build.uid.as_str())),
        Err(error) => {
            warn!(%error, build = build.name, namespace = build.namespace, "could not ask for a job's build or scan");
            false
        }
    }
}

async fn remove(job: &Job, reason: Superfluous, context: &Context) {
    let (name, namespace) = (job.name_any(), job.namespace().unwrap_or_default());
    match apply::delete_if_present(&Api::<Job>::namespaced(context.client.clone(), &namespace), job).await {
        Ok(Write::Written) => info!(job = name, namespace, ?reason, "job removed"),
        Ok(Write::Unchanged | Write::Gone | Write::Outdated) => {}
        Err(error) => warn!(%error, job = name, namespace, "job was not removed"),
    }
}
