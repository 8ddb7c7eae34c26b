//! What is known about one request: a handful of lookups, none of which asks anybody.

use std::sync::Arc;

use imagefactory_crds::admission::{Persons, Request, Subject, World};
use imagefactory_crds::build::AllowedPlacement;
use imagefactory_crds::denial::{Cause, Code, Denial};
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::home::{is_of_former_tenant, tenant_of};
use imagefactory_crds::image_scan::PlatformPrefixes;
use imagefactory_crds::names::{LABEL_TENANT, TENANT_SETTINGS, tenant_of_namespace};
use imagefactory_crds::{Project, SorRecord, Tenant, TenantSettings};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{Caches, Knowledge};

/// What matters to one request.
#[derive(Clone, Debug, Default)]
pub struct Known {
    tenant: Option<Arc<Tenant>>,
    settings: Option<Arc<TenantSettings>>,
    project: Option<Arc<Project>>,
    namespace_is_leaving: bool,
    projects: usize,
    records: Vec<Arc<SorRecord>>,
}

/// What the chart's values say.
#[derive(Clone, Copy, Debug)]
pub struct Platform<'a> {
    /// What tenants have whose Tenant does not say.
    pub onboarding: OnboardingPolicy,
    /// Who is who.
    pub persons: &'a Persons,
    /// Where builds of every tenant may ask to run.
    pub placement: &'a AllowedPlacement,
    /// The platform's registries, where they are told.
    pub registries: Option<&'a PlatformPrefixes>,
    /// Secrets that the product's own images are pulled with.
    pub pull_secrets: &'a [String],
}

impl Known {
    /// Records of the id that a request names.
    #[must_use]
    pub fn records(&self) -> Vec<&SorRecord> {
        self.records.iter().map(AsRef::as_ref).collect()
    }

    /// As the rules want it, with the [`Known::records`].
    #[must_use]
    pub fn world<'a>(&'a self, records: &'a [&'a SorRecord], platform: Platform<'a>, now: Timestamp) -> World<'a> {
        let Platform {
            onboarding,
            persons,
            placement,
            registries,
            pull_secrets,
        } = platform;
        World {
            tenant: self.tenant.as_deref(),
            settings: self.settings.as_deref(),
            project: self.project.as_deref(),
            namespace_is_leaving: self.namespace_is_leaving,
            projects: self.projects,
            records,
            platform_placement: Some(placement),
            registries,
            pull_secrets,
            onboarding,
            persons,
            now,
        }
    }

    /// Name of the tenant, if the namespace is one's.
    #[must_use]
    pub fn tenant(&self) -> Option<String> {
        self.tenant.as_ref().map(|tenant| tenant.name_any())
    }
}

impl Caches {
    /// Looks up what a request is about.
    ///
    /// # Errors
    /// `decision_unavailable`, where a kind is not known well enough.
    pub fn known(&self, request: &Request) -> Result<Known, Denial> {
        self.are_fit()?;
        let Some(namespace) = request.namespace.as_deref() else {
            return Ok(Known::default());
        };
        let held = self.namespaces.get("", namespace);
        let tenant = held.as_deref().and_then(|held| {
            let tenant = self.tenants.get("", tenant_of(held)?)?;
            (!is_of_former_tenant(held, &tenant)).then_some(tenant)
        });
        let project = project_of(&request.subject).and_then(|name| self.projects.get(namespace, name));
        let itself = usize::from(matches!(request.subject, Subject::Project(_)) && project.is_some());
        Ok(Known {
            tenant,
            settings: self.settings.get(namespace, TENANT_SETTINGS),
            project,
            namespace_is_leaving: held.is_some_and(|held| held.metadata.deletion_timestamp.is_some()),
            projects: self.projects.count(namespace).saturating_sub(itself),
            records: record_of(&request.subject).map_or_else(Vec::new, |id| self.records_of(id)),
        })
    }

    /// The tenant whose namespace this is, if its Tenant or the namespace was seen, however long ago.
    #[must_use]
    pub fn tenant_of(&self, namespace: &str) -> Option<String> {
        let tenant = tenant_of_namespace(namespace)?;
        let held = self.namespaces.get("", namespace);
        let is_made = held.is_some_and(|held| held.labels().get(LABEL_TENANT).is_some_and(|of| of == tenant));
        (is_made || self.tenants.get("", tenant).is_some()).then(|| tenant.to_owned())
    }

    fn records_of(&self, id: &str) -> Vec<Arc<SorRecord>> {
        self.records.find("", |record| record.spec.record_id.as_str() == id)
    }

    /// Whether all kinds are known well enough.
    ///
    /// # Errors
    /// `decision_unavailable`, naming the first that is not.
    pub fn are_fit(&self) -> Result<(), Denial> {
        let unfit = self.knowledge().into_iter().find_map(|(resource, knowledge)| {
            let why = match knowledge {
                Knowledge::None => "was not read yet".to_owned(),
                Knowledge::Of(age) if age > self.limit() => format!(
                    "is {} seconds old, and more than {} are not trusted",
                    age.as_secs(),
                    self.limit().as_secs()
                ),
                Knowledge::Of(_) => return None,
            };
            Some((resource, why))
        });
        match unfit {
            None => Ok(()),
            Some((resource, why)) => Err(Denial::new(
                Code::DecisionUnavailable,
                format!("Nothing can be decided now: what is known of {resource} {why}. Try again in a minute."),
            )
            .because(Cause::of("Cache", resource))),
        }
    }
}

/// Id of the record that a new request rests on.
fn record_of(subject: &Subject) -> Option<&str> {
    let Subject::QuarantineRequest(write) = subject else {
        return None;
    };
    write.new_object()?.spec.sor_record_id.as_ref().map(|id| id.as_str())
}

/// Name of the project that an object names, or that it is.
pub(crate) fn project_of(subject: &Subject) -> Option<&str> {
    match subject {
        Subject::Build(write) => {
            let build = write.new_object().or(write.old_object())?;
            Some(build.spec.project_ref.name.as_ref())
        }
        Subject::ImageScan(write) => {
            let scan = write.new_object().or(write.old_object())?;
            Some(scan.spec.project_ref.name.as_ref())
        }
        Subject::QuarantineRequest(write) => {
            let request = write.new_object().or(write.old_object())?;
            Some(request.spec.project_ref.name.as_ref())
        }
        Subject::Project(write) => {
            let project = write.new_object().or(write.old_object())?;
            project.metadata.name.as_deref()
        }
        _ => None,
    }
}
