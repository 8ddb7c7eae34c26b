//! Blobs: looked for, read, uploaded as a stream, mounted, and copied from one registry to another.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::answer::read_bounded;
use super::body::{BlobSource, BodyFault, ByteStream, Expected, Fault, request_body};
use super::call::{Access, Call, url};
use super::digest::Digest;
use super::error::RegistryError;
use super::name::Repository;
use super::retry::Retry;

/// A blob by what must be true of it.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// How an upload began.
enum Begun {
    /// The registry has the blob already: it was mounted.
    Mounted,
    /// It wants the bytes here.
    At(Url),
}

impl Registry {
    /// Whether this very repository has a blob with this digest and, as far as the registry tells it, this size.
    ///
    /// # Errors
    /// The registry can't be asked.
    pub async fn has_blob(&self, repository: &Repository, blob: Blob<'_>) -> Result<bool, RegistryError> {
        let url = url(repository, &format!("blobs/{}", blob.digest))?;
        let call = Call::new(Method::HEAD, url, repository, Access::Pull).what(blob.digest.as_str());
        match self.transport.call(&call).await {
            Ok(response) => {
                let length = response
                    .headers()
                    .get(CONTENT_LENGTH)
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Ok(length.is_none_or(|length: u64| length == blob.size))
            }
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A small blob, read whole and its bytes checked; from the first mirror that has it, else from its registry.
    ///
    /// # Errors
    /// Nobody serves it, it is larger than `limit`, or the bytes are others.
    pub async fn read_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        self.first_of_candidates(repository, async |repository| {
            let call = get_call(repository, digest, limit)?;
            let bytes = read_bounded(self.transport.call(&call).await?, &call, limit).await?;
            let actual = Digest::of(&bytes);
            if &actual == digest {
                return Ok(bytes);
            }
            Err(RegistryError::DigestMismatch {
                repository: repository.clone(),
                expected: digest.clone(),
                actual,
            })
        })
        .await
    }

    /// Sends a blob, its bytes hashed and counted on their way. Where they are not what `blob` says, the upload breaks off.
    ///
    /// # Errors
    /// The bytes are others, or the registry does not take them.
    pub async fn upload_blob(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        source: &dyn BlobSource,
    ) -> Result<(), RegistryError> {
        self.upload(repository, blob, source, None).await
    }

    /// Brings a blob from another repository, unless it is there: mounted where both lie at one host and the
    /// credential may read the source, else as a stream that is checked on its way.
    ///
    /// # Errors
    /// Either registry fails, or the bytes are not those of the digest.
    pub async fn copy_blob(
        &self,
        to: &Repository,
        blob: Blob<'_>,
        from: &Registry,
        source: &Repository,
    ) -> Result<(), RegistryError> {
        if self.has_blob(to, blob).await? {
            return Ok(());
        }
        let mount_from = self.may_mount(to, from, source)?.then_some(source);
        let bytes = RemoteSource {
            registry: from,
            repository: source,
            blob,
        };
        self.upload(to, blob, &bytes, mount_from).await
    }

    /// Whether the credential for `to` may be used to read `source` at the same host: it is bound to a prefix
    /// that holds it, or it is the very credential that is used for reading there.
    fn may_mount(&self, to: &Repository, from: &Registry, source: &Repository) -> Result<bool, RegistryError> {
        if to.host() != source.host() {
            return Ok(false);
        }
        let reads = from.transport.credentials.for_repository(source)?;
        let writes = self.transport.credentials.for_repository(to)?;
        let bound = self
            .transport
            .credentials
            .for_repository(source)
            .is_ok_and(|found| found == writes);
        Ok(writes.is_some() && (bound || reads == writes))
    }

    async fn upload(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        source: &dyn BlobSource,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        let mut retry = Retry::new(self.transport.patience);
        loop {
            match self.upload_once(repository, blob, source, mount_from).await {
                Err(error) if retry.allows(&error).await => {}
                result => return result,
            }
        }
    }

    async fn upload_once(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        source: &dyn BlobSource,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        let Begun::At(mut url) = self.begin(repository, blob, mount_from).await? else {
            return Ok(());
        };
        url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let failed = |fault| RegistryError::Body {
            repository: repository.clone(),
            digest: blob.digest.clone(),
            fault,
        };
        let bytes = source.open().await.map_err(failed)?;
        let fault = Fault::default();
        let expected = Expected {
            digest: blob.digest.clone(),
            size: blob.size,
        };
        let body = request_body(bytes, expected, fault.clone());
        let mut call = Call::new(Method::PUT, url, repository, Access::Push)
            .what(blob.digest.as_str())
            .transfers(blob.size);
        call.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        call.headers.insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
        let sent = self.transport.attempt(&call, Some(body)).await;
        // A fault of the bytes shows at the client as a broken connection: what broke it counts.
        match fault.take() {
            Some(fault) => Err(failed(fault)),
            None => sent.map(drop),
        }
    }

    async fn begin(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        mount_from: Option<&Repository>,
    ) -> Result<Begun, RegistryError> {
        if let Some(source) = mount_from {
            let mut url = url(repository, "blobs/uploads/")?;
            url.query_pairs_mut()
                .append_pair("mount", blob.digest.as_str())
                .append_pair("from", source.path());
            let mut call = Call::new(Method::POST, url, repository, Access::Push).what("upload");
            call.mount_from = Some(source);
            match self.transport.call(&call).await {
                Ok(response) if response.status() == StatusCode::CREATED => return Ok(Begun::Mounted),
                Ok(response) => return location(repository, &response).map(Begun::At),
                // Not every registry mounts, and some only with more rights than a copy needs.
                Err(error) => tracing::debug!(%error, "blob is copied, since it could not be mounted"),
            }
        }
        let url = url(repository, "blobs/uploads/")?;
        let call = Call::new(Method::POST, url, repository, Access::Push).what("upload");
        location(repository, &self.transport.call(&call).await?).map(Begun::At)
    }

    pub(super) async fn stream(&self, repository: &Repository, blob: Blob<'_>) -> Result<ByteStream, RegistryError> {
        let call = get_call(repository, blob.digest, blob.size)?;
        let response = self.transport.call(&call).await?;
        let (host, repository) = (call.url.host_str().unwrap_or_default().to_owned(), repository.clone());
        let lost = move |source: reqwest::Error| {
            tracing::debug!(%repository, "blob broke off");
            BodyFault::Remote(Box::new(RegistryError::Unreachable {
                host: host.clone(),
                source: source.without_url(),
            }))
        };
        Ok(response.bytes_stream().map(move |piece| piece.map_err(&lost)).boxed())
    }
}

fn get_call<'a>(repository: &'a Repository, digest: &Digest, size: u64) -> Result<Call<'a>, RegistryError> {
    let url = url(repository, &format!("blobs/{digest}"))?;
    Ok(Call::new(Method::GET, url, repository, Access::Pull)
        .what(digest.as_str())
        .transfers(size))
}

/// Where an upload goes on. May be relative; may name another host, to which no credential goes.
fn location(repository: &Repository, response: &reqwest::Response) -> Result<Url, RegistryError> {
    let protocol = |detail: &str| RegistryError::Protocol {
        repository: repository.clone(),
        detail: detail.to_owned(),
    };
    let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = response
        .url()
        .join(header.ok_or_else(|| protocol("an upload began without a location"))?);
    url.ok()
        .filter(|url| url.scheme() == "https")
        .ok_or_else(|| protocol("an upload's location is not an https URL"))
}

/// A blob in another registry.
struct RemoteSource<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    blob: Blob<'a>,
}

impl BlobSource for RemoteSource<'_> {
    fn open(&self) -> BoxFuture<'_, Result<ByteStream, BodyFault>> {
        let opened = self.registry.stream(self.repository, self.blob);
        Box::pin(async move { opened.await.map_err(|error| BodyFault::Remote(Box::new(error))) })
    }
}
