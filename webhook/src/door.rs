//! What is answered to a review: looked up, decided, recorded.

use std::sync::Arc;
use std::time::Instant;

use imagefactory_crds::admission::{Attempt, Decision, Persons, Request, Subject, Write, decide};
use imagefactory_crds::audit::{DELETED, spec_hash};
use imagefactory_crds::build::AllowedPlacement;
use imagefactory_crds::denial::{Cause, Code, Denial};
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::image_scan::PlatformPrefixes;
use jiff::Timestamp;
use kube::core::admission::AdmissionResponse;
use tracing::{debug, warn};

use crate::answer::answer;
use crate::audit::Recorder;
use crate::audit::event::{self, Place, Verdict};
use crate::caches::{Caches, Platform, known};
use crate::metrics::Metrics;
use crate::review::Asked;
use crate::settings::Settings;
use crate::stamp::{stamp, with_stamp};
use crate::subject::{Understood, requester, understand};

/// What it takes to answer. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Door {
    caches: Caches,
    onboarding: OnboardingPolicy,
    registries: Option<Arc<PlatformPrefixes>>,
    pull_secrets: Arc<[String]>,
    persons: Arc<Persons>,
    placement: Arc<AllowedPlacement>,
    recorder: Recorder,
    metrics: Arc<Metrics>,
}

impl Door {
    /// A door that decides from these caches and records there.
    #[must_use]
    pub fn new(caches: Caches, settings: &Settings, recorder: Recorder, metrics: Arc<Metrics>) -> Self {
        Self {
            caches,
            onboarding: settings.onboarding,
            registries: settings.registries.clone().map(Arc::new),
            pull_secrets: settings.pull_secrets.clone().into(),
            persons: Arc::new(settings.persons()),
            placement: Arc::new(settings.placement.clone()),
            recorder,
            metrics,
        }
    }

    /// The validating call: the last word, and recorded.
    pub async fn validate(&self, asked: &Asked) -> AdmissionResponse {
        let began = Instant::now();
        let (decision, place) = self.judge(asked);
        let decision = self.recorded(asked, decision, place).await;
        let code = decision.denial.as_ref().map(|denial| denial.code);
        if !asked.dry_run {
            let operation = event::action(&asked.operation);
            self.metrics.answered("validate", &asked.kind.kind, operation, code);
        }
        self.metrics.took("validate", began.elapsed());
        debug!(
            uid = asked.uid,
            code = code.map(Code::as_str),
            dry_run = asked.dry_run,
            "validated"
        );
        answer(asked, decision)
    }

    /// The mutating call: stamps, and lets everything in but what is refused before the schema and the cluster's own
    /// policies are asked, who would refuse it in words of theirs.
    pub async fn mutate(&self, asked: &Asked) -> AdmissionResponse {
        let began = Instant::now();
        let answered = match self.foreseen(asked) {
            Some((refusal, place)) => self.refuse_early(asked, refusal, place).await,
            None => self.stamped(asked),
        };
        self.metrics.took("mutate", began.elapsed());
        answered
    }

    fn stamped(&self, asked: &Asked) -> AdmissionResponse {
        let let_in = answer(asked, Decision::default());
        match stamp(asked) {
            None => let_in,
            Some(patch) => let_in.with_patch(patch).unwrap_or_else(|error| {
                warn!(%error, "the stamp could not be written");
                answer(asked, refused(unavailable("The request could not be stamped.")))
            }),
        }
    }

    /// What the validating call would refuse, of those kinds whose schema, or a policy of the chart, has rules that the table
    /// of denials has too.
    /// What can't be read or decided yet is left to the schema and to that call.
    fn foreseen(&self, asked: &Asked) -> Option<(Decision, Place)> {
        let after = with_stamp(asked);
        let Ok(Understood::Request(request)) = understand(&after, &self.persons) else {
            return None;
        };
        let is_of_table = !matches!(
            request.subject,
            Subject::Tenant(_) | Subject::Project(_) | Subject::ImagePolicy(_)
        );
        let (decision, place) = self.decide(&request);
        let is_told = match decision.denial.as_ref()?.code {
            Code::DecisionUnavailable => false,
            // Of every kind: a policy of the chart refuses owners and finalizers too.
            Code::FieldImmutable => true,
            _ => is_of_table,
        };
        is_told.then_some((decision, place))
    }

    /// The last word, and recorded: nobody asks the validating call any more.
    async fn refuse_early(&self, asked: &Asked, refusal: Decision, place: Place) -> AdmissionResponse {
        let decision = self.recorded(asked, refusal, place).await;
        let code = decision.denial.as_ref().map(|denial| denial.code);
        if !asked.dry_run {
            let operation = event::action(&asked.operation);
            self.metrics.answered("mutate", &asked.kind.kind, operation, code);
        }
        debug!(uid = asked.uid, code = code.map(Code::as_str), "refused early");
        answer(asked, decision)
    }

