//! The operator, as a process on this machine: the program of the image, with settings as the chart writes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use kube::{Client, Config};
use tokio::time::{Instant, sleep};

use crate::error::{BenchError, Result, Trying};
use imagefactory_rig::control_plane::{ControlPlane, free_port};
use imagefactory_rig::process::Process;
use imagefactory_rig::setup::until;

/// Builds that may run at a time where the limit is not what is measured.
pub const NO_LIMIT: u32 = 100_000;

/// Longest that it may take to lead: a lease that was not given back is over long before.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(50);

/// The operator.
pub struct Operator {
    /// Its process.
    pub process: Process,
    metrics: Client,
}

/// Reads the settings that the chart renders with its defaults, and puts the archive where the rest lies.
///
/// # Errors
/// When they can't be read.
pub fn settings(template: &Path, dir: &Path, max_builds: Option<u32>) -> Result<Settings> {
    let text = std::fs::read_to_string(template).trying(format!("could not read {}", template.display()))?;
    let mut settings: Settings = serde_yaml::from_str(&text).map_err(|source| BenchError::Yaml {
        path: template.to_owned(),
        source,
    })?;
    let archive = dir.join("archive");
    std::fs::create_dir_all(&archive).trying("could not make the archive's directory")?;
    settings.object_store.url = format!("file://{}", archive.display());
    settings.builds.pull_prefixes.push("docker.io/library".to_owned());
    if let Some(max_builds) = max_builds {
        settings.dispatch.max_builds = max_builds;
    }
    Ok(settings)
}

/// Writes settings where the operator reads them.
///
/// # Errors
/// When the file can't be written.
pub fn write_settings(settings: &Settings, dir: &Path) -> Result<PathBuf> {
    let path = dir.join("config.yaml");
    let text = serde_yaml::to_string(settings).map_err(|source| BenchError::Yaml {
        path: path.clone(),
        source,
    })?;
    std::fs::write(&path, text).trying("could not write the settings")?;
    Ok(path)
}

impl Operator {
    /// Starts it, as the container of a pod of that name.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(program: &Path, plane: &ControlPlane, lease: Duration, pod: &str) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--config")
            .arg(plane.dir().join("config.yaml"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--lease-seconds", &lease.as_secs().to_string()])
            .env("KUBECONFIG", plane.kubeconfig("operator"))
            // As the chart has it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("POD_NAME", pod);
        let address = format!("http://127.0.0.1:{port}")
            .parse()
            .map_err(|_| BenchError::Wrong("no address".to_owned()))?;
        Ok(Self {
            process: Process::start("operator", plane.dir(), &mut command)?,
            metrics: Client::try_from(Config::new(address)).trying("could not make a client")?,
        })
    }

    /// Waits until it leads.
    ///
    /// # Errors
    /// When it does not, for long.
    pub async fn leads(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.process.lives()?;
            let leads = self
                .sum("imagefactory_leader", "")
                .await
                .is_some_and(|leads| leads >= 1.0);
            if leads {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(BenchError::TooLong {
            what: "the operator to lead".to_owned(),
            seconds: PATIENCE.as_secs(),
        })
    }

    /// Sum of a family's samples whose labels hold `filter`. None while the process does not answer.
    pub async fn sum(&self, family: &str, filter: &str) -> Option<f64> {
        let request = http::Request::get("/metrics").body(Vec::new()).ok()?;
        let text = self.metrics.request_text(request).await.ok()?;
        Some(sum_of(&text, family, filter))
    }

    /// Waits until it has checked that many Builds since it began.
    ///
    /// # Errors
    /// When it does not, for long.
    pub async fn has_checked(&self, builds: usize) -> Result<Duration> {
        let begun = Instant::now();
        until(&format!("{builds} checked Builds"), async || {
            let checked = self.sum("imagefactory_reconcile_total", "controller=\"build\"").await;
            Ok(checked.is_some_and(|checked| checked >= builds as f64))
        })
        .await?;
        Ok(begun.elapsed())
    }
}

fn sum_of(text: &str, family: &str, filter: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(family))
        .filter(|rest| rest.starts_with([' ', '{']) && rest.contains(filter))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_familys_samples_are_summed_and_no_other_familys() {
        let text = "a_total{controller=\"build\",outcome=\"x\"} 2\na_total{controller=\"build\"} 3\n\
                    a_total{controller=\"tenant\"} 7\na_total_more{controller=\"build\"} 11\nb 1\n";
        assert!((sum_of(text, "a_total", "controller=\"build\"") - 5.0).abs() < f64::EPSILON);
        assert!((sum_of(text, "b", "") - 1.0).abs() < f64::EPSILON);
    }
}
