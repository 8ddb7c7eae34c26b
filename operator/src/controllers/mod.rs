//! One module for each kind: observe → validate → plan → act → status.

pub mod build;
pub mod image_policy;
pub mod image_scan;
mod jobs;
pub mod project;
pub mod quarantine_request;
pub mod sor_record;
pub mod tenant;
pub mod tenant_settings;
pub mod usage;
mod whole;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::dispatcher;
use crate::watches::Hubs;
use crate::{janitor, keeper};

/// Starts every controller, and beside them the keeper of logs and the janitor. They run until `stop`.
pub fn start(context: &Arc<Context>, hubs: &Hubs, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    tasks.spawn(tenant::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(tenant_settings::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(usage::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(project::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(image_policy::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(sor_record::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(quarantine_request::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(image_scan::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(build::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(dispatcher::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(keeper::run(context.clone(), hubs.clone(), stop.clone()));
    tasks.spawn(janitor::run(context.clone(), stop.clone()));
}
