//! What is in a published image, read with a registry client that is not ours; and sources pushed with it.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::environment::Environment;

/// The files of an image: mode, type, owner and size by path, as `tar` lists them.
pub type Listing = BTreeMap<String, String>;

/// Lists the files of an image for a platform, as in `linux/amd64`.
///
/// # Panics
/// The image can't be pulled.
#[must_use]
pub fn files_of(environment: &Environment, image: &str, platform: &str) -> Listing {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("image.tar");
    crane(
        environment,
        &["export", "--platform", platform, image, &archive.to_string_lossy()],
    );
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--full-time", "--file"])
        .arg(&archive)
        .output()
        .expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(entry).collect()
}

/// `-rw-r--r-- 0/0 5 2024-01-01 00:00:00 app/file`: without the times, which differ from build to build.
fn entry(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let (mode, owner, size) = (words.next()?, words.next()?, words.next()?);
    let path = words.skip(2).collect::<Vec<_>>().join(" ");
    let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
    let size = if mode.starts_with('d') { "" } else { size };
    Some((path, format!("{mode} {owner} {size}")))
}

/// The content of a file of an image.
///
/// # Panics
/// The image can't be pulled, or has no such file.
#[must_use]
pub fn content_of(environment: &Environment, image: &str, platform: &str, path: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("image.tar");
    crane(
        environment,
        &["export", "--platform", platform, image, &archive.to_string_lossy()],
    );
    let output = Command::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(&archive)
        .arg(path)
        .output()
        .expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Pushes an image of one compressed layer that holds these files, and gives its digest.
///
/// # Panics
/// Where it can't be pushed.
#[must_use]
pub fn push_files(environment: &Environment, image: &str, files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let content = folder.path().join("content");
    for (path, text) in files {
        let file = content.join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(&content)).expect("making a folder");
        std::fs::write(file, text).expect("writing a file");
    }
    let layer = folder.path().join("layer.tar.gz");
    let packed = Command::new("tar")
        .args(["--create", "--gzip", "--file"])
        .arg(&layer)
        .arg("--directory")
        .arg(&content)
        .arg(".")
        .status();
    assert!(packed.is_ok_and(|status| status.success()), "tar runs");
    let layer = layer.to_string_lossy();
    let append = ["append", "--oci-empty-base", "--new_layer", &layer, "--new_tag", image];
    let pushed = crane(environment, &append);
    pushed.trim().rsplit('@').next().unwrap_or_default().to_owned()
}

/// Pushes an artifact of single files, each a layer under its name, as ORAS does, and gives its digest.
///
/// # Panics
/// Where it can't be pushed.
#[must_use]
pub fn push_artifact(environment: &Environment, image: &str, files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = folder.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("making a folder");
    let put = |type_: &str, content: &str| {
        let digest: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        std::fs::write(blobs.join(&digest), content).expect("writing a file");
        json!({"mediaType": type_, "digest": format!("sha256:{digest}"), "size": content.len()})
    };
    let layer = |(path, text): &(&str, &str)| {
        let mut layer = put("text/plain", text);
        layer["annotations"] = json!({"org.opencontainers.image.title": path});
        layer
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.source",
        "config": put("application/vnd.oci.empty.v1+json", "{}"),
        "layers": files.iter().map(layer).collect::<Vec<_>>(),
    });
    let manifest = put("application/vnd.oci.image.manifest.v1+json", &manifest.to_string());
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let index = json!({"schemaVersion": 2, "manifests": [manifest]}).to_string();
    std::fs::write(folder.path().join("index.json"), index).expect("writing a file");
    std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writing a file");
    crane(environment, &["push", &folder.path().to_string_lossy(), image]);
    digest
}

/// Runs crane with the local registry's credential and authority, and gives what it says.
///
/// # Panics
/// It fails.
pub fn crane(environment: &Environment, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let auth = json!({"username": environment.get("REGISTRY_USER"), "password": environment.get("REGISTRY_PASSWORD")});
    let config = json!({"auths": {environment.get("REGISTRY"): auth}}).to_string();
    std::fs::write(folder.path().join("config.json"), config).expect("writing a file");
    let output = Command::new(environment.tool("crane"))
        .args(arguments)
        .env("DOCKER_CONFIG", folder.path())
        .env("SSL_CERT_FILE", environment.get("REGISTRY_CA"))
        .output()
        .expect("crane runs");
    assert!(
        output.status.success(),
        "crane {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
