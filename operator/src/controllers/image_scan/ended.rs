//! A scan that has ended: what still runs for it is ended, and its logs are told when they are safe.
//!
//! The stores keep little of such a scan ([`crate::watches::trim`]). So it is not asked what it would scan, and before its
//! status is written, the whole of it is read: a status that is applied takes away what it does not name.

use imagefactory_core::build::Refusal;
use imagefactory_core::dispatch::Slot;
use imagefactory_core::image_scan::{Plan, Situation, plan};
use imagefactory_crds::ImageScan;

use super::observe::Observed;
use super::{ImageScanError, UNSEEN, act, with_logs};
use crate::context::Context;
use crate::controllers::build::unseen::Unseen;
use crate::controllers::whole::whole;
use crate::runner::Outcome;

pub(super) async fn pass(
    scan: &ImageScan,
    observed: &Observed,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, ImageScanError> {
    let refusal = Err(Refusal::of_ended());
    let situation = |scan| Situation {
        scan,
        validated: &refusal,
        job: observed.job.as_ref(),
        earlier: observed.earlier.as_ref(),
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    let planned = planned(situation(scan), context);
    let says = planned.status.as_ref();
    if says.is_none_or(|status| Some(status) == scan.status.as_ref()) {
        return act::act(situation(scan), planned, context, unseen).await;
    }
    let Some(whole) = whole(scan, context).await? else {
        return Ok(Outcome::waiting().again_after(UNSEEN));
    };
    let planned = self::planned(situation(&whole), context);
    act::act(situation(&whole), planned, context, unseen).await
}

fn planned(situation: Situation<'_>, context: &Context) -> Plan {
    with_logs(plan(situation), situation, context)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::{Hubs, trim};

    const PATH: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/imagescans/s";

    /// A scan that has ended, as the API server has it.
    fn ended(observed_generation: i64) -> Value {
        json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
            "metadata": {"name": "s", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "7", "generation": 2},
            "spec": {"projectRef": {"name": "web"}, "cancelled": true, "image": "registry.example.com/output/acme/web:1"},
            "status": {
                "observedGeneration": observed_generation, "phase": "Failed", "attempts": 1,
                "conditions": [{
                    "type": "Succeeded", "status": "False", "reason": "Pull", "message": "It is not there.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "digest": format!("sha256:{}", "a".repeat(64)),
                "failure": {"class": "Pull", "reason": "NotFound", "message": "It is not there.", "next": "Look."},
            },
        })
    }

    fn kept(observed_generation: i64) -> ImageScan {
        let mut scan: ImageScan = object(ended(observed_generation));
        trim::image_scan(&mut scan);
        assert_eq!(
            scan.status.as_ref().unwrap().failure,
            None,
            "the stores do not hold why"
        );
        scan
    }

    fn looking(scan: ImageScan, context: std::sync::Arc<Context>) -> tokio::task::JoinHandle<Outcome> {
        tokio::spawn(async move {
            let passed = pass(&scan, &Observed::default(), &context, &Unseen::default()).await;
            passed.unwrap()
        })
    }

    #[tokio::test]
    async fn what_is_written_of_an_ended_scan_is_written_over_the_whole_of_it() {
        let (client, mut server) = server();
        let looking = looking(kept(1), context(client, &Hubs::default()));
        server.expect(&format!("GET {PATH}")).await.answer(200, &ended(1));
        let written = server.expect(&format!("PATCH {PATH}/status")).await;
        let status = &written.body["status"];
        assert_eq!(status["observedGeneration"], 2);
        assert_eq!(status["failure"]["message"], "It is not there.");
        assert_eq!(status["digest"], ended(1)["status"]["digest"]);
        written.answer(200, &ended(2));
        looking.await.unwrap();
    }

    #[tokio::test]
    async fn an_ended_scan_that_has_nothing_to_say_costs_no_request() {
        let (client, mut server) = server();
        let context = context(client, &Hubs::default());
        let looking = looking(kept(2), context.clone());
        assert_eq!(looking.await.unwrap(), Outcome::unchanged());
        assert!(server.is_quiet_for(std::time::Duration::from_millis(20)).await);
    }

    #[tokio::test]
    async fn an_ended_scan_whose_name_another_has_now_is_not_written() {
        let (client, mut server) = server();
        let context = context(client, &Hubs::default());
        let looking = looking(kept(1), context.clone());
        let asked = server.asked().await;
        let mut another = ended(1);
        another["metadata"]["uid"] = "v".into();
        asked.answer(200, &another);
        assert_eq!(looking.await.unwrap(), Outcome::waiting().again_after(UNSEEN));
        assert!(server.is_quiet_for(std::time::Duration::from_millis(20)).await);
    }
}
