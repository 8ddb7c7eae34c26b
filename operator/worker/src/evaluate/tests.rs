//! Tests of what is reported: it fits a termination message, whatever the policies say.

use imagefactory_core::step::{MAX_REPORT, Report};
use imagefactory_crds::build::{Judgement, PlatformScan, PolicyVerdict, ScanStatus, SeverityCounts};
use imagefactory_crds::image_policy::Mode;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn evaluated(causes: usize, length: usize) -> Evaluated {
    let policy = PolicyVerdict {
        name: "p".repeat(52).as_str().into(),
        hash: format!("sha256:{}", "a".repeat(64)),
        mode: Mode::Enforce,
        result: Judgement::Fail,
        causes: vec!["\"\u{fc}".repeat(length / 2); causes],
    };
    let referrers = ReferrerDigests {
        sbom: Digest::of(b"s").as_str().into(),
        report: Digest::of(b"r").as_str().into(),
    };
    let scan = ScanStatus {
        scanner: "trivy 0.66.0".to_owned(),
        database_time: Some(Time(Timestamp::UNIX_EPOCH)),
        scan_time: Time(Timestamp::UNIX_EPOCH),
        vulnerabilities: SeverityCounts::default(),
        packages: u32::MAX,
        referrers: Some(referrers),
        platforms: Vec::new(),
    };
    let verdict = Verdict {
        result: Judgement::Fail,
        publishable: false,
        policies: vec![policy; 4],
    };
    Evaluated {
        digest: Digest::of(b"image").to_string(),
        scan: Some(scan),
        verdict,
    }
}

#[test]
fn causes_are_left_out_until_the_report_fits_and_no_more() {
    let fitted = fit(evaluated(8, 250));
    let text = Report::Done(fitted.clone()).encode();
    assert!(text.len() <= MAX_REPORT);
    assert_eq!(Report::decode(&text), Some(Report::Done(fitted.clone())));
    assert!(
        fitted
            .verdict
            .policies
            .iter()
            .all(|policy| policy.result == Judgement::Fail)
    );
    assert!(fitted.verdict.policies.iter().any(|policy| !policy.causes.is_empty()));
}

#[test]
fn what_fits_is_left_alone() {
    let small = evaluated(2, 20);
    assert_eq!(fit(small.clone()), small);
}

#[test]
fn four_images_and_four_policies_fit_with_large_numbers() {
    let counts = SeverityCounts {
        critical: 9_999,
        high: 9_999,
        medium: 99_999,
        low: 99_999,
        unknown: 9_999,
        fixable: 99_999,
    };
    let mut large = evaluated(4, 200);
    let scan = large.scan.as_mut().unwrap();
    scan.platforms = (0..4)
        .map(|number| PlatformScan {
            platform: format!("linux/arm64/v{number}"),
            digest: Digest::of(&[number]).as_str().into(),
            vulnerabilities: counts,
            packages: 99_999,
            referrers: scan.referrers.clone(),
        })
        .collect();
    scan.vulnerabilities = counts;
    scan.referrers = None;
    let fitted = fit(large);
    let text = Report::Done(fitted.clone()).encode();
    assert_eq!(Report::decode(&text), Some(Report::Done(fitted)), "{}", text.len());
}
