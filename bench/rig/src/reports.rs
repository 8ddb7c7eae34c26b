//! What our own containers would say: the reports that a good build's steps leave in their termination messages.
//!
//! The operator believes a report only if it speaks of the digest and the policies that were asked for, so each is made
//! from the step that stands in the container's environment, by the types that the worker uses.

use imagefactory_core::step::{
    EvaluateStep, Evaluated, Prepared, PublishStep, Published, Pushed, Report, STEP_VARIABLE,
};
use imagefactory_crds::build::{Judgement, PolicyVerdict, ReferrerDigests, ScanStatus, SeverityCounts, Verdict};
use imagefactory_crds::digest::sha256;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::de::DeserializeOwned;

/// The termination message of a container that did its work. None for those whose message nobody reads.
#[must_use]
pub fn of(container: &Container, seed: &str) -> Option<String> {
    match container.name.as_str() {
        "prepare" => Some(
            Report::Done(Prepared {
                commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
                bases: Vec::new(),
                more_bases: None,
            })
            .encode(),
        ),
        "push" => Some(
            Report::Done(Pushed {
                digest: sha256(seed),
                size: 30_000_000,
                platforms: Vec::new(),
            })
            .encode(),
        ),
        "evaluate" => step::<EvaluateStep>(container).map(|step| Report::Done(evaluated(step)).encode()),
        "publish" => {
            step::<PublishStep>(container).map(|step| Report::Done(Published { digest: step.digest }).encode())
        }
        _ => None,
    }
}

fn step<T: DeserializeOwned>(container: &Container) -> Option<T> {
    let variables = container.env.as_ref()?;
    let variable = variables.iter().find(|variable| variable.name == STEP_VARIABLE)?;
    serde_json::from_str(variable.value.as_deref()?).ok()
}

fn evaluated(step: EvaluateStep) -> Evaluated {
    let policies = step.policies.into_iter().map(|policy| PolicyVerdict {
        name: policy.name,
        hash: policy.hash,
        mode: policy.spec.mode,
        result: Judgement::Pass,
        causes: Vec::new(),
    });
    Evaluated {
        scan: Some(ScanStatus {
            scanner: "trivy 0.66.0".to_owned(),
            database_time: Some(Time(Timestamp::UNIX_EPOCH)),
            scan_time: Time(Timestamp::now()),
            vulnerabilities: SeverityCounts::default(),
            packages: 120,
            referrers: Some(ReferrerDigests {
                sbom: sha256(format!("{}/sbom", step.digest)).as_str().into(),
                report: sha256(format!("{}/report", step.digest)).as_str().into(),
            }),
            platforms: Vec::new(),
        }),
        digest: step.digest,
        verdict: Verdict {
            result: Judgement::Pass,
            publishable: true,
            policies: policies.collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, step: &str) -> Container {
        serde_json::from_value(serde_json::json!({
            "name": name, "env": [{"name": STEP_VARIABLE, "value": step}],
        }))
        .unwrap()
    }

    #[test]
    fn a_publish_is_reported_with_the_digest_that_was_asked_for() {
        let step = serde_json::json!({
            "repository": "r/a", "digest": "sha256:aa", "stagingPrefix": "r", "image": "o/a:1",
            "outputPrefixes": [], "referrers": [],
        });
        let message = of(&container("publish", &step.to_string()), "seed").unwrap();
        let report = Report::<Published>::decode(&message).unwrap();
        assert_eq!(
            report,
            Report::Done(Published {
                digest: "sha256:aa".to_owned()
            })
        );
    }

    #[test]
    fn an_evaluation_speaks_of_the_policies_that_were_asked_for() {
        let step = serde_json::json!({
            "repository": "r/a", "digest": "sha256:aa", "credentialPrefix": "r", "serverUrl": "http://t",
            "policies": [{"name": "p", "hash": "sha256:h", "spec": {}}], "javaDatabase": false,
        });
        let message = of(&container("evaluate", &step.to_string()), "seed").unwrap();
        let Some(Report::Done(evaluated)) = Report::<Evaluated>::decode(&message) else {
            panic!("not done: {message}");
        };
        assert_eq!(evaluated.digest, "sha256:aa");
        assert_eq!(evaluated.verdict.policies[0].hash, "sha256:h");
        assert!(evaluated.verdict.publishable);
    }

    #[test]
    fn the_builder_says_nothing_that_is_read() {
        assert_eq!(of(&container("build", "{}"), "seed"), None);
    }
}
