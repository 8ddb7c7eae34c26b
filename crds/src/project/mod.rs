//! Project: builds that belong together.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::{BuildTemplate, Phase, Source};
use crate::common::{BuildDefaults, Description, DisplayText, LocalRef};
use crate::conditions;
use crate::entitlement::ProjectCapabilities;
use crate::retention::Retention;

/// Builds that belong together, and what they have in common.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "Project",
    plural = "projects",
    shortname = "proj",
    category = "imagefactory",
    namespaced,
    doc = "A Project holds builds that belong together: their default source and defaults, who they are for, and counts of what they did.",
    status = "ProjectStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    selectable = ".spec.archived",
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
        description = "Whether builds can start."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Builds",
        type_ = "integer",
        json_path = ".status.builds.total",
        description = "Builds of this project that exist."
    ),
    printcolumn(
        name = "Last Build",
        type_ = "string",
        json_path = ".status.lastBuild.name",
        description = "The newest build."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Last State",
        type_ = "string",
        json_path = ".status.lastBuild.phase",
        priority = 1,
        description = "State of the newest build."
    ),
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
pub struct ProjectSpec {
    /// Name of the project for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayText>,
    /// What the project is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// While true nothing new starts; everything that exists is kept, and what runs already finishes.
    #[serde(default)]
    pub archived: bool,
    /// Source of builds that name neither a source nor a recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What every build of the project takes when it says nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_defaults: Option<BuildDefaults>,
    /// Templates that Builds of the project can name in templateRef. A Build keeps what a template said when the Build was taken on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub templates: Vec<BuildTemplate>,
    /// Capabilities that the project turns off for itself. It can narrow what the tenant has, never widen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<ProjectCapabilities>,
    /// ImagePolicy that images of this project must pass beside the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,
    /// Which finished builds and scans of the project are removed. Where it is set, even empty, it counts instead of the tenant's and the platform's; empty, every one is kept. Those of an archived project are kept in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// What the operator made of a Project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Builds that exist, by state: one that was deleted, or removed by retention, is counted no more. Brought up to date at most once in 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<BuildCounts>,
    /// The newest build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_build: Option<LastBuild>,
}

impl Default for ProjectStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            conditions: Vec::new(),
            builds: None,
            last_build: None,
        }
    }
}

/// Builds that exist, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildCounts {
    /// All builds that exist.
    pub total: u32,
    /// Waiting for a slot.
    pub queued: u32,
    /// Preparing, Building, Scanning or Publishing.
    pub running: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Ended badly, cancelled and timed-out ones included.
    pub failed: u32,
}

/// The newest build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastBuild {
    /// Name of the Build.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its state.
    pub phase: Phase,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}
