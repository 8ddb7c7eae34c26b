//! The role `selftest`: whether a release answers, asked from inside the cluster by `helm test`.
//!
//! Three things: the API server serves every kind, the operator answers on its Service that it is ready, and the
//! credentials role and the scanner are available. The scanner itself is asked by nobody but scan pods
//! (NetworkPolicy), so its Deployment is read, whose readiness is the scanner's own health.

mod checks;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use kube::Client;
use tokio::time::{Instant, sleep};

use crate::runner::chain;
use checks::CheckError;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest that one request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
pub struct Release<'a> {
    /// The API server.
    pub api: Client,
    /// The operator's Service.
    pub operator: Client,
    /// The installation.
    pub settings: &'a Settings,
}

/// URL of the operator's Service.
#[must_use]
pub fn operator_url(settings: &Settings) -> String {
    let (prefix, namespace) = (&settings.cluster_role_prefix, &settings.release_namespace);
    format!("http://{prefix}-operator.{namespace}.svc:8080")
}

/// Asks until all is well, or for so long. Writes one line for each check, and gives the number of those that failed.
///
/// # Errors
/// When the output is closed.
pub async fn run(release: &Release<'_>, patience: Duration, out: &mut impl Write) -> std::io::Result<usize> {
    let end = Instant::now() + patience;
    loop {
        let checked = check(release).await;
        let failed = checked.iter().filter(|(_, result)| result.is_err()).count();
        if failed == 0 || Instant::now() + PAUSE > end {
            tell(&checked, out)?;
            return Ok(failed);
        }
        sleep(PAUSE).await;
    }
}

type Checked = (String, Result<(), CheckError>);

async fn check(release: &Release<'_>) -> Vec<Checked> {
    let prefix = &release.settings.cluster_role_prefix;
    let work = &release.settings.work_namespace;
    let mut checked = vec![
        (
            "the API server serves every kind".to_owned(),
            checks::kinds(&release.api).await,
        ),
        (
            "the operator is ready, asked through its Service".to_owned(),
            checks::operator(&release.operator).await,
        ),
    ];
    for (what, name) in [("the credentials role", "credentials"), ("the scanner", "trivy")] {
        let name = format!("{prefix}-{name}");
        let result = checks::available(&release.api, work, &name).await;
        checked.push((format!("{what} is available (Deployment {work}/{name})"), result));
    }
    checked
}

fn tell(checked: &[Checked], out: &mut impl Write) -> std::io::Result<()> {
    for (what, result) in checked {
        match result {
            Ok(()) => writeln!(out, "ok      {what}")?,
            Err(error) => writeln!(out, "FAILED  {what}: {}", chain(error))?,
        }
    }
    Ok(())
}
