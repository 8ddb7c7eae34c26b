//! Has staged images removed when they have expired: puts them on the list, makes jobs for what is due, and takes off the
//! list what a job has removed. The jobs say themselves what they remove and what became of it, so nothing here has to be
//! remembered.

use std::collections::HashSet;
use std::sync::Arc;

use imagefactory_core::build::objects::{UNSTAGE, removed_by, unstage_job};
use imagefactory_core::build::observed::{JobEnd, PodView};
use imagefactory_core::build::status::is_settled;
use imagefactory_core::partial::Pod;
use imagefactory_core::staging::{Busy, Expiry, Listing, Settling, batches, listing_of_remains, listings, settle};
use imagefactory_core::step::{Report, Unstaged};
use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_STAGE, LABEL_TENANT};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tracing::{info, warn};

use crate::apply;
use crate::archive::ArchiveError;
use crate::context::Context;
use crate::runner::chain;
use crate::watches::LABEL_JOB;

/// How long a job that failed without a word on its images stays, for people to look at, before they are tried again.
const FAILED_STAYS: SignedDuration = SignedDuration::from_hours(1);

/// What is on the list already, so that nothing is put there each minute. None until it was read.
#[derive(Default)]
pub(super) struct Staged(Option<HashSet<String>>);

/// What can go wrong in a round. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum StagedError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("could not list the jobs that remove staged images, or their pods")]
    List(#[source] kube::Error),
    #[error("could not write a job that removes staged images")]
    Write(#[from] apply::ApplyError),
}

impl Staged {
    pub(super) async fn sweep(&mut self, context: &Context) {
        if context.settings.staging_ttl_seconds == 0 {
            return;
        }
        if let Err(error) = self.round(context).await {
            warn!(error = chain(&error), "expired staged images are not removed now");
        }
    }

    /// Whether a build may go as far as its staged images do: they are on the list, or nothing has to be put there.
    pub(super) fn is_done_with(&self, build: &Build, context: &Context) -> bool {
        let is_listed = |listing: &Listing| self.0.as_ref().is_some_and(|known| known.contains(&listing.key));
        listings(build, &context.settings, context.now()).iter().all(is_listed)
    }

    async fn round(&mut self, context: &Context) -> Result<(), StagedError> {
        self.record(context).await?;
        if due(context, &Busy::default()).await?.is_empty() {
            return Ok(());
        }
        let busy = settle_jobs(context).await?;
        // Asked for again: what jobs have removed or could not remove is not there any more.
        let due = due(context, &busy).await?;
        let jobs = jobs(context);
        for batch in batches(&due, &busy) {
            info!(
                tenant = batch.tenant,
                images = batch.images.len(),
                "expired staged images are removed"
            );
            let _ = apply::create_if_absent(&jobs, &unstage_job(&batch, &context.settings)).await?;
        }
        Ok(())
    }

    /// Puts what builds have staged, or may have, on the list.
    async fn record(&mut self, context: &Context) -> Result<(), ArchiveError> {
        let archive = context.keeper.archive();
        if self.0.is_none() {
            self.0 = Some(archive.staged().await?);
        }
        let known = self.0.get_or_insert_default();
        let mut current = HashSet::new();
        for Listing { slot, key, expiry } in all_listings(context) {
            if !known.contains(&key) {
                archive.list_staged(&slot, &key, &expiry).await?;
                known.insert(key.clone());
            }
            current.insert(key);
        }
        // Only builds are looked through: what is not theirs any more need not be remembered.
        known.retain(|key| current.contains(key));
        Ok(())
    }
}

/// What is to be on the list by what is watched now: of builds, and of what is left of builds that are gone.
fn all_listings(context: &Context) -> Vec<Listing> {
    let (stores, settings, now) = (&context.stores, &context.settings, context.now());
    let of_builds = stores.builds.state();
    let (pods, jobs) = (stores.pods.state(), stores.jobs.state());
    let left = pods
        .iter()
        .map(|pod| &pod.metadata)
        .chain(jobs.iter().map(|job| &job.metadata));
    let of_remains = left
        .filter_map(|metadata| listing_of_remains(metadata, settings, now))
        .filter(|listing| build_of(&listing.expiry, context).is_none());
    let of_builds = of_builds.iter().flat_map(|build| listings(build, settings, now));
    of_builds.chain(of_remains).collect()
}

/// What has expired and is needed no more, but for tenants that get no job now: however much is due of theirs, it hides
/// nothing of others.
async fn due(context: &Context, busy: &Busy) -> Result<Vec<(String, Expiry)>, ArchiveError> {
    let wanted = |expiry: &Expiry| !busy.tenants.contains(&expiry.tenant) && !still_runs(expiry, context);
    context.keeper.archive().expired(context.now(), &wanted).await
}

/// Deals with the jobs that have ended, and says which are there after that.
async fn settle_jobs(context: &Context) -> Result<Busy, StagedError> {
    let ours = ListParams::default().labels(&format!("{LABEL_STAGE}={UNSTAGE}"));
    let found = jobs(context).list(&ours).await.map_err(StagedError::List)?;
    let mut busy = Busy::default();
    for job in found {
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
        match JobEnd::of(conditions) {
            Some(JobEnd::Complete) => settle_job(&job, told(&job, context).await?, context).await?,
            Some(JobEnd::Failed { .. }) if has_stayed(&job, context) => settle_job(&job, None, context).await?,
            ended => {
                if ended.is_some() {
                    warn!(
                        job = job.name_any(),
                        "a job that removes staged images has failed; see its log"
                    );
                }
                busy.running += usize::from(ended.is_none());
                busy.tenants.extend(job.labels().get(LABEL_TENANT).cloned());
            }
        }
    }
    Ok(busy)
}

/// What a job tells of its images; none where its pod is gone or told nothing.
async fn told(job: &Job, context: &Context) -> Result<Option<Unstaged>, StagedError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &context.settings.work_namespace);
    let its = ListParams::default().labels(&format!("{LABEL_JOB}={}", job.name_any()));
    let pods = pods.list(&its).await.map_err(StagedError::List)?;
    let report = |pod: &Pod| match Report::decode(PodView::of(pod).termination_message(UNSTAGE)?)? {
        Report::Done(told) => Some(told),
        Report::Failed(_) => None,
    };
    Ok(pods.iter().find_map(report))
}

