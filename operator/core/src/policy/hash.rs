//! The hash that binds a verdict to the policy it came from.

use std::fmt::Write as _;

use imagefactory_crds::ImagePolicySpec;
use serde_json::Value;

use crate::digest::sha256;

/// `sha256:` and the hash of the spec's canonical JSON: keys in order, no white space, defaults filled in. It does not
/// depend on the order of fields; the order of lists is part of the policy.
#[must_use]
pub fn hash(spec: &ImagePolicySpec) -> String {
    // A struct of strings, numbers and lists has no value that JSON can't hold.
    let value = serde_json::to_value(spec).unwrap_or(Value::Null);
    let mut text = String::new();
    write_canonical(&mut text, &value);
    sha256(text)
}

/// Keys are put in order here, because a dependency's feature decides whether `serde_json` does so.
fn write_canonical(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            write_list(
                text,
                ['{', '}'],
                keys.into_iter().filter_map(|key| map.get_key_value(key)),
                |text, (key, value)| {
                    let _ = write!(text, "{}:", Value::String(key.clone()));
                    write_canonical(text, value);
                },
            );
        }
        Value::Array(list) => write_list(text, ['[', ']'], list.iter(), write_canonical),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

fn write_list<T>(
    text: &mut String,
    [open, close]: [char; 2],
    entries: impl Iterator<Item = T>,
    entry: fn(&mut String, T),
) {
    text.push(open);
    for (position, item) in entries.enumerate() {
        if position > 0 {
            text.push(',');
        }
        entry(text, item);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ImagePolicySpec {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn the_order_of_fields_and_defaults_that_are_written_out_change_nothing() {
        let short = spec("maxVulnerabilities: {critical: 0, high: 5}\nmaxCvss: '6.9'");
        let long = spec(
            "maxCvss: '6.9'\nsbom: Required\nignoreUnfixed: false\nmode: Enforce\nmaxVulnerabilities: {high: 5, critical: 0}",
        );
        assert_eq!(hash(&short), hash(&long));
    }

    #[test]
    fn every_field_is_part_of_the_hash() {
        let variants = [
            "{}",
            "mode: DryRun",
            "maxVulnerabilities: {critical: 0}",
            "maxVulnerabilities: {critical: 1}",
            "maxVulnerabilities: {high: 0}",
            "maxVulnerabilities: {medium: 0}",
            "maxVulnerabilities: {low: 0}",
            "maxVulnerabilities: {unknown: 0}",
            "maxVulnerabilities: {}",
            "maxCvss: '0'",
            "ignoreUnfixed: true",
            "deniedLicences: [MIT]",
            "deniedPackages: [MIT]",
            "deniedPackages: [a, b]",
            "sbom: Optional",
            "rules: [{name: a, expression: 'true', message: m}]",
            "rules: [{name: b, expression: 'true', message: m}]",
            "rules: [{name: a, expression: 'false', message: m}]",
            "rules: [{name: a, expression: 'true', message: n}]",
            "allowedSources: {}",
            "allowedSources: {bases: [a.io]}",
            "allowedSources: {git: [a.io]}",
            "maxEvidenceAge: 24h",
            "maxEvidenceAge: 25h",
        ];
        let hashes: std::collections::BTreeSet<String> = variants.iter().map(|text| hash(&spec(text))).collect();
        assert_eq!(hashes.len(), variants.len());
    }

    #[test]
    fn the_canonical_text_has_keys_in_order_and_no_white_space() {
        let mut text = String::new();
        write_canonical(
            &mut text,
            &serde_json::json!({"b": [1, {"d": null, "c": "x\"\n"}], "a": true}),
        );
        assert_eq!(text, r#"{"a":true,"b":[1,{"c":"x\"\n","d":null}]}"#);
    }

    /// Stored verdicts name this hash: a change of it means that every policy seems to have changed.
    #[test]
    fn the_hash_of_a_known_policy_stays_as_it_is() {
        insta::assert_snapshot!(
            hash(&spec(
                "mode: DryRun\nmaxVulnerabilities: {critical: 0, high: 3}\nmaxCvss: '8.9'\nignoreUnfixed: true\n\
                 deniedLicences: [AGPL-3.0-only]\ndeniedPackages: [telnet, pkg:npm/event-stream]\nsbom: Required"
            )),
            @"sha256:6717c15dfbf2265118e10f57b988dbebb0fb4ab5ec6df91db4a5b7ca9a585972"
        );
    }
}
