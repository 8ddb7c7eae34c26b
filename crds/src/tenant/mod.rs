//! Tenant: what a team is entitled to. Written by platform administrators only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, ObjectName, RepositoryPrefix, Subject};
use crate::conditions;
use crate::entitlement::EffectiveCapability;
use crate::quantity::Quantity;
use crate::usage::Usage;

bounded_strings! {
    /// Why something was changed: one line that is not blank.
    ChangeReason { min: 1, max: 512, pattern: r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$" }
}

/// What a tenant is entitled to and bound by.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "ten",
    category = "imagefactory",
    doc = "A Tenant is a team with its own namespace, capabilities, quota and owners. Platform administrators write it; the operator makes the namespace `tenant-<name>` and what belongs in it.",
    status = "TenantStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the namespace and all that belongs in it are in place."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Namespace",
        type_ = "string",
        json_path = ".status.namespace",
        priority = 1,
        description = "The tenant's namespace."
    ),
    printcolumn(
        name = "Suspended",
        type_ = "boolean",
        json_path = ".spec.suspended",
        description = "New work waits."
    ),
    printcolumn(
        name = "Running",
        type_ = "integer",
        json_path = ".status.usage.builds.running",
        description = "Builds that run."
    ),
    printcolumn(
        name = "Queued",
        type_ = "integer",
        json_path = ".status.usage.builds.queued",
        description = "Builds that wait for a slot."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1,
        description = "What to do next."
    )
)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(oldSelf.capabilities) || has(self.capabilities)").message("capabilities can't be removed once they are written: turn them off, with a new changeReason").field_path(".capabilities"))]
pub struct TenantSpec {
    /// People, groups and service accounts that own the tenant. They hold the role Owner; nobody else can.
    #[schemars(length(min = 1, max = 32))]
    pub owners: Vec<Subject>,

    /// What the tenant may do. A capability that is not listed has its default: `build` from the chart's onboarding policy, all others off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,

    /// Limits of the tenant's namespace. What is not listed here has the chart's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,

    /// Registry prefixes that the tenant's builds may publish to and pull from, and whose images the tenant may have scanned, beside the platform's own output prefix for this tenant. Matched segment by segment, as in `registry.example.com/team-a`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub registries: Vec<RepositoryPrefix>,

    /// Placement that builds of this tenant may ask for, beside what the platform allows to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<crate::build::AllowedPlacement>,
    /// ImagePolicy that every image of this tenant must pass. Without it the chart's default policy applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,

    /// Namespaces whose service accounts may be subjects in this tenant, beside the tenant's own namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub service_account_namespaces: Vec<ObjectName>,

    /// Whether custom roles of the tenant may hold ApproveQuarantine and ReleaseQuarantine. While false (the default) whoever holds such a role is given all of it but these, and the platform's security group alone approves and releases.
    #[serde(default)]
    pub delegate_approval: bool,

    /// While true no new work starts; what runs already finishes.
    #[serde(default)]
    pub suspended: bool,
}

/// What a tenant may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "((has(self.build) == has(oldSelf.build)) && (!has(self.build) || self.build == oldSelf.build)\
     && (has(self.quarantineRequest) == has(oldSelf.quarantineRequest)) && (!has(self.quarantineRequest) || self.quarantineRequest == oldSelf.quarantineRequest)\
     && (has(self.onDemandImageScanning) == has(oldSelf.onDemandImageScanning)) && (!has(self.onDemandImageScanning) || self.onDemandImageScanning == oldSelf.onDemandImageScanning)\
     && (has(self.quarantineRelease) == has(oldSelf.quarantineRelease)) && (!has(self.quarantineRelease) || self.quarantineRelease == oldSelf.quarantineRelease))\
     || self.changeReason != oldSelf.changeReason"
).message("a change of capabilities must carry a new changeReason").field_path(".changeReason"))]
pub struct Capabilities {
    /// Build images. Default: the chart's onboarding policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<bool>,
    /// Ask for outside images to be imported through quarantine. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_request: Option<bool>,
    /// Ask for a scan of an image at any time. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand_image_scanning: Option<bool>,
    /// Release images from quarantine. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_release: Option<bool>,
    /// Why the capabilities are as they are, as in a ticket number. Every change of a capability needs a new one.
    pub change_reason: ChangeReason,
}

/// Limits of a tenant's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// CPU that running pods of the tenant may ask for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory that running pods of the tenant may ask for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Scratch space that running pods of the tenant may ask for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
    /// Pods that may run at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub pods: Option<u32>,
    /// Builds and scans on demand that may run at a time, counted together; more wait in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub concurrent_builds: Option<u32>,
    /// How many builds the tenant may start in turn when a tenant of weight 1 starts one, while both have builds waiting. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<u32>,
    /// Projects that the tenant may have. One more is refused. Where the limit is lowered, those that were created last become Ready=False with reason quota_exceeded, and nothing new begins in them until one goes or the limit is raised. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub projects: Option<u32>,
    /// Builds that the tenant may have, those that have ended included. One more is refused; those that exist stay where the limit is lowered. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub builds: Option<u32>,
    /// Builds that the tenant may create within any 60 minutes. One more is refused. Those that wait in the queue count from when they were created. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100000))]
    pub builds_per_hour: Option<u32>,
    /// QuarantineRequests that the tenant may have open at a time: those that have not come to their end. One more is refused. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub open_quarantine_requests: Option<u32>,
}

/// What the operator made of a Tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// The tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Every capability with its state after defaults; one that is off says so in the words a client shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub capabilities: Vec<EffectiveCapability>,
    /// What the tenant uses; brought up to date at most once in 10 seconds. While it says that builds run, deleting the Tenant is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Default for TenantStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            conditions: Vec::new(),
            namespace: None,
            capabilities: Vec::new(),
            usage: None,
        }
    }
}
