//! Nothing is written by a process whose time as leader is over, not even before it has noticed: a process that was
//! frozen and goes on has reconciles in flight, which know nothing of the lease.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower::BoxError;

/// Until when this process may write. Closed until it leads.
#[derive(Clone, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

/// A write of a process that does not lead (any more).
#[derive(Debug, thiserror::Error)]
#[error("this process may not write: its time as leader is over")]
pub struct Fenced;

impl Fence {
    pub(super) fn open_until(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether this process may write now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.is_some_and(|end| Instant::now() < end)
    }

    /// The client, for one that writes only as leader. The election itself has another.
    #[must_use]
    pub fn around(self, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let client = client.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, fence) = (client.clone(), self.clone());
            async move {
                // Looked at as late as possible: just before the request goes out.
                let reads = matches!(*request.method(), Method::GET | Method::HEAD);
                if !reads && !fence.is_open() {
                    return Err(BoxError::from(Fenced));
                }
                client.send(request).await.map_err(BoxError::from)
            }
        });
        Client::new(service, namespace)
    }
}
