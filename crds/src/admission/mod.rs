//! What is let in: decisions about one write, as pure functions of the write and of what is known about the tenant.
//!
//! The webhook asks here from its caches; what concerns entitlement (capability, suspension, archive, quota, SOR, policy)
//! the operator asks again, by the same functions, before it dispatches and before it publishes.

use jiff::Timestamp;

use crate::build::AllowedPlacement;
use crate::denial::Denial;
use crate::entitlement::OnboardingPolicy;
use crate::image_scan::PlatformPrefixes;
use crate::{Build, ImagePolicy, ImageScan, Project, QuarantineRequest, SorRecord, Tenant, TenantSettings};

mod attempt;
mod build;
mod case;
mod confirm;
mod decide;
pub mod entitlement;
mod grants;
mod image_policy;
mod image_scan;
mod lifetime;
mod project;
mod quarantine_request;
pub mod quota;
pub mod rights;
mod settings;
mod sor_record;
mod stamp;
mod standing;
mod tenant;
mod work;

pub use attempt::MAX_SIDE_BYTES;
pub use confirm::lists as confirmation_lists;
pub use decide::decide;
pub use stamp::{check as check_stamp, known_requester, requested_by};
pub use standing::{Need, Standing};

/// Who asks, as the API server's authentication says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// User name.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// An object before and after.
#[derive(Clone, Debug, PartialEq)]
pub enum Write<T> {
    /// It is made.
    Create(Box<T>),
    /// It is changed.
    Update {
        /// As it is.
        old: Box<T>,
        /// As it would be.
        new: Box<T>,
    },
    /// It goes.
    Delete(Box<T>),
}

impl<T> Write<T> {
    /// As it would be; none for a deletion.
    #[must_use]
    pub fn new_object(&self) -> Option<&T> {
        match self {
            Self::Create(new) | Self::Update { new, .. } => Some(new),
            Self::Delete(_) => None,
        }
    }

    /// As it is; none for a creation.
    #[must_use]
    pub fn old_object(&self) -> Option<&T> {
        match self {
            Self::Update { old, .. } | Self::Delete(old) => Some(old),
            Self::Create(_) => None,
        }
    }
}

/// A write to one of our kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// To a Tenant.
    Tenant(Write<Tenant>),
    /// To TenantSettings.
    TenantSettings(Write<TenantSettings>),
    /// To a Project.
    Project(Write<Project>),
    /// To a Build.
    Build(Write<Build>),
    /// To an ImagePolicy.
    ImagePolicy(Write<ImagePolicy>),
    /// To a SorRecord.
    SorRecord(Write<SorRecord>),
    /// To a QuarantineRequest.
    QuarantineRequest(Write<QuarantineRequest>),
    /// To an ImageScan.
    ImageScan(Write<ImageScan>),
}

/// One write that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Who asks.
    pub user: Requester,
    /// Namespace; none for kinds without one.
    pub namespace: Option<String>,
    /// To what.
    pub subject: Subject,
}

/// What the chart's values say about persons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persons {
    /// Groups of the platform's administrators. `system:masters` is always one.
    pub platform_groups: Vec<String>,
    /// Groups of the platform's security people, who approve and release.
    pub security_groups: Vec<String>,
    /// Accounts of GitOps controllers, as user names.
    pub gitops_accounts: Vec<String>,
    /// The factory's own service accounts, and those of Kubernetes that clean up (garbage collector, namespace
    /// controller), as user names.
    pub own_accounts: Vec<String>,
}

/// What is known, from caches that are fresh enough. Whoever fills it refuses to decide where one is not.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Tenant of the namespace.
    pub tenant: Option<&'a Tenant>,
    /// The tenant's settings.
    pub settings: Option<&'a TenantSettings>,
    /// Project that the object names, or that it is.
    pub project: Option<&'a Project>,
    /// Whether the namespace is terminating: what is deleted with it needs no confirmation.
    pub namespace_is_leaving: bool,
    /// How many Projects the tenant has, without the one that is asked for.
    pub projects: usize,
    /// SorRecords, or all of those with the id that a request names.
    pub records: &'a [&'a SorRecord],
    /// The chart's onboarding policy.
    pub onboarding: OnboardingPolicy,
    /// Placement that the chart's values allow to all; none where that is not told, and then the operator alone asks.
    pub platform_placement: Option<&'a AllowedPlacement>,
    /// The platform's registries; none where they are not told, and then the operator alone asks where an image lies.
    pub registries: Option<&'a PlatformPrefixes>,
    /// Secrets that the product's own images are pulled with. They lie in each tenant's namespace and are not the tenant's.
    pub pull_secrets: &'a [String],
    /// Who is who on the platform.
    pub persons: &'a Persons,
    /// Now.
    pub now: Timestamp,
}

/// A change that is audited as an attempt: what matters of it, before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// Fields that matter, as they are.
    pub before: Option<serde_json::Value>,
    /// The same as they would be.
    pub after: Option<serde_json::Value>,
    /// Why, as the actor says.
    pub reason: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Why it is refused; none if it is let in.
    pub denial: Option<Denial>,
    /// What is said beside, at most 120 characters each.
    pub warnings: Vec<String>,
    /// What is audited of a change that is let in, where it is of those that are.
    pub attempt: Option<Attempt>,
}
