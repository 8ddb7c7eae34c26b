//! A client for OCI registries: each credential goes to the host that it is bound to and is used for the prefixes
//! that it may be used for; every digest is computed from bytes; every answer is bounded.
//!
//! ```no_run
//! # async fn example(roots: imagefactory_worker::ca::Roots) -> Result<(), imagefactory_worker::registry::RegistryError> {
//! use imagefactory_worker::registry::{Credentials, Reference, Registry};
//! let registry = Registry::new(Credentials::none(), &roots)?;
//! let base = Reference::parse("debian:12")?;
//! let found = registry.resolve(&base).await?;
//! let manifest = registry.pull_manifest(&base.repository, &found.digest).await?;
//! # Ok(()) }
//! ```

mod answer;
mod artifact;
mod auth;
mod blobs;
mod body;
mod call;
mod credentials;
mod digest;
mod docker_config;
mod download;
mod error;
mod manifests;
mod name;
mod referrers;
mod retry;
mod through;
mod transport;

use imagefactory_crds::build::RegistryMirror;

pub use artifact::{Artifact, Payload, Subject};
pub use blobs::Blob;
pub use body::{BlobSource, BodyFault, FileSource, check};
pub use credentials::{Credential, Credentials};
pub use digest::{Digest, Hasher};
pub use docker_config::CredentialError;
pub use download::DownloadError;
pub use error::{RegistryError, chain};
pub use manifests::{Found, Manifest, Removal};
pub use name::{NameError, Reference, Repository, normalise_host};
pub use retry::Patience;
pub use through::BlobReader;

use crate::ca::Roots;
use transport::Transport;

/// A client with one set of credentials.
#[derive(Debug)]
pub struct Registry {
    transport: Transport,
    mirrors: Vec<RegistryMirror>,
    platform_mirrors: Vec<RegistryMirror>,
}

impl Registry {
    /// A client that trusts `roots` and has these credentials.
    ///
    /// # Errors
    /// The HTTP client can't be made.
    pub fn new(credentials: Credentials, roots: &Roots) -> Result<Self, RegistryError> {
        Self::patient(credentials, roots, Patience::default())
    }

    /// The same, with other patience.
    ///
    /// # Errors
    /// The HTTP client can't be made.
    pub fn patient(credentials: Credentials, roots: &Roots, patience: Patience) -> Result<Self, RegistryError> {
        Ok(Self {
            transport: Transport::new(credentials, roots, patience)?,
            mirrors: Vec::new(),
            platform_mirrors: Vec::new(),
        })
    }

    /// Asks these mirrors first, in order, when bases are resolved and read: those that a build names, then the platform's,
    /// which alone stand for the registries that they mirror. Each is asked with the credential for its own host.
    #[must_use]
    pub fn with_mirrors(mut self, own: Vec<RegistryMirror>, platform: Vec<RegistryMirror>) -> Self {
        (self.mirrors, self.platform_mirrors) = (own, platform);
        self
    }

    /// The credentials of this client.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.transport.credentials
    }

    /// The repositories that may serve `repository`: its mirrors in order, then itself.
    fn candidates(&self, repository: &Repository) -> Result<Vec<Repository>, RegistryError> {
        let mut all = repository.at_mirrors(&self.mirrors)?;
        all.extend(self.vouched_for(repository)?);
        Ok(all)
    }

    /// Those of them whose word is the registry's own: the platform's mirrors, and itself.
    fn vouched_for(&self, repository: &Repository) -> Result<Vec<Repository>, RegistryError> {
        let mut all = repository.at_mirrors(&self.platform_mirrors)?;
        all.push(repository.clone());
        Ok(all)
    }

    /// The first good answer of those that may serve `repository`. A mirror that fails in any way is passed over.
    async fn first_of_candidates<T>(
        &self,
        repository: &Repository,
        mut ask: impl AsyncFnMut(&Repository) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut attempts = Vec::new();
        for candidate in self.candidates(repository)? {
            match ask(&candidate).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.push(error),
            }
        }
        Err(RegistryError::of_attempts(attempts))
    }
}
