//! What somebody else makes and mounts, read again when it changes. A volume of a Secret changes whole, so what is read is
//! of one piece; what is not, is read again soon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::served::{LoadError, Pair, Served};
use crate::chain;

/// How often files are looked at.
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

/// The two files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificate, and what leads to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Files {
    /// `tls.crt` and `tls.key` of a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        }
    }

    /// Serves them as they are now. Says whether they are others than before.
    ///
    /// # Errors
    /// When they can't be read or used; then those before are still served.
    pub fn load(&self, served: &Served) -> Result<bool, FilesError> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| FilesError::Read(path.clone(), error));
        let pair = Pair {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        };
        Ok(served.load(&pair)?)
    }
}

/// Looks at the files for as long as the process lives; each new pair that is served is told.
pub async fn follow(files: Files, served: Served, told: impl Fn(&Pair)) {
    loop {
        match files.load(&served) {
            Ok(true) => served.pair().iter().for_each(&told),
            Ok(false) => {}
            Err(error) => warn!(
                error = chain(&error),
                "certificate not loaded, the one before is served"
            ),
        }
        sleep(EVERY).await;
    }
}

/// A file's text, as it changes; empty where it can't be read.
#[must_use]
pub fn follow_text(path: PathBuf) -> watch::Receiver<String> {
    let read = move || std::fs::read_to_string(&path).unwrap_or_default();
    let (sender, receiver) = watch::channel(read());
    tokio::spawn(async move {
        loop {
            sleep(EVERY).await;
            let now = read();
            sender.send_if_modified(|known| {
                let news = *known != now;
                known.clone_from(&now);
                news
            });
        }
    });
    receiver
}
