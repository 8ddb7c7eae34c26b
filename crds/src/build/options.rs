//! What a build may be given beside its source: platforms, cache, secrets, proxy, placement, a builder of its own.

use std::collections::BTreeMap;

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::NamedValue;
use crate::common::{DataKey, LabelKey, ObjectName, TextLine};

bounded_strings! {
    /// Operating system, architecture and variant, as in `linux/amd64` or `linux/arm/v7`.
    Platform { min: 5, max: 32, pattern: r"^linux/[a-z0-9]{1,12}(/v[0-9]{1,2})?$" }
    /// Image that is named by its digest, as in `registry.example.com/team/builder@sha256:…`.
    PinnedImage { min: 74, max: 512, pattern: r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?@sha256:[0-9a-f]{64}$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Name by which a Dockerfile's `RUN --mount=type=secret,id=…` asks for a secret.
    SecretId { min: 1, max: 63, pattern: r"^[A-Za-z0-9][A-Za-z0-9._-]*$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// URL of a proxy, without credentials in it, as in `http://proxy.example.com:3128`.
    ProxyUrl { min: 8, max: 512, pattern: r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$" }
    /// Host, domain, address or range that is reached without the proxy, as in `.example.com` or `10.0.0.0/8`.
    ProxyException { min: 1, max: 253, pattern: r"^[A-Za-z0-9.*\[][A-Za-z0-9.:/*\[\]-]*$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Value of a node's label.
    LabelValue { min: 0, max: 63, pattern: r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$" }
    /// Name of a cluster-wide class or of a scheduler.
    ClassName { min: 1, max: 253, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" }
}

/// Whether results of earlier builds of the project are used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CacheMode {
    /// Every step runs, nothing is kept.
    #[default]
    Disabled,
    /// Steps that earlier builds of the project ran are taken from the cache; what is new is kept.
    Use,
    /// Every step runs, and the cache is made anew.
    Refresh,
}

/// The project's cache. It lies in the staging registry under the tenant's and the project's name; no other project reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Disabled, Use or Refresh.
    pub mode: CacheMode,
}

/// A secret for the build's steps: a file that stands in no layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildSecret {
    /// Name by which the Dockerfile asks for it, as in `RUN --mount=type=secret,id=…`. A custom builder finds it as `/secrets/<id>`.
    pub id: SecretId,
    /// Key of a Secret in the tenant's namespace. The build's steps can read it.
    pub secret_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: ObjectName,
    /// Key in the Secret.
    pub key: DataKey,
}

/// Proxies for everything that a build fetches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// For plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<ProxyUrl>,
    /// For HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<ProxyUrl>,
    /// What is reached without a proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub exceptions: Vec<ProxyException>,
}

/// Where a build's pod runs. What of it is allowed, the platform and the Tenant say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub node_selector: Vec<NodeLabel>,
    /// Taints of nodes that the pod puts up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub tolerations: Vec<TaintToleration>,
    /// PriorityClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ClassName>,
    /// RuntimeClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<ClassName>,
    /// Scheduler of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<ClassName>,
}

/// A label of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLabel {
    /// Key of the label.
    pub key: LabelKey,
    /// Its value.
    pub value: LabelValue,
}

/// A taint that the pod puts up with: one with this key, and this value and effect if they are named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaintToleration {
    /// Key of the taint.
    pub key: LabelKey,
    /// Its value; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// Its effect; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// What a taint does to pods that do not put up with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not placed there.
    NoSchedule,
    /// They are placed elsewhere if possible.
    PreferNoSchedule,
    /// They are put out.
    NoExecute,
}

impl TaintEffect {
    /// The word in a pod's toleration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// What builds may say of where they run. What is not listed is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedPlacement {
    /// Labels of nodes that a build may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub node_selector: Vec<NodeLabel>,
    /// Taints that a build may put up with. One without a value or an effect allows every value or effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<TaintToleration>,
    /// PriorityClasses that a build may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub priority_class_names: Vec<ClassName>,
    /// RuntimeClasses that a build may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub runtime_class_names: Vec<ClassName>,
    /// Schedulers that a build may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub scheduler_names: Vec<ClassName>,
}

/// A builder of the tenant's own: a program that writes an OCI layout to `/layout`. It finds the source in `/workspace`
/// and pull credentials in `$DOCKER_CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct CustomBuilder {
    /// Image of the builder, by digest. The Build's pull secrets serve for it.
    pub image: PinnedImage,
    /// Program to run. Default: the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub command: Vec<TextLine>,
    /// Arguments, each passed as it is; there is no shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<TextLine>,
    /// Environment of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<NamedValue>,
}

impl Placement {
    /// This placement, and what it does not say from `defaults`.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        let list = |own: &[NodeLabel], other: &[NodeLabel]| {
            let merged: BTreeMap<_, _> = other
                .iter()
                .chain(own)
                .map(|label| (label.key.clone(), label.value.clone()))
                .collect();
            merged
                .into_iter()
                .map(|(key, value)| NodeLabel { key, value })
                .collect()
        };
        Self {
            node_selector: list(&self.node_selector, &defaults.node_selector),
            tolerations: if self.tolerations.is_empty() {
                defaults.tolerations.clone()
            } else {
                self.tolerations.clone()
            },
            priority_class_name: self
                .priority_class_name
                .clone()
                .or_else(|| defaults.priority_class_name.clone()),
            runtime_class_name: self
                .runtime_class_name
                .clone()
                .or_else(|| defaults.runtime_class_name.clone()),
            scheduler_name: self.scheduler_name.clone().or_else(|| defaults.scheduler_name.clone()),
        }
    }

    /// What of it none of these lists allows: the field's path and its value. None if all is allowed.
    #[must_use]
    pub fn first_not_allowed(&self, allowed: &[&AllowedPlacement]) -> Option<(&'static str, String)> {
        let any = |holds: &dyn Fn(&AllowedPlacement) -> bool| allowed.iter().any(|list| holds(list));
        let label = self
            .node_selector
            .iter()
            .find(|label| !any(&|list| list.node_selector.contains(label)));
        let toleration = self
            .tolerations
            .iter()
            .find(|own| !any(&|list| list.tolerations.iter().any(|of| of.covers(own))));
        let class = |named: &Option<ClassName>, of: fn(&AllowedPlacement) -> &Vec<ClassName>| {
            named
                .as_ref()
                .filter(|name| !any(&|list| of(list).contains(name)))
                .map(ToString::to_string)
        };
        None.or(label.map(|label| ("nodeSelector", format!("{}={}", label.key, label.value))))
            .or(toleration.map(|toleration| ("tolerations", toleration.key.to_string())))
            .or_else(|| {
                class(&self.priority_class_name, |list| &list.priority_class_names)
                    .map(|name| ("priorityClassName", name))
            })
            .or_else(|| {
                class(&self.runtime_class_name, |list| &list.runtime_class_names).map(|name| ("runtimeClassName", name))
            })
            .or_else(|| class(&self.scheduler_name, |list| &list.scheduler_names).map(|name| ("schedulerName", name)))
    }
}

impl TaintToleration {
    /// Whether who is allowed this one may also have `other`.
    fn covers(&self, other: &Self) -> bool {
        self.key == other.key
            && (self.value.is_none() || self.value == other.value)
            && (self.effect.is_none() || self.effect == other.effect)
    }
}
