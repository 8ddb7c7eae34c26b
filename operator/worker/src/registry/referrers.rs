//! Referrers: manifests that name an image as their subject. Listed by the referrers API, and where a registry has
//! none by the index with the tag `sha256-<digest>`, which the client keeps.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde_json::{Value, json};

use super::Registry;
use super::answer::read_bounded;
use super::artifact::{Artifact, EMPTY, Subject, artifact_manifest, index_entry};
use super::blobs::Blob;
use super::body::BlobSource;
use super::call::{Access, Call, url};
use super::digest::Digest;
use super::error::RegistryError;
use super::manifests::Manifest;
use super::name::Repository;
use super::retry::Retry;
use crate::manifest::{MAX_DOCUMENT, OCI_INDEX};

/// Header by which a registry says that it keeps the list of referrers itself.
const OCI_SUBJECT: &str = "oci-subject";
const MAX_PAGES: usize = 64;

impl Registry {
    /// Attaches an artifact to an image, and returns the digest of its manifest. Doing it again changes nothing.
    ///
    /// # Errors
    /// The registry does not take it, or does not list it afterwards.
    pub async fn attach(&self, subject: Subject<'_>, artifact: &Artifact<'_>) -> Result<Digest, RegistryError> {
        let empty = Digest::of(EMPTY);
        let config = Blob {
            digest: &empty,
            size: EMPTY.len() as u64,
        };
        self.ensure_blob(subject.repository, config, &Bytes::from_static(EMPTY))
            .await?;
        self.ensure_blob(subject.repository, artifact.payload.blob, artifact.payload.source)
            .await?;
        let manifest = artifact_manifest(subject.descriptor, artifact, &empty);
        self.attach_manifest(subject.repository, &subject.descriptor.digest, &manifest)
            .await?;
        Ok(manifest.digest)
    }

    /// Puts a manifest that refers to `subject`, sees to it that it is listed, and reads that back. Its blobs must be there.
    ///
    /// # Errors
    /// The registry does not take it, or does not list it afterwards.
    pub async fn attach_manifest(
        &self,
        repository: &Repository,
        subject: &Digest,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        if self.referrers(repository, subject).await?.contains(&manifest.digest) {
            return Ok(());
        }
        let headers = self.put(repository, manifest, manifest.digest.as_str()).await?;
        let kept = headers
            .get(OCI_SUBJECT)
            .is_some_and(|value| value.as_bytes() == subject.as_str().as_bytes());
        let mut retry = Retry::new(self.transport.patience);
        loop {
            // Another writer may have put its own index over ours between reading and writing: then once more.
            if !kept {
                self.add_to_index(repository, subject, manifest).await?;
            }
            if self.referrers(repository, subject).await?.contains(&manifest.digest) {
                return Ok(());
            }
            if !retry.wait(None).await {
                let detail = format!(
                    "{} is not listed as a referrer of {subject} after it was attached",
                    manifest.digest
                );
                return Err(RegistryError::Protocol {
                    repository: repository.clone(),
                    detail,
                });
            }
        }
    }

    /// Digests of the manifests that refer to `subject`, as the registry lists them.
    ///
    /// # Errors
    /// The registry can't be asked, or its list can't be read.
    pub async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Digest>, RegistryError> {
        match self.referrers_by_api(repository, subject).await {
            // No such API: these are the answers of registries that have none.
            Ok(None) | Err(RegistryError::NotFound { .. } | RegistryError::Rejected { .. }) => {
                Ok(digests(&self.read_index(repository, subject).await?))
            }
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error),
        }
    }

    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Digest>>, RegistryError> {
        let mut url = url(repository, &format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let call = Call::new(Method::GET, url.clone(), repository, Access::Pull)
                .what(subject.as_str())
                .header(ACCEPT, HeaderValue::from_static(OCI_INDEX));
            let response = self.transport.call(&call).await?;
            let content_type = response
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            if content_type.and_then(|value| value.split(';').next()).map(str::trim) != Some(OCI_INDEX) {
                return Ok(None);
            }
            let next = next_page(response.headers()).and_then(|link| url.join(link).ok());
            let body = read_bounded(response, &call, MAX_DOCUMENT).await?;
            found.extend(digests(&parse_index(repository, &body)?));
            match next {
                Some(next) => url = next,
                None => return Ok(Some(found)),
            }
        }
        Err(RegistryError::TooLarge {
            repository: repository.clone(),
            what: format!("referrers of {subject}"),
            limit: MAX_DOCUMENT,
        })
    }

    /// The entries of the index with the subject's tag; none where there is no such tag.
    async fn read_index(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Value>, RegistryError> {
        let tag = subject.referrers_tag();
        match self.read_tag(repository, &tag).await? {
            None => Ok(Vec::new()),
            Some(index) if index.media_type == OCI_INDEX => parse_index(repository, &index.bytes),
            // What others put there is not ours to overwrite.
            Some(_) => Err(RegistryError::Protocol {
                repository: repository.clone(),
                detail: format!("the tag {tag} is not an index of referrers"),
            }),
        }
    }

    async fn add_to_index(
        &self,
        repository: &Repository,
        subject: &Digest,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let mut entries = self.read_index(repository, subject).await?;
        if digests(&entries).contains(&manifest.digest) {
            return Ok(());
        }
        entries.push(index_entry(manifest));
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let index = Manifest::new(Bytes::from(index.to_string()), OCI_INDEX);
        self.put_by_tag(repository, &index, &subject.referrers_tag()).await
    }

    async fn ensure_blob(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        source: &dyn BlobSource,
    ) -> Result<(), RegistryError> {
        if self.has_blob(repository, blob).await? {
            return Ok(());
        }
        self.upload_blob(repository, blob, source).await
    }
}

fn parse_index(repository: &Repository, body: &[u8]) -> Result<Vec<Value>, RegistryError> {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let entries = document
        .as_ref()
        .and_then(|document| document.get("manifests"))
        .and_then(Value::as_array);
    entries.cloned().ok_or_else(|| RegistryError::Protocol {
        repository: repository.clone(),
        detail: "its list of referrers can't be read".to_owned(),
    })
}

fn digests(entries: &[Value]) -> Vec<Digest> {
    entries
        .iter()
        .filter_map(|entry| Digest::parse(entry.get("digest")?.as_str()?))
        .collect()
}

/// The next page of a list, by RFC 8288.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters
        .contains("rel=\"next\"")
        .then_some(target)
        .or_else(|| parameters.contains("rel=next").then_some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read_from_the_link() {
        let page = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_static(text));
            next_page(&headers).map(str::to_owned)
        };
        assert_eq!(
            page("</v2/a/referrers/x?n=2>; rel=\"next\"").as_deref(),
            Some("/v2/a/referrers/x?n=2")
        );
        assert_eq!(page("</v2/a>; rel=\"prev\""), None);
        assert_eq!(page("nonsense"), None);
    }
}
