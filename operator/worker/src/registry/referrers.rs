//! Referrers: manifests that name an image as their subject. Listed by the referrers API, and where a registry has
//! none by the index with the tag `sha256-<digest>`, which the client keeps.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde_json::{Value, json};

use super::blobs::Blob;
use super::body::BlobSource;
use super::digest::Digest;
use super::error::RegistryError;
use super::manifests::Manifest;
use super::name::Repository;
use super::retry::Retry;
use super::transport::{Access, Call, Transport, read_bounded};
use super::Registry;
use crate::manifest::{Descriptor, MAX_DOCUMENT, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};

/// Header by which a registry says that it keeps the list of referrers itself.
const OCI_SUBJECT: &str = "oci-subject";
const MAX_PAGES: usize = 64;
const EMPTY: &[u8] = b"{}";

/// An image that something refers to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it lies, and what refers to it too.
    pub repository: &'a Repository,
    /// What it is.
    pub descriptor: &'a Descriptor,
}

/// What an artifact carries.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// A file name for people.
    pub title: &'a str,
    /// Digest and size.
    pub blob: Blob<'a>,
    /// Its bytes.
    pub source: &'a dyn BlobSource,
}

/// Something to attach to an image.
pub struct Artifact<'a> {
    /// What it is.
    pub artifact_type: &'a str,
    /// Its content.
    pub payload: Payload<'a>,
    /// Annotations of its manifest. The same ones give the same digest.
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Attaches an artifact to an image, and returns the digest of its manifest. Doing it again changes nothing.
    ///
    /// # Errors
    /// The registry does not take it, or does not list it afterwards.
    pub async fn attach(&self, subject: Subject<'_>, artifact: &Artifact<'_>) -> Result<Digest, RegistryError> {
        let empty = Digest::of(EMPTY);
        let config = Blob { digest: &empty, size: EMPTY.len() as u64 };
        self.ensure_blob(subject.repository, config, &Bytes::from_static(EMPTY)).await?;
        self.ensure_blob(subject.repository, artifact.payload.blob, artifact.payload.source).await?;
        let manifest = artifact_manifest(subject.descriptor, artifact, &empty);
        self.attach_manifest(subject.repository, &subject.descriptor.digest, &manifest).await?;
        Ok(manifest.digest)
    }

    /// Puts a manifest that refers to `subject`, sees to it that it is listed, and reads that back. Its blobs must be there.
    ///
    /// # Errors
    /// The registry does not take it, or does not list it afterwards.
    pub async fn attach_manifest(&self, repository: &Repository, subject: &Digest, manifest: &Manifest) -> Result<(), RegistryError> {
        if self.referrers(repository, subject).await?.contains(&manifest.digest) {
            return Ok(());
        }
        let headers = self.put(repository, manifest, manifest.digest.as_str()).await?;
        let kept = headers.get(OCI_SUBJECT).is_some_and(|value| value.as_bytes() == subject.as_str().as_bytes());
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
                let detail = format!("{} is not listed as a referrer of {subject} after it was attached", manifest.digest);
                return Err(RegistryError::Protocol { repository: repository.clone(), detail });
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

    async fn referrers_by_api(&self, repository: &Repository, subject: &Digest) -> Result<Option<Vec<Digest>>, RegistryError> {
        let mut url = Transport::url(repository, &format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let call = Call::new(Method::GET, url.clone(), repository, Access::Pull)
                .what(subject.as_str())
                .header(ACCEPT, HeaderValue::from_static(OCI_INDEX));
            let response = self.transport.call(&call).await?;
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
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
        Err(RegistryError::TooLarge { repository: repository.clone(), what: format!("referrers of {subject}"), limit: MAX_DOCUMENT })
    }

    /// The entries of the index with the subject's tag; none where there is no such tag.
    async fn read_index(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Value>, RegistryError> {
        let tag = subject.referrers_tag();
        match self.read_tag(repository, &tag).await? {
            None => Ok(Vec::new()),
            Some(index) if index.media_type == OCI_INDEX => parse_index(repository, &index.bytes),
            // What others put there is not ours to overwrite.
            Some(_) => Err(RegistryError::Protocol { repository: repository.clone(), detail: format!("the tag {tag} is not an index of referrers") }),
        }
    }

    async fn add_to_index(&self, repository: &Repository, subject: &Digest, manifest: &Manifest) -> Result<(), RegistryError> {
        let mut entries = self.read_index(repository, subject).await?;
        if digests(&entries).contains(&manifest.digest) {
            return Ok(());
        }
        entries.push(index_entry(manifest));
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let index = Manifest::new(Bytes::from(index.to_string()), OCI_INDEX);
        self.put_by_tag(repository, &index, &subject.referrers_tag()).await
    }

    async fn ensure_blob(&self, repository: &Repository, blob: Blob<'_>, source: &dyn BlobSource) -> Result<(), RegistryError> {
        if self.blob_size(repository, blob.digest).await? == Some(blob.size) {
            return Ok(());
        }
        self.upload_blob(repository, blob, source).await
    }
}

fn artifact_manifest(subject: &Descriptor, artifact: &Artifact<'_>, config: &Digest) -> Manifest {
    let Payload { media_type, title, blob, .. } = artifact.payload;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": { "mediaType": OCI_EMPTY, "digest": config.as_str(), "size": EMPTY.len() },
        "layers": [{
            "mediaType": media_type,
            "digest": blob.digest.as_str(),
            "size": blob.size,
            "annotations": { "org.opencontainers.image.title": title },
        }],
        "subject": { "mediaType": subject.media_type, "digest": subject.digest.as_str(), "size": subject.size },
        "annotations": artifact.annotations,
    });
    Manifest::new(Bytes::from(manifest.to_string()), OCI_MANIFEST)
}

