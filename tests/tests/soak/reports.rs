//! A report of 50 MB, from the real scanner: read to its end, judged, attached whole, and never in the operator's memory.
//! One beyond every bound is Unknown (`alone/scanner.rs`).
//!
//! Runs alone: it looks at the operator's memory.

use imagefactory_crds::build::Judgement;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{message_of, reason_of, status_of, told};
use imagefactory_tests::busy::figure;
use imagefactory_tests::dockerfile::{BASE, inline};
use serde_json::{Value, json};

/// Packages with a finding of severity CRITICAL each.
const PACKAGES: u32 = 30_000;
/// What their report is at least, in bytes.
const LARGE: u64 = 50 << 20;

/// An image that says of itself that it holds so many versions of a vulnerable package (hack/cluster/advisories.yaml).
fn many() -> Value {
    let package = "Package: openssl\\nStatus: install ok installed\\nArchitecture: amd64\\n\
                   Version: 3.0.11-1~deb12u1~%d\\nMaintainer: x <x@example.org>\\nDescription: x\\n\\n";
    let step = format!("awk 'BEGIN {{ for (i = 0; i < {PACKAGES}; i++) printf \"{package}\", i }}'");
    inline(&format!("FROM {BASE}\nRUN {step} >> /var/lib/dpkg/status\n"))
}

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn a_report_of_fifty_megabytes_is_judged_to_its_last_finding_and_costs_the_operator_nothing() {
    let tenant = TestTenant::create("report").await;
    let cluster = &tenant.cluster;
    let operator = cluster.operator_process(&cluster.leader().await);
    let before = operator.resident_bytes().expect("the leader runs");
    tenant.start("large", json!({"source": many()})).await;
    let build = tenant.settled("large").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
    let after = operator.resident_bytes().expect("the leader still runs");
    let status = status_of(&build);
    assert_eq!(
        status.verdict.as_ref().unwrap().result,
        Judgement::Fail,
        "{}",
        told(&build)
    );
    let scan = status.scan.as_ref().expect("the report was read");
    assert_eq!(scan.vulnerabilities.critical, PACKAGES, "{scan:?}");
    let (staged, referrers) = (status.staged.as_ref().unwrap(), scan.referrers.as_ref().unwrap());
    let report = cluster
        .registry()
        .manifest(&staged.repository, &referrers.report.0)
        .await;
    let size = report
        .unwrap()
        .json
        .pointer("/layers/0/size")
        .and_then(Value::as_u64)
        .unwrap();
    figure(&format!(
        "a report of {} MiB, attached whole: {}; the operator holds {} MiB, {} before",
        size >> 20,
        message_of(&build),
        after >> 20,
        before >> 20
    ));
    assert!(size >= LARGE, "{size} bytes");
    assert!(
        after < before + LARGE / 2,
        "the operator grew from {before} to {after} bytes"
    );
    assert!(
        serde_json::to_vec(&build).unwrap().len() < 10_000,
        "what a build says stays small"
    );
    tenant.is_not_published("large").await;
}
