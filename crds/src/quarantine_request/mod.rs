//! QuarantineRequest: that an outside image be brought in, by way of quarantine.

mod status;

pub use status::{QuarantineRequestStatus, RequestPhase};

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::Platform;
use crate::common::{ImageReference, LocalRef};
use crate::sor_record::{Justification, RecordId};

/// A request that an outside image be brought in.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "QuarantineRequest",
    plural = "quarantinerequests",
    shortname = "qreq",
    category = "imagefactory",
    namespaced,
    doc = "A QuarantineRequest asks that an outside image be brought in for a product that is registered in the system of record. It waits for approval. Its spec does not change but to withdraw it; a new wish is a new request.",
    status = "QuarantineRequestStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    selectable = ".spec.projectRef.name",
    selectable = ".spec.sorRecordId",
    selectable = ".status.phase",
    printcolumn(
        name = "Project",
        type_ = "string",
        json_path = ".spec.projectRef.name",
        description = "Project that the image is for."
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
        name = "Record",
        type_ = "string",
        json_path = ".spec.sorRecordId",
        description = "Record in the system of record."
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
        json_path = ".spec.source.image",
        priority = 1,
        description = "The image that is asked for."
    ),
    printcolumn(
        name = "Requested By",
        type_ = "string",
        json_path = ".status.requestedBy",
        priority = 1,
        description = "Who asked."
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
    validation = Rule::new("self.withdrawn || !oldSelf.withdrawn").message("a withdrawn request stays withdrawn; create a new QuarantineRequest instead").field_path(".withdrawn")
)]
pub struct QuarantineRequestSpec {
    /// The image that is asked for.
    pub source: QuarantineSource,
    /// Id of the record in the system of record that the image is for, as in `APP-4711`. A request is refused without one that counts for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sor_record_id: Option<RecordId>,
    /// Why the image is needed. Those who approve read it.
    pub justification: Justification,
    /// Project that the image is for.
    pub project_ref: LocalRef,
    /// Platforms of the image that are asked for, as in `linux/amd64`. Without them, all that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub platforms: Vec<Platform>,
    /// ImagePolicy that the image must pass beside the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,
    /// Set it to true to withdraw the request. It is the only field that can change, and can't be taken back.
    #[serde(default)]
    pub withdrawn: bool,
}

/// Where an outside image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineSource {
    /// Reference of the image with its tag or digest, as in `quay.io/team/app:1.2`. A tag is resolved once; from then on everything names the digest.
    pub image: ImageReference,
}
