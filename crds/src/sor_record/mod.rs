//! SorRecord: what the enterprise's system of record says of a product that tenants may bring outside images in for.

pub mod check;
pub mod lifecycle;

pub use check::{HOW_TO_REGISTER, NotRegistered, REGISTRATION_REQUIRED, check};
pub use lifecycle::{Lifecycle, lifecycle, next_change};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{DisplayText, ObjectName};
use crate::conditions;

bounded_strings! {
    /// Id of a record as the system of record writes it, as in `APP-4711`. Upper and lower case are told apart.
    RecordId { min: 1, max: 64, pattern: r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Why something is asked for: a text for people that is not blank; line breaks are allowed.
    Justification { min: 1, max: 1024, pattern: r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$" }
}

/// What the system of record says of a product.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "SorRecord",
    plural = "sorrecords",
    shortname = "sor",
    category = "imagefactory",
    doc = "A SorRecord is a record of the enterprise's system of record: for which product the tenants that it lists may request quarantine of outside images, and until when. Platform administrators write it, or the operator fetches it.",
    status = "SorRecordStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    selectable = ".spec.recordId",
    printcolumn(
        name = "Record",
        type_ = "string",
        json_path = ".spec.recordId",
        description = "Id in the system of record."
    ),
    printcolumn(
        name = "Lifecycle",
        type_ = "string",
        json_path = ".status.lifecycle",
        description = "Active, Expiring, Expired or Suspended."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why it counts, or does not."
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".spec.expiresAt",
        description = "When it stops to count."
    ),
    printcolumn(
        name = "Tenants",
        type_ = "integer",
        json_path = ".status.tenants",
        description = "Tenants that it lists."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Product",
        type_ = "string",
        json_path = ".spec.product",
        priority = 1,
        description = "What it is about."
    ),
    printcolumn(
        name = "Verified",
        type_ = "date",
        json_path = ".status.verifiedAt",
        priority = 1,
        description = "When it was last known to be what the system of record says."
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
#[x_kube(
    validation = Rule::new("self.recordId == oldSelf.recordId")
        .message("field_immutable: recordId can't change after the SorRecord was created; create a new SorRecord instead")
        .field_path(".recordId")
)]
pub struct SorRecordSpec {
    /// Id of the record, as QuarantineRequests name it. Of several SorRecords with one id the oldest counts; the others are Stalled with reason DuplicateRecord.
    pub record_id: RecordId,
    /// Names of the tenants that the record is for. To every other tenant the record is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tenants: Vec<ObjectName>,
    /// Product that the record is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<DisplayText>,
    /// Technology that the product is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technology: Option<DisplayText>,
    /// Why the product needs outside images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// From when on the record does not count any more. Without it, it counts until it is suspended or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// While true the record does not count.
    #[serde(default)]
    pub suspended: bool,
}

/// What the operator made of a SorRecord.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SorRecordStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// Where the record stands, in one word. Derived from the spec and the time; nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// When the record was last known to be what the system of record says: for one that is kept by hand or from Git, when this spec was first seen; for one that is fetched, when it was last fetched, to within a part of the greatest age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// For a record that is fetched: until when it counts without being fetched again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_until: Option<Time>,
    /// How many tenants the record lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<u32>,
    /// `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for SorRecordStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            lifecycle: None,
            verified_at: None,
            trusted_until: None,
            tenants: None,
            conditions: Vec::new(),
        }
    }
}

impl SorRecord {
    /// Whether the operator fetched it, by its label. Of one that is kept by hand nobody else has to say that it holds.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        let labels = self.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(crate::names::LABEL_SOR_SOURCE))
    }

    /// Of several SorRecords with one id, the one that sorts first counts: the oldest, and of those made within one
    /// second the first by name.
    #[must_use]
    pub fn seniority(&self) -> (Option<jiff::Timestamp>, Option<&str>) {
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, self.metadata.name.as_deref())
    }
}
