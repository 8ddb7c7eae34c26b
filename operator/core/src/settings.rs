//! What the platform decided when it installed the factory. Read once from the chart's ConfigMap.

use imagefactory_crds::build::{AllowedPlacement, CacheMode, Proxy, RegistryMirror};
use imagefactory_crds::common::{DurationText, Resources};
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::retention::Retention;
use imagefactory_crds::tenant::Quota;
use serde::{Deserialize, Serialize};

use crate::keeping::{LogSettings, ObjectStoreSettings};
use crate::sor_record::settings::SorSettings;

/// Settings of the installation; the chart writes them as `config.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Namespace of the release: operator and credentials role.
    pub release_namespace: String,
    /// Namespace of scan and publish jobs and of the scanner, where the platform's credentials lie.
    pub work_namespace: String,
    /// Prefix of the names of all ClusterRoles that the chart installs, as in `image-factory`.
    pub cluster_role_prefix: String,
    /// The operator's own service account, in the release namespace.
    pub operator_service_account: String,
    /// The service account that places staging credentials in tenant namespaces, in the work namespace.
    pub credentials_service_account: String,
    /// Images that pods are made from.
    pub images: Images,
    /// What a tenant has when its Tenant does not say.
    #[serde(default)]
    pub onboarding: OnboardingPolicy,
    /// ImagePolicy of tenants that name none. Without it nothing of theirs is published.
    #[serde(default)]
    pub default_policy: Option<String>,
    /// Where images wait for their verdict: `<prefix>/<tenant>/…`.
    pub staging: PlatformRegistry,
    /// How long staged images are kept after their build began, in seconds. 0: for ever.
    #[serde(default = "one_day")]
    pub staging_ttl_seconds: i64,
    /// Where images are published by default: `<prefix>/<tenant>/<project>:<build>`.
    pub output: PlatformRegistry,
    /// Mirrors that are asked first, for every build.
    #[serde(default)]
    pub mirrors: Vec<RegistryMirror>,
    /// PEM certificates of authorities that every step trusts, beside the public ones.
    #[serde(default)]
    pub ca_bundle: Option<String>,
    /// Defaults and limits of builds.
    pub builds: BuildSettings,
    /// How many builds run at a time, and in which order.
    #[serde(default)]
    pub dispatch: DispatchSettings,
    /// The scanner.
    pub scan: ScanSettings,
    /// Where logs and the operator's own records lie.
    #[serde(default)]
    pub object_store: ObjectStoreSettings,
    /// Logs that are kept.
    #[serde(default)]
    pub logs: LogSettings,
    /// Tenant namespaces.
    pub tenants: TenantNamespaceSettings,
    /// Records of the system of record.
    #[serde(default)]
    pub sor: SorSettings,
    /// Whether the webhook stamps who asked. Without it nothing is read into that annotation; with it nothing is done for an object that lacks it.
    #[serde(default)]
    pub stamps_requester: bool,
    /// Whether pods of tenants need a user namespace of their own. False is for clusters without user namespaces and waives the first wall between a build and its node.
    #[serde(default = "yes")]
    pub require_user_namespaces: bool,
}

/// Images that pods are made from, and how they are pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Images {
    /// Our own steps.
    pub worker: String,
    /// Kaniko's executor.
    pub kaniko: String,
    /// BuildKit with our launcher.
    pub buildkit: String,
    /// Trivy's client.
    pub trivy: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Pull secrets for these images, by name, in the work namespace and in each tenant's. No tenant may refer to them.
    #[serde(default)]
    pub pull_secrets: Vec<String>,
}

/// A registry of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformRegistry {
    /// Host, port and path, without a trailing slash: `registry.example.com/staging`.
    pub prefix: String,
    /// Secret in the work namespace.
    pub secret: String,
    /// Whose the credentials in it are.
    pub scope: CredentialScope,
}

/// Whose the credentials of a platform registry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialScope {
    /// A key `<tenant>.json` for each tenant, each limited by the registry to the tenant's prefix.
    PerTenant,
    /// One key `.dockerconfigjson` for all. For registries that can't scope credentials: who breaks out of a
    /// container that holds it reaches every tenant's images there.
    Shared,
}

impl PlatformRegistry {
    /// Key of the Secret that holds a tenant's credential.
    #[must_use]
    pub fn key_for(&self, tenant: &str) -> String {
        match self.scope {
            CredentialScope::PerTenant => format!("{tenant}.json"),
            CredentialScope::Shared => ".dockerconfigjson".to_owned(),
        }
    }
}

