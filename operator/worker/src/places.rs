//! Where the volumes of a step are mounted. Fixed in a pod; tests put a root before them.

use std::path::PathBuf;

use imagefactory_core::step::paths;

/// The scanner's report on one image, in the directory of its number.
pub const REPORT_FILE: &str = "report.json";
/// The SBOM of one image, beside its report.
pub const SBOM_FILE: &str = "sbom.json";

/// What `resolve` writes down for the steps that follow.
pub const IMAGE_FILE: &str = "image.json";

/// Root of the paths that [`imagefactory_core::step::paths`] names.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Places {
    /// The same paths below another root.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An absolute path of the pod.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The OCI layout that the builder wrote.
    #[must_use]
    pub fn layout(&self) -> PathBuf {
        self.path(paths::LAYOUT)
    }

    /// The staging credential.
    #[must_use]
    pub fn staging_credentials(&self) -> PathBuf {
        self.path(paths::STAGING_CREDENTIALS).join(".dockerconfigjson")
    }

    /// The output credential.
    #[must_use]
    pub fn output_credentials(&self) -> PathBuf {
        self.path(paths::OUTPUT_CREDENTIALS).join(".dockerconfigjson")
    }

    /// What `resolve` found.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.path(paths::IMAGE)
    }

    /// Where the scanner keeps what it makes, and finds the Java database.
    #[must_use]
    pub fn scanner_cache(&self) -> PathBuf {
        self.path(paths::SCANNER_CACHE)
    }

    /// What the scanner wrote: a directory for each image, by its number.
    #[must_use]
    pub fn reports(&self) -> PathBuf {
        self.path(paths::REPORTS)
    }
}
