//! The hash that binds a verdict to the policy it came from.

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::digest::{canonical, sha256};

/// `sha256:` and the hash of the spec's canonical JSON: keys in order, no white space, defaults filled in. It does not
/// depend on the order of fields; the order of lists is part of the policy.
#[must_use]
pub fn hash(spec: &ImagePolicySpec) -> String {
    sha256(canonical(spec))
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
