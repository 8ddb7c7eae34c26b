//! Whether the process lives and is ready: named gates that also say what they wait for.
//!
//! A gate is a closure that looks when somebody asks, so that nothing has to remember to report.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::watches::{Heartbeats, Hub, Hubs, Watched};

/// Longest silence of a watch before its cache counts as too old. Bookmarks come about every minute.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(300);

type Look = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Named gates. Cloning gives another handle to the same ones.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<Vec<(&'static str, Look)>>>);

/// A gate as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    /// Name of the gate.
    pub name: &'static str,
    /// What it waits for; none while it is open.
    pub waits_for: Option<String>,
}

impl Gates {
    /// Adds a gate: `look` says what it waits for, or nothing.
    pub fn add(&self, name: &'static str, look: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name, Arc::new(look)));
    }

    /// Adds a gate for a watch: its first list was read, and it was heard of lately.
    pub fn add_watch<K: Watched>(&self, resource: &'static str, hub: &Hub<K>, heartbeats: &Heartbeats) {
        let (hub, heartbeats) = (hub.clone(), heartbeats.clone());
        self.add(resource, move || {
            watch_waits_for(resource, hub.is_synced(), heartbeats.silence(resource))
        });
    }

    /// Adds a gate for the API server, and one for each watch.
    pub fn add_watches(&self, hubs: &Hubs, heartbeats: &Heartbeats) {
        let heard = heartbeats.clone();
        self.add("api", move || {
            heard.all().is_empty().then(|| "an answer of the API server".to_owned())
        });
        for (index, (resource, _)) in hubs.synced().into_iter().enumerate() {
            let (hubs, heartbeats) = (hubs.clone(), heartbeats.clone());
            self.add(resource, move || {
                watch_waits_for(resource, hubs.synced()[index].1, heartbeats.silence(resource))
            });
        }
    }

    /// All gates as they stand now.
    #[must_use]
    pub fn states(&self) -> Vec<GateState> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gates
            .into_iter()
            .map(|(name, look)| GateState {
                name,
                waits_for: look(),
            })
            .collect()
    }

    /// Whether every gate is open.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.states().iter().all(|gate| gate.waits_for.is_none())
    }
}

impl Debug for Gates {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}

/// What a watch waits for.
#[must_use]
pub fn watch_waits_for(resource: &str, synced: bool, silence: Option<Duration>) -> Option<String> {
    match silence {
        None => Some(format!(
            "the first list of {resource}: is its definition installed, and may we list it?"
        )),
        Some(_) if !synced => Some(format!("the end of the first list of {resource}")),
        Some(silence) if silence > LONGEST_SILENCE => Some(format!(
            "news of {resource}: nothing was heard for {} seconds",
            silence.as_secs()
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagefactory_crds::Project;

    #[test]
    fn a_watch_waits_for_its_list_its_end_and_then_for_silence_to_end() {
        let silent = |seconds| Some(Duration::from_secs(seconds));
        let says = |synced, silence| watch_waits_for("builds", synced, silence).unwrap_or_default();
        assert!(says(false, None).contains("is its definition installed"));
        assert!(says(false, silent(1)).contains("the end of the first list"));
        assert_eq!(says(true, silent(300)), "");
        assert!(says(true, silent(301)).contains("301 seconds"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_closes_again_when_its_watch_falls_silent() {
        let (gates, hub, beats) = (Gates::default(), Hub::<Project>::default(), Heartbeats::default());
        gates.add_watch("projects", &hub, &beats);
        assert!(!gates.are_open());
        beats.beat("projects");
        hub.take(kube::runtime::watcher::Event::Init);
        hub.take(kube::runtime::watcher::Event::InitDone);
        assert!(gates.are_open());
        tokio::time::advance(Duration::from_secs(301)).await;
        assert!(!gates.are_open());
    }

    #[test]
    fn every_watch_has_a_gate() {
        let gates = Gates::default();
        gates.add_watches(&Hubs::default(), &Heartbeats::default());
        let names: Vec<_> = gates.states().into_iter().map(|gate| gate.name).collect();
        assert_eq!(names.len(), 13);
        assert!(names.contains(&"api") && names.contains(&"imagepolicies"));
    }
}
