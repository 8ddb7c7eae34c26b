//! Denied packages and licences, looked for in the report and in the SBOM, without regard to case.

use std::collections::{BTreeMap, HashSet};

use imagefactory_crds::ImagePolicySpec;

use super::causes;
use crate::scan::{Report, Sbom};

/// A package as any of the evidence lists it.
struct Listed<'a> {
    name: &'a str,
    group: Option<&'a str>,
    version: &'a str,
    purl: Option<&'a str>,
    licences: &'a [String],
}

/// Which denied packages and licences are there, one cause for each kind.
pub(super) fn found(policy: &ImagePolicySpec, report: Option<&Report>, sbom: Option<&Sbom>) -> Vec<String> {
    let packages = packages(policy, everything(report, sbom));
    let licences = licences(policy, everything(report, sbom));
    [packages, licences].into_iter().flatten().collect()
}

fn packages<'a>(policy: &ImagePolicySpec, everything: impl Iterator<Item = Listed<'a>>) -> Option<String> {
    let denied: HashSet<String> = policy.denied_packages.iter().map(|denied| denied_key(denied)).collect();
    let mut found = BTreeMap::new();
    let is_denied = |listed: &Listed<'_>| package_keys(listed).iter().any(|key| denied.contains(key));
    for listed in everything.filter(|listed| !denied.is_empty() && is_denied(listed)) {
        add(&mut found, &listed, causes::named(listed.name, listed.version));
    }
    counted(found, ["denied package", "denied packages"])
}

fn licences<'a>(policy: &ImagePolicySpec, everything: impl Iterator<Item = Listed<'a>>) -> Option<String> {
    let denied: HashSet<String> = policy
        .denied_licences
        .iter()
        .map(|denied| licence_key(denied))
        .collect();
    let mut found = BTreeMap::new();
    let is_denied = |text: &&String| !denied.is_empty() && licence_keys(text).any(|key| denied.contains(&key));
    for listed in everything {
        for text in listed.licences.iter().filter(is_denied) {
            let name = causes::named(listed.name, listed.version);
            add(&mut found, &listed, format!("{name}: {}", causes::word(text)));
        }
    }
    counted(
        found,
        ["package with a denied licence", "packages with a denied licence"],
    )
}

/// Report and SBOM call one package by different names, with its group and without. It is told by its last word and
/// its version, and of two texts the lesser stays, so that the order of the evidence says nothing.
fn add<'a>(found: &mut BTreeMap<(&'a str, &'a str), String>, listed: &Listed<'a>, text: String) {
    let name = listed.name.rsplit([':', '/']).next().unwrap_or(listed.name);
    let known = found.entry((name, listed.version)).or_insert_with(|| text.clone());
    if text < *known {
        *known = text;
    }
}

fn counted(found: BTreeMap<(&str, &str), String>, [one, many]: [&str; 2]) -> Option<String> {
    let head = match found.len() {
        0 => return None,
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    Some(causes::listed(&head, found.into_values().collect()))
}

/// Every package of the evidence: those that the report lists, those that its findings name, those of the SBOM.
fn everything<'a>(report: Option<&'a Report>, sbom: Option<&'a Sbom>) -> impl Iterator<Item = Listed<'a>> {
    let packages = report
        .into_iter()
        .flat_map(|report| &report.packages)
        .map(|package| Listed {
            name: &package.name,
            group: None,
            version: &package.version,
            purl: package.purl.as_deref(),
            licences: &package.licences,
        });
    let findings = report
        .into_iter()
        .flat_map(|report| &report.findings)
        .map(|finding| Listed {
            name: &finding.package,
            group: None,
            version: &finding.version,
            purl: finding.purl.as_deref(),
            licences: &[],
        });
    let components = sbom
        .into_iter()
        .flat_map(|sbom| &sbom.components)
        .map(|component| Listed {
            name: &component.name,
            group: component.group.as_deref(),
            version: &component.version,
            purl: component.purl.as_deref(),
            licences: &component.licences,
        });
    packages.chain(findings).chain(components)
}

/// All that a policy may call this package: its name, alone and with its group, the name in its package URL, and the
/// package URL without a version.
fn package_keys(listed: &Listed<'_>) -> Vec<String> {
    let mut keys = vec![listed.name.to_lowercase()];
    if let Some(group) = listed.group {
        keys.extend([
            format!("{group}:{}", listed.name).to_lowercase(),
            format!("{group}/{}", listed.name).to_lowercase(),
        ]);
    }
    if let Some(purl) = listed.purl {
        let key = purl_key(purl);
        keys.extend(key.rsplit('/').next().map(str::to_owned));
        keys.push(key);
    }
    keys
}

fn denied_key(denied: &str) -> String {
    if denied.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("pkg:")) {
        purl_key(denied)
    } else {
        denied.to_lowercase()
    }
}

