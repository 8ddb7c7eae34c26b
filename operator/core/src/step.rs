//! The contract between the operator and the worker: what each container of our image is told, and what it says.
//!
//! A step is told its work as JSON in one environment variable, so that nothing a tenant wrote is ever parsed as
//! an argument. It answers with one [`Report`] in its termination message, which is part of the pod's status:
//! tenants can't write there. The container that runs tenant code also has a termination message; nobody reads a
//! report from it, only what it used, which is shown and decides nothing ([`usage`]).

use imagefactory_crds::build::{
    BaseImage, FailureClass, InlineFile, NamedValue, PlatformImage, Proxy, Recipe, RegistryMirror, ScanStatus, Verdict,
};
use imagefactory_crds::image_policy::ImagePolicySpec;
use imagefactory_crds::reference::lies_under;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub mod buildkit;
pub mod usage;

/// Environment variable that carries the step as JSON.
pub const STEP_VARIABLE: &str = "IMAGEFACTORY_STEP";

/// Longest report in bytes. The kubelet cuts a termination message at 4,096, and all of a pod's together at 12 KiB,
/// shared evenly: 3,072 for each of four containers. A step cuts lists before that; length never changes an outcome.
pub const MAX_REPORT: usize = 3000;

/// Where volumes are mounted in the containers of a build, of a scan and of a publish.
pub mod paths {
    /// Source as fetched. Written by `prepare`, read by the builder.
    pub const WORKSPACE: &str = "/workspace";
    /// What `prepare` makes for the builder beside the source: `Dockerfile`, `docker/config.json`, `ca.pem`. The builder mounts it read-only.
    pub const PREPARED: &str = "/prepared";
    /// Source policy that `prepare` makes for BuildKit, in [`PREPARED`]: what is not pinned is denied.
    pub const SOURCE_POLICY: &str = "source-policy.json";
    /// Secrets of the build: one file for each, named by its id. Read by the builder.
    pub const BUILD_SECRETS: &str = "/secrets";
    /// The project's cache as it was loaded. Read by the builder.
    pub const CACHE_IN: &str = "/cache/in";
    /// The project's cache as the builder leaves it. Written by the builder, read-only and hostile to `push`.
    pub const CACHE_OUT: &str = "/cache/out";
    /// Name of our own program in [`PREPARED`], which starts Kaniko and tells what it used. Put there by `prepare`.
    pub const LAUNCHER: &str = "worker";
    /// Programs of ours for containers of other images: `worker`. Written by `install`.
    pub const TOOLS: &str = "/imagefactory";
    /// OCI layout. Written by the builder, read-only and hostile to `push`.
    pub const LAYOUT: &str = "/layout";
    /// ConfigMap that is the source.
    pub const SOURCE_CONFIG: &str = "/source-config";
    /// Git credentials: files `username` and `password`.
    pub const GIT_CREDENTIALS: &str = "/credentials/git";
    /// The tenant's pull secrets: `/credentials/pull/<n>/.dockerconfigjson`.
    pub const PULL_CREDENTIALS: &str = "/credentials/pull";
    /// Credential for staging: `.dockerconfigjson`.
    pub const STAGING_CREDENTIALS: &str = "/credentials/staging";
    /// Credential for the output: `.dockerconfigjson`.
    pub const OUTPUT_CREDENTIALS: &str = "/credentials/output";
    /// The platform's certificate authorities: `ca.crt`.
    pub const PLATFORM_CA: &str = "/ca/platform";
    /// The build's own certificate authorities: `ca.crt`.
    pub const BUILD_CA: &str = "/ca/build";
    /// Reports and SBOMs of the scanner, a directory for each image in the order of the step: `0/report.json`, `0/sbom.json`.
    pub const REPORTS: &str = "/reports";
    /// Where the scanner keeps what it makes, and finds the Java database.
    pub const SCANNER_CACHE: &str = "/cache";
    /// What `resolve` found. Written by it, read by `scan` and `evaluate`.
    pub const IMAGE: &str = "/image";
    /// Scratch of a step of ours. `SSL_CERT_FILE` points at `ca.pem` in it, which the step writes first.
    pub const SCRATCH: &str = "/tmp";
    /// State of the BuildKit daemon of one build.
    pub const BUILDKIT_STATE: &str = "/state";
    /// Name of the Dockerfile that `prepare` writes into [`PREPARED`].
    pub const DOCKERFILE: &str = "Dockerfile";
    /// Name of the file with all certificate authorities in [`PREPARED`] and [`SCRATCH`].
    pub const CA_FILE: &str = "ca.pem";
}