/// A descriptor of a referrer as the index lists it: with what a client filters by.
fn index_entry(manifest: &Manifest) -> Value {
    let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    // A manifest without a type of its own has that of its config.
    let artifact_type = document.get("artifactType").or_else(|| document.pointer("/config/mediaType"));
    let mut entry = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest.as_str(),
        "size": manifest.bytes.len(),
    });
    if let Some(value) = artifact_type {
        entry["artifactType"] = value.clone();
    }
    if let Some(value) = document.get("annotations") {
        entry["annotations"] = value.clone();
    }
    entry
}

fn parse_index(repository: &Repository, body: &[u8]) -> Result<Vec<Value>, RegistryError> {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let entries = document.as_ref().and_then(|document| document.get("manifests")).and_then(Value::as_array);
    entries.cloned().ok_or_else(|| RegistryError::Protocol {
        repository: repository.clone(),
        detail: "its list of referrers can't be read".to_owned(),
    })
}

fn digests(entries: &[Value]) -> Vec<Digest> {
    entries.iter().filter_map(|entry| Digest::parse(entry.get("digest")?.as_str()?)).collect()
}

/// The next page of a list, by RFC 8288.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then_some(target).or_else(|| parameters.contains("rel=next").then_some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact<'a>(source: &'a Bytes, digest: &'a Digest) -> Artifact<'a> {
        let blob = Blob { digest, size: source.len() as u64 };
        let payload = Payload { media_type: "application/json", title: "report.json", blob, source };
        Artifact { artifact_type: "application/vnd.example", payload, annotations: BTreeMap::from([("a".into(), "b".into())]) }
    }

    #[test]
    fn the_same_artifact_has_the_same_digest() {
        let source = Bytes::from_static(b"report");
        let digest = Digest::of(&source);
        let subject = Descriptor { media_type: OCI_MANIFEST.to_owned(), digest: Digest::of(b"image"), size: 5 };
        let config = Digest::of(EMPTY);
        let first = artifact_manifest(&subject, &artifact(&source, &digest), &config);
        assert_eq!(first, artifact_manifest(&subject, &artifact(&source, &digest), &config));
        let entry = index_entry(&first);
        assert_eq!(entry["artifactType"], "application/vnd.example");
        assert_eq!(entry["annotations"]["a"], "b");
        assert_eq!(entry["size"], first.bytes.len());
    }

    #[test]
    fn the_next_page_is_read_from_the_link() {
        let page = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_static(text));
            next_page(&headers).map(str::to_owned)
        };
        assert_eq!(page("</v2/a/referrers/x?n=2>; rel=\"next\"").as_deref(), Some("/v2/a/referrers/x?n=2"));
        assert_eq!(page("</v2/a>; rel=\"prev\""), None);
        assert_eq!(page("nonsense"), None);
    }
}
