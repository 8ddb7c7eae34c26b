//! The API server's audit log: who asked for what, whatever anybody says of himself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

/// The log from some moment on.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
    begin: u64,
    since: Timestamp,
}

/// One answered request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    stage: String,
    /// Kubernetes' verb.
    pub verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default, rename = "requestURI")]
    uri: String,
    /// When the API server had it.
    #[serde(default, rename = "requestReceivedTimestamp")]
    pub received: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

/// Where the API server says which pod a service account's token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

#[derive(Clone, Debug, Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    subresource: String,
}

impl AuditEvent {
    /// In whose name it was asked.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.impersonated_user.as_ref().unwrap_or(&self.user).username
    }

    /// The pod that asked, where a pod did with the token that it was given.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.user.extra.get(POD)?.first().map(String::as_str)
    }

    /// Resource with its subresource, as in `builds/status`.
    #[must_use]
    pub fn resource(&self) -> String {
        let ObjectRef {
            resource, subresource, ..
        } = &self.object_ref;
        if subresource.is_empty() {
            resource.clone()
        } else {
            format!("{resource}/{subresource}")
        }
    }

    /// Namespace of the object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.object_ref.namespace
    }

    /// Name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object_ref.name
    }

    /// Whether it could change something.
    #[must_use]
    pub fn mutates(&self) -> bool {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }

    /// Why it was refused: a word of Kubernetes, or what a webhook gave for one. Empty where it was not.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.response_status.reason
    }

    /// Whether it was only asked what would come of it.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }

    /// Whether it was carried out.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// The request in one line.
    #[must_use]
    pub fn told(&self) -> String {
        let code = self.response_status.code;
        format!(
            "{} {} {}/{} by {}: {code}",
            self.verb,
            self.resource(),
            self.namespace(),
            self.name(),
            self.user()
        )
    }
}

impl AuditLog {
    /// The log as it goes on from now.
    ///
    /// # Panics
    /// Where it can't be read.
    #[must_use]
    pub fn from_here(path: &Path) -> Self {
        let begin = std::fs::metadata(path)
            .expect("the audit log is there and may be read")
            .len();
        Self {
            path: path.to_owned(),
            begin,
            since: Timestamp::now(),
        }
    }

    /// That moment.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Every request that was answered since.
    ///
    /// # Panics
    /// Where the log can't be read, or is not what an API server writes.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        let mut file = File::open(&self.path).expect("opening the audit log");
        let length = file.metadata().expect("the audit log has a length").len();
        // A log that has become shorter was begun anew.
        let begin = if length < self.begin { 0 } else { self.begin };
        file.seek(SeekFrom::Start(begin)).expect("the audit log is a file");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("reading the audit log");
        let text = String::from_utf8_lossy(&bytes);
        // The last line may not be whole yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(parse)
            .filter(|event| event.stage == "ResponseComplete")
            .collect()
    }
}

fn parse(line: &str) -> AuditEvent {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("a line of the audit log does not parse: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","stage":"ResponseComplete","verb":"patch","user":{"username":"admin","extra":{"authentication.kubernetes.io/pod-name":["p-1"]}},
        "impersonatedUser":{"username":"bob"},"objectRef":{"resource":"builds","namespace":"tenant-a","name":"b",
        "subresource":"status"},"responseStatus":{"metadata":{},"code":200}}"#;

    #[test]
    fn a_request_is_told_in_the_name_that_was_taken_on() {
        let event = parse(&LINE.replace('\n', ""));
        assert_eq!(event.told(), "patch builds/status tenant-a/b by bob: 200");
        assert!(event.mutates() && event.succeeded());
        assert_eq!(event.pod(), Some("p-1"));
    }

    #[test]
    fn only_what_came_later_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = LINE.replace('\n', "");
        std::fs::write(file.path(), format!("{line}\n")).unwrap();
        let log = AuditLog::from_here(file.path());
        std::fs::write(file.path(), format!("{line}\n{line}\n{{\"half")).unwrap();
        assert_eq!(log.events().len(), 1);
    }
}