/// What `prepare` does: look that the pod has a user namespace, fetch the source, write the Dockerfile with its
/// bases pinned, and merge pull credentials and certificate authorities for the builder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrepareStep {
    /// End the pod if `/proc/self/uid_map` is the identity.
    pub require_user_namespace: bool,
    /// What builds: it decides what is prepared.
    pub builder: Builder,
    /// Repository prefixes that everything the build pulls must lie under. Nothing outside is asked for.
    pub pull_prefixes: Vec<String>,
    /// What is not pulled though it lies under one of them.
    #[serde(default)]
    pub closed: ClosedPlaces,
    /// Proxies to fetch through.
    pub proxy: Option<Proxy>,
    /// Where the source comes from.
    pub source: StepSource,
    /// Directory of the source that is the context; empty for the whole source.
    pub context_dir: String,
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Values for ARG lines.
    pub build_args: Vec<NamedValue>,
    /// Stage to build.
    pub target: Option<String>,
    /// The build's own mirrors, asked before the platform's. What one of them gives is told as its own.
    pub mirrors: Vec<RegistryMirror>,
    /// The platform's mirrors, which stand for the registries that they mirror.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platform_mirrors: Vec<RegistryMirror>,
    /// Names of the pull secrets that are mounted, in the order of their directories.
    pub pull_secrets: Vec<String>,
    /// Ids of the build's secrets: each must be there as a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// The platform's own registries, where each tenant has a part: whatever prefixes hold them, another's part is not pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClosedPlaces {
    /// Prefix of staging. Nothing is pulled from there: no verdict was given yet.
    pub staging: String,
    /// Prefix of the output.
    pub output: String,
    /// What is open of the output: the tenant's own part, and what the platform has every tenant pull.
    pub open: Vec<String>,
}

impl ClosedPlaces {
    /// Whether nothing is pulled from `repository`.
    #[must_use]
    pub fn hold(&self, repository: &str) -> bool {
        let under = |prefix: &String| lies_under(repository, prefix);
        under(&self.staging) || (under(&self.output) && !self.open.iter().any(under))
    }
}

/// What builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Builder {
    /// Kaniko: bases are pinned in a rewritten Dockerfile.
    Kaniko,
    /// BuildKit: the same, and a source policy that denies everything that is not pinned; the frontend of a `# syntax=` line is pinned too.
    Buildkit,
    /// A program of the tenant's: there is no Dockerfile.
    Custom,
}

/// Where the source comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepSource {
    /// A Git repository.
    Git {
        /// URL over HTTPS or HTTP.
        url: String,
        /// Branch, tag or commit; none for the default branch.
        revision: Option<String>,
        /// Whether credentials are mounted.
        credentials: bool,
    },
    /// Files.
    Inline {
        /// The files.
        files: Vec<InlineFile>,
    },
    /// The mounted ConfigMap.
    ConfigMap,
    /// An OCI artifact or image, pulled with the pull secrets.
    Oci {
        /// Name with tag or digest.
        image: String,
    },
    /// A recipe, from which the Dockerfile is made.
    Recipe(Box<Recipe>),
}

/// What `prepare` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// Commit that was checked out.
    pub commit: Option<String>,
    /// Base images, resolved once; at most eight are reported.
    pub bases: Vec<BaseImage>,
    /// How many there are beside those reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_bases: Option<u32>,
}

/// What `load-cache` does: lay the project's cache out for the builder. That there is none, or that it can't be had, is no failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadCacheStep {
    /// Where the cache lies.
    pub cache: CachePlace,
    /// Repository prefix that the staging credential may be used for.
    pub credential_prefix: String,
}

/// What `load-cache` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheLoaded {
    /// Bytes that were laid out; zero where there was no cache.
    pub bytes: u64,
}

/// Where a project's cache lies: `<staging>/<tenant>/cache/<project>`, a tag for each kind of builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachePlace {
    /// Repository in staging.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Most bytes that are kept. What was used longest ago goes first.
    pub max_bytes: u64,
}

/// What `push` does: check the layout, and send it to staging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushStep {
    /// Repository in staging.
    pub repository: String,
    /// Repository prefix that the staging credential may be used for.
    pub credential_prefix: String,
    /// Tag in staging, so that a registry that collects what has no tag keeps the image. Nobody reads by it.
    pub tag: String,
    /// Most bytes that the layout may hold.
    pub max_bytes: u64,
    /// Platforms that the image must have, no more and no fewer; empty for whatever it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Where the builder's cache is kept once the image is in staging. That this fails is no failure of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CachePlace>,
    /// When the build's time is over, in seconds since 1970: sending the cache leaves some of it to scan and publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<i64>,
}

