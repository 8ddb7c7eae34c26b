//! ImagePolicy: what an image must be like to be published.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{DurationText, RepositoryPrefix};
use crate::conditions;

bounded_strings! {
    /// A CVSS score from `0` to `10`, with at most one decimal.
    CvssScore { min: 1, max: 4, pattern: r"^(10(\.0)?|[0-9](\.[0-9])?)$" }
    /// An SPDX licence identifier, as in `AGPL-3.0-only`, or a name as scanners report it.
    LicenceName { min: 1, max: 64, pattern: r"^[A-Za-z0-9][A-Za-z0-9 ._+()-]*$" }
    /// A package: its name, as in `telnet`, or a package URL without a version, as in `pkg:npm/event-stream`.
    DeniedPackage { min: 1, max: 128, pattern: r"^[A-Za-z0-9@][A-Za-z0-9@._+/:%~-]*$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
    /// Name of a rule: a DNS label of at most 40 characters.
    RuleName { min: 1, max: 40, pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }
    /// A condition in CEL, in printable ASCII; line breaks are allowed.
    RuleExpression { min: 1, max: 512, pattern: r"^[\n\x20-\x7e]*$" }
    /// What is said of an image that breaks a rule: one line for people.
    RuleMessage { min: 1, max: 160, pattern: r"^[^\x00-\x1f\x7f]*$" }
    /// Host and path that the URLs of Git repositories must begin with, segment by segment, without scheme, as in `git.example.com/team`.
    GitPrefix { min: 1, max: 384, pattern: r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9_~-][A-Za-z0-9_.~+-]*)*/?$", rules: [
        ("!self.contains('..')", "must not contain '..'")
    ] }
}

/// What an image must be like to be published.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "imagefactory.dev",
    version = "v1alpha1",
    kind = "ImagePolicy",
    plural = "imagepolicies",
    shortname = "ipol",
    category = "imagefactory",
    doc = "An ImagePolicy says what an image must be like to be published: limits for findings, denied licences and packages, the evidence that must be there. Platform administrators write it. Unknown is not a pass, in any mode.",
    status = "ImagePolicyStatus",
    derive = "PartialEq",
    crates(kube_core = "kube_core"),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Enforce, or DryRun."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the policy is valid."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Critical",
        type_ = "integer",
        json_path = ".spec.maxVulnerabilities.critical",
        description = "Critical findings allowed."
    ),
    printcolumn(
        name = "High",
        type_ = "integer",
        json_path = ".spec.maxVulnerabilities.high",
        description = "High findings allowed."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Hash",
        type_ = "string",
        json_path = ".status.hash",
        priority = 1,
        description = "Hash of the spec, as verdicts name it."
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
pub struct ImagePolicySpec {
    /// Enforce: a Fail is not published. DryRun: a Fail is published and says so. Unknown is never published, in either mode.
    #[serde(default)]
    pub mode: Mode,
    /// Findings allowed for each severity. A severity that is not listed has no limit; 0 allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_vulnerabilities: Option<SeverityLimits>,
    /// Highest CVSS score allowed for any finding, as in `"6.9"`. A finding without a score counts with the top of its severity's range. `"0"` allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cvss: Option<CvssScore>,
    /// Leave findings without a fix out of `maxVulnerabilities` and `maxCvss`.
    #[serde(default)]
    pub ignore_unfixed: bool,
    /// Licences that no package may have, compared without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub denied_licences: Vec<LicenceName>,
    /// Packages that may not be there, by name or by package URL without a version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub denied_packages: Vec<DeniedPackage>,
    /// Whether an SBOM must list packages. Required: an image in which no package was found is Unknown, since nothing was judged. Optional: such an image is judged by its report alone; choose it for images that hold static binaries and nothing else.
    #[serde(default)]
    pub sbom: SbomRequirement,
    /// Conditions in CEL, each of which must hold. One that does not makes the image fail; one that can't be evaluated makes it Unknown. The administrators' guide lists the variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<PolicyRule>,
    /// What an image may be made from. What is not listed has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_sources: Option<AllowedSources>,
    /// Greatest age of evidence, from 1 hour to 365 days, as in `72h`: of the vulnerability database when the image was scanned, and of the scan when it is judged and when it is published. Older evidence is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')").message("must be between 1h and 8760h"))]
    pub max_evidence_age: Option<DurationText>,
}

/// A condition that an image must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// Name of the rule, unique in the policy. Verdicts name it.
    pub name: RuleName,
    /// The condition in CEL: true passes, false fails, as in `!findings.exists(f, f.severity == 'CRITICAL' && f.fixable)`.
    pub expression: RuleExpression,
    /// What is said of an image that breaks the rule: what is wrong, and what to do about it.
    pub message: RuleMessage,
}

/// What an image may be made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(crates(kube_core = "kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedSources {
    /// Repository prefixes that every image a build uses must lie under, as in `registry.example.com/hardened`: bases, stages that are copied from, frontends, an OCI source. Empty sets no limit. An image whose bases are not known, as with method custom, is Unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub bases: Vec<RepositoryPrefix>,
    /// Hosts and paths that the Git repository must lie under, as in `git.example.com/team`. Empty sets no limit; with an entry, a source that is not Git fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub git: Vec<GitPrefix>,
}

/// What a Fail means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// A Fail is not published.
    #[default]
    Enforce,
    /// A Fail is published and says so.
    DryRun,
}

/// Whether an SBOM must list packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SbomRequirement {
    /// An SBOM must be there and list at least one package.
    #[default]
    Required,
    /// An SBOM must be there and well formed; it may list no package.
    Optional,
}

/// Findings allowed for each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeverityLimits {
    /// Critical findings allowed; 0 allows none, absent sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<u32>,
    /// High findings allowed; 0 allows none, absent sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<u32>,
    /// Medium findings allowed; 0 allows none, absent sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<u32>,
    /// Low findings allowed; 0 allows none, absent sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<u32>,
    /// Findings without a severity allowed; 0 allows none, absent sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u32>,
}

/// What the operator made of an ImagePolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePolicyStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// `Ready`: the policy is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Hash of the spec, `sha256:` and 64 hexadecimal digits, as verdicts name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub hash: Option<String>,
}

impl Default for ImagePolicyStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            conditions: Vec::new(),
            hash: None,
        }
    }
}
