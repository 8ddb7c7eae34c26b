//! How long finished builds and scans stay: what a Project, TenantSettings and the platform's settings say alike.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::DurationText;

/// Which finished builds and scans (ImageScan) of a project are removed, by the same limits, each kind counted by itself. One goes when either limit says so. The newest successful build and the newest successful scan of a project always stay, and so does what has not ended or left a pod or job behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// How long after its end a build or a scan is kept, from one hour to a year, as in `720h` for 30 days. Without it none is removed for its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')").message("must be between 1h and 8760h"))]
    pub max_age: Option<DurationText>,
    /// How many finished builds of a project are kept, and as many finished scans beside them: the newest ones, whatever their result. Without it none is removed for their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_builds: Option<u32>,
    /// Whether builds and scans count and go that somebody named: those applied from Git or from a file. By default only those with a generated name do (metadata.generateName), since what a Git controller applies by name it would make again, and so run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_applied: bool,
}