/// What `push` sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// Digest of the manifest or index, computed from the bytes that were sent.
    pub digest: String,
    /// Compressed size of everything that it names, in bytes.
    pub size: i64,
    /// The images of an index; empty where the digest names one image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformImage>,
}

/// What `resolve` does: ask the registry what an image is, once, and write it down for the steps that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveStep {
    /// Repository of the image.
    pub repository: String,
    /// Its digest; none where the tag says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its tag, which counts where there is no digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Repository prefix that the credential may be used for.
    pub credential_prefix: String,
}

/// What `resolve` found. The same stands in [`paths::IMAGE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// Digest of the manifest or index, computed from its bytes.
    pub digest: String,
    /// The images of an index; empty where the digest names one image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformImage>,
}

/// What `scan` does, in the scanner's image: run the scanner for each image, one after another, and its SBOM from the same findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanStep {
    /// Repository of the images.
    pub repository: String,
    /// Digests of the images: the staged one, or each of an index. Empty where `resolve` found them.
    pub digests: Vec<String>,
    /// Whether the images are those that `resolve` found.
    #[serde(default, skip_serializing_if = "is_false")]
    pub resolved: bool,
    /// The tenant for whose scans of listed registries alone it counts what the scanner's server keeps of these images' layers;
    /// none where it counts for everybody. The scanner pulls a second time, and a registry that we do not know may give it
    /// other layers than `resolve` has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_apart: Option<String>,
    /// URL of the scanner's server. Its token stands in `TRIVY_TOKEN`.
    pub server_url: String,
    /// Longest scan of one image, in seconds.
    pub timeout_seconds: i64,
}

/// What `scan` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanned {
    /// How many images.
    pub images: usize,
}

/// What `evaluate` does: read report and SBOM of each image, judge, and attach both to the image as referrers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluateStep {
    /// Repository in staging.
    pub repository: String,
    /// Digest of the staged image or index.
    pub digest: String,
    /// The images of an index, in the order of the reports; empty where the digest names one image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformImage>,
    /// Whether digest and images are those that `resolve` found; then neither stands here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub resolved: bool,
    /// Whether a registry that does not let the credential write is no failure: the evidence is then not attached.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_lack_referrers: bool,
    /// Repository prefix that the credential may be used for.
    pub credential_prefix: String,
    /// Policies that apply; all must pass.
    pub policies: Vec<AppliedPolicy>,
    /// URL of the scanner's server, asked for the version of its database.
    pub server_url: String,
    /// Whether the Java database is mounted for the scanner. Without it an image with JARs is Unknown.
    pub java_database: bool,
    /// How the image was made; none where nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildFacts>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How an image was made, as the operator knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildFacts {
    /// Name of the tenant.
    pub tenant: String,
    /// Name of the project.
    pub project: String,
    /// Name of the Build.
    pub name: String,
    /// What built it, as in `kaniko`.
    pub method: String,
    /// Kind of the source: `git`, `inline`, `configMap`, `oci` or `recipe`.
    pub source: String,
    /// URL of the Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_url: Option<String>,
    /// Commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Images that the build used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<BaseImage>,
    /// Why not all of them are known, as the end of a sentence; none where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases_unknown: Option<String>,
}

impl BuildFacts {
    /// Every image that the build used.
    ///
    /// # Errors
    /// Why they are not all known.
    pub fn known_bases(&self) -> Result<&[BaseImage], String> {
        match &self.bases_unknown {
            None => Ok(&self.bases),
            Some(why) => Err(why.clone()),
        }
    }
}

/// A policy as it is applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedPolicy {
    /// Name of the ImagePolicy.
    pub name: String,
    /// Hash of its spec.
    pub hash: String,
    /// Its spec.
    pub spec: ImagePolicySpec,
}

/// What `evaluate` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluated {
    /// Digest that was judged. The operator takes the verdict for no other.
    pub digest: String,
    /// Counts and digests; absent where the evidence was too broken to say.
    pub scan: Option<ScanStatus>,
    /// What the policies say.
    pub verdict: Verdict,
}

