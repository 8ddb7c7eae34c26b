//! ImageScan: one scan of an image that is there already, on demand.

pub mod place;
mod status;

pub use place::{Place, Placed, PlatformPrefixes};
pub use status::{EvidencePlace, ImageScanStatus, ScanPhase};

use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{DurationText, ImageReference, LocalRef};

/// One scan of an image, on demand.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "ImageScan",
    plural = "imagescans",
    shortname = "iscan",
    category = "imagefactory",
    namespaced,
    doc = "An ImageScan is one scan of an image that is there already: it is resolved to its digest once, scanned by that digest, and judged by policy. SBOM and report are attached to the image where that is allowed. Its spec does not change but to cancel it; another scan is a new ImageScan.",
    status = "ImageScanStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    selectable = ".spec.projectRef.name",
    selectable = ".status.phase",
    printcolumn(
        name = "Project",
        type_ = "string",
        json_path = ".spec.projectRef.name",
        description = "Project of the scan."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.phase",
        description = "State in one word."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Verdict",
        type_ = "string",
        json_path = ".status.verdict.result",
        description = "What the policies say about the image."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.phaseTime",
        description = "When the state was reached."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.image",
        priority = 1,
        description = "The image that is scanned."
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.digest",
        priority = 1,
        description = "The digest that was scanned."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].message",
        priority = 1,
        description = "What happened and what to do next."
    )
)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.cancelled || !oldSelf.cancelled").message("a cancelled scan stays cancelled; create a new ImageScan instead").field_path(".cancelled")
)]
pub struct ImageScanSpec {
    /// Project that the scan belongs to.
    pub project_ref: LocalRef,
    /// The image, with its registry's host and a digest or a tag, as in `registry.example.com/team/app@sha256:…`. A tag is resolved once; from then on everything names the digest. Only images that the platform's credentials may be used for: those of the tenant in the factory's registries, and what lies under a prefix that the Tenant lists in registries.
    #[x_kube(validation = Rule::new("self.matches('^([^/]*[.:][^/]*|localhost)/')").message("name the registry's host too, as in registry.example.com/team/app:1.2"))]
    #[x_kube(validation = Rule::new("self.matches('@sha256:[0-9a-f]{64}$') || self.matches(':[A-Za-z0-9_][A-Za-z0-9._-]*$')").message("name a digest or a tag: what is scanned has to be said"))]
    pub image: ImageReference,
    /// ImagePolicy that the image must pass beside the tenant's and the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,
    /// Longest run, from 10 seconds to 24 hours, as in `30m`: the time that all attempts take together. Waiting for a slot or for the next attempt does not count. Default: the chart's for builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("must be between 10s and 24h"))]
    pub timeout: Option<DurationText>,
    /// Set it to true to cancel the scan. It is the only field that can change.
    #[serde(default)]
    pub cancelled: bool,
}
