//! Whether quota lets a new Build in: asked of memory, once, before anything is done for it.

use std::sync::{Mutex, PoisonError};

use imagefactory_core::build::{Observed, Refusal, Validated};
use imagefactory_core::quota::{Book, Existing};
use imagefactory_crds::admission::quota::Limited;
use imagefactory_crds::{Build, Tenant};

use crate::context::Context;
use crate::controllers::project::within_projects_quota;

/// What counts a Build.
const LIMITS: [Limited; 2] = [Limited::Builds, Limited::BuildsPerHour];

/// Who was let in. One for as long as this process leads: what was let in before stands in statuses.
#[derive(Default)]
pub(super) struct Quotas(Mutex<Book>);

impl Quotas {
    /// What came of checking the build, or that quota refuses it. Entitlement comes first, and what was begun goes on.
    pub(super) fn judge(
        &self,
        validated: Result<Validated, Refusal>,
        (build, observed): (&Build, &Observed),
        tenant: Option<&Tenant>,
        context: &Context,
    ) -> Result<Validated, Refusal> {
        let is_denied = validated.as_ref().is_err_and(Refusal::is_denial);
        let (Some(tenant), false) = (tenant, is_denied || has_started(build, observed)) else {
            return validated;
        };
        let namespace = build.metadata.namespace.as_deref().unwrap_or_default();
        within_projects_quota((namespace, &build.spec.project_ref.name), tenant, context)
            .map_err(|withheld| Refusal::withheld(&withheld))?;
        if !is_let_in(build) {
            self.ask(build, tenant, context)?;
        }
        validated
    }

    fn ask(&self, build: &Build, tenant: &Tenant, context: &Context) -> Result<(), Refusal> {
        let is_limited = LIMITS.iter().any(|limited| limited.limit(tenant).is_some());
        let Some(one) = Existing::build(build).filter(|_| is_limited) else {
            return Ok(());
        };
        // Read while nobody else is let in.
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = build.metadata.namespace.as_deref().unwrap_or_default();
        let builds = context.stores.builds_by_namespace.get(namespace);
        let others: Vec<Existing<'_>> = builds.iter().filter_map(|other| Existing::build(other)).collect();
        book.ask(tenant, &LIMITS, (&one, &others), context.now())
            .map_err(|withheld| Refusal::withheld(&withheld))
    }
}

/// Whether an attempt has begun: its status says so, or its pod is there.
fn has_started(build: &Build, observed: &Observed) -> bool {
    let has_begun = build.status.as_ref().is_some_and(|status| status.start_time.is_some());
    let is_ours = |uid: Option<&str>| uid.is_some() && uid == build.metadata.uid.as_deref();
    has_begun
        || observed
            .pod
            .as_ref()
            .is_some_and(|pod| is_ours(pod.build_uid.as_deref()))
}

/// Whether its status says something: then it was counted and let in.
fn is_let_in(build: &Build) -> bool {
    let status = build.status.as_ref();
    status.is_some_and(|status| status.observed_generation >= 0)
}

#[cfg(test)]
mod tests {
    use crate::watches::Guarded;
    use imagefactory_core::build::validate;
    use imagefactory_crds::{Project, TenantSpec, tenant::Quota};
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::Hubs;

