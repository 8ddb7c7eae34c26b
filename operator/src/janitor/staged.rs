//! Has staged images removed when they have expired: puts them on the list, makes jobs for what is due, and takes off the
//! list what a job has removed. The jobs say themselves what they remove, so nothing here has to be remembered.

use std::collections::{BTreeSet, HashSet};

use imagefactory_core::build::objects::{UNSTAGE, removed_by, unstage_job};
use imagefactory_core::build::observed::{JobEnd, JobView};
use imagefactory_core::build::status::is_settled;
use imagefactory_core::staging::{Expiry, batches, entry};
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

/// How long a job that failed stays, for people to look at, before its images are tried again.
const FAILED_STAYS: SignedDuration = SignedDuration::from_hours(1);

/// What is on the list already, so that nothing is put there each minute. None until it was read.
#[derive(Default)]
pub(super) struct Staged(Option<HashSet<String>>);

/// What can go wrong in a round. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum StagedError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("could not list the jobs that remove staged images")]
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

    /// Whether a build may go as far as its staged image does: it is on the list, or nothing has to be put there.
    pub(super) fn is_done_with(&self, build: &Build, context: &Context) -> bool {
        let keep = SignedDuration::from_secs(context.settings.staging_ttl_seconds);
        let listed = |key| self.0.as_ref().is_some_and(|known| known.contains(&key));
        entry(build, keep, context.now()).is_none_or(|(_, key, _)| listed(key))
    }

    async fn round(&mut self, context: &Context) -> Result<(), StagedError> {
        self.record(context).await?;
        let due = context.keeper.archive().expired(context.now()).await?;
        let due: Vec<_> = due
            .into_iter()
            .filter(|(_, expiry)| !still_runs(expiry, context))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let busy = settle(context).await?;
        // What a job has removed a moment ago is off the list.
        let due = if busy.removed {
            context.keeper.archive().expired(context.now()).await?
        } else {
            due
        };
        let due: Vec<_> = due
            .into_iter()
            .filter(|(_, expiry)| !still_runs(expiry, context))
            .collect();
        let jobs = jobs(context);
        for batch in batches(&due, &busy.tenants) {
            info!(
                tenant = batch.tenant,
                images = batch.images.len(),
                "expired staged images are removed"
            );
            let _ = apply::create_if_absent(&jobs, &unstage_job(&batch, &context.settings)).await?;
        }
        Ok(())
    }

    /// Puts what builds have staged on the list.
    async fn record(&mut self, context: &Context) -> Result<(), ArchiveError> {
        let archive = context.keeper.archive();
        if self.0.is_none() {
            self.0 = Some(archive.staged().await?);
        }
        let known = self.0.get_or_insert_default();
        let keep = SignedDuration::from_secs(context.settings.staging_ttl_seconds);
        let mut current = HashSet::new();
        for build in context.stores.builds.state() {
            let Some((slot, key, expiry)) = entry(&build, keep, context.now()) else {
                continue;
            };
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

/// Jobs that are there after the ended ones were dealt with.
#[derive(Default)]
struct Busy {
    tenants: BTreeSet<String>,
    removed: bool,
}

async fn settle(context: &Context) -> Result<Busy, StagedError> {
    let ours = ListParams::default().labels(&format!("{LABEL_STAGE}={UNSTAGE}"));
    let found = jobs(context).list(&ours).await.map_err(StagedError::List)?;
    let mut busy = Busy::default();
    for job in found {
        let view = JobView::of(&job, std::iter::empty());
        match view.ended {
            Some(JobEnd::Complete) => {
                // The list first: a job that is gone with its images still listed would only be made again.
                for image in removed_by(&job) {
                    context.keeper.archive().unlist_staged(&image.path).await?;
                }
                busy.removed = true;
                let _ = apply::delete_if_present(&jobs(context), &job).await?;
            }
            Some(JobEnd::Failed { .. }) if has_stayed(&job, context) => {
                let _ = apply::delete_if_present(&jobs(context), &job).await?;
            }
            ended => {
                if ended.is_some() {
                    warn!(
                        job = job.name_any(),
                        "a job that removes staged images has failed; see its log"
                    );
                }
                busy.tenants.extend(job.labels().get(LABEL_TENANT).cloned());
            }
        }
    }
    Ok(busy)
}

fn has_stayed(job: &Job, context: &Context) -> bool {
    let created = job.metadata.creation_timestamp.as_ref();
    created.is_none_or(|created| context.now().duration_since(created.0) >= FAILED_STAYS)
}

/// A build that has not ended still needs its image, however long it takes.
fn still_runs(expiry: &Expiry, context: &Context) -> bool {
    let build = ObjectRef::new(&expiry.build).within(&expiry.namespace);
    let build = context.stores.builds.get(&build);
    build.is_some_and(|build| build.uid().as_deref() == Some(&expiry.build_uid) && !is_settled(build.status.as_ref()))
}

fn jobs(context: &Context) -> Api<Job> {
    Api::namespaced(context.client.clone(), &context.settings.work_namespace)
}

#[cfg(test)]
mod tests;
