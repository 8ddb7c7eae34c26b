//! What a build's end is told to: metrics and an event. Never a reason to fail.

use std::time::Duration;

use imagefactory_core::build::Note;
use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::dispatch::{Claim, claim};
use imagefactory_crds::build::{BuildStatus, Phase};
use imagefactory_crds::{Build, names};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use crate::context::Context;
use crate::metrics::SettledBuild;

/// Counts a build whose end was just written.
pub(super) fn settled(situation: Situation<'_>, status: &BuildStatus, context: &Context) {
    let build = situation.build;
    if !is_settled(Some(status)) || is_settled(build.status.as_ref()) {
        return;
    }
    let namespace = build.namespace().unwrap_or_default();
    // A project that a build merely names would make the label unbounded.
    let project = situation
        .validated
        .as_ref()
        .map_or("", |validated| validated.identity.project.as_str());
    let result = match (status.phase.unwrap_or(Phase::Failed), &status.failure) {
        (Phase::Failed, Some(failure)) => failure.class.as_str(),
        (phase, _) => phase.as_str(),
    };
    let recorded = status
        .resolved_spec
        .as_ref()
        .and_then(|resolved| resolved.inputs.method);
    let method = recorded.or(build.spec.method).unwrap_or_default().as_str();
    let took = status.start_time.as_ref().zip(status.completion_time.as_ref());
    let took = took.and_then(|(start, end)| Duration::try_from(end.0.duration_since(start.0)).ok());
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    context.metrics.build_settled(
        SettledBuild {
            tenant,
            project,
            method,
            result,
        },
        took,
    );
    context.metrics.judged(tenant, status);
    info!(%namespace, build = build.name_any(), result, "build settled");
}

/// Counts a dispatch, or a retry, that was just written.
pub(super) fn turned(build: &Build, status: &BuildStatus, context: &Context) {
    let namespace = build.namespace().unwrap_or_default();
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    match (claim(build.status.as_ref()), claim(Some(status))) {
        (Claim::Waits { .. }, Claim::Holds { .. }) => {
            let before = build.status.as_ref();
            let due = before.and_then(|status| status.next_attempt_at.as_ref());
            let since = due.or(build.metadata.creation_timestamp.as_ref());
            let waited = since.and_then(|since| Duration::try_from(context.now().duration_since(since.0)).ok());
            context.metrics.build_dispatched(tenant, waited.unwrap_or_default());
        }
        (_, Claim::Waits { .. }) if claims_more(build.status.as_ref(), status) => {
            let class = status.failure.as_ref().map_or("", |failure| failure.class.as_str());
            context.metrics.build_retried(tenant, class);
        }
        _ => {}
    }
}

/// Counts what an attempt used, when the status that tells it was just written.
pub(super) fn used(build: &Build, status: &BuildStatus, context: &Context) {
    let before = build.status.as_ref().and_then(|status| status.usage);
    let Some(usage) = status.usage.filter(|usage| before != Some(*usage)) else {
        return;
    };
    let namespace = build.namespace().unwrap_or_default();
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    let method = build.spec.method.unwrap_or_default().as_str();
    context.metrics.build_used(tenant, method, usage.cpu_seconds);
}

fn claims_more(before: Option<&BuildStatus>, now: &BuildStatus) -> bool {
    let count = |status: &BuildStatus| status.retries.iter().map(|retries| retries.count).sum::<u32>();
    count(now) > before.map_or(0, count)
}

/// Publishes the event of a build that did not end well.
pub(super) async fn note(build: &Build, note: Option<&Note>, context: &Context) {
    let Some(note) = note else { return };
    let event = Event {
        type_: EventType::Warning,
        reason: note.reason.clone(),
        note: Some(note.message.clone()),
        action: "Build".to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &build.object_ref(&())).await {
        warn!(%error, build = build.name_any(), "event was not published");
    }
}
