//! The scanner's report: what was scanned, and every finding in it.

use std::io::Read;
use std::sync::Arc;

use imagefactory_crds::build::SeverityCounts;
use jiff::Timestamp;

use super::bounded::{self, List};
use super::trivy::{Os, TrivyPackage, TrivyReport, TrivyResult, Vulnerability};
use super::{Class, Finding, FixStatus, ReportError, Severity};

/// The version of Trivy's JSON that is read.
const SCHEMA_VERSION: u64 = 2;

/// What a scanner says about one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Name of what was scanned.
    pub artifact_name: String,
    /// Digests that the image has in its registry, as in `sha256:…`.
    pub image_digests: Vec<String>,
    /// When the report was made.
    pub created_at: Option<Timestamp>,
    /// The image's operating system, if one was recognised.
    pub os: Option<OperatingSystem>,
    /// How many targets the scanner looked at: the operating system, each kind of language package, each lock file.
    pub targets: usize,
    /// Every finding, in the scanner's order. Nothing is merged: a vulnerability in two packages, or in two copies of
    /// one package, is two findings, because each has to be fixed.
    pub findings: Vec<Finding>,
    /// Every package that the scanner lists.
    pub packages: Vec<Package>,
    /// Findings that an ignore file, a VEX document or the like took out. The factory gives the scanner none.
    pub suppressed: usize,
    /// Whether a Java archive was seen.
    pub has_jars: bool,
}

/// The image's operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatingSystem {
    /// Family, as in `debian`.
    pub family: String,
    /// Version, as in `12.5`.
    pub version: String,
    /// Whether its distributor does not maintain this version any more.
    pub end_of_life: bool,
}

/// A package in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Package URL.
    pub purl: Option<String>,
    /// Version with epoch and release, as findings name it.
    pub version: String,
    /// Licences as the scanner writes them: identifiers, expressions or free text.
    pub licences: Vec<String>,
}

/// Reads Trivy's JSON (schema version 2) in full.
///
/// # Errors
/// When it is anything else: empty, cut off, of another version, with something after its end, with a field that is
/// missing, twice there or of another type, or longer than is read.
pub fn parse(reader: impl Read) -> Result<Report, ReportError> {
    let report: TrivyReport = bounded::read(reader)?;
    if report.schema_version != SCHEMA_VERSION {
        return Err(ReportError::UnsupportedVersion);
    }
    let List(digests) = report.metadata.repo_digests;
    Ok(Report {
        artifact_name: report.artifact_name,
        image_digests: digests
            .iter()
            .filter_map(|name| name.split_once('@'))
            .map(|(_, digest)| digest.to_owned())
            .collect(),
        created_at: report.created_at,
        os: report.metadata.os.and_then(operating_system),
        targets: report.results.targets,
        findings: report.results.findings,
        packages: report.results.packages,
        suppressed: report.results.suppressed,
        has_jars: report.results.has_jars,
    })
}

/// Findings by severity. Every finding counts, also one without a fix and one that stands there twice.
#[must_use]
pub fn counts(report: &Report) -> SeverityCounts {
    let mut counts = SeverityCounts::default();
    for finding in &report.findings {
        let count = match finding.severity {
            Severity::Critical => &mut counts.critical,
            Severity::High => &mut counts.high,
            Severity::Medium => &mut counts.medium,
            Severity::Low => &mut counts.low,
            Severity::Unknown => &mut counts.unknown,
        };
        *count = count.saturating_add(1);
        counts.fixable = counts.fixable.saturating_add(u32::from(finding.has_fix()));
    }
    counts
}

/// Takes what is used out of the scanner's results, one at a time.
#[derive(Default)]
pub(super) struct Collector {
    pub(super) targets: usize,
    pub(super) findings: Vec<Finding>,
    pub(super) packages: Vec<Package>,
    pub(super) suppressed: usize,
    pub(super) has_jars: bool,
}

impl Collector {
    pub(super) fn take(&mut self, result: TrivyResult) {
        let kind: Arc<str> = result.r#type.into();
        let class = Class::parse(&result.class);
        let (List(packages), List(vulnerabilities)) = (result.packages, result.vulnerabilities);
        self.targets = self.targets.saturating_add(1);
        self.suppressed = self.suppressed.saturating_add(result.modified_findings.0);
        self.has_jars |= &*kind == "jar"
            || is_archive(&result.target)
            || packages
                .iter()
                .any(|package| is_java(&package.file_path, package.identifier.purl.as_deref()))
            || vulnerabilities
                .iter()
                .any(|found| is_java(&found.pkg_path, found.pkg_identifier.purl.as_deref()));
        self.findings
            .extend(vulnerabilities.into_iter().map(|found| finding(found, class, &kind)));
        self.packages.extend(packages.into_iter().map(package));
    }
}

/// Trivy writes the family `none` for an image that has no operating system.
fn operating_system(os: Os) -> Option<OperatingSystem> {
    let is_known = !os.family.is_empty() && os.family != "none";
    is_known.then_some(OperatingSystem {
        family: os.family,
        version: os.name,
        end_of_life: os.eosl,
    })
}

fn finding(found: Vulnerability, class: Class, kind: &Arc<str>) -> Finding {
    Finding {
        id: found.id,
        package: found.pkg_name,
        purl: found.pkg_identifier.purl,
        version: found.installed_version,
        fixed_version: Some(found.fixed_version).filter(|version| !version.trim().is_empty()),
        severity: Severity::parse(&found.severity),
        cvss: found.cvss.0,
        status: FixStatus::parse(&found.status),
        class,
        kind: Arc::clone(kind),
    }
}

fn package(found: TrivyPackage) -> Package {
    let release = if found.release.is_empty() {
        String::new()
    } else {
        format!("-{}", found.release)
    };
    let epoch = if found.epoch == 0 {
        String::new()
    } else {
        format!("{}:", found.epoch)
    };
    Package {
        name: found.name,
        purl: found.identifier.purl,
        version: format!("{epoch}{}{release}", found.version),
        licences: found.licenses.0,
    }
}

fn is_java(path: &str, purl: Option<&str>) -> bool {
    is_archive(path) || purl.is_some_and(is_maven)
}

/// Whether the package URL is one of Maven's.
pub(super) fn is_maven(purl: &str) -> bool {
    purl.get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("pkg:maven/"))
}

/// Whether the file is a Java archive by its name.
pub(super) fn is_archive(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| {
        ["jar", "war", "ear", "par"]
            .iter()
            .any(|archive| extension.eq_ignore_ascii_case(archive))
    })
}

#[cfg(test)]
mod tests;
