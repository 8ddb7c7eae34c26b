//! Mode `files`: certificates that somebody else makes and mounts. A volume of a Secret changes whole, so what is read is
//! of one piece; what is not, is read again soon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::pair::{Pair, ends};
use super::served::{LoadError, Served};
use crate::metrics::Metrics;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// The files can't be served.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// No file.
    #[error("could not read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// Nothing that can be served.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Serves `tls.crt` and `tls.key` of a folder as they are now. Says whether they are others than before.
///
/// # Errors
/// When they can't be read or used.
pub fn load(folder: &Path, served: &Served) -> Result<bool, FilesError> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| FilesError::Read(path, error))
    };
    let pair = Pair {
        certificate: read("tls.crt")?,
        key: read("tls.key")?,
    };
    Ok(served.load(&pair)?)
}

/// Looks at the files for as long as the process lives.
pub async fn follow(folder: PathBuf, served: Served, metrics: Arc<Metrics>) {
    loop {
        match load(&folder, &served) {
            Ok(true) => {
                let until = served.pair().and_then(|pair| ends(&pair.certificate));
                metrics.certificate_ends(until.map_or(0, jiff::Timestamp::as_second));
                info!(until = until.map(tracing::field::display), "certificate loaded");
            }
            Ok(false) => {}
            Err(error) => warn!(
                error = crate::chain(&error),
                "certificate not loaded, the one before is served"
            ),
        }
        sleep(EVERY).await;
    }
}
