//! What is known about an image when it is judged, and what is missing.

use jiff::Timestamp;

use crate::scan::{DatabaseInfo, Package, Report, Sbom};
use crate::step::BuildFacts;

/// What is known about an image when it is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// Digest of the image that is judged, as in `sha256:…`. Report and SBOM must speak of this one.
    pub digest: &'a str,
    /// The scanner's report; none where it is missing or does not parse.
    pub report: Option<&'a Report>,
    /// The SBOM; none where it is missing or does not parse.
    pub sbom: Option<&'a Sbom>,
    /// The vulnerability database that was used; none where the server has none or did not say.
    pub database: Option<DatabaseInfo>,
    /// Whether the scanner had the database of Java archives.
    pub java_database: bool,
    /// What went wrong while evidence was gathered, in plain words, as in `the scanner's report does not parse`. Any
    /// makes the verdict Unknown.
    pub faults: &'a [String],
    /// Platform of the image where it is one of an index, else empty.
    pub platform: &'a str,
    /// Name and version of the scanner.
    pub scanner: &'a str,
    /// How the image was made; none where nothing is known of it.
    pub build: Option<&'a BuildFacts>,
    /// When it is judged.
    pub now: Timestamp,
}

impl Evidence<'_> {
    /// Why nothing can be said about the image, in plain words. Empty when the evidence is complete.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = self.faults.to_vec();
        let mut gap = |holds: bool, text: &str| {
            if holds {
                gaps.push(text.to_owned());
            }
        };
        gap(self.report.is_none(), "there is no report of the scanner");
        gap(self.sbom.is_none(), "there is no SBOM");
        gap(
            self.database.is_none(),
            "the scanner named no vulnerability database, so its report may have looked nothing up",
        );
        if let Some(report) = self.report {
            gap(
                !report.image_digests.iter().any(|digest| digest == self.digest),
                "the report does not speak of this image's digest",
            );
            gap(
                report.os.is_some() && !report.packages.iter().any(is_of_system),
                "an operating system was recognised and none of its packages was found",
            );
            gap(
                report.suppressed > 0,
                "findings were taken out of the report by something that is not the factory's",
            );
        }
        if let Some(sbom) = self.sbom {
            let names_another =
                !sbom.image_digests.is_empty() && !sbom.image_digests.iter().any(|digest| digest == self.digest);
            gap(names_another, "the SBOM does not speak of this image's digest");
        }
        if let (Some(report), Some(sbom)) = (self.report, self.sbom) {
            gap(
                report.targets == 0 && sbom.packages() > 0,
                "the SBOM lists packages and the report covers none",
            );
        }
        gap(
            self.has_jars() && !self.java_database,
            "the image holds Java archives and the scanner had no Java database",
        );
        gaps
    }

    fn has_jars(&self) -> bool {
        self.report.is_some_and(|report| report.has_jars) || self.sbom.is_some_and(Sbom::has_jars)
    }
}

/// Whether a package belongs to a distribution, by its package URL.
fn is_of_system(package: &Package) -> bool {
    let of_system = ["pkg:deb/", "pkg:rpm/", "pkg:apk/", "pkg:alpm/"];
    package
        .purl
        .as_deref()
        .is_some_and(|purl| of_system.iter().any(|kind| purl.starts_with(kind)))
}
