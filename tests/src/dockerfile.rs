//! Sources that many tests build.

use serde_json::{Value, json};

/// What the local mirror of docker.io serves; every Build here may begin with it.
pub const BASE: &str = "debian:bookworm-slim";
/// Another, without packages and a fifteenth of its size: for what is not about what is in the image.
pub const SMALL: &str = "busybox:stable";

/// A source of inline files.
#[must_use]
pub fn files(files: &[(&str, &str)]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| json!({"path": path, "content": content}))
        .collect();
    json!({"inline": {"files": files}})
}

/// A source that is one Dockerfile.
#[must_use]
pub fn inline(dockerfile: &str) -> Value {
    files(&[("Dockerfile", dockerfile)])
}

/// A source from a Git repository.
#[must_use]
pub fn git(url: &str, revision: Option<&str>) -> Value {
    match revision {
        Some(revision) => json!({"git": {"url": url, "revision": revision}}),
        None => json!({"git": {"url": url}}),
    }
}

/// The quickest build that there is: the small image with one label more. No step of it runs.
#[must_use]
pub fn quick() -> Value {
    inline(&format!("FROM {SMALL}\nLABEL test=quick\n"))
}

/// The same of [`BASE`], which has packages.
#[must_use]
pub fn with_packages() -> Value {
    inline(&format!("FROM {BASE}\nLABEL test=packages\n"))
}

/// A build whose step says [`crate::kept::SAID`]; its command line, which builders print, does not hold it.
#[must_use]
pub fn talks() -> Value {
    inline(&format!("FROM {SMALL}\nRUN echo said $((40 + 2)) aloud\n"))
}

/// What the step of [`slow`] says when it has begun. Its command line, which builders print, does not hold it.
pub const BEGUN: &str = "begun 42";
/// What it says when it is done.
pub const DONE: &str = "done 42";

/// A build that is at work for that many seconds.
#[must_use]
pub fn slow(seconds: u32) -> Value {
    let step = format!("echo begun $((6 * 7)) && sleep {seconds} && echo done $((6 * 7))");
    inline(&format!("FROM {SMALL}\nRUN {step}\n"))
}

/// An image with a finding of severity CRITICAL that has a fix: the scanner believes what an image says of itself
/// (hack/cluster/advisories.yaml).
#[must_use]
pub fn vulnerable() -> Value {
    let package = "Package: openssl\\nStatus: install ok installed\\nArchitecture: amd64\\n\
                   Version: 3.0.11-1~deb12u1\\nMaintainer: x <x@example.org>\\nDescription: x\\n\\n";
    inline(&format!(
        "FROM {BASE}\nRUN printf '{package}' >> /var/lib/dpkg/status\n"
    ))
}
