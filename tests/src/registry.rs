//! The registry, as any client sees it: plain requests of the OCI distribution specification.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use crate::cluster::install_crypto;
use crate::environment::Environment;

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry with credentials for everything in it.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    user: String,
    password: String,
}

/// A manifest or an index.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Digest that the registry names.
    pub digest: String,
    /// Its content.
    pub json: Value,
}

impl Registry {
    /// The local one.
    ///
    /// # Panics
    /// Where its certificate authority can't be read.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        install_crypto();
        let authority = std::fs::read(environment.get("REGISTRY_CA")).expect("reading the registry's authority");
        let authority = reqwest::Certificate::from_pem(&authority).expect("the registry's authority is PEM");
        let client = Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()
            .expect("making a client");
        let (user, password) = (environment.get("REGISTRY_USER"), environment.get("REGISTRY_PASSWORD"));
        Self {
            client,
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// The manifest of that tag or digest; none where there is none. `repository` begins with the registry's host.
    ///
    /// # Panics
    /// Where the registry does not answer, or not with a manifest.
    pub async fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let answer = self.get(repository, &format!("manifests/{reference}")).await?;
        let header = answer
            .headers()
            .get("docker-content-digest")
            .expect("a manifest has a digest");
        let digest = header.to_str().expect("a digest is text").to_owned();
        Some(Manifest {
            digest,
            json: answer.json().await.expect("a manifest is JSON"),
        })
    }

    /// A blob that is JSON.
    ///
    /// # Panics
    /// Where it is not there, or is none.
    pub async fn blob(&self, repository: &str, digest: &str) -> Value {
        let answer = self
            .get(repository, &format!("blobs/{digest}"))
            .await
            .expect("the blob is there");
        answer.json().await.expect("the blob is JSON")
    }

    /// The configuration of the image of that tag or digest.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn config(&self, repository: &str, reference: &str) -> Value {
        let manifest = self.manifest(repository, reference).await.expect("the image is there");
        let digest = manifest.json.pointer("/config/digest").and_then(Value::as_str);
        self.blob(repository, digest.expect("an image has a configuration"))
            .await
    }

    /// What refers to that digest, by the index tag that clients fall back to where a registry has no referrers API.
    ///
    /// # Panics
    /// Where the registry does not answer.
    pub async fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        let index = self.manifest(repository, &digest.replace(':', "-")).await;
        let list = index.and_then(|index| index.json.pointer("/manifests").and_then(Value::as_array).cloned());
        list.unwrap_or_default()
    }

    /// Whether the registry has anything in that repository.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn has_repository(&self, repository: &str) -> bool {
        self.get(repository, "tags/list").await.is_some()
    }

    async fn get(&self, repository: &str, rest: &str) -> Option<Response> {
        let (host, path) = repository
            .split_once('/')
            .expect("a repository begins with the registry's host");
        let request = self
            .client
            .get(format!("https://{host}/v2/{path}/{rest}"))
            .header("Accept", MANIFESTS);
        let answer = request
            .basic_auth(&self.user, Some(&self.password))
            .send()
            .await
            .expect("the registry answers");
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        Some(answer.error_for_status().expect("the registry allows it"))
    }
}
