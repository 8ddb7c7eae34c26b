//! The contract between the operator and the entry point of BuildKit's builder image (`operator/buildkit`): what one
//! build is told, as JSON in [`super::STEP_VARIABLE`], and what its exit codes mean. It writes no report: the
//! container runs tenant code, and nothing that it says about itself is believed.

use imagefactory_crds::build::{ImageLabel, NamedValue, RegistryMirror};
use serde::{Deserialize, Serialize};

/// The build failed: the end of the container's log says why.
pub const EXIT_BUILD_FAILED: u8 = 1;
/// The instruction holds something that can't be passed on safely. A defect of the operator, or of its checks.
pub const EXIT_REFUSED: u8 = 64;
/// A step of a platform that the node can't run and has no emulation for.
pub const EXIT_NO_EMULATION: u8 = 65;
/// The daemon did not start or did not live: no namespaces, no seccomp profile, no memory.
pub const EXIT_DAEMON: u8 = 70;
/// Ended by SIGTERM.
pub const EXIT_TERMINATED: u8 = 143;

/// What BuildKit builds. Paths are the container's own and absolute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildkitStep {
    /// Directory that is the context. No part of the path may be a link.
    pub context: String,
    /// The Dockerfile. `<dockerfile>.dockerignore` beside it goes before the context's own `.dockerignore`.
    pub dockerfile: String,
    /// Directory that the OCI layout is written to.
    pub layout: String,
    /// Directory for the daemon's state: snapshots, content, temporary files. Lost with the pod.
    pub state: String,
    /// Stage to build.
    #[serde(default)]
    pub target: Option<String>,
    /// Values for ARG lines.
    #[serde(default)]
    pub build_args: Vec<NamedValue>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: Vec<ImageLabel>,
    /// Platforms, as in `linux/arm64`. None is the node's own; more than one make an index.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Mirrors, the build's own before the platform's.
    #[serde(default)]
    pub mirrors: Vec<RegistryMirror>,
    /// Secrets for `RUN --mount=type=secret`.
    #[serde(default)]
    pub secrets: Vec<SecretFile>,
    /// Directory with a cache of an earlier build; one without `index.json` is none.
    #[serde(default)]
    pub cache_import: Option<String>,
    /// Directory that this build's cache is written to, as an OCI layout. A cache that can't be written fails no build.
    #[serde(default)]
    pub cache_export: Option<String>,
    /// BuildKit's source policy, JSON. What it denies, no line of the Dockerfile can load (docs/decisions/0011).
    #[serde(default)]
    pub source_policy: Option<String>,
    /// Proxies, for pulls and for RUN steps.
    #[serde(default)]
    pub proxy: ProxySettings,
}

/// A secret of a build, as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretFile {
    /// Name in `RUN --mount=type=secret,id=<id>`.
    pub id: String,
    /// File with its content.
    pub path: String,
}

/// Proxies. A build argument of the same name goes before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxySettings {
    /// `HTTP_PROXY`
    #[serde(default)]
    pub http: Option<String>,
    /// `HTTPS_PROXY`
    #[serde(default)]
    pub https: Option<String>,
    /// `NO_PROXY`
    #[serde(default)]
    pub none: Option<String>,
}

impl ProxySettings {
    /// The variables that are set, by the names that programs know.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("HTTP_PROXY", &self.http),
            ("HTTPS_PROXY", &self.https),
            ("NO_PROXY", &self.none),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
