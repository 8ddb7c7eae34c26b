//! How an image is built: what a Build says, and what a template of its Project can say in its place.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BuildSecret, BuildSpec, Cache, CustomBuilder, ImageLabel, Method, NamedValue, Output, Placement, Platform, Proxy,
    Recipe, RegistryMirror, Source, StageName,
};
use crate::common::{ConfigMapKeyRef, Description, DurationText, LocalRef, ObjectName, Resources};

bounded_strings! {
    /// Repository without tag and digest, as in `registry.example.com/team/app`.
    RepositoryName { min: 3, max: 384, pattern: r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
}

/// A template of the Build's project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// Name of the template in the Project's `spec.templates`.
    pub name: ObjectName,
}

/// How an image is built, by a name. What a Build says itself comes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.source) && has(self.recipe))").message("name a source or a recipe, not both").field_path(".recipe"),
    validation = Rule::new("!has(self.output) || !has(self.output.pushSecretRef) || !has(self.pullSecrets) || !self.pullSecrets.exists(s, s.name == self.output.pushSecretRef.name)")
        .message("the build's steps can read pull secrets, so the secret to publish with can't be one of them").field_path(".pullSecrets"),
    validation = Rule::new("!has(self.output) || !has(self.output.pushSecretRef) || !has(self.secrets) || !self.secrets.exists(s, s.secretRef.name == self.output.pushSecretRef.name)")
        .message("the build's steps can read secrets, so the secret to publish with can't be one of them").field_path(".secrets")
)]
pub struct BuildTemplate {
    /// Name by which a Build's templateRef asks for it.
    pub name: ObjectName,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// How the image is built.
    #[serde(flatten)]
    pub inputs: BuildInputs,
    /// Where images are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<TemplateOutput>,
}

/// Where the images of a template are published. It serves many runs, so it names no tag: that is the name of the Build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateOutput {
    /// Repository without a tag; the tag is the name of the Build. It must lie where the tenant may publish. Default: `<platform's output prefix>/<tenant>/<project>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// Secret of type `kubernetes.io/dockerconfigjson` in the tenant's namespace to publish with. Default: the platform's credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<LocalRef>,
}

/// The fields of a Build that say how its image is built. What is seldom used lies in boxes, since one of these is kept
/// for every Build that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct BuildInputs {
    /// Where the Dockerfile and its context come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// An image described without a Dockerfile: base image, packages, commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Box<Recipe>>,
    /// What builds the image: kaniko, buildx, docker or custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Platforms to build for, as in `linux/amd64`. For method buildx; method docker takes one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub platforms: Vec<Platform>,
    /// The builder of method custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Box<CustomBuilder>>,
    /// Stage of the Dockerfile to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Values for the Dockerfile's ARG lines, by name. They are visible in the image's history: never put a secret here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub build_args: Vec<NamedValue>,
    /// Labels of the image, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub labels: Vec<ImageLabel>,
    /// Secrets for the build's steps, by id. For methods buildx, docker and custom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub secrets: Vec<BuildSecret>,
    /// Whether results of earlier builds of the project are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Proxies for everything that the build fetches.
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
    /// ConfigMap key in the tenant's namespace with PEM certificates of authorities that the build trusts, beside the platform's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<Box<ConfigMapKeyRef>>,
    /// Resources of the container that builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Box<Resources>>,
    /// Longest run, from 10 seconds to 24 hours, as in `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("must be between 10s and 24h"))]
    pub timeout: Option<DurationText>,
    /// How often the build is tried again after failures that may pass by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub retries: Option<u32>,
    /// Priority among the waiting builds of the tenant, the higher the sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -10, max = 10))]
    pub priority: Option<i32>,
    /// ImagePolicy that the image must pass beside the tenant's and the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<LocalRef>,
}

impl BuildInputs {
    /// What a Build says itself.
    #[must_use]
    pub fn of(spec: &BuildSpec) -> Self {
        let spec = spec.clone();
        Self {
            source: spec.source,
            recipe: spec.recipe,
            method: spec.method,
            platforms: spec.platforms,
            custom: spec.custom,
            target: spec.target,
            build_args: spec.build_args,
            labels: spec.labels,
            secrets: spec.secrets,
            cache: spec.cache,
            proxy: spec.proxy,
            placement: spec.placement,
            pull_secrets: spec.pull_secrets,
            registry_mirrors: spec.registry_mirrors,
            ca_bundle: spec.ca_bundle,
            resources: spec.resources,
            timeout: spec.timeout,
            retries: spec.retries,
            priority: spec.priority,
            policy_ref: spec.policy_ref,
        }
    }

    /// A Build of that project that says all of this itself.
    #[must_use]
    pub fn into_spec(self, project_ref: LocalRef, output: Option<Box<Output>>) -> BuildSpec {
        BuildSpec {
            project_ref,
            template_ref: None,
            rerun_of: None,
            source: self.source,
            recipe: self.recipe,
            method: self.method,
            platforms: self.platforms,
            custom: self.custom,
            target: self.target,
            build_args: self.build_args,
            labels: self.labels,
            secrets: self.secrets,
            cache: self.cache,
            proxy: self.proxy,
            placement: self.placement,
            pull_secrets: self.pull_secrets,
            registry_mirrors: self.registry_mirrors,
            ca_bundle: self.ca_bundle,
            output,
            resources: self.resources,
            timeout: self.timeout,
            retries: self.retries,
            priority: self.priority,
            policy_ref: self.policy_ref,
            cancelled: false,
        }
    }
}
