//! What of an ImageScan is kept in memory.

use imagefactory_core::audit::MAX_MESSAGE;
use imagefactory_core::image_scan::is_settled;
use imagefactory_crds::conditions::SUCCEEDED;
use imagefactory_crds::{ImageScan, ImageScanSpec, ImageScanStatus};

use super::{bare, object};

/// Keeps an ImageScan whole until it has ended, and then what is still decided by, as of a Build: whose it is, how and when
/// it ended, its logs, and what the audit tells of it. Who needs more of one asks the API server, and nothing is written from
/// what is kept here.
pub fn image_scan(scan: &mut ImageScan) {
    object(scan);
    if !is_settled(scan.status.as_ref()) {
        return;
    }
    bare(&mut scan.metadata);
    scan.spec = ImageScanSpec {
        project_ref: std::mem::take(&mut scan.spec.project_ref),
        ..ImageScanSpec::default()
    };
    scan.status = scan.status.take().map(ended);
    *scan = scan.clone();
}

fn ended(status: ImageScanStatus) -> ImageScanStatus {
    let mut conditions = status.conditions;
    conditions.retain(|condition| condition.type_ == SUCCEEDED);
    for condition in &mut conditions {
        let message = &mut condition.message;
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
        }
    }
    ImageScanStatus {
        observed_generation: status.observed_generation,
        phase: status.phase,
        phase_time: status.phase_time,
        conditions,
        attempts: status.attempts,
        start_time: status.start_time,
        completion_time: status.completion_time,
        logs: status.logs,
        ..ImageScanStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_core::audit::{Audited, Teller};
    use imagefactory_core::retention::Finished;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn scan(succeeded: &str, message: &str) -> ImageScan {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": succeeded, "reason": "PolicyFailed", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        testing::object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
            "metadata": {
                "name": "nightly-bcdfg", "generateName": "nightly-", "namespace": "tenant-acme", "uid": "u",
                "resourceVersion": "7", "generation": 1, "labels": {"c": "d"},
                "annotations": {"imagefactory.dev/requested-by": "jane"}, "managedFields": [{"manager": "x"}],
            },
            "spec": {
                "projectRef": {"name": "web"}, "image": "registry.example.com/images/acme/web:1",
                "policyRef": {"name": "strict"},
            },
            "status": {
                "observedGeneration": 1, "phase": "Failed", "phaseTime": "2026-01-01T00:00:00Z",
                "conditions": [condition("Succeeded"), condition("Ready"), condition("Stalled")],
                "requestedBy": "jane", "attempts": 2, "usedSeconds": 9, "digest": digest,
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z",
                "verdict": {"result": "Fail", "publishable": false},
                "failure": {"class": "Policy", "reason": "PolicyFailed", "message": message, "next": "Look."},
                "logs": {"location": "memory://logs", "containers": [
                    {"attempt": 2, "stage": "scan", "container": "scan", "bytes": 5},
                ]},
            },
        }))
    }

    fn trimmed(mut scan: ImageScan) -> ImageScan {
        image_scan(&mut scan);
        scan
    }

    #[test]
    fn a_scan_stays_whole_until_it_has_ended() {
        let mut going_on = scan("Unknown", "Scans.");
        going_on.metadata.managed_fields = None;
        assert_eq!(trimmed(going_on.clone()), going_on);
    }

    #[test]
    fn of_an_ended_scan_is_kept_whose_it_is_how_it_ended_and_its_logs() {
        let kept: Value = serde_json::to_value(trimmed(scan("False", "Refused."))).unwrap();
        assert_eq!(
            kept["metadata"],
            json!({
                "name": "nightly-bcdfg", "generateName": "nightly-", "namespace": "tenant-acme", "uid": "u",
                "resourceVersion": "7", "generation": 1,
            })
        );
        assert_eq!(
            kept["spec"],
            json!({"projectRef": {"name": "web"}, "image": "", "cancelled": false})
        );
        assert_eq!(
            kept["status"],
            json!({
                "observedGeneration": 1, "phase": "Failed", "phaseTime": "2026-01-01T00:00:00Z",
                "conditions": [{
                    "type": "Succeeded", "status": "False", "reason": "PolicyFailed", "message": "Refused.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "attempts": 2, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z",
                "logs": {"location": "memory://logs", "containers": [
                    {"attempt": 2, "stage": "scan", "container": "scan", "bytes": 5},
                ]},
            })
        );
    }

    #[test]
    fn what_is_kept_tells_the_audit_and_retention_the_same_as_the_whole() {
        let teller = Teller {
            user: "operator",
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        for message in ["Refused.", &"ü".repeat(2 * MAX_MESSAGE)] {
            let whole = scan("False", message);
            let kept = trimmed(whole.clone());
            let told = kept.event(teller).map(|event| event.message);
            assert!(told.is_some_and(|told| told.len() > 2 && message.starts_with(&told)));
            assert_eq!(kept.event(teller), whole.event(teller));
            assert_eq!(Finished::of(&kept), Finished::of(&whole));
            assert!(Finished::of(&kept).is_some_and(|finished| finished.generated));
        }
    }
}
