//! What the operator writes into a Build. Bounded: reports, SBOMs and logs live elsewhere, here are counts,
//! digests and references.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::waiting::{ClassRetries, QueueStatus, StageAttempts};
use crate::common::Digest;
use crate::conditions;
use crate::image_policy::Mode;

use super::{KeptLogs, ResolvedSpec, Usage};

/// State in one word, for people. Derived from the conditions' causes; no controller reads it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waits for a slot.
    #[default]
    Queued,
    /// Source, base image and pod are got ready.
    Preparing,
    /// The Dockerfile's steps run.
    Building,
    /// The staged image is scanned.
    Scanning,
    /// The image is given its name.
    Publishing,
    /// Published.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by its user.
    Cancelled,
    /// Ran longer than its timeout.
    TimedOut,
}

impl Phase {
    /// The word in status and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Preparing => "Preparing",
            Self::Building => "Building",
            Self::Scanning => "Scanning",
            Self::Publishing => "Publishing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "TimedOut",
        }
    }
}

/// What the operator knows of a Build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// State in one word, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When the phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_time: Option<Time>,
    /// `Succeeded` and `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Who asked, as the webhook stamped it; copied once. Absent where no webhook does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub requested_by: Option<String>,
    /// The spec as it is carried out, with all defaults, recorded when the build was taken on. Later changes of the Project, of its templates or of defaults do not change it. What is allowed is asked anew all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_spec: Option<Box<ResolvedSpec>>,
    /// How the build stands in the queue; absent once it is dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Box<QueueStatus>>,
    /// Attempts to build so far; absent until the build was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Attempts to scan and to publish so far. A scan or a publish that is tried again repeats only itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_attempts: Option<StageAttempts>,
    /// Retries so far, by the class of failure that each followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub retries: Vec<ClassRetries>,
    /// When the next attempt may begin; present only while the build waits for it. It then waits for a slot like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the build was dispatched for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the build was dispatched again, for its last retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_time: Option<Time>,
    /// Time that earlier attempts took, in seconds. It counts towards the timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_seconds: Option<u32>,
    /// When the build ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Pod that builds the image, in the tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// What was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<SourceStatus>>,
    /// The image as built, before the verdict. Everything after names its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedImage>,
    /// What the scan found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Box<ScanStatus>>,
    /// What the policies say about the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Box<Verdict>>,
    /// The published image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<OutputStatus>>,
    /// What went wrong and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Where the logs of the build's containers are kept. Absent until one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Box<KeptLogs>>,
    /// What the container that builds used in its last attempt that ended. Told by that very container, which runs the tenant's code, so it informs and decides nothing. Absent where it is not known: with method custom, whose program is the tenant's own, and of a container that was killed, as for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Box<Usage>>,
}

impl Default for BuildStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            phase: None,
            phase_time: None,
            conditions: Vec::new(),
            requested_by: None,
            resolved_spec: None,
            queue: None,
            attempts: None,
            stage_attempts: None,
            retries: Vec::new(),
            next_attempt_at: None,
            start_time: None,
            attempt_time: None,
            used_seconds: None,
            completion_time: None,
            pod_name: None,
            source: None,
            staged: None,
            scan: None,
            verdict: None,
            output: None,
            failure: None,
            logs: None,
            usage: None,
        }
    }
}

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Commit that was checked out, for a Git source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
    /// Base images as they were resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub bases: Vec<BaseImage>,
    /// How many base images there were beside those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_bases: Option<u32>,
}

/// A base image as it was resolved, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaseImage {
    /// As the Dockerfile names it, arguments filled in; cut at 256 characters.
    #[schemars(length(max = 256))]
    pub reference: String,
    /// Digest that it had.
    pub digest: Digest,
}

/// The image as built, in the staging registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedImage {
    /// Repository in the staging registry.
    #[schemars(length(max = 512))]
    pub repository: String,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Compressed size of everything that the digest names, in bytes.
    #[schemars(range(min = 0))]
    pub size: i64,
    /// The images of an index. Absent where the digest names one image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub platforms: Vec<PlatformImage>,
}

/// One image of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformImage {
    /// Platform, as in `linux/arm64`.
    #[schemars(length(max = 80))]
    pub platform: String,
    /// Digest of its manifest.
    pub digest: Digest,
}