    fn platform(&self) -> Platform<'_> {
        Platform {
            onboarding: self.onboarding,
            persons: &self.persons,
            placement: &self.placement,
            registries: self.registries.as_deref(),
            pull_secrets: &self.pull_secrets,
        }
    }

    fn judge(&self, asked: &Asked) -> (Decision, Place) {
        match understand(asked, &self.persons) {
            Err(denial) => (refused(denial), Place::default()),
            Ok(Understood::TidiesUp) => (tidied(), Place::default()),
            Ok(Understood::Request(request)) => self.decide(&request),
        }
    }

    fn decide(&self, request: &Request) -> (Decision, Place) {
        let mut place = Place {
            // Also where nothing can be decided. But never as the namespace's name says alone: who reaches this port could make
            // up a name for each review, and each would be a series of its own for Prometheus.
            tenant: request
                .namespace
                .as_deref()
                .and_then(|namespace| self.caches.tenant_of(namespace)),
            project: known::project_of(&request.subject).map(str::to_owned),
            ..Place::default()
        };
        match self.caches.known(request) {
            Err(denial) => (refused(denial), place),
            Ok(known) => {
                let named = tenant_itself(&request.subject).or_else(|| known.tenant());
                place.tenant = named.or(place.tenant);
                let records = known.records();
                let world = known.world(&records, self.platform(), Timestamp::now());
                let decision = decide(request, &world);
                if decision.attempt.is_some() {
                    (place.before_hash, place.after_hash) = hashes(&request.subject);
                }
                (decision, place)
            }
        }
    }

    /// What is refused, and each change that counts, is durable before the answer leaves. If it can't be, the answer is no.
    async fn recorded(&self, asked: &Asked, decision: Decision, place: Place) -> Decision {
        let verdict = match (&decision.denial, &decision.attempt) {
            (Some(denial), _) => Verdict::Denied(denial),
            (None, Some(attempt)) => Verdict::LetIn(attempt),
            (None, None) => return decision,
        };
        if asked.dry_run {
            return decision;
        }
        let event = event::event(asked, &requester(asked), place, verdict, Timestamp::now());
        match self.recorder.record(event).await {
            Ok(()) => decision,
            Err(error) => {
                warn!(%error, "refused, for what was decided could not be recorded");
                refused(unavailable(
                    "Nothing can be decided now: what is decided can't be recorded. Try again in a minute.",
                ))
            }
        }
    }
}

fn refused(denial: Denial) -> Decision {
    Decision {
        denial: Some(denial),
        ..Decision::default()
    }
}

fn unavailable(message: &str) -> Denial {
    Denial::new(Code::DecisionUnavailable, message).because(Cause::of("Audit", "unavailable"))
}

/// Somebody tidies up what nobody understands: let in, and on record.
fn tidied() -> Decision {
    Decision {
        attempt: Some(Attempt {
            reason: Some("the stored object can't be understood".to_owned()),
            ..Attempt::default()
        }),
        ..Decision::default()
    }
}

/// Of the spec as it is and as it would be.
fn hashes(subject: &Subject) -> (String, String) {
    fn of<T>(write: &Write<T>, hash: impl Fn(&T) -> String) -> (String, String) {
        let gone = || DELETED.to_owned();
        (
            write.old_object().map(&hash).unwrap_or_default(),
            write.new_object().map_or_else(gone, &hash),
        )
    }
    match subject {
        Subject::Tenant(write) => of(write, |tenant| spec_hash(&tenant.spec)),
        Subject::TenantSettings(write) => of(write, |settings| spec_hash(&settings.spec)),
        Subject::Project(write) => of(write, |project| spec_hash(&project.spec)),
        Subject::Build(write) => of(write, |build| spec_hash(&build.spec)),
        Subject::ImagePolicy(write) => of(write, |policy| spec_hash(&policy.spec)),
        Subject::SorRecord(write) => of(write, |record| spec_hash(&record.spec)),
        Subject::ImageScan(write) => of(write, |scan| spec_hash(&scan.spec)),
        Subject::QuarantineRequest(write) => of(write, |request| spec_hash(&request.spec)),
    }
}

fn tenant_itself(subject: &Subject) -> Option<String> {
    let Subject::Tenant(write) = subject else {
        return None;
    };
    let tenant = write.new_object().or(write.old_object())?;
    tenant.metadata.name.clone()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::review::read;

    /// A review of a Build in that namespace.
    fn asked(namespace: &str) -> Asked {
        let mut review: Value = serde_json::from_str(include_str!("../tests/reviews/build-create.json")).unwrap();
        review["request"]["namespace"] = namespace.into();
        review["request"]["object"]["metadata"]["namespace"] = namespace.into();
        read(review.to_string().as_bytes()).unwrap()
    }

    fn door(limit: Duration) -> Door {
        let caches = Caches::new(limit);
        let metadata = json!({"name": "tenant-acme", "labels": {"imagefactory.dev/tenant": "acme"}});
        let tenant = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": "acme"}, "spec": {"owners": []}});
        let objects = json!({
            "namespaces": [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}],
            "tenants": [tenant],
        });
        caches.fill(&objects).unwrap();
        let settings: Settings = serde_json::from_value(json!({
            "onboarding": {"build": false},
            "persons": {"platformGroups": [], "securityGroups": [], "gitopsAccounts": [], "ownAccounts": []},
        }))
        .unwrap();
        Door::new(caches, &settings, Recorder::Log, Arc::default())
    }

    #[test]
    fn a_tenant_that_no_cache_knows_is_not_taken_from_the_name_of_a_namespace() {
        for (limit, code) in [
            (Duration::from_secs(180), Code::PermissionDenied),
            (Duration::ZERO, Code::DecisionUnavailable),
        ] {
            let door = door(limit);
            let recorded = |namespace: &str| {
                let (decision, place) = door.judge(&asked(namespace));
                assert!(decision.denial.is_some(), "{namespace}");
                (decision.denial.map(|denial| denial.code) == Some(code), place.tenant)
            };
            assert_eq!(recorded("tenant-acme"), (true, Some("acme".to_owned())), "{code:?}");
            assert_eq!(recorded("tenant-made-up-17").1, None, "{code:?}");
            assert_eq!(recorded("elsewhere").1, None, "{code:?}");
        }
    }
}
