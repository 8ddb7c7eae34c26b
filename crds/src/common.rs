//! Pieces that several kinds share.

use kube_core::Rule;
use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

bounded_strings! {
    /// Name of an object in the same namespace.
    ObjectName { min: 1, max: 63, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", rules: [
        ("!self.startsWith('imagefactory-')", "names that begin with imagefactory- are reserved for the factory")
    ] }
    /// Key in a ConfigMap or Secret.
    DataKey { min: 1, max: 253, pattern: r"^[A-Za-z0-9_][-A-Za-z0-9._]*$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Relative path with forward slashes, without `.` or `..` segments and without a leading `-` or `/`.
    RelativePath { min: 1, max: 512, pattern: r"^[A-Za-z0-9_.][A-Za-z0-9_.+@-]*(/[A-Za-z0-9_.][A-Za-z0-9_.+@-]*)*$", rules: [
        ("!self.split('/').exists(s, s == '..' || s == '.')", "must not contain '.' or '..' segments")
    ] }
    /// Image reference: host, repository and tag or digest, as in `registry.example.com/team/app:1.2`.
    ImageReference { min: 1, max: 512, pattern: r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Registry host with an optional port, as in `registry.example.com:5000`.
    RegistryHost { min: 1, max: 259, pattern: r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$" }
    /// Registry host and path that repositories must begin with, segment by segment, as in `registry.example.com/team`.
    RepositoryPrefix { min: 1, max: 384, pattern: r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?$" }
    /// Name of a variable.
    VariableName { min: 1, max: 128, pattern: r"^[A-Za-z_][A-Za-z0-9_]*$" }
    /// Key of an image label.
    LabelKey { min: 1, max: 256, pattern: r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// One line of text without control characters.
    TextLine { min: 0, max: 2048, pattern: r"^[^\x00-\x1f\x7f]*$" }
    /// A short text for people, one line.
    DisplayText { min: 0, max: 256, pattern: r"^[^\x00-\x1f\x7f]*$" }
    /// A longer text for people; line breaks are allowed.
    Description { min: 0, max: 1024, pattern: r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$" }
    /// A duration as in `90s`, `30m` or `1h30m`.
    DurationText { min: 2, max: 16, pattern: r"^([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$" }
    /// Name of a user, group or service account as the API server knows it.
    SubjectName { min: 1, max: 253, pattern: r"^[^\x00-\x20\x7f-][^\x00-\x1f\x7f]*$" }
    /// E-mail address.
    Email { min: 3, max: 254, pattern: r"^[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9][A-Za-z0-9.-]*$" }
    /// URL with the scheme https.
    HttpsUrl { min: 9, max: 2048, pattern: r"^https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[^\x00-\x20\x7f<>]*)?$" }
    /// Digest of a manifest or blob.
    Digest { min: 71, max: 71, pattern: r"^sha256:[0-9a-f]{64}$" }
}

/// Reference to an object in the same namespace (or to a cluster-scoped one) by name. There is no field for a
/// namespace: nothing that a tenant writes points out of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object.
    pub name: ObjectName,
}

impl LocalRef {
    /// A reference to `name`.
    #[must_use]
    pub fn to(name: &str) -> Self {
        Self { name: name.into() }
    }
}

/// A key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    pub name: ObjectName,
    /// Key in the ConfigMap.
    pub key: DataKey,
}

/// Who a role or a right is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SubjectKind {
    /// A user, by the name that the API server's authentication gives.
    User,
    /// A group; never one that begins with `system:`.
    Group,
    /// A service account of a namespace that the Tenant names.
    ServiceAccount,
}

/// A user, a group or a service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind == 'ServiceAccount' ? has(self.__namespace__) : !has(self.__namespace__)")
        .message("namespace is required for a ServiceAccount and not allowed for a User or a Group"),
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("subjects that begin with system: belong to Kubernetes; name a user, a group of people or a service account")
)]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,
    /// Name as the API server knows it.
    pub name: SubjectName,
    /// Namespace of a ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<ObjectName>,
}

/// An amount of each compute resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceList {
    /// CPU, as in `2` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, as in `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Scratch space on the node, as in `10Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
}

/// Rule: what is asked for of an amount is no more than its limit, where both are named.
fn at_most_its_limit(amount: &str) -> Rule {
    let of = |list: &str| format!("quantity(string(self.{list}.{amount}))");
    Rule::new(format!(
        "!(has(self.requests) && has(self.limits) && has(self.requests.{amount}) && has(self.limits.{amount})) || \
         !{}.isGreaterThan({})",
        of("requests"),
        of("limits")
    ))
    .message(format!("requests.{amount} must be at most limits.{amount}").as_str())
}

/// What a build asks for and what it may not exceed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[x_kube(
    validation = at_most_its_limit("cpu"),
    validation = at_most_its_limit("memory"),
    validation = at_most_its_limit("ephemeralStorage"),
)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceList>,
    /// What the build may not exceed. A build over its memory limit is killed and fails with class OutOfMemory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceList>,
}

/// What a Build takes when it says nothing itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct BuildDefaults {
    /// Longest run of a build, from 10 seconds to 24 hours, as in `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("must be between 10s and 24h"))]
    pub timeout: Option<DurationText>,
    /// Resources of the container that builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Whether results of earlier builds of a project are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<crate::build::Cache>,
    /// Where builds' pods run. Only what the platform or the Tenant allows; a Build's own placement comes before it, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<crate::build::Placement>,
}

/// `observedGeneration` of an object that no controller has looked at.
#[must_use]
pub fn never_observed() -> i64 {
    -1
}
