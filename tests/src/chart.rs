//! The chart as `helm template` renders it, without a cluster.
//!
//! | module | does |
//! |---|---|
//! | [`images`] | every image that a release can ask for |
//! | [`monitoring`] | Prometheus Operator's kinds, and the queries of dashboards and alerts |
//! | [`object`] | finds objects, and what they hold |
//! | [`strict`] | reads every object with the very type of its kind, and tells what that type does not know |
//! | [`rights`] | the table of all that the chart grants |
//! | [`schemas`] | JSON schemas of all kinds, for kubeconform |

pub mod images;
pub mod monitoring;
pub mod object;
pub mod rights;
pub mod schemas;
pub mod strict;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::environment::crate_folder;

/// Namespace that the tests install the chart into.
pub const RELEASE_NAMESPACE: &str = "image-factory-system";
/// Name of the release.
pub const RELEASE: &str = "image-factory";
/// Version that templates are rendered for; the oldest one that the chart supports.
const KUBERNETES: &str = "1.33.0";

/// Why the chart could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// Helm is not there.
    #[error("helm is missing: run `hack/tools/build.sh helm`, or set HELM to its path (looked in {looked})")]
    NoHelm {
        /// Where it was looked for.
        looked: String,
    },
    /// A file can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Helm refuses.
    #[error("helm {command} failed: {message}")]
    Refused {
        /// What was asked.
        command: String,
        /// What Helm says.
        message: String,
    },
    /// What was rendered is not YAML.
    #[error("what was rendered is not YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// Folder of the chart.
#[must_use]
pub fn folder() -> PathBuf {
    repository().join("charts/image-factory")
}

/// Folder of the checkout.
#[must_use]
pub fn repository() -> PathBuf {
    crate_folder().join("..")
}

/// A file of the checkout as text.
///
/// # Errors
/// When it can't be read.
pub fn read(path: &Path) -> Result<String, ChartError> {
    std::fs::read_to_string(path).map_err(|source| ChartError::File {
        path: path.to_owned(),
        source,
    })
}

/// A tool of the local cluster: named by a variable, built for this checkout, or on the PATH.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(name.to_uppercase()) {
        return Some(named.into());
    }
    let own = [
        std::env::var_os("CLUSTER_TOOLS").map(PathBuf::from),
        Some(repository().join(".cluster/bin")),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .flatten()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A chart with values, to be rendered.
#[derive(Clone, Debug)]
pub struct Chart {
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Chart {
    /// With no values but the chart's own. It does not render: two values have no default.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            folder: folder(),
            arguments: Vec::new(),
        }
    }

    /// With what has no default, and nothing else.
    #[must_use]
    pub fn minimal() -> Self {
        Self::bare().with_values(&folder().join("ci/minimal-values.yaml"))
    }

    /// With every value changed.
    #[must_use]
    pub fn full() -> Self {
        Self::bare().with_values(&folder().join("ci/full-values.yaml"))
    }

    /// With a file of values.
    #[must_use]
    pub fn with_values(mut self, file: &Path) -> Self {
        self.arguments.push(format!("--values={}", file.display()));
        self
    }

    /// With one more value, as in `operator.replicas=2`.
    #[must_use]
    pub fn set(mut self, value: &str) -> Self {
        self.arguments.push(format!("--set={value}"));
        self
    }

    /// On an API server that serves this kind already, as in `imagefactory.dev/v1alpha1/ImagePolicy`.
    #[must_use]
    pub fn served(mut self, kind: &str) -> Self {
        self.arguments.push(format!("--api-versions={kind}"));
        self
    }

    /// The same values for a copy of the chart that lies elsewhere.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// All objects.
    ///
    /// # Errors
    /// When Helm is missing, refuses, or writes what is not YAML.
    pub fn render(&self) -> Result<Vec<Value>, ChartError> {
        let text = self.render_text()?;
        let documents: Result<Vec<Value>, _> = serde_yaml::Deserializer::from_str(&text)
            .map(Value::deserialize)
            .collect();
        Ok(documents?.into_iter().filter(|document| !document.is_null()).collect())
    }

    /// All objects, as Helm writes them.
    ///
    /// # Errors
    /// When Helm is missing or refuses.
    pub fn render_text(&self) -> Result<String, ChartError> {
        self.helm("template")
    }

    /// What `helm lint --strict` says.
    ///
    /// # Errors
    /// When it finds something.
    pub fn lint(&self) -> Result<String, ChartError> {
        self.helm("lint")
    }

    fn helm(&self, verb: &str) -> Result<String, ChartError> {
        let program = tool("helm").ok_or_else(|| ChartError::NoHelm {
            looked: "$HELM, $CLUSTER_TOOLS, .cluster/bin, $PATH".to_owned(),
        })?;
        let mut command = Command::new(&program);
        command.arg(verb);
        if verb == "template" {
            command.arg(RELEASE);
        } else {
            command.arg("--strict");
        }
        command
            .arg(&self.folder)
            .args(["--namespace", RELEASE_NAMESPACE, "--kube-version", KUBERNETES])
            .args(&self.arguments);
        let output = command
            .output()
            .map_err(|source| ChartError::File { path: program, source })?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let message = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            Err(ChartError::Refused {
                command: format!("{verb} {}", self.arguments.join(" ")),
                message,
            })
        }
    }
}
