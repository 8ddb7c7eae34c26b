//! Build: one run, from source to a published image. A rerun is a new Build.

mod logs;
mod method;
mod options;
mod resolved;
mod secrets;
mod source;
mod status;
pub mod support;
mod template;
mod usage;
mod waiting;

pub use logs::{KeptLog, KeptLogs, MAX_KEPT_LOGS};
pub use method::Method;
pub use options::{
    AllowedPlacement, BuildSecret, Cache, CacheMode, ClassName, CustomBuilder, LabelValue, NodeLabel, PinnedImage,
    Placement, Platform, Proxy, ProxyException, ProxyUrl, SecretId, SecretKeyRef, TaintEffect, TaintToleration,
};
pub use resolved::{LongField, ReferredField, ResolvedSpec};
pub use secrets::NamedSecret;
pub use source::{
    ConfigMapSource, FileContent, GitRevision, GitSource, GitUrl, InlineFile, InlineSource, OciSource, PackageName,
    Recipe, ShellCommand, Source,
};
pub use status::{
    BaseImage, BuildStatus, Failure, FailureClass, Judgement, OutputStatus, Phase, PlatformImage, PlatformScan,
    PolicyVerdict, ReferrerDigests, ScanStatus, SeverityCounts, SourceStatus, StagedImage, Verdict,
};
pub use template::{BuildInputs, BuildTemplate, RepositoryName, TemplateOutput, TemplateRef};
pub use usage::Usage;
pub use waiting::{ClassRetries, QueueLimit, QueueStatus, StageAttempts};

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{
    ConfigMapKeyRef, DurationText, ImageReference, LabelKey, LocalRef, RegistryHost, RepositoryPrefix, Resources,
    TextLine, VariableName,
};

bounded_strings! {
    /// Name of a stage of a Dockerfile.
    StageName { min: 1, max: 128, pattern: r"^[A-Za-z0-9][A-Za-z0-9._-]*$" }
}

