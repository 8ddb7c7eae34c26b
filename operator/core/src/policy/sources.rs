//! What an image may be made from.

use imagefactory_crds::ImagePolicySpec;

use super::causes;
use crate::reference::{lies_under, repository_of};
use crate::step::BuildFacts;

/// What the allowed sources of a policy say about a build.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Why nothing can be said.
    pub(super) unknown: Vec<String>,
    /// What is not allowed.
    pub(super) broken: Vec<String>,
}

/// Looks at everything that the build was made from.
pub(super) fn judge(policy: &ImagePolicySpec, build: Option<&BuildFacts>) -> Said {
    let mut said = Said::default();
    let Some(allowed) = &policy.allowed_sources else {
        return said;
    };
    if allowed.bases.is_empty() && allowed.git.is_empty() {
        return said;
    }
    let Some(build) = build else {
        said.unknown
            .push("the policy allows certain sources only, and how the image was made is not known".to_owned());
        return said;
    };
    if !allowed.bases.is_empty() {
        match build.known_bases() {
            Ok(bases) => {
                let refused = bases.iter().filter(|base| {
                    let repository = repository_of(&base.reference);
                    !allowed.bases.iter().any(|prefix| lies_under(&repository, prefix))
                });
                let refused: Vec<String> = refused.map(|base| causes::word(&base.reference)).collect();
                if !refused.is_empty() {
                    let head = "image of the build outside what the policy allows";
                    said.broken.push(causes::listed(head, refused));
                }
            }
            Err(why) => said
                .unknown
                .push(format!("the policy allows certain bases only, and {why}")),
        }
    }
    said.broken
        .extend(git_refused(policy, &build.source, build.git_url.as_deref()));
    said
}

/// Why a policy does not allow this source; none where it does. What kind of source it is and its URL are known
/// before anything is built.
#[must_use]
pub fn git_refused(policy: &ImagePolicySpec, source: &str, git_url: Option<&str>) -> Option<String> {
    let git = policy.allowed_sources.as_ref().map(|allowed| allowed.git.as_slice())?;
    if git.is_empty() {
        return None;
    }
    let Some(url) = git_url else {
        return Some(format!(
            "the policy allows certain Git repositories only, and the source is {source}"
        ));
    };
    let allowed = repository(url).is_some_and(|repository| {
        git.iter()
            .any(|prefix| lies_under(repository, prefix.strip_suffix(".git").unwrap_or(prefix)))
    });
    (!allowed).then(|| format!("the Git repository {} is outside what the policy allows", cut(url)))
}

/// Host and path of a Git repository's URL. What is not as plain as the schema wants it is none.
fn repository(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.~+-/:".contains(c);
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix(".git").unwrap_or(rest);
    rest.chars().all(plain).then_some(rest)
}

/// The end of a long URL says more than its beginning.
fn cut(url: &str) -> String {
    const MOST: usize = 100;
    let length = url.chars().count();
    let tail: String = url.chars().skip(length.saturating_sub(MOST)).collect();
    let tail = causes::sentence(&tail);
    if length > MOST { format!("…{tail}") } else { tail }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::build::BaseImage;

    use super::*;

    #[test]
    fn a_base_that_a_mirror_of_the_builds_own_gave_is_judged_as_the_mirrors() {
        let policy = serde_json::from_value(serde_json::json!({
            "allowedSources": {"bases": ["registry.example.com/hardened"]},
        }));
        let policy: ImagePolicySpec = policy.unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        let mirrored = "registry.example.com/output/acme/m/hardened/debian";
        for (reference, allowed) in [
            ("registry.example.com/hardened/debian:12".to_owned(), true),
            (format!("registry.example.com/hardened/debian@{digest}"), true),
            (format!("{mirrored}:12"), false),
            (format!("{mirrored}@{digest}"), false),
        ] {
            let base = BaseImage {
                reference: reference.clone(),
                digest: digest.as_str().into(),
            };
            let build = BuildFacts {
                bases: vec![base],
                ..BuildFacts::default()
            };
            let said = judge(&policy, Some(&build));
            assert!(said.unknown.is_empty(), "{reference}");
            assert_eq!(said.broken.is_empty(), allowed, "{reference}: {:?}", said.broken);
        }
    }
}
