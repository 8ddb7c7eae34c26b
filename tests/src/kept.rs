//! Logs of builds that the operator keeps, as the platform's administrators read them.

use imagefactory_crds::Build;

use crate::building::status_of;
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
        let installation = &self.cluster.installation;
        let deployment = format!("deploy/{}", installation.operator);
        let name = format!("{}/{build}", self.namespace);
        let operator = [
            "exec",
            "-n",
            &installation.namespace,
            &deployment,
            "--",
            "/operator",
            "logs",
            &name,
        ];
        self.cluster.kubectl().run(&operator).expect_ok()
    }
}

/// How many logs the build's status names.
#[must_use]
pub fn logs_of(build: &Build) -> usize {
    status_of(build).logs.as_ref().map_or(0, |logs| logs.containers.len())
}