/// What a job has removed goes from the list, what it has not gets another place there; then the job goes. The list first:
/// a job that is gone with its images still listed would only be made again.
async fn settle_job(job: &Job, told: Option<Unstaged>, context: &Context) -> Result<(), StagedError> {
    let archive = context.keeper.archive();
    let mut postponed = 0;
    for (path, settling) in settle(&removed_by(job), told.as_ref(), context.now()) {
        match settling {
            Settling::Unlist => archive.unlist_staged(&path).await?,
            Settling::Postpone(slot) => {
                postponed += 1;
                archive.postpone_staged(&path, &slot, context.now()).await?;
            }
        }
    }
    if postponed > 0 {
        let failure = told.and_then(|told| told.failure);
        warn!(
            job = job.name_any(),
            tenant = job.labels().get(LABEL_TENANT),
            images = postponed,
            reason = failure.as_ref().map(|failure| failure.reason.as_str()),
            message = failure.as_ref().map(|failure| failure.message.as_str()),
            "staged images were not removed; they are tried again in an hour, for a week"
        );
    }
    let _ = apply::delete_if_present(&jobs(context), job).await?;
    Ok(())
}

fn has_stayed(job: &Job, context: &Context) -> bool {
    let created = job.metadata.creation_timestamp.as_ref();
    created.is_none_or(|created| context.now().duration_since(created.0) >= FAILED_STAYS)
}

/// A build that has not ended still needs its image, however long it takes.
fn still_runs(expiry: &Expiry, context: &Context) -> bool {
    build_of(expiry, context).is_some_and(|build| !is_settled(build.status.as_ref()))
}

fn build_of(expiry: &Expiry, context: &Context) -> Option<Arc<Build>> {
    let build = ObjectRef::new(&expiry.build).within(&expiry.namespace);
    let build = context.stores.builds.get(&build);
    build.filter(|build| build.uid().as_deref() == Some(&expiry.build_uid))
}

fn jobs(context: &Context) -> Api<Job> {
    Api::namespaced(context.client.clone(), &context.settings.work_namespace)
}

#[cfg(test)]
mod tests;
