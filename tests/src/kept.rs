//! Logs of builds that the operator keeps, as the platform's administrators read them.

use imagefactory_crds::Build;

use crate::building::status_of;
use crate::cluster::Cluster;
use crate::tenant::TestTenant;

/// What a build of [`crate::dockerfile::talks`] says.
pub const SAID: &str = "said 42 aloud";

impl TestTenant {
    /// Every kept log of a build, each under its name.
    ///
    /// # Panics
    /// Where none is kept, or the store can't be read.
    #[must_use]
    pub fn kept_logs(&self, build: &str) -> String {
        self.cluster.kept_logs(&format!("{}/{build}", self.namespace))
    }
}

impl Cluster {
    /// Every kept log of a run, each under its name. A run is `<namespace>/<build>`, or `<tenant>/<project>/<uid>` where
    /// the Build or the ImageScan is gone.
    ///
    /// # Panics
    /// Where none is kept, or the store can't be read.
    #[must_use]
    pub fn kept_logs(&self, run: &str) -> String {
        self.run_operator(&self.installation.operator, &["logs", run])
    }
}

/// How many logs the build's status names.
#[must_use]
pub fn logs_of(build: &Build) -> usize {
    status_of(build).logs.as_ref().map_or(0, |logs| logs.containers.len())
}
