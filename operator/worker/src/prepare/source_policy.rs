//! BuildKit's source policy: it loads the images that were pinned, what lies in the pod, and nothing else. What our
//! reader of Dockerfiles did not see, or saw otherwise than BuildKit does, is denied there.

use serde_json::{Value, json};

/// The policy. `pinned`: names with digest, spelt as [`super::bases::Pinned::name`] spells them.
pub(super) fn policy<'a>(pinned: impl Iterator<Item = &'a str>) -> String {
    let rule = |action: &str, match_type: &str, identifier: String| json!({ "action": action, "selector": { "identifier": identifier, "match_type": match_type } });
    // Of several rules that match, the last one counts.
    let mut rules: Vec<Value> = vec![
        rule("DENY", "WILDCARD", "*".to_owned()),
        // The context and the Dockerfile, as the builder hands them over.
        rule("ALLOW", "EXACT", "local://context".to_owned()),
        rule("ALLOW", "EXACT", "local://dockerfile".to_owned()),
    ];
    rules.extend(pinned.map(|name| rule("ALLOW", "EXACT", format!("docker-image://{name}"))));
    json!({ "version": 1, "rules": rules }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_denied_but_what_is_pinned_and_what_lies_in_the_pod() {
        let text = policy(["docker.io/library/debian:12@sha256:00"].into_iter());
        let policy: Value = serde_json::from_str(&text).unwrap();
        let said: Vec<_> = policy["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| {
                let selector = &rule["selector"];
                [&rule["action"], &selector["match_type"], &selector["identifier"]].map(|text| text.as_str().unwrap())
            })
            .collect();
        assert_eq!(
            said,
            [
                ["DENY", "WILDCARD", "*"],
                ["ALLOW", "EXACT", "local://context"],
                ["ALLOW", "EXACT", "local://dockerfile"],
                ["ALLOW", "EXACT", "docker-image://docker.io/library/debian:12@sha256:00"],
            ]
        );
        assert_eq!(policy["version"], 1);
    }
}
