//! Wakes a follower when the lease changes, so that it takes over at once when it is released.
//!
//! Only a hint: what the lease says is read again. Where watching is not allowed or fails, the election's own reading
//! every third of the lease remains.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use tokio::time::sleep;
use tracing::debug;

use crate::runner::chain;

/// Pause before the watch is opened again.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn on_change(api: Api<Lease>, name: &str) -> impl Stream<Item = ()> + use<> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    stream::unfold(true, move |first| {
        let (api, params) = (api.clone(), params.clone());
        async move {
            if !first {
                sleep(PAUSE).await;
            }
            Some((open(api, params).await, false))
        }
    })
    .flatten()
}

async fn open(api: Api<Lease>, params: WatchParams) -> BoxStream<'static, ()> {
    match api.watch(&params, "0").await {
        Ok(events) => events
            .filter_map(|event| {
                let changed = matches!(
                    event,
                    Ok(WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_))
                );
                std::future::ready(changed.then_some(()))
            })
            .boxed(),
        Err(error) => {
            debug!(
                error = chain(&error),
                "lease can't be watched, it is read from time to time"
            );
            stream::empty().boxed()
        }
    }
}

/// Waits until the lease changes, at most for `pause`.
pub(super) async fn wait(wake: Option<&mut BoxStream<'static, ()>>, pause: Duration) {
    let Some(wake) = wake else { return sleep(pause).await };
    tokio::select! {
        () = sleep(pause) => {}
        Some(()) = wake.next() => {}
    }
}
