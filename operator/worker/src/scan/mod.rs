//! `scan`: runs in the scanner's image, and runs the scanner there: for each image a report, and from the same findings
//! an SBOM. What it writes is judged by `evaluate`, in a container of ours that has no scanner in it.

mod child;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use imagefactory_core::step::{ScanStep, Scanned, StepFailure};
use imagefactory_crds::build::FailureClass;
use tokio::process::Command;

use crate::failure::failure;
use crate::places::{Places, REPORT_FILE, SBOM_FILE};
use crate::registry::{Digest, Repository, chain};
use child::ChildError;

const SCANNER: &str = "trivy";
/// Variable that holds the token for the scanner's server.
const TOKEN_VARIABLE: &str = "TRIVY_TOKEN";
/// A proxy that is not there. The scanner's library asks a registry in plain text where TLS fails and the registry has a
/// private address, and would send the credential for it along. What goes by TLS takes no notice of this.
const NO_PLAIN_TEXT: &str = "http://127.0.0.1:1";
/// How much longer than it was told the scanner may take to end by itself.
const GRACE: Duration = Duration::from_secs(60);
/// Longest making of an SBOM. It reads one file and writes another.
const CONVERT: Duration = Duration::from_secs(600);

/// Why an image was not scanned.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    /// The step itself is not what it must be.
    #[error("{0:?} can't be scanned by its digest")]
    Step(String),
    /// There is no room for reports.
    #[error("the reports can't be written")]
    Reports(#[source] std::io::Error),
    /// The scanner did not do its work.
    #[error("the scanner failed for {image}")]
    Scanner {
        /// The image.
        image: String,
        /// How.
        #[source]
        source: ChildError,
    },
    /// The SBOM was not made.
    #[error("the scanner made no SBOM for {image}")]
    Sbom {
        /// The image.
        image: String,
        /// How.
        #[source]
        source: ChildError,
    },
}

impl From<ScanError> for StepFailure {
    fn from(error: ScanError) -> Self {
        let (class, reason, next) = match &error {
            ScanError::Step(_) => (
                FailureClass::Infrastructure,
                "InvalidStep",
                "Report this as a defect of Image Factory.",
            ),
            ScanError::Reports(_) => (
                FailureClass::Infrastructure,
                "ReportsFailed",
                "Try again; if it lasts, tell your administrator.",
            ),
            ScanError::Scanner { .. } => (
                FailureClass::Scan,
                "ScannerFailed",
                "Try again; if it lasts, show the message to your administrator.",
            ),
            ScanError::Sbom { .. } => (
                FailureClass::Scan,
                "SbomFailed",
                "Try again; if it lasts, show the message to your administrator.",
            ),
        };
        failure(class, reason, &chain(&error), next)
    }
}

/// Scans each image, one after another.
///
/// # Errors
/// The scanner failed for one of them.
pub async fn run(step: &ScanStep, places: &Places) -> Result<Scanned, StepFailure> {
    let images = images(&named(step, places)?)?;
    for (number, image) in images.iter().enumerate() {
        let (folder, cache) = (places.reports().join(number.to_string()), places.scanner_cache());
        // What an earlier run left must not be taken for this one's.
        crate::disk::empty(&folder).map_err(ScanError::Reports)?;
        scan(step, image, (&folder, &cache)).await?;
        convert(image, (&folder, &cache)).await?;
        tracing::info!(image, "image is scanned");
    }
    Ok(Scanned { images: images.len() })
}

/// The step with the digests that `resolve` found, where it did.
fn named(step: &ScanStep, places: &Places) -> Result<ScanStep, StepFailure> {
    if !step.resolved {
        return Ok(step.clone());
    }
    let found = crate::resolve::found(places)?;
    let digests = match found.platforms.as_slice() {
        [] => vec![found.digest],
        images => images.iter().map(|image| image.digest.0.clone()).collect(),
    };
    Ok(ScanStep {
        digests,
        ..step.clone()
    })
}

/// Names that are nothing but a repository and a digest: none can be taken for an option.
fn images(step: &ScanStep) -> Result<Vec<String>, ScanError> {
    let refuse = |what: &str| ScanError::Step(what.chars().take(256).collect());
    let repository = Repository::parse(&step.repository).map_err(|_| refuse(&step.repository))?;
    if step.digests.is_empty() {
        return Err(refuse(&step.repository));
    }
    let image = |digest: &String| {
        let digest = Digest::parse(digest).ok_or_else(|| refuse(digest))?;
        Ok(format!("{repository}@{digest}"))
    };
    step.digests.iter().map(image).collect()
}

/// The scanner's client against its server, which alone has the vulnerability database.
async fn scan(step: &ScanStep, image: &str, (folder, cache): (&Path, &Path)) -> Result<(), ScanError> {
    let seconds = step.timeout_seconds.max(1);
    let mut command = scanner();
    command
        .env("HTTP_PROXY", NO_PLAIN_TEXT)
        .env("NO_PROXY", server_host(&step.server_url))
        .arg("image")
        .arg(format!("--server={}", step.server_url))
        .arg("--format=json")
        .arg(at("--output=", &folder.join(REPORT_FILE)))
        .args(["--scanners=vuln", "--list-all-pkgs", "--image-src=remote"])
        .args(["--no-progress", "--skip-version-check", "--disable-telemetry"])
        .arg("--skip-java-db-update")
        .arg(at("--cache-dir=", cache))
        .arg(format!("--timeout={seconds}s"));
    if let Some(whom) = &step.kept_apart {
        command.arg(apart(whom)?);
    }
    command.arg(image);
    let limit = Duration::from_secs(seconds.unsigned_abs()) + GRACE;
    let failed = |source| ScanError::Scanner {
        image: image.to_owned(),
        source,
    };
    child::run(command, limit).await.map_err(failed)
}

/// A name of a file that is looked at as well, if there were one: it leaves nothing out, and the scanner reckons it into the
/// keys of its cache. So what is found for `whom` is found again by nobody else.
fn apart(whom: &str) -> Result<String, ScanError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if whom.is_empty() || whom.len() > 64 || !whom.bytes().all(is_plain) {
        return Err(ScanError::Step(whom.chars().take(256).collect()));
    }
    Ok(format!("--file-patterns=pip:^image-factory-scanned-for-{whom}$"))
}

/// The same findings as CycloneDX; needs neither network nor token.
async fn convert(image: &str, (folder, cache): (&Path, &Path)) -> Result<(), ScanError> {
    let mut command = scanner();
    command
        .env_remove(TOKEN_VARIABLE)
        .args(["convert", "--format=cyclonedx"])
        .arg(at("--output=", &folder.join(SBOM_FILE)))
        .arg(at("--cache-dir=", cache))
        .arg(folder.join(REPORT_FILE));
    let failed = |source| ScanError::Sbom {
        image: image.to_owned(),
        source,
    };
    child::run(command, CONVERT).await.map_err(failed)
}

/// The scanner's server alone may be spoken to in plain text.
fn server_host(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    parsed
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The scanner with nothing in its environment that would lead it elsewhere.
fn scanner() -> Command {
    let mut command = Command::new(SCANNER);
    command.env_remove(imagefactory_core::step::STEP_VARIABLE);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(variable).env_remove(variable.to_lowercase());
    }
    command
}

/// An option with a path, which need not be text.
fn at(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}
