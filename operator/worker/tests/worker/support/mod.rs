//! What the tests share: a registry to talk to, and a pod's file system.

pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod state;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use imagefactory_worker::ca::Roots;
use imagefactory_worker::places::Places;
use imagefactory_worker::registry::{Credentials, Digest, Patience, Registry, Repository};
use serde_json::{Value, json};

pub(crate) use registry::{Auth, FakeRegistry, Options};

/// Tries quickly.
pub(crate) const QUICK: Patience = Patience {
    attempts: 4,
    first_wait: Duration::from_millis(5),
    longest_wait: Duration::from_millis(20),
};

/// The file system of a pod.
pub(crate) struct Pod {
    root: tempfile::TempDir,
    pub(crate) places: Places,
}

impl Pod {
    /// A pod that trusts these registries.
    pub(crate) fn trusting(registries: &[&FakeRegistry]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let pod = Self {
            places: Places::below(root.path()),
            root,
        };
        let authorities: String = registries.iter().map(|registry| registry.ca_pem.as_str()).collect();
        if !authorities.is_empty() {
            pod.write("ca/platform/ca.crt", &authorities);
        }
        pod
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A credential for a host, as a Secret mounts it.
    pub(crate) fn credential(&self, path: &str, host: &str, user: &str, password: &str) {
        self.write(
            &format!("{path}/.dockerconfigjson"),
            docker_config(host, user, password),
        );
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::collect(&self.places, false).unwrap()
    }

    pub(crate) fn credentials(&self, path: &str) -> Credentials {
        Credentials::load(&[self.path(path).join(".dockerconfigjson")]).unwrap()
    }

    pub(crate) fn client(&self, credentials: Credentials) -> Registry {
        Registry::patient(credentials, &self.roots(), QUICK).unwrap()
    }

    /// A blob of the OCI layout.
    pub(crate) fn layout_blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::of(bytes);
        self.write(&format!("layout/blobs/sha256/{}", digest.hex()), bytes);
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
    }

    /// An image in the OCI layout, as the builder writes it; returns its digest.
    pub(crate) fn layout_image(&self, contents: &[&[u8]]) -> Digest {
        let layers: Vec<_> = contents
            .iter()
            .map(|bytes| self.layout_blob(bytes, "application/vnd.docker.image.rootfs.diff.tar"))
            .collect();
        let config = image_config(contents);
        let config = self.layout_blob(config.as_bytes(), "application/vnd.docker.container.image.v1+json");
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
        let manifest = self.layout_blob(manifest.to_string().as_bytes(), media_type);
        self.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.write(
            "layout/index.json",
            json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
        );
        Digest::parse(manifest["digest"].as_str().unwrap()).unwrap()
    }
}

/// The configuration of an image whose layers unpack to `contents`.
pub(crate) fn image_config(contents: &[&[u8]]) -> String {
    let diff_ids: Vec<_> = contents.iter().map(|bytes| Digest::of(bytes).to_string()).collect();
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string()
}

pub(crate) fn docker_config(host: &str, user: &str, password: &str) -> String {
    json!({ "auths": { host: { "username": user, "password": password } } }).to_string()
}

pub(crate) fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}
