//! Tells that one object changed, came or went. What it is now, whoever is told reads itself.

use futures::{StreamExt, pin_mut};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::warn;

use crate::caches::Watched;

/// Watches the one object of a name, for as long as the process lives.
pub async fn of<K: Watched>(client: Client, name: String, changed: watch::Sender<u64>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(Api::<K>::all(client), config).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => changed.send_modify(|count| *count += 1),
            Err(error) => warn!(kind = &*K::kind(&()), %error, "watch failed, will be tried again"),
        }
    }
}