/// One run, from source to a published image.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "Build",
    plural = "builds",
    shortname = "ifb",
    category = "imagefactory",
    namespaced,
    doc = "A Build is one run: source is fetched, an image is built, scanned by digest, judged by policy and, if policy allows, published under its name. Its spec does not change; a rerun is a new Build.",
    status = "BuildStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    selectable = ".spec.projectRef.name",
    selectable = ".spec.method",
    selectable = ".status.phase",
    printcolumn(
        name = "Project",
        type_ = "string",
        json_path = ".spec.projectRef.name",
        description = "Project of the build."
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
        json_path = ".status.output.image",
        priority = 1,
        description = "The published name."
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.output.digest",
        priority = 1,
        description = "Digest of the published image."
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
    validation = Rule::new("!(has(self.source) && has(self.recipe))").message("name a source or a recipe, not both").field_path(".recipe"),
    validation = Rule::new("!has(self.recipe) || (!has(self.target) && !has(self.buildArgs))")
        .message("target and buildArgs speak of a Dockerfile; a recipe has none"),
    validation = Rule::new("has(self.templateRef) ? !(has(self.custom) && has(self.method) && self.method != 'custom') : (has(self.method) && self.method == 'custom') == has(self.custom)").message("method custom and spec.custom come together").field_path(".custom"),
    validation = Rule::new("!has(self.platforms) || (has(self.method) ? self.method in ['buildx', 'docker'] : has(self.templateRef))").message("field_not_supported: platforms is for methods buildx and docker").field_path(".platforms"),
    validation = Rule::new("!has(self.platforms) || size(self.platforms) <= 1 || (has(self.method) ? self.method == 'buildx' : has(self.templateRef))").message("field_not_supported: several platforms are for method buildx").field_path(".platforms"),
    validation = Rule::new("!has(self.secrets) || (has(self.method) ? self.method in ['buildx', 'docker', 'custom'] : has(self.templateRef))").message("field_not_supported: secrets is for methods buildx, docker and custom").field_path(".secrets"),
    validation = Rule::new("!has(self.method) || self.method != 'custom' || !(has(self.target) || has(self.buildArgs) || has(self.labels) || has(self.recipe) || has(self.registryMirrors) || has(self.cache))").message("field_not_supported: target, buildArgs, labels, recipe, registryMirrors and cache are for methods kaniko, buildx and docker").field_path(".custom"),
    validation = Rule::new("!has(self.output) || !has(self.output.pushSecretRef) || !has(self.pullSecrets) || !self.pullSecrets.exists(s, s.name == self.output.pushSecretRef.name)")
        .message("the build's steps can read pull secrets, so the secret to publish with can't be one of them").field_path(".pullSecrets"),
    validation = Rule::new("!has(self.output) || !has(self.output.pushSecretRef) || !has(self.secrets) || !self.secrets.exists(s, s.secretRef.name == self.output.pushSecretRef.name)")
        .message("the build's steps can read secrets, so the secret to publish with can't be one of them").field_path(".secrets"),
    validation = Rule::new("!has(self.rerunOf) || !(has(self.templateRef) || has(self.source) || has(self.recipe) || has(self.method) || has(self.platforms) || has(self.custom) || has(self.target) || has(self.buildArgs) || has(self.labels) || has(self.secrets) || has(self.cache) || has(self.proxy) || has(self.placement) || has(self.pullSecrets) || has(self.registryMirrors) || has(self.caBundle) || has(self.resources) || has(self.policyRef))")
        .message("a rerun runs what the other Build ran: beside rerunOf only projectRef, output, priority, timeout, retries and cancelled can be set").field_path(".rerunOf"),
    validation = Rule::new("self.cancelled || !oldSelf.cancelled").message("a cancelled build stays cancelled; create a new Build instead").field_path(".cancelled")
)]
pub struct BuildSpec {
    // Thousands are held in memory and most say little: what is wide is boxed (docs/decisions/0031).
    /// Project that the build belongs to.
    pub project_ref: LocalRef,
    /// Template of the project to build by. What the Build says itself comes before the template, field by field; buildArgs, labels, secrets and pullSecrets are joined by name. A source takes the place of a template's recipe, and the other way round. What comes of it has to be what a Build could say itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// A finished Build of the same project that is run again: what its status says as resolvedSpec, from the commit that it built. Tags of base images and of an OCI source are resolved anew; Secrets and ConfigMaps are read as they are now. The image gets this Build's name as its tag, unless output says otherwise. Beside it only projectRef, output, priority, timeout, retries and cancelled can be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<LocalRef>,
    /// Where the Dockerfile and its context come from. Without it and without a recipe, the template's is taken, else the project's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// An image described without a Dockerfile: base image, packages, commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Box<Recipe>>,
    /// What builds the image: kaniko, buildx (BuildKit, several platforms), docker (BuildKit, one platform) or custom. Default: the template's, else kaniko. Packer and Nix come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Platforms to build for, as in `linux/amd64`; the image becomes an index of several. Default: that of the node. For method buildx; method docker takes one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub platforms: Vec<Platform>,
    /// The builder of method custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Box<CustomBuilder>>,
    /// Stage of the Dockerfile to build. Default: the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Values for the Dockerfile's ARG lines. They are visible in the image's history: never put a secret here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub build_args: Vec<NamedValue>,
    /// Labels of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub labels: Vec<ImageLabel>,
    /// Secrets for the build's steps, for methods buildx, docker and custom. They stand in no layer, argument or log of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub secrets: Vec<BuildSecret>,
    /// Whether results of earlier builds of the project are used again. Default: the project's, else the tenant's, else the chart's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Proxies for everything that the build fetches. Default: the chart's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Box<Proxy>>,
    /// Where the build's pod runs. Only what the platform or the Tenant allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the tenant's namespace with credentials for pulling base images. The build can read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pull_secrets: Vec<LocalRef>,
    /// Mirrors that are asked for base images before the registry that they name, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub registry_mirrors: Vec<RegistryMirror>,
    /// ConfigMap key in the tenant's namespace with PEM certificates of authorities that the build trusts, beside the platform's: for Git servers, registries and mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<Box<ConfigMapKeyRef>>,
    /// Where the image is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<Output>>,
    /// Resources of the container that builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Box<Resources>>,
    /// Longest run, from 10 seconds to 24 hours, as in `30m`: the time that all attempts take together. Waiting for a slot or for the next attempt does not count. Default: the project's, else the tenant's, else the chart's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("must be between 10s and 24h"))]
    pub timeout: Option<DurationText>,
    /// How often the build is tried again after failures that may pass by themselves, all of them together. The platform has a budget for each class of failure, which holds too; without this field it alone does. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub retries: Option<u32>,
    /// Priority among the waiting builds of the tenant, the higher the sooner. Waiting makes up for priority: one that waits long enough is ahead of those that come later. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -10, max = 10))]
    pub priority: Option<i32>,
    /// ImagePolicy that this image must pass beside the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,
    /// Set it to true to cancel the build. A build that is already publishing finishes. It is the only field that can change.
    #[serde(default)]
    pub cancelled: bool,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedValue {
    /// Name.
    pub name: VariableName,
    /// Value: one line without control characters.
    pub value: TextLine,
}

/// A label of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageLabel {
    /// Key, as in `org.opencontainers.image.source`.
    pub name: LabelKey,
    /// Value: one line without control characters.
    pub value: TextLine,
}

/// A registry and where its images are asked for first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryMirror {
    /// Registry that Dockerfiles name, as in `docker.io`.
    pub registry: RegistryHost,
    /// Host, port and path of the mirror, as in `mirror.example.com/docker-hub`.
    pub mirror: RepositoryPrefix,
}

/// Where the image is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Name of the image with its tag. It must lie under the platform's output prefix for the tenant or under one of the Tenant's registries. Its tag does not begin with `sha256-`: there registries keep the evidence of other images. Default: `<platform's output prefix>/<tenant>/<project>:<name of the Build>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("!self.contains('@')").message("an output has a tag; its digest comes from the build"),
        validation = Rule::new("!self.contains(':sha256-')").message("tags that begin with sha256- are where registries list the evidence of an image: choose another tag")
    )]
    pub image: Option<ImageReference>,
    /// Secret of type `kubernetes.io/dockerconfigjson` in the tenant's namespace to publish with. Without it the platform's credential is used, which serves the platform's output prefix for this tenant and what the Tenant's registries list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<LocalRef>,
}
