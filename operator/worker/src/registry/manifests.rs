//! Manifests: resolved, pulled by digest with their bytes checked, put by digest and by tag.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::Registry;
use super::answer::read_bounded;
use super::call::{Access, Call, url};
use super::digest::Digest;
use super::error::RegistryError;
use super::name::{Reference, Repository};
use super::transport::Transport;
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, MAX_DOCUMENT, OCI_INDEX, OCI_MANIFEST};

/// The types that are asked for, and no others.
const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It was gone already.
    Absent,
    /// The registry removes nothing by digest.
    Unsupported,
}

/// A manifest or index as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// The media type that it was served with.
    pub media_type: String,
    /// Digest of the bytes, computed here.
    pub digest: Digest,
}

impl Manifest {
    /// A manifest made here.
    #[must_use]
    pub fn new(bytes: Bytes, media_type: &str) -> Self {
        let digest = Digest::of(&bytes);
        Self {
            bytes,
            media_type: media_type.to_owned(),
            digest,
        }
    }
}

/// What an image name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// The mirror's repository, where what it means is the word of a mirror that only the build names: whoever may name a
    /// mirror may have any image there, under any name.
    pub at: Option<Repository>,
}

impl Registry {
    /// What an image name means now: the digest of the manifest or index that its registry serves, or the first
    /// mirror that has it.
    ///
    /// # Errors
    /// Nobody serves it.
    pub async fn resolve(&self, reference: &Reference) -> Result<Found, RegistryError> {
        let found = self.first_of_candidates(&reference.repository, async |repository| {
            let manifest = get(&self.transport, repository, reference.wanted()).await?;
            Ok((manifest.digest, repository.clone()))
        });
        let (digest, at) = found.await?;
        let vouched = self.vouched_for(&reference.repository)?.contains(&at);
        Ok(Found {
            digest,
            at: (!vouched).then_some(at),
        })
    }

    /// The manifest with this digest, its bytes checked; from the first mirror that has it, else from its registry.
    ///
    /// # Errors
    /// Nobody serves it, or not these bytes.
    pub async fn pull_manifest(&self, repository: &Repository, digest: &Digest) -> Result<Manifest, RegistryError> {
        self.first_of_candidates(repository, async |repository| {
            get(&self.transport, repository, digest.as_str()).await
        })
        .await
    }

    /// The digest that a tag has in this very repository, computed from the bytes; none if there is no such tag.
    ///
    /// # Errors
    /// The registry can't be asked.
    pub async fn read_tag(&self, repository: &Repository, tag: &str) -> Result<Option<Manifest>, RegistryError> {
        match get(&self.transport, repository, tag).await {
            Err(RegistryError::NotFound { .. }) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Whether this very repository has a manifest with this digest.
    ///
    /// # Errors
    /// The registry can't be asked.
    pub async fn manifest_exists(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        let call = call(Method::HEAD, repository, digest.as_str(), Access::Pull)?;
        match self.transport.call(&call).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts a manifest under its digest.
    ///
    /// # Errors
    /// The registry does not take it.
    pub async fn put_by_digest(&self, repository: &Repository, manifest: &Manifest) -> Result<(), RegistryError> {
        self.put(repository, manifest, manifest.digest.as_str()).await.map(drop)
    }

    /// Puts a manifest under a tag.
    ///
    /// # Errors
    /// The registry does not take it.
    pub async fn put_by_tag(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        tag: &str,
    ) -> Result<(), RegistryError> {
        self.put(repository, manifest, tag).await.map(drop)
    }

    /// Removes the manifest with this digest from this very repository, and with it the tags that name it.
    ///
    /// # Errors
    /// The registry can't be asked, or refuses for another reason than that it removes nothing at all.
    pub async fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> Result<Removal, RegistryError> {
        let call = call(Method::DELETE, repository, digest.as_str(), Access::Delete)?;
        match self.transport.call(&call).await {
            Ok(_) => Ok(Removal::Removed),
            Err(RegistryError::NotFound { .. }) => Ok(Removal::Absent),
            Err(RegistryError::Rejected { detail, .. }) if is_unsupported(&detail) => Ok(Removal::Unsupported),
            Err(error) => Err(error),
        }
    }

    /// Puts a manifest; the answer's headers tell whether the registry knows referrers.
    pub(super) async fn put(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        name: &str,
    ) -> Result<HeaderMap, RegistryError> {
        let media_type = HeaderValue::from_str(&manifest.media_type).map_err(|_| RegistryError::Protocol {
            repository: repository.clone(),
            detail: "a media type with control characters".to_owned(),
        })?;
        let mut call = call(Method::PUT, repository, name, Access::Push)?.header(CONTENT_TYPE, media_type);
        call.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
        call.body = manifest.bytes.clone();
        Ok(self.transport.call(&call).await?.headers().clone())
    }
}

/// 405, or the code of the specification for what a registry does not do.
fn is_unsupported(detail: &str) -> bool {
    detail.starts_with("405") || detail.contains(": UNSUPPORTED")
}

fn call<'a>(method: Method, repository: &'a Repository, name: &str, access: Access) -> Result<Call<'a>, RegistryError> {
    let url = url(repository, &format!("manifests/{name}"))?;
    let accept = HeaderValue::from_str(&ACCEPTED.join(", ")).unwrap_or(HeaderValue::from_static("*/*"));
    Ok(Call::new(method, url, repository, access)
        .what(name)
        .header(ACCEPT, accept))
}

async fn get(transport: &Transport, repository: &Repository, name: &str) -> Result<Manifest, RegistryError> {
    let call = call(Method::GET, repository, name, Access::Pull)?;
    let response = transport.call(&call).await?;
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
    let manifest = Manifest::new(read_bounded(response, &call, MAX_DOCUMENT).await?, &media_type);
    if !ACCEPTED.contains(&media_type.as_str()) {
        let shown: String = media_type.chars().take(100).collect();
        return Err(RegistryError::Protocol {
            repository: repository.clone(),
            detail: format!("{name} has the media type {shown:?}"),
        });
    }
    match Digest::parse(name) {
        Some(expected) if expected != manifest.digest => Err(RegistryError::DigestMismatch {
            repository: repository.clone(),
            expected,
            actual: manifest.digest,
        }),
        _ => Ok(manifest),
    }
}