    fn build(uid: &str, status: &Value) -> Build {
        object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {
                "name": uid, "namespace": "tenant-acme", "uid": uid, "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"projectRef": {"name": "web"}}, "status": status,
        }))
    }

    fn tenant() -> Tenant {
        let quota = Quota {
            builds: Some(1),
            ..Quota::default()
        };
        let spec = TenantSpec {
            quota: Some(quota),
            ..TenantSpec::default()
        };
        Tenant::new("acme", spec)
    }

    /// What comes of a build that is looked at, when entitlement has nothing against it and its project is missing.
    fn judge(quotas: &Quotas, build: &Build, context: &Context) -> &'static str {
        judge_for(&tenant(), quotas, build, context)
    }

    fn judge_for(tenant: &Tenant, quotas: &Quotas, build: &Build, context: &Context) -> &'static str {
        let references = imagefactory_core::build::References {
            tenant: Some(tenant),
            tenant_settings: None,
            project: None,
            policies: &Default::default(),
            rerun_of: None,
            inputs_of: None,
            begun_with: None,
            is_leaving: false,
        };
        let validated = validate(build, references, &context.settings);
        let judged = quotas.judge(validated, (build, &Observed::default()), Some(tenant), context);
        judged.map_or_else(|refusal| refusal.reason, |_| "")
    }

    fn show(hubs: &Hubs, build: Build) {
        hubs.builds.take(Event::Apply(Guarded(Ok(build))));
    }

    const LET_IN: &str = "ProjectNotFound";
    const REFUSED: &str = "quota_exceeded";

    #[tokio::test]
    async fn one_build_too_many_is_refused_with_the_code_and_what_was_begun_goes_on() {
        let (client, _server) = server();
        let hubs = Hubs::default();
        let unseen = json!({"observedGeneration": -1});
        for uid in ["a", "b"] {
            show(&hubs, build(uid, &unseen));
        }
        let (context, quotas) = (context(client, &hubs), Quotas::default());
        assert_eq!(judge(&quotas, &build("a", &unseen), &context), LET_IN);
        assert_eq!(judge(&quotas, &build("b", &unseen), &context), REFUSED);
        assert_eq!(judge(&quotas, &build("a", &unseen), &context), LET_IN, "asked again");
        let begun = json!({"observedGeneration": 1});
        assert_eq!(judge(&quotas, &build("c", &begun), &context), LET_IN);
    }

    #[tokio::test]
    async fn nothing_begins_in_a_project_beyond_the_quota_until_another_is_gone() {
        let (client, _server) = server();
        let hubs = Hubs::default();
        let project = |name: &str, second: u32| -> Project {
            object(json!({
                "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project", "spec": {},
                "metadata": {
                    "name": name, "namespace": "tenant-acme", "uid": name, "resourceVersion": "1",
                    "creationTimestamp": format!("2026-01-01T00:00:0{second}Z"),
                },
            }))
        };
        for (name, second) in [("web", 2), ("a", 1)] {
            hubs.projects.take(Event::Apply(Guarded(Ok(project(name, second)))));
        }
        let context = context(client, &hubs);
        let tenant = |projects| {
            let quota = Quota {
                projects: Some(projects),
                ..Quota::default()
            };
            let spec = TenantSpec {
                quota: Some(quota),
                ..TenantSpec::default()
            };
            Tenant::new("acme", spec)
        };
        let one = build("one", &json!({"observedGeneration": -1}));
        let asked = |limit| judge_for(&tenant(limit), &Quotas::default(), &one, &context);
        assert_eq!(asked(2), LET_IN);
        assert_eq!(asked(1), REFUSED);
        let withheld = within_projects_quota(("tenant-acme", "web"), &tenant(1), &context).unwrap_err();
        assert!(
            withheld.message.contains("may have 1 projects and has 1."),
            "{}",
            withheld.message
        );
        let began = "2026-01-01T00:00:05Z";
        for (status, judgement) in [
            (json!({"observedGeneration": 1}), REFUSED),
            (json!({"observedGeneration": 1, "startTime": began}), LET_IN),
        ] {
            let waiting = build("one", &status);
            let judged = judge_for(&tenant(1), &Quotas::default(), &waiting, &context);
            assert_eq!(judged, judgement, "{status}");
        }
        hubs.projects.take(Event::Delete(Guarded(Ok(project("a", 1)))));
        assert_eq!(asked(1), LET_IN);
    }

    #[tokio::test]
    async fn a_new_leader_counts_what_its_list_brought_of_this_tenant_and_what_is_deleted_counts_no_more() {
        let (client, _server) = server();
        let hubs = Hubs::default();
        let (unseen, begun) = (json!({"observedGeneration": -1}), json!({"observedGeneration": 1}));
        let mut others = build("others", &begun);
        others.metadata.namespace = Some("tenant-globex".to_owned());
        let context = context(client, &hubs);
        let asked = || judge(&Quotas::default(), &build("new", &unseen), &context);
        show(&hubs, others.clone());
        assert_eq!(asked(), LET_IN, "another tenant's is not counted");
        hubs.builds.take(Event::Init);
        for listed in [others, build("old", &begun)] {
            hubs.builds.take(Event::InitApply(Guarded(Ok(listed))));
        }
        assert_eq!(asked(), LET_IN, "half a list says nothing");
        hubs.builds.take(Event::InitDone);
        assert_eq!(asked(), REFUSED);
        hubs.builds.take(Event::Delete(Guarded(Ok(build("old", &begun)))));
        assert_eq!(asked(), LET_IN);
    }
}
