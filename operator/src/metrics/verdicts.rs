//! Verdicts on scanned images, by the worst that was found in them.

use imagefactory_crds::ImageScanStatus;
use imagefactory_crds::build::{BuildStatus, ScanStatus, SeverityCounts, Verdict};

use super::Metrics;
use super::families::{ScanLabels, VerdictLabels};

impl Metrics {
    /// The image of a build was judged. To be called once for each build, as [`Metrics::build_settled`] is; a build
    /// that ended before its verdict counts nothing.
    pub fn judged(&self, tenant: &str, status: &BuildStatus) {
        self.judged_as(tenant, status.verdict.as_deref(), status.scan.as_deref());
    }

    /// An on-demand scan ended, with this result: the phase, or the class of its failure. To be called once for each.
    pub fn scan_settled(&self, tenant: &str, result: &'static str, status: &ImageScanStatus) {
        let labels = ScanLabels {
            tenant: tenant.to_owned(),
            result,
        };
        self.scans.series(labels).inc();
        self.judged_as(tenant, status.verdict.as_deref(), status.scan.as_deref());
    }

    fn judged_as(&self, tenant: &str, verdict: Option<&Verdict>, scan: Option<&ScanStatus>) {
        let Some(verdict) = verdict else { return };
        let labels = VerdictLabels {
            tenant: tenant.to_owned(),
            verdict: verdict.result.as_str(),
            severity: worst(scan.map(|scan| &scan.vulnerabilities)),
        };
        self.verdicts.series(labels).inc();
    }
}

/// The worst severity that has a finding; `missing` where there is no report to look into.
fn worst(counts: Option<&SeverityCounts>) -> &'static str {
    let Some(counts) = counts else { return "missing" };
    let by_severity = [
        ("critical", counts.critical),
        ("high", counts.high),
        ("medium", counts.medium),
        ("low", counts.low),
        ("unknown", counts.unknown),
    ];
    by_severity
        .into_iter()
        .find_map(|(severity, count)| (count > 0).then_some(severity))
        .unwrap_or("none")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) fn status(result: &str, counts: Option<[u32; 5]>) -> BuildStatus {
        let mut status = json!({
            "observedGeneration": 1,
            "verdict": {"result": result, "publishable": result == "Pass"},
        });
        if let Some([critical, high, medium, low, unknown]) = counts {
            let digest = format!("sha256:{}", "a".repeat(64));
            status["scan"] = json!({
                "scanner": "trivy 0.66.0", "scanTime": "2026-01-01T00:00:00Z", "packages": 1,
                "referrers": {"sbom": digest, "report": digest},
                "vulnerabilities": {"critical": critical, "high": high, "medium": medium, "low": low,
                    "unknown": unknown, "fixable": 0},
            });
        }
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_verdict_is_counted_with_the_worst_severity_that_was_found() {
        for (result, counts, severity) in [
            ("Fail", Some([1, 7, 0, 0, 0]), "critical"),
            ("Fail", Some([0, 7, 0, 2, 0]), "high"),
            ("Pass", Some([0, 0, 3, 0, 0]), "medium"),
            ("Pass", Some([0, 0, 0, 1, 9]), "low"),
            ("Pass", Some([0, 0, 0, 0, 9]), "unknown"),
            ("Pass", Some([0, 0, 0, 0, 0]), "none"),
            ("Unknown", None, "missing"),
        ] {
            let line = format!(
                "imagefactory_scan_verdicts_total{{tenant=\"acme\",verdict=\"{result}\",severity=\"{severity}\"}} 1"
            );
            let metrics = Metrics::default();
            metrics.judged("acme", &status(result, counts));
            let text = metrics.encode().unwrap();
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn an_on_demand_scan_counts_its_end_and_its_verdict() {
        let metrics = Metrics::default();
        let BuildStatus { verdict, scan, .. } = status("Fail", Some([1, 0, 0, 0, 0]));
        let judged = ImageScanStatus {
            verdict,
            scan,
            ..ImageScanStatus::default()
        };
        metrics.scan_settled("acme", "Policy", &judged);
        metrics.scan_settled("acme", "Cancelled", &ImageScanStatus::default());
        let text = metrics.encode().unwrap();
        for line in [
            "imagefactory_image_scans_total{tenant=\"acme\",result=\"Policy\"} 1",
            "imagefactory_image_scans_total{tenant=\"acme\",result=\"Cancelled\"} 1",
            "imagefactory_scan_verdicts_total{tenant=\"acme\",verdict=\"Fail\",severity=\"critical\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_build_that_was_never_judged_counts_no_verdict() {
        let metrics = Metrics::default();
        metrics.judged("acme", &BuildStatus::default());
        assert!(!metrics.encode().unwrap().contains("verdict"));
    }
}
