//! What is in a published image, read with a registry client that is not ours.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::json;

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
