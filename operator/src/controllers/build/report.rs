//! What of a build's course is told to metrics, and its end or next attempt to an event. Never a reason to fail.

use std::time::Duration;

use imagefactory_core::build::Note;
use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::dispatch::{Claim, claim};
use imagefactory_crds::build::{BuildStatus, Method, Phase};
use imagefactory_crds::{Build, names};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use crate::context::Context;
use crate::metrics::SettledBuild;
use crate::runner::{MAX_NOTE, cut};

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
    let method = method_of(build, status).as_str();
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
    let before = build.status.as_ref().and_then(|status| status.usage.as_deref());
    let Some(usage) = status.usage.as_deref().filter(|usage| before != Some(*usage)) else {
        return;
    };
    let namespace = build.namespace().unwrap_or_default();
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    let method = method_of(build, status).as_str();
    context.metrics.build_used(tenant, method, usage.cpu_seconds);
}

/// What built it: a Build that leaves it to its template or to a default does not say so itself.
fn method_of(build: &Build, status: &BuildStatus) -> Method {
    let recorded = (status.resolved_spec.as_ref()).and_then(|resolved| resolved.inputs.method);
    recorded.or(build.spec.method).unwrap_or_default()
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
        note: Some(cut(&note.message, MAX_NOTE).to_owned()),
        action: "Build".to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &build.object_ref(&())).await {
        warn!(%error, build = build.name_any(), "event was not published");
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::build::Usage;
    use serde_json::json;

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::Hubs;

    #[tokio::test]
    async fn what_a_build_used_is_counted_under_the_method_that_its_template_or_a_default_named() {
        let context = context(server().0, &Hubs::default());
        let build: Build = object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "b", "namespace": "tenant-acme"},
            "spec": {"projectRef": {"name": "web"}, "templateRef": {"name": "t"}},
        }));
        let mut status = BuildStatus {
            usage: Some(Box::new(Usage {
                cpu_seconds: 7,
                peak_memory: 1,
            })),
            ..BuildStatus::default()
        };
        used(&build, &status, &context);
        assert!(counts(&context, "kaniko"), "who says nothing is built by the default");
        status.resolved_spec = serde_json::from_value(json!({"method": "buildx"})).unwrap();
        assert!(!counts(&context, "buildx"));
        used(&build, &status, &context);
        assert!(counts(&context, "buildx"));
    }

    fn counts(context: &Context, method: &str) -> bool {
        let text = context.metrics.encode().unwrap();
        let line = format!("imagefactory_build_cpu_seconds_total{{tenant=\"acme\",method=\"{method}\"}} 7");
        text.lines().any(|found| found == line)
    }
}
