//! Where a build's Dockerfile and context come from.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::NamedValue;
use crate::common::{ImageReference, LocalRef, RelativePath, TextLine};

bounded_strings! {
    /// URL of a Git repository over HTTPS or HTTP, without credentials, query or fragment.
    GitUrl { min: 10, max: 1024, pattern: r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9_.~+-]+)+/?$", rules: [
        ("!self.contains('..') && !self.contains('/-')", "must not contain '..' or a segment that begins with '-'")
    ] }
    /// Branch, tag or full commit.
    GitRevision { min: 1, max: 255, pattern: r"^[A-Za-z0-9_][A-Za-z0-9_./+-]*$", rules: [
        ("!self.contains('..') && !self.endsWith('/') && !self.endsWith('.') && !self.endsWith('.lock') && !self.contains('//')", "is not a valid name of a branch, a tag or a commit")
    ] }
    /// Content of a file.
    FileContent { min: 0, max: 8192, pattern: r"^[^\x00]*$" }
    /// Name of a package for apt, apk or dnf, with an optional version as in `curl=7.88.1-10`.
    PackageName { min: 1, max: 128, pattern: r"^[A-Za-z0-9][A-Za-z0-9+._:~=-]*$" }
    /// A shell command, one line.
    ShellCommand { min: 1, max: 2048, pattern: r"^[^\x00-\x1f\x7f]+$" }
}

/// Where the Dockerfile and its context come from: one of `git`, `inline`, `configMap`, `oci`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.git), has(self.inline), has(self.configMap), has(self.oci)].filter(x, x).size() == 1").message("name exactly one of git, inline, configMap and oci"))]
pub struct Source {
    /// A Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
    /// Files written in the Build itself, 8 KiB together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineSource>,
    /// A ConfigMap whose keys are the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
    /// An OCI artifact or image whose layers are the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
    /// Directory of the source that is the build's context. Default: the whole source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_dir: Option<RelativePath>,
    /// Path of the Dockerfile in the context. Default: `Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<RelativePath>,
}

/// A Git repository and what to take from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// URL of the repository over HTTPS or HTTP, without credentials in it.
    pub url: GitUrl,
    /// Branch, tag or full commit. Default: the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<GitRevision>,
    /// Secret of type `kubernetes.io/basic-auth` in the tenant's namespace, with `username` and `password` (or a token as the password). It is sent to the host of `url` alone, and only over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// Files written in the Build itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct InlineSource {
    /// The files; together at most 8 KiB. For more, use a ConfigMap.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("self.map(f, bytes(f.content).size()).sum() <= 8192").message("inline files are at most 8 KiB together; use a ConfigMap for more"),
        merge_strategy = ListMerge::Map(vec!["path".into()])
    )]
    pub files: Vec<InlineFile>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InlineFile {
    /// Path in the source, as in `Dockerfile` or `app/main.py`.
    pub path: RelativePath,
    /// Content.
    pub content: FileContent,
}

/// A ConfigMap whose keys are the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// Name of the ConfigMap in the tenant's namespace.
    pub name: crate::common::ObjectName,
}

/// An OCI artifact or image whose layers are the files: tar archives, plain or compressed with gzip, laid over each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciSource {
    /// Name with tag or digest. It must lie where the tenant may pull from; the Build's pull secrets serve for it.
    pub image: ImageReference,
}

/// An image described without a Dockerfile. The package manager (apt, apk or dnf) follows from the base image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// Image to begin with.
    pub base_image: ImageReference,
    /// Packages to install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub packages: Vec<PackageName>,
    /// Shell commands to run after the packages are there, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub commands: Vec<ShellCommand>,
    /// Environment of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<NamedValue>,
    /// Program and arguments that the image starts with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub entrypoint: Vec<TextLine>,
}
