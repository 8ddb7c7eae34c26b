//! TenantSettings: what owners and admins of a tenant say about it themselves.

mod roles;

pub use roles::{MemberRole, given_by, is_delegated};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{BuildDefaults, Description, DisplayText, Email, HttpsUrl, ObjectName, Subject};
use crate::conditions;
use crate::entitlement::EffectiveCapability;
use crate::retention::Retention;
use crate::usage::Usage;

bounded_strings! {
    /// IANA time zone, as in `Europe/Zurich`.
    TimeZone { min: 1, max: 64, pattern: r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$" }
    /// BCP 47 language tag, as in `de-CH`.
    LanguageTag { min: 2, max: 35, pattern: r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" }
    /// Owner can't be given here; Admin, Member, Viewer or the name of a custom role.
    RoleName { min: 1, max: 40, pattern: r"^(Admin|Member|Viewer|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", rules: [
        ("self != 'owner' && self != 'Owner'", "owners stand in the Tenant, which platform administrators write")
    ] }
    /// Name of a custom role.
    CustomRoleName { min: 1, max: 40, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", rules: [
        ("!(self in ['owner', 'admin', 'member', 'viewer'])", "is the name of a built-in role")
    ] }
}

/// What owners and admins say about their tenant.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "TenantSettings",
    plural = "tenantsettings",
    singular = "tenantsettings",
    shortname = "tset",
    category = "imagefactory",
    namespaced,
    doc = "TenantSettings are what the owners and admins of a tenant decide themselves: names and contacts, members and their roles, defaults for builds. There is one per tenant, named `settings`; the operator makes it if it is absent and never writes its spec again.",
    status = "TenantSettingsStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    printcolumn(
        name = "Display Name",
        type_ = "string",
        json_path = ".spec.displayName",
        description = "Name for people."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the members' roles are in place."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why."
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
#[x_kube(validation = Rule::new(
    "!has(self.members) || self.members.all(m, m.role in ['Admin', 'Member', 'Viewer'] || (has(self.roles) && self.roles.exists(r, r.name == m.role)))"
).message("a member's role is Admin, Member, Viewer or one of spec.roles").field_path(".members"))]
pub struct TenantSettingsSpec {
    /// Name of the tenant for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayText>,
    /// Where front ends find the tenant's logo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<HttpsUrl>,
    /// IANA time zone, as in `Europe/Zurich`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
    /// BCP 47 language tag, as in `de-CH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageTag>,
    /// Whom the platform writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<Email>,
    /// Whom the tenant's users write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_email: Option<Email>,
    /// Who works in the tenant, and as what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub members: Vec<Member>,
    /// Roles of the tenant's own making.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<CustomRole>,
    /// What every build of the tenant takes when neither it nor its project says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_defaults: Option<BuildDefaults>,
    /// Which finished builds and scans are removed, in each project that does not say itself. Where it is set, even empty, it counts instead of the platform's; empty, every one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// A subject and its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub subject: Subject,
    /// As what: Admin, Member, Viewer, or the name of one of `spec.roles`.
    pub role: RoleName,
    /// Names of the projects that the role is for; empty for all, those included that are made later. It limits what the member may write (Builds of other projects and other projects themselves are out of reach), and what the member may grant; `kubectl get` shows the whole namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub projects: Vec<ObjectName>,
}

/// A role of the tenant's own making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct CustomRole {
    /// Name of the role.
    pub name: CustomRoleName,
    /// What the role is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// What who holds the role may do.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub permissions: Vec<Permission>,
}

/// What a custom role may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Permission {
    /// See projects, builds and artifacts.
    ViewProjects,
    /// Start builds.
    CreateBuilds,
    /// Cancel and delete builds.
    CancelBuilds,
    /// Edit projects.
    ManageProjects,
    /// Manage members and roles.
    ManageTeam,
    /// See what builds took and how they ended, as the API tells it.
    ViewAnalytics,
    /// Read the tenant's audit log.
    ReadAudit,
    /// Edit the tenant's settings.
    EditSettings,
    /// See and manage billing.
    ManageBilling,
    /// Approve or reject quarantine requests; only where the Tenant says `delegateApproval: true`.
    ApproveQuarantine,
    /// Release images from quarantine; only where the Tenant says `delegateApproval: true`.
    ReleaseQuarantine,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ViewProjects,
        Self::CreateBuilds,
        Self::CancelBuilds,
        Self::ManageProjects,
        Self::ManageTeam,
        Self::ViewAnalytics,
        Self::ReadAudit,
        Self::EditSettings,
        Self::ManageBilling,
        Self::ApproveQuarantine,
        Self::ReleaseQuarantine,
    ];

    /// Whether it is bound only where the Tenant delegates it (trust.md, Persons).
    #[must_use]
    pub fn needs_delegation(self) -> bool {
        matches!(self, Self::ApproveQuarantine | Self::ReleaseQuarantine)
    }

    /// The part of the ClusterRole's name that the chart installs for it.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::ViewProjects => "view-projects",
            Self::CreateBuilds => "create-builds",
            Self::CancelBuilds => "cancel-builds",
            Self::ManageProjects => "manage-projects",
            Self::ManageTeam => "manage-team",
            Self::ViewAnalytics => "view-analytics",
            Self::ReadAudit => "read-audit",
            Self::EditSettings => "edit-settings",
            Self::ManageBilling => "manage-billing",
            Self::ApproveQuarantine => "approve-quarantine",
            Self::ReleaseQuarantine => "release-quarantine",
        }
    }
}

/// What the operator made of TenantSettings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSettingsStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// How many subjects hold each role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub members_by_role: Vec<RoleCount>,
    /// The tenant's capabilities, for those who may not read the Tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub capabilities: Vec<EffectiveCapability>,
    /// What the tenant uses; brought up to date at most once in 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Default for TenantSettingsStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            conditions: Vec::new(),
            members_by_role: Vec::new(),
            capabilities: Vec::new(),
            usage: None,
        }
    }
}

/// How many subjects hold a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleCount {
    /// Owner, Admin, Member, Viewer or the name of a custom role.
    #[schemars(length(max = 63))]
    pub role: String,
    /// Number of subjects.
    pub count: u32,
}