/// What the scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanStatus {
    /// Scanner with its version, as in `trivy 0.66.0`.
    #[schemars(length(max = 128))]
    pub scanner: String,
    /// When the vulnerability database was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_time: Option<Time>,
    /// When the image was scanned.
    pub scan_time: Time,
    /// Findings by severity.
    pub vulnerabilities: SeverityCounts,
    /// Packages in the SBOM.
    pub packages: u32,
    /// SBOM and report, as OCI referrers of the image. Absent for an index, whose images have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrers: Option<ReferrerDigests>,
    /// What was found in each image of an index; above stands the highest count of each severity, and of packages. Absent where the digest names one image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub platforms: Vec<PlatformScan>,
}

/// What was found in one image of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformScan {
    /// Platform, as in `linux/arm64`.
    #[schemars(length(max = 80))]
    pub platform: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Findings by severity.
    pub vulnerabilities: SeverityCounts,
    /// Packages in the SBOM.
    pub packages: u32,
    /// SBOM and report, as OCI referrers of this image. Absent where they could not be attached, of which nothing is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrers: Option<ReferrerDigests>,
}

/// Findings by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeverityCounts {
    /// Severity critical.
    pub critical: u32,
    /// Severity high.
    pub high: u32,
    /// Severity medium.
    pub medium: u32,
    /// Severity low.
    pub low: u32,
    /// Findings without a severity.
    pub unknown: u32,
    /// Findings of any severity that have a fix.
    pub fixable: u32,
}

/// Digests of the manifests that refer to the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerDigests {
    /// SBOM in CycloneDX.
    pub sbom: Digest,
    /// The scanner's report.
    pub report: Digest,
}

/// Pass, Fail or Unknown. Unknown is not a pass: it is never published, in any mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Judgement {
    /// Every rule holds.
    Pass,
    /// A rule is broken.
    Fail,
    /// The evidence is incomplete.
    Unknown,
}

impl Judgement {
    /// The word in status and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Fail => "Fail",
            Self::Unknown => "Unknown",
        }
    }
}

/// What the policies say about the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The worst of all policies that apply.
    pub result: Judgement,
    /// Whether the image may be published: Pass, or Fail where every failing policy is in mode DryRun.
    pub publishable: bool,
    /// Each policy that applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub policies: Vec<PolicyVerdict>,
}

/// What one policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyVerdict {
    /// Name of the ImagePolicy.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Hash of the policy's spec that was applied.
    #[schemars(length(max = 71))]
    pub hash: String,
    /// Mode of the policy.
    pub mode: Mode,
    /// What it says.
    pub result: Judgement,
    /// Why, worst first; cut after four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 200)))]
    pub causes: Vec<String>,
}

/// The published image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// Name with tag.
    #[schemars(length(max = 640))]
    pub image: String,
    /// Digest that the tag was read back with.
    pub digest: Digest,
    /// Compressed size of everything that the digest names, in bytes.
    #[schemars(range(min = 0))]
    pub size: i64,
}

/// Whose failure it is, and what may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FailureClass {
    /// The source could not be fetched or read.
    Source,
    /// A base image could not be pulled.
    Pull,
    /// A step of the build failed.
    Build,
    /// The build went over its memory limit.
    OutOfMemory,
    /// The node put the pod out.
    Evicted,
    /// The image could not be scanned.
    Scan,
    /// Policy does not allow the image.
    Policy,
    /// The image could not be published.
    Publish,
    /// The build ran longer than its timeout.
    Timeout,
    /// The cluster or the factory failed.
    Infrastructure,
}

impl FailureClass {
    /// The word in status, reasons and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Pull => "Pull",
            Self::Build => "Build",
            Self::OutOfMemory => "OutOfMemory",
            Self::Evicted => "Evicted",
            Self::Scan => "Scan",
            Self::Policy => "Policy",
            Self::Publish => "Publish",
            Self::Timeout => "Timeout",
            Self::Infrastructure => "Infrastructure",
        }
    }
}

/// What went wrong and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// The cause in one word, as in `OOMKilled` or `ImagePullBackOff`.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Container that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub container: Option<String>,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What happened.
    #[schemars(length(max = 512))]
    pub message: String,
    /// The last lines of the container's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1500))]
    pub log: Option<String>,
    /// What to do about it.
    #[schemars(length(max = 256))]
    pub next: String,
}
