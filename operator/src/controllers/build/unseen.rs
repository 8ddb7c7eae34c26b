//! What this process wrote and the watches have not shown yet.
//!
//! A build's pod may be shown before its own status is: what would be decided then rests on a status that was written
//! over, and every write of it would be refused. So such a look is put off until the status is shown. Nothing rests on
//! this being known: a process that begins anew knows none of it, and every write is safe to repeat.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

/// How long the watches are waited for. After that the API server is asked again, and refuses what is there already.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries from which on what is older than that is forgotten: those of builds that were deleted.
const MANY: usize = 1024;

/// What this process wrote and the watches have not shown yet, by the uid of the build or scan.
#[derive(Default)]
pub(in crate::controllers) struct Unseen {
    /// The version that a status was written over.
    over: Mutex<Notes>,
    /// The pod or job that was made last.
    made: Mutex<Notes>,
}

type Notes = HashMap<String, (String, Instant)>;

impl Unseen {
    /// Whether this process has written a newer status than the watch has shown.
    pub(in crate::controllers) fn is_outdated<K: ResourceExt>(&self, build: &K) -> bool {
        let is_so = is_noted(&self.over, build, build.resource_version().as_deref());
        if !is_so {
            lock(&self.over).remove(&build.uid().unwrap_or_default());
        }
        is_so
    }

    /// A status was written, on what is known of the build.
    pub(in crate::controllers) fn wrote<K: ResourceExt>(&self, build: &K) {
        note(&self.over, build, build.resource_version());
    }

    /// Whether this process made that pod or job a moment ago, and nothing for the build since.
    pub(in crate::controllers) fn has_made<K: ResourceExt>(&self, build: &K, name: &str) -> bool {
        is_noted(&self.made, build, Some(name))
    }

    /// A pod or job was made for the build.
    pub(in crate::controllers) fn made<K: ResourceExt>(&self, build: &K, name: String) {
        note(&self.made, build, Some(name));
    }
}

fn is_noted(notes: &Mutex<Notes>, build: &impl ResourceExt, text: Option<&str>) -> bool {
    let notes = lock(notes);
    let noted = notes.get(&build.uid().unwrap_or_default());
    noted.is_some_and(|(noted, at)| text == Some(noted.as_str()) && at.elapsed() < PATIENCE)
}

fn note(notes: &Mutex<Notes>, build: &impl ResourceExt, text: Option<String>) {
    let (Some(uid), Some(text)) = (build.uid(), text) else {
        return;
    };
    let mut notes = lock(notes);
    if notes.len() >= MANY {
        notes.retain(|_, (_, at)| at.elapsed() < PATIENCE);
    }
    notes.insert(uid, (text, Instant::now()));
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::Build;

    use super::*;

    fn build(uid: &str, version: &str) -> Build {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": "b", "namespace": "tenant-acme", "uid": uid, "resourceVersion": version},
            "spec": {"projectRef": {"name": "web"}, "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_build_is_outdated_until_the_watch_shows_another_version() {
        let unseen = Unseen::default();
        assert!(!unseen.is_outdated(&build("a", "1")));
        unseen.wrote(&build("a", "1"));
        assert!(unseen.is_outdated(&build("a", "1")));
        assert!(
            !unseen.is_outdated(&build("b", "1")),
            "another build of the same version"
        );
        assert!(!unseen.is_outdated(&build("a", "2")));
        assert!(
            !unseen.is_outdated(&build("a", "1")),
            "nothing is kept of what was shown"
        );
    }

    #[test]
    fn a_job_is_made_once_and_the_next_one_is_another() {
        let unseen = Unseen::default();
        unseen.made(&build("a", "1"), "scan-a-1".to_owned());
        assert!(unseen.has_made(&build("a", "2"), "scan-a-1"));
        assert!(!unseen.has_made(&build("a", "2"), "publish-a-1"));
    }

    #[test]
    fn a_pod_that_was_made_is_known_by_its_name_and_its_build() {
        let unseen = Unseen::default();
        unseen.made(&build("a", "1"), "b-build-1".to_owned());
        assert!(unseen.has_made(&build("a", "2"), "b-build-1"));
        assert!(!unseen.has_made(&build("b", "1"), "b-build-1"));
        assert!(!unseen.has_made(&build("a", "2"), "b-build-2"), "the next attempt's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_shows_nothing_is_not_waited_for_any_longer() {
        let unseen = Unseen::default();
        unseen.wrote(&build("a", "1"));
        unseen.made(&build("a", "1"), "scan-a-1".to_owned());
        tokio::time::advance(PATIENCE).await;
        assert!(!unseen.is_outdated(&build("a", "1")));
        assert!(!unseen.has_made(&build("a", "1"), "scan-a-1"));
    }
}