/// Defaults and limits of builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildSettings {
    /// Longest run of a build that says nothing.
    pub default_timeout: DurationText,
    /// Resources of the container that builds, where the build says nothing.
    #[serde(default)]
    pub default_resources: Resources,
    /// Resources of our own containers.
    #[serde(default)]
    pub step_resources: Resources,
    /// Size of the volumes for source and image, as in `20Gi`.
    pub volume_size: String,
    /// Longest run of a scan or a publish job, in seconds.
    pub job_deadline_seconds: i64,
    /// How long the jobs of a settled build stay, in seconds.
    pub job_ttl_seconds: i64,
    /// Repository prefixes that builds of every tenant may pull from, beside what their Tenant lists.
    #[serde(default)]
    pub pull_prefixes: Vec<String>,
    /// Whether builds that say nothing use their project's cache.
    #[serde(default)]
    pub cache: CacheMode,
    /// Most bytes of a project's cache.
    #[serde(default = "ten_gib")]
    pub cache_max_bytes: u64,
    /// Proxies of builds that name none.
    #[serde(default)]
    pub proxy: Option<Proxy>,
    /// What builds of every tenant may say of where they run.
    #[serde(default)]
    pub placement: AllowedPlacement,
    /// Seccomp profile of BuildKit's containers, below the kubelet's directory of profiles.
    #[serde(default = "buildkit_profile")]
    pub buildkit_seccomp_profile: String,
    /// How long the pods of a settled build stay, in seconds. None goes before its logs are kept.
    #[serde(default = "one_hour")]
    pub pod_ttl_seconds: i64,
    /// How long a pod may wait for its image, a volume or a node before the build fails, in seconds.
    pub pending_deadline_seconds: i64,
    /// What is tried again.
    #[serde(default)]
    pub retries: RetrySettings,
    /// Which finished builds are removed where neither Project nor TenantSettings says; nothing by default.
    #[serde(default)]
    pub retention: Retention,
}

/// Retries by class of failure, and the pause before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetrySettings {
    /// After a Git server did not answer.
    pub source: u32,
    /// After a registry of base images did not answer.
    pub pull: u32,
    /// After the node put the pod out or went away.
    pub evicted: u32,
    /// After the scanner broke off.
    pub scan: u32,
    /// After a registry did not take the image.
    pub publish: u32,
    /// After a failure of the cluster or the factory.
    pub infrastructure: u32,
    /// Pause before the first retry of a class, in seconds; doubled with each.
    pub backoff_seconds: u32,
    /// Longest pause, in seconds.
    pub max_backoff_seconds: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            source: 2,
            pull: 2,
            evicted: 3,
            scan: 2,
            publish: 3,
            infrastructure: 3,
            backoff_seconds: 10,
            max_backoff_seconds: 300,
        }
    }
}

/// How many builds run at a time, and in which order. What one tenant may run stands in its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DispatchSettings {
    /// Builds of all tenants that run at a time.
    pub max_builds: u32,
    /// A wait of so many seconds is worth a level of priority.
    pub ageing_seconds: i64,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            max_builds: 50,
            ageing_seconds: 300,
        }
    }
}

/// The scanner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanSettings {
    /// URL of the Trivy server.
    pub server_url: String,
    /// Secret in the work namespace with the server's token under the key `token`.
    pub token_secret: String,
    /// PersistentVolumeClaim in the work namespace that holds the Java database. Without it an image with JARs is Unknown.
    #[serde(default)]
    pub java_database_claim: Option<String>,
    /// Resources of the scanner's client.
    #[serde(default)]
    pub resources: Resources,
}

/// Tenant namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantNamespaceSettings {
    /// Quota of a tenant that names none.
    #[serde(default)]
    pub default_quota: Quota,
    /// Requests of containers that name none.
    #[serde(default)]
    pub default_requests: imagefactory_crds::common::ResourceList,
    /// Limits of containers that name none.
    #[serde(default)]
    pub default_limits: imagefactory_crds::common::ResourceList,
    /// Most that one container may use, whoever names its limits. What is not named here has no ceiling.
    #[serde(default)]
    pub max_limits: imagefactory_crds::common::ResourceList,
    /// Egress of build pods.
    #[serde(default)]
    pub egress: EgressSettings,
    /// Shortest time between two checks of a tenant's namespace for drift, in seconds.
    #[serde(default = "one_minute")]
    pub resync_seconds: u64,
}

/// Egress of build pods: DNS, everything but what `except` lists, and what `allow` lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressSettings {
    /// Where names are resolved.
    #[serde(default)]
    pub dns: DnsSettings,
    /// Ranges that are closed: cluster, nodes, link-local.
    #[serde(default)]
    pub except: Vec<String>,
    /// What is open all the same.
    #[serde(default)]
    pub allow: Vec<EgressRule>,
}

/// DNS servers that build pods may ask, by UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DnsSettings {
    /// Namespace of their pods.
    pub namespace: String,
    /// Ports that they listen on, of the pods and not of their Service.
    pub ports: Vec<u16>,
    /// Address ranges of servers that are no such pods, as a cache on every node.
    pub addresses: Vec<String>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            ports: vec![53],
            addresses: Vec::new(),
        }
    }
}

/// A destination that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressRule {
    /// Address range.
    pub cidr: String,
    /// TCP ports; none means all.
    #[serde(default)]
    pub ports: Vec<u16>,
}

fn yes() -> bool {
    true
}

fn ten_gib() -> u64 {
    10 << 30
}

fn buildkit_profile() -> String {
    "imagefactory/buildkit.json".to_owned()
}

fn one_day() -> i64 {
    86_400
}

fn one_hour() -> i64 {
    3600
}

fn one_minute() -> u64 {
    60
}
