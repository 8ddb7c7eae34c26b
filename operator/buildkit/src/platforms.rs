//! Which platforms' programs the node can run: BuildKit tries a small program of each at its start, which is surer than
//! reading what is registered in binfmt_misc, and sees what is registered for this container alone.

use serde::Deserialize;

use crate::tail::Tail;

/// What the kernel's refusal of a foreign program looks like in a build's log.
const REFUSAL: &str = "exec format error";

#[derive(Deserialize)]
struct Worker {
    #[serde(default)]
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// Platforms in the answer of `buildctl debug workers`; none where it is no answer.
#[must_use]
pub fn read_platforms(answer: &[u8]) -> Vec<String> {
    let workers: Vec<Worker> = serde_json::from_slice(answer).unwrap_or_default();
    workers
        .into_iter()
        .flat_map(|worker| worker.platforms)
        .map(|platform| name(&platform.os, &platform.architecture, &platform.variant))
        .collect()
}

fn name(os: &str, architecture: &str, variant: &str) -> String {
    match variant {
        "" => format!("{os}/{architecture}"),
        variant => format!("{os}/{architecture}/{variant}"),
    }
}

/// The platforms of a build that are not among those that can be run. A variant is passed over where its architecture
/// is known: whether a program needs it, the program shows.
#[must_use]
pub fn not_runnable<'a>(wanted: &'a [String], runnable: &[String]) -> Vec<&'a str> {
    wanted
        .iter()
        .filter(|platform| {
            !runnable
                .iter()
                .any(|known| without_variant(known) == without_variant(platform))
        })
        .map(String::as_str)
        .collect()
}

fn without_variant(platform: &str) -> (&str, &str) {
    let mut parts = platform.splitn(3, '/');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The platforms whose emulation a failed build missed, by the end of its log. A Dockerfile can print the same words: it
/// then gets another message for a failure that was its own.
#[must_use]
pub fn wanted_in_vain(foreign: &[&str], log: &Tail) -> Option<String> {
    (!foreign.is_empty() && log.contains(REFUSAL)).then(|| foreign.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_from_what_buildctl_says() {
        let answer = br#"[{"id":"x","labels":{},"platforms":[{"architecture":"amd64","os":"linux"},{"architecture":"arm","os":"linux","variant":"v7"}]}]"#;
        assert_eq!(read_platforms(answer), ["linux/amd64", "linux/arm/v7"]);
        assert!(read_platforms(b"not json").is_empty());
    }

    #[test]
    fn a_platform_that_can_be_run_is_not_foreign() {
        let wanted = ["linux/amd64".to_owned(), "linux/arm64/v8".to_owned()];
        let runnable = ["linux/amd64".to_owned(), "linux/amd64/v2".to_owned()];
        assert_eq!(not_runnable(&wanted, &runnable), ["linux/arm64/v8"]);
        let emulated = ["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        assert!(not_runnable(&wanted, &emulated).is_empty());
    }

    #[test]
    fn emulation_is_missed_only_by_a_build_for_a_foreign_platform() {
        let mut log = Tail::default();
        log.keep(b"#7 0.1 exec /bin/sh: exec format error\n");
        assert_eq!(wanted_in_vain(&["linux/arm64"], &log).as_deref(), Some("linux/arm64"));
        assert_eq!(wanted_in_vain(&[], &log), None);
        assert_eq!(wanted_in_vain(&["linux/arm64"], &Tail::default()), None);
    }
}
