//! What is said of the scan in the Build's status: of one image, or of every image of an index.

use imagefactory_core::policy;
use imagefactory_core::scan::ServerVersion;
use imagefactory_core::scan::report::counts;
use imagefactory_core::step::{Evaluated, MAX_REPORT, Report};
use imagefactory_crds::build::{PlatformScan, ReferrerDigests, ScanStatus, SeverityCounts};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Image, Pair};

/// An image with whole evidence, which is attached to it where the registry allows that.
#[derive(Debug)]
pub(super) struct Scanned {
    scan: PlatformScan,
    time: Option<Timestamp>,
}

impl Scanned {
    pub(super) fn new(image: &Image, (report, sbom): Pair<'_>, referrers: Option<ReferrerDigests>) -> Self {
        Self {
            scan: PlatformScan {
                platform: image.platform.clone(),
                digest: image.digest.as_str().into(),
                vulnerabilities: counts(&report.content),
                packages: u32::try_from(sbom.content.packages()).unwrap_or(u32::MAX),
                referrers,
            },
            time: report.content.created_at,
        }
    }
}

/// The status of all images; `single` where the staged digest names one. None without an image.
pub(super) fn of(images: &[Scanned], server: Option<&ServerVersion>, single: bool) -> Option<ScanStatus> {
    let first = images.first()?;
    let version = server.map_or("", |server| server.version.as_str());
    let scanner = format!("trivy {version}");
    // The evidence of an index is as old as the oldest of it.
    let time = images.iter().filter_map(|image| image.time).min();
    Some(ScanStatus {
        scanner: (scanner.trim_end().chars())
            .filter(|c| !c.is_control())
            .take(128)
            .collect(),
        database_time: server
            .and_then(|server| server.database)
            .map(|database| Time(database.updated_at)),
        scan_time: Time(time.unwrap_or_else(Timestamp::now)),
        vulnerabilities: images
            .iter()
            .map(|image| image.scan.vulnerabilities)
            .fold(SeverityCounts::default(), highest),
        packages: images.iter().map(|image| image.scan.packages).max().unwrap_or(0),
        referrers: first.scan.referrers.clone().filter(|_| single),
        platforms: if single {
            Vec::new()
        } else {
            images.iter().map(|image| image.scan.clone()).collect()
        },
    })
}

fn highest(one: SeverityCounts, other: SeverityCounts) -> SeverityCounts {
    SeverityCounts {
        critical: one.critical.max(other.critical),
        high: one.high.max(other.high),
        medium: one.medium.max(other.medium),
        low: one.low.max(other.low),
        unknown: one.unknown.max(other.unknown),
        fixable: one.fixable.max(other.fixable),
    }
}

/// Takes causes away until the report fits a termination message.
pub(super) fn fit(evaluated: Evaluated) -> Evaluated {
    let whole = serde_json::to_string(&Report::Done(evaluated.clone())).map_or(usize::MAX, |text| text.len());
    let own = serde_json::to_string(&evaluated.verdict).map_or(0, |text| text.len());
    let room = MAX_REPORT.saturating_sub(whole.saturating_sub(own));
    Evaluated {
        verdict: policy::shrink(evaluated.verdict, room),
        ..evaluated
    }
}
