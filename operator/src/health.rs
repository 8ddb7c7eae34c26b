//! Whether the watches are alive, as gates.

use std::time::Duration;

use imagefactory_serving::Gates;

use crate::watches::{Heartbeats, Hub, Hubs, Watched};

/// Longest silence of a watch before its cache counts as too old. Bookmarks come about every minute.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Adds a gate for a watch: its first list was read, and it was heard of lately.
pub fn add_watch<K: Watched>(gates: &Gates, resource: &'static str, hub: &Hub<K>, heartbeats: &Heartbeats) {
    let (hub, heartbeats) = (hub.clone(), heartbeats.clone());
    gates.add(resource, move || {
        watch_waits_for(resource, hub.is_synced(), heartbeats.silence(resource))
    });
}

/// Adds a gate for the API server, and one for each watch.
pub fn add_watches(gates: &Gates, hubs: &Hubs, heartbeats: &Heartbeats) {
    let heard = heartbeats.clone();
    gates.add("api", move || {
        heard.all().is_empty().then(|| "an answer of the API server".to_owned())
    });
    for (index, (resource, _)) in hubs.synced().into_iter().enumerate() {
        let (hubs, heartbeats) = (hubs.clone(), heartbeats.clone());
        gates.add(resource, move || {
            watch_waits_for(resource, hubs.synced()[index].1, heartbeats.silence(resource))
        });
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
        add_watch(&gates, "projects", &hub, &beats);
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
        add_watches(&gates, &Hubs::default(), &Heartbeats::default());
        let names: Vec<_> = gates.states().into_iter().map(|gate| gate.name).collect();
        assert_eq!(names.len(), 13);
        assert!(names.contains(&"api") && names.contains(&"imagepolicies"));
    }
}
