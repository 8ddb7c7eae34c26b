//! Passes of the build controller that go on. While one does, it may still make the pod that nobody sees yet: whether a
//! slot is in use is asked when it is over (docs/decisions/0014).

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Uids of the builds that are being looked at.
#[derive(Clone, Default)]
pub(super) struct Passes(Arc<watch::Sender<HashSet<String>>>);

/// A pass that goes on until this is dropped.
#[must_use]
pub struct Pass {
    passes: Passes,
    uid: String,
}

impl Passes {
    /// A pass over this build begins. There is one at a time.
    pub(super) fn begin(&self, uid: String) -> Pass {
        self.0.send_modify(|going_on| {
            going_on.insert(uid.clone());
        });
        Pass {
            passes: self.clone(),
            uid,
        }
    }

    /// Waits until no pass over this build goes on.
    pub(super) async fn over(&self, uid: &str) {
        // The sender is ours: it is not closed.
        let _ = self.0.subscribe().wait_for(|going_on| !going_on.contains(uid)).await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.passes.0.send_modify(|going_on| {
            going_on.remove(&self.uid);
        });
    }
}
