//! ImageScans in the queue. That one was dispatched stands in its status before its job exists, so that nobody is asked
//! for pods: what the status says is so.

use std::sync::Arc;

use imagefactory_core::dispatch::{BuildId, Claim, Doubt, Slot};
use imagefactory_core::image_scan::{self, Situation, Wish, claim, holding, validate, wish};
use imagefactory_crds::ImageScan;
use imagefactory_crds::names::tenant_namespace;
use kube::{Api, ResourceExt};
use tracing::{debug, warn};

use super::feed::PAUSE;
use super::scan_reference;
use crate::context::Context;
use crate::controllers::image_scan::references;
use crate::runner::chain;

/// Every scan that runs has its slot, whatever the limits say.
pub(super) fn hold(context: &Context) {
    for scan in context.stores.image_scans.state() {
        if let Some(holding) = holding(&scan) {
            context.dispatcher.with(|queue| queue.hold(&holding));
        }
    }
}

/// Whatever waits goes to its place before the first slot is given away.
pub(super) fn enter(context: &Context) {
    for scan in context.stores.image_scans.state() {
        let found = references(&scan, context);
        let validated = validate(&scan, found.references(), &context.settings);
        let situation = Situation {
            scan: &scan,
            validated: &validated,
            job: None,
            earlier: None,
            slot: Slot::NotYet,
            settings: &context.settings,
            now: context.now(),
        };
        if let Wish::Slot(application) = wish(situation) {
            context.dispatcher.with(|queue| {
                if !queue.holds(&application.id.uid) {
                    let _ = queue.apply(&application);
                }
            });
        }
    }
}

/// Brings one scan's place up to date.
pub(super) fn look(id: &BuildId, context: &Context) {
    let dispatcher = &context.dispatcher;
    let found = context.stores.image_scans.get(&scan_reference(id));
    let Some(scan) = found.filter(|scan| scan.uid().as_deref() == Some(&*id.uid)) else {
        dispatcher.withdraw(id);
        return;
    };
    match claim(scan.status.as_ref()) {
        Claim::Settled => dispatcher.with(|queue| queue.release(id, u32::MAX)),
        Claim::Waits { turn } => dispatcher.with(|queue| queue.release(id, turn.saturating_sub(1))),
        Claim::Holds { .. } => {
            if let Some(holding) = holding(&scan) {
                dispatcher.with(|queue| queue.hold(&holding));
            }
        }
    }
}

/// Asks the API server whether a scan that was granted a slot, and wants none any more, has begun to use it.
pub(super) async fn find_out(doubt: Doubt, context: Arc<Context>) {
    let scans: Api<ImageScan> = Api::namespaced(context.client.clone(), &tenant_namespace(&doubt.id.tenant));
    // A pass that was given the slot may be about to write that it begins.
    context.dispatcher.passes.over(&doubt.id.uid).await;
    loop {
        match scans.get_opt(&doubt.id.name).await {
            Ok(found) => {
                let found = found.filter(|scan| scan.uid().as_deref() == Some(&*doubt.id.uid));
                // One that runs ends by an event.
                if found.as_ref().and_then(image_scan::holding).is_none() {
                    debug!(scan = &*doubt.id.name, "slot is given back");
                    context.dispatcher.with(|queue| queue.dispel(&doubt));
                }
                return;
            }
            Err(error) => {
                warn!(error = chain(&error), "could not ask for a scan");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_core::image_scan::id_of;
    use kube::core::DeserializeGuard;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::Hubs;

    fn scan(status: &serde_json::Value) -> ImageScan {
        object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
            "metadata": {"name": "s", "namespace": "tenant-acme", "uid": "u", "resourceVersion": "1"},
            "spec": {"projectRef": {"name": "web"}, "image": "registry.example.com/output/acme/web:1"},
            "status": status,
        }))
    }

    fn show(hubs: &Hubs, scan: ImageScan) {
        assert_eq!(hubs.image_scans.take(Event::Apply(DeserializeGuard(Ok(scan)))), None);
    }

    fn running() -> ImageScan {
        scan(&json!({"observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z"}))
    }

    fn ended() -> ImageScan {
        scan(
            &json!({"observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z", "conditions": [{
                "type": "Succeeded", "status": "True", "reason": "Scanned", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]}),
        )
    }

    #[tokio::test]
    async fn a_scan_that_runs_has_a_slot_of_its_tenant_until_it_has_ended() {
        let hubs = Hubs::default();
        show(&hubs, running());
        let context = context(server().0, &hubs);
        hold(&context);
        context.dispatcher.open_empty();
        assert_eq!(context.dispatcher.slots_of("acme"), Some(1));
        show(&hubs, ended());
        look(&id_of(&ended()).unwrap(), &context);
        assert_eq!(context.dispatcher.slots_of("acme"), Some(0));
    }

    #[tokio::test]
    async fn a_slot_in_doubt_goes_back_when_the_scan_never_began_and_stays_when_it_did() {
        for (found, left) in [(scan(&json!(null)), 0), (running(), 1)] {
            let (client, mut server) = server();
            let hubs = Hubs::default();
            let context = context(client, &hubs);
            let holding = holding(&running()).unwrap();
            context.dispatcher.with(|queue| queue.hold(&holding));
            context.dispatcher.open_empty();
            look(&holding.id, &context);
            let doubt = context.dispatcher.with(|queue| queue.withdraw(&holding.id)).unwrap();
            let asking = tokio::spawn(find_out(doubt, context.clone()));
            let path = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/imagescans/s";
            let answer = serde_json::to_value(&found).unwrap();
            server.expect(&format!("GET {path}")).await.answer(200, &answer);
            asking.await.unwrap();
            assert_eq!(context.dispatcher.slots_of("acme"), Some(left));
        }
    }
}