/// What `publish` does: copy by digest with referrers, then set the tag, then read it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishStep {
    /// Repository in staging.
    pub repository: String,
    /// Digest to publish.
    pub digest: String,
    /// Repository prefix that the staging credential may be used for.
    pub staging_prefix: String,
    /// Name with tag to publish as.
    pub image: String,
    /// Repository prefixes that the output credential may be used for.
    pub output_prefixes: Vec<String>,
    /// Referrers that must come along. An index is given those of its images too, with the platform as an annotation.
    pub referrers: Vec<Evidence>,
}

/// A referrer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Digest of the image that it speaks of.
    pub subject: String,
    /// Its own digest.
    pub digest: String,
    /// Platform of the subject, where it is one image of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// What `publish` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// Digest that the tag was read back with.
    pub digest: String,
}

/// What `unstage` does: remove staged images that have expired, with what refers to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnstageStep {
    /// Repository prefix that the staging credential may be used for.
    pub credential_prefix: String,
    /// What is removed.
    pub images: Vec<StagedEntry>,
    /// How long all of it may take, so that what became of it is told before the job's time is over; none for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_seconds: Option<u64>,
}

/// A staged image that has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedEntry {
    /// Its place on the list of what expires.
    pub path: String,
    /// Repository in staging.
    pub repository: String,
    /// Which image of it.
    #[serde(flatten)]
    pub image: StagedName,
}

/// Which image of a build's staging repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StagedName {
    /// The manifest or index with this digest.
    Digest(String),
    /// Whatever has this tag, which an attempt to build gives; nothing, if it never came to that.
    Tag(String),
}

/// What became of the images that `unstage` was to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unstaged {
    /// Of each, in the order of the step.
    #[serde(default)]
    pub images: Vec<Fate>,
    /// Why the first that was not removed was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StepFailure>,
}

/// What became of an image that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It was removed.
    Removed,
    /// It was gone already, or never there.
    Absent,
    /// It stays, since its registry does not remove by digest.
    Unsupported,
    /// It could not be removed.
    Failed,
}

/// Why a step of ours ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// The cause in one CamelCase word, as in `CommitNotFound`.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub next: String,
}

/// What a step says when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report<T> {
    /// It did its work.
    Done(T),
    /// It did not.
    Failed(StepFailure),
}

impl<T: Serialize> Report<T> {
    /// The report as the termination message. Too long a one becomes a failure that says so: a cut report could be misread.
    #[must_use]
    pub fn encode(&self) -> String {
        match serde_json::to_string(self) {
            Ok(text) if text.len() <= MAX_REPORT => text,
            Ok(_) | Err(_) => {
                r#"{"failed":{"class":"Infrastructure","reason":"ReportTooLong","message":"The step's report is longer than a termination message.","next":"Report this as a defect of Image Factory."}}"#.to_owned()
            }
        }
    }
}

impl<T: DeserializeOwned> Report<T> {
    /// Reads a termination message; none where it is not a report.
    #[must_use]
    pub fn decode(message: &str) -> Option<Self> {
        serde_json::from_str(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_too_long_becomes_a_failure() {
        let report = Report::Done(Prepared {
            commit: Some("a".repeat(MAX_REPORT)),
            bases: Vec::new(),
            more_bases: None,
        });
        let read = Report::<Prepared>::decode(&report.encode());
        assert!(matches!(read, Some(Report::Failed(failure)) if failure.reason == "ReportTooLong"));
    }

    #[test]
    fn of_the_platforms_registries_only_what_is_open_is_pulled() {
        let closed = ClosedPlaces {
            staging: "registry.example.com/images/staging".to_owned(),
            output: "registry.example.com/images".to_owned(),
            open: ["acme", "staging", "bases/common"]
                .map(|part| format!("registry.example.com/images/{part}"))
                .into(),
        };
        for (repository, held) in [
            ("registry.example.com/images/acme/web", false),
            ("registry.example.com/images/bases/common/debian", false),
            ("registry.example.com/images/other/web", true),
            ("registry.example.com/images/acme-two/web", true),
            ("REGISTRY.example.com:443/images/other/web", true),
            ("registry.example.com/images", true),
            // Whatever a tenant is called, staging stays shut.
            ("registry.example.com/images/staging/acme/builds/web", true),
            ("registry.example.com/other/web", false),
            ("docker.io/library/debian", false),
        ] {
            assert_eq!(closed.hold(repository), held, "{repository}");
        }
        assert!(!ClosedPlaces::default().hold("docker.io/library/debian"));
    }

    #[test]
    fn what_is_not_a_report_is_none() {
        assert_eq!(Report::<Prepared>::decode("error building image"), None);
        assert_eq!(Report::<Prepared>::decode(""), None);
    }
}