/// A package URL without version, qualifiers and subpath, decoded, in lower case.
fn purl_key(purl: &str) -> String {
    let base = purl.split(['?', '#']).next().unwrap_or(purl);
    // The `@` of a version follows a name; one after a slash begins an npm scope that was not encoded.
    let version = base
        .match_indices('@')
        .map(|(at, _)| at)
        .find(|at| !base.get(..*at).is_none_or(|name| name.ends_with('/')));
    let name = version.and_then(|at| base.get(..at)).unwrap_or(base);
    decode(name).to_lowercase()
}

/// Resolves percent-encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = code
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All licences that a text mentions: the whole of it, and each part of an expression. A licence that is one of
/// several to choose from, or that an exception softens, counts too: a policy that denies it wants to know.
fn licence_keys(text: &str) -> impl Iterator<Item = String> {
    let is_operator = |word: &str| {
        ["and", "or", "with"]
            .iter()
            .any(|operator| word.eq_ignore_ascii_case(operator))
    };
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '/' | ',' | ';' | '|'))
        .filter(|word| !word.is_empty())
        .collect();
    let operands: Vec<String> = words
        .split(|word| is_operator(word))
        .map(|operand| operand.join(" "))
        .collect();
    let single = words.into_iter().map(licence_key).collect::<Vec<_>>();
    std::iter::once(licence_key(text))
        .chain(operands.into_iter().map(|operand| licence_key(&operand)))
        .chain(single)
}

/// A licence in lower case; old names of the GNU licences (`GPL-2.0`, `GPL-2.0+`) as SPDX names them today.
fn licence_key(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let is_gnu = ["gpl-", "lgpl-", "agpl-", "gfdl-"]
        .iter()
        .any(|family| name.starts_with(family));
    match name.strip_suffix('+') {
        Some(base) if is_gnu => format!("{base}-or-later"),
        None if is_gnu && !name.ends_with("-only") && !name.ends_with("-or-later") => format!("{name}-only"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_is_compared_without_version_qualifiers_and_case() {
        for (purl, key) in [
            ("pkg:npm/event-stream@3.3.6", "pkg:npm/event-stream"),
            ("pkg:npm/%40angular/core@1.0.0", "pkg:npm/@angular/core"),
            ("pkg:npm/@angular/core@1.0.0", "pkg:npm/@angular/core"),
            ("pkg:npm/@angular/core", "pkg:npm/@angular/core"),
            (
                "pkg:deb/debian/Bash@5.0-4?arch=amd64&distro=debian-10.1",
                "pkg:deb/debian/bash",
            ),
            ("pkg:golang/github.com/a/b@v1.0.0#sub/dir", "pkg:golang/github.com/a/b"),
            ("pkg:generic/a@1/2", "pkg:generic/a"),
            ("pkg:generic/100%", "pkg:generic/100%"),
            ("pkg:generic/a%zzb", "pkg:generic/a%zzb"),
            ("pkg:generic/a%+1b", "pkg:generic/a%+1b"),
            ("", ""),
        ] {
            assert_eq!(purl_key(purl), key, "{purl}");
        }
    }

    #[test]
    fn every_licence_of_an_expression_is_found() {
        let keys = |text: &str| licence_keys(text).collect::<HashSet<_>>();
        for (text, licence) in [
            ("AGPL-3.0-only", "agpl-3.0-only"),
            ("MIT OR AGPL-3.0-only", "agpl-3.0-only"),
            ("(MIT and (AGPL-3.0-only))", "agpl-3.0-only"),
            ("GPL-2.0-only WITH Classpath-exception-2.0", "gpl-2.0-only"),
            ("MIT/AGPL-3.0", "agpl-3.0-only"),
            ("GPL-2.0+", "gpl-2.0-or-later"),
            (
                "GNU Affero General Public License v3",
                "gnu affero general public license v3",
            ),
            (
                "MIT AND GNU Affero General Public License v3",
                "gnu affero general public license v3",
            ),
        ] {
            assert!(keys(text).contains(licence), "{text}: {:?}", keys(text));
        }
        assert!(!keys("LGPL-3.0-only").contains("gpl-3.0-only"));
    }
}
