//! ImagePolicies: plan → status. Nothing is made for a policy; it is told whether it can be applied, and its hash.

mod error;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::image_policy::status;
use imagefactory_crds::ImagePolicy;
use kube::Api;
use tokio_util::sync::CancellationToken;

use super::tenant::halt;
use crate::apply::Write;
use crate::context::Context;
use crate::runner::{self, Outcome, Wiring};
use crate::watches::Hubs;

pub use error::ImagePolicyError;

/// How soon to look again after the policy turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);

/// Runs the controller until `stop`. A policy is woken by itself alone.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    runner::run(Wiring::new("image-policy", &hubs.policies), context, stop, reconcile).await;
}

async fn reconcile(policy: Arc<ImagePolicy>, context: Arc<Context>) -> Result<Outcome, ImagePolicyError> {
    let Some(status) = status(&policy, context.now()) else {
        return Ok(Outcome::unchanged());
    };
    let policies: Api<ImagePolicy> = Api::all(context.client.clone());
    match halt::write_status(&policies, &policy, policy.status.as_ref(), &status, &context).await? {
        Write::Written => Ok(Outcome::changed()),
        Write::Unchanged | Write::Gone => Ok(Outcome::unchanged()),
        Write::Outdated => Ok(Outcome::waiting().again_after(SOON)),
    }
}
