//! A build that has ended: what still runs for it is ended, and its logs are told when they are safe.
//!
//! The stores keep little of such a build ([`crate::watches::trim`]). So it is not asked what it would run, and before its
//! status is written, the whole of it is read: a status that is applied takes away what it does not name.

use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::{Observed, Plan, Refusal, plan};
use imagefactory_core::dispatch::Slot;
use imagefactory_crds::Build;

use super::unseen::Unseen;
use super::{BuildError, UNSEEN, act, logs};
use crate::context::Context;
use crate::controllers::whole::whole;
use crate::runner::Outcome;

pub(super) async fn pass(
    build: &Build,
    observed: &Observed,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, BuildError> {
    let refusal = Err(Refusal::of_ended());
    let situation = |build| Situation {
        build,
        validated: &refusal,
        observed,
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    let planned = planned(situation(build), context);
    if planned
        .status
        .as_ref()
        .is_none_or(|status| Some(status) == build.status.as_ref())
    {
        return act::act(situation(build), planned, context, unseen).await;
    }
    let Some(whole) = whole(build, context).await? else {
        return Ok(Outcome::waiting().again_after(UNSEEN));
    };
    act::act(
        situation(&whole),
        self::planned(situation(&whole), context),
        context,
        unseen,
    )
    .await
}

fn planned(situation: Situation<'_>, context: &Context) -> Plan {
    logs::complete(plan(situation), situation, context)
}

#[cfg(test)]
mod tests {
    use imagefactory_core::build::PodView;
    use imagefactory_core::partial::Pod;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::{Guarded, Hubs, trim};

    /// A build that has ended, as the API server has it.
    fn ended(observed_generation: i64) -> Value {
        json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "b", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "7", "generation": 2},
            "spec": {"projectRef": {"name": "web"}, "cancelled": true, "source": {"git": {"url": "https://git.example.com/a"}}},
            "status": {
                "observedGeneration": observed_generation, "phase": "Failed", "attempts": 1,
                "conditions": [{
                    "type": "Succeeded", "status": "False", "reason": "Build", "message": "A step failed.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "failure": {"class": "Build", "reason": "Error", "message": "A step failed.", "next": "Look."},
            },
        })
    }

    fn kept(observed_generation: i64) -> Build {
        let mut build = object(ended(observed_generation));
        trim::build(&mut build);
        assert_eq!(build.spec.source, None, "the stores do not hold what it ran");
        build
    }

    #[tokio::test]
    async fn what_is_written_of_an_ended_build_is_written_over_the_whole_of_it() {
        let (client, mut server) = server();
        let context = context(client, &Hubs::default());
        let looking =
            tokio::spawn(async move { pass(&kept(1), &Observed::default(), &context, &Unseen::default()).await });
        let path = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/builds/b";
        server.expect(&format!("GET {path}")).await.answer(200, &ended(1));
        let written = server.expect(&format!("PATCH {path}/status")).await;
        assert_eq!(written.body["status"]["observedGeneration"], 2);
        assert_eq!(written.body["status"]["failure"]["message"], "A step failed.");
        assert_eq!(written.body["status"]["conditions"][0]["message"], "A step failed.");
        written.answer(200, &ended(2));
        looking.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_ended_build_that_has_nothing_to_say_costs_no_request() {
        let (client, mut server) = server();
        let context = context(client, &Hubs::default());
        let looked = pass(&kept(2), &Observed::default(), &context, &Unseen::default()).await;
        assert_eq!(looked.unwrap(), Outcome::unchanged());
        assert!(server.is_quiet_for(std::time::Duration::from_millis(20)).await);
    }

    #[tokio::test]
    async fn an_ended_build_whose_name_another_has_now_is_not_written() {
        let (client, mut server) = server();
        let context = context(client, &Hubs::default());
        let looking =
            tokio::spawn(async move { pass(&kept(1), &Observed::default(), &context, &Unseen::default()).await });
        let asked = server.asked().await;
        let mut another = ended(1);
        another["metadata"]["uid"] = "v".into();
        asked.answer(200, &another);
        assert_eq!(looking.await.unwrap().unwrap(), Outcome::waiting().again_after(UNSEEN));
    }

    #[tokio::test]
    async fn an_ended_build_whose_pod_may_not_be_ended_stays_as_it_ended_and_is_tried_again() {
        let (client, mut server) = server();
        let hubs = Hubs::default();
        let pod: Pod = object(json!({
            "metadata": {"name": "b-build-1", "namespace": "tenant-acme", "uid": "p", "labels": {"imagefactory.dev/build-uid": "u"}},
            "spec": {"nodeName": "n", "activeDeadlineSeconds": 1800}, "status": {"phase": "Running"},
        }));
        hubs.pods.take(Event::Apply(Guarded(Ok(pod.clone()))));
        let context = context(client, &hubs);
        let observed = Observed {
            pod: Some(PodView::of(&pod)),
            ..Observed::default()
        };
        let looking = tokio::spawn(async move { pass(&kept(2), &observed, &context, &Unseen::default()).await });
        let asked = server
            .expect("PATCH /api/v1/namespaces/tenant-acme/pods/b-build-1")
            .await;
        asked.answer(
            403,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                "message": "pods \"b-build-1\" is forbidden: User \"operator\" cannot patch resource \"pods\""}),
        );
        // Had it been said that it failed, its status would have been asked to be written.
        assert!(matches!(looking.await.unwrap(), Err(BuildError::Act(_))));
    }
}
