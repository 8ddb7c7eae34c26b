//! Requests as the API server wrote them down: exact, and by whom.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Result, Trying};

/// What one user asked of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects made.
    pub creates: u64,
    /// Statuses written.
    pub statuses: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Events written.
    pub events: u64,
    /// Everything else that changes something.
    pub others: u64,
    /// Writes of leaders' leases, which are no other writes.
    pub leases: u64,
    /// Writes of any kind that were refused.
    pub refused: u64,
    /// Single objects read.
    pub gets: u64,
    /// Each kind of write, as in `patch builds/status`.
    pub kinds: BTreeMap<String, u64>,
}

impl Requests {
    /// Writes that a unit of work needs: creates and statuses.
    #[must_use]
    pub fn mutating(&self) -> u64 {
        self.creates + self.statuses
    }

    fn add(&mut self, entry: &Entry) {
        let object = &entry.object_ref;
        let status = object.subresource == "status";
        match (entry.verb.as_str(), object.resource.as_str()) {
            ("list" | "watch", _) | ("get", "leases") => return,
            (_, "leases") => {
                self.leases += 1;
                return;
            }
            ("get", _) => {
                self.gets += 1;
                return;
            }
            (_, "events") => self.events += 1,
            // A project's counts are written at a pace of their own, however many builds there are.
            (_, "builds" | "buildruns" | "taskruns") if status => self.statuses += 1,
            ("create", "pods" | "jobs" | "taskruns") => self.creates += 1,
            ("delete" | "deletecollection", _) => self.deletes += 1,
            _ => self.others += 1,
        }
        if entry.response_status.code >= 400 {
            self.refused += 1;
        }
        let slash = if object.subresource.is_empty() { "" } else { "/" };
        let kind = format!("{} {}{slash}{}", entry.verb, object.resource, object.subresource);
        *self.kinds.entry(kind).or_default() += 1;
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Object,
    response_status: Answer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: u16,
}

/// Where the log ends now.
///
/// # Errors
/// When there is none.
pub fn end(log: &Path) -> Result<u64> {
    Ok(log.metadata().trying("there is no audit log")?.len())
}

/// What these users asked together since the log ended there.
///
/// # Errors
/// When the log can't be read.
pub fn since(log: &Path, offset: u64, users: &[&str]) -> Result<Requests> {
    let mut file = File::open(log).trying("could not open the audit log")?;
    file.seek(SeekFrom::Start(offset))
        .trying("could not read the audit log")?;
    count(BufReader::new(file), users)
}

fn count(log: impl BufRead, users: &[&str]) -> Result<Requests> {
    let mut requests = Requests::default();
    for line in log.lines() {
        let line = line.trying("could not read the audit log")?;
        // The last line may be cut.
        let Ok(entry) = serde_json::from_str::<Entry>(&line) else {
            continue;
        };
        if entry.stage == "ResponseComplete" && users.contains(&entry.user.username.as_str()) {
            requests.add(&entry);
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, verb: &str, resource: &str, subresource: &str, code: u16) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"{resource}","subresource":"{subresource}"}},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn writes_are_told_apart_and_others_are_left_out() {
        let log = [
            line("operator", "create", "pods", "", 201),
            line("operator", "create", "jobs", "", 409),
            line("operator", "patch", "builds", "status", 200),
            line("operator", "patch", "projects", "status", 200),
            line("operator", "create", "events", "", 201),
            line("operator", "update", "leases", "", 200),
            line("operator", "delete", "pods", "", 200),
            line("operator", "get", "pods", "log", 200),
            line("operator", "watch", "pods", "", 200),
            line("double", "patch", "pods", "status", 200),
            r#"{"stage":"ResponseStarted"#.to_owned(),
        ];
        let counted = count(log.join("\n").as_bytes(), &["operator"]).unwrap();
        let numbers = (counted.creates, counted.statuses, counted.deletes, counted.events);
        assert_eq!(numbers, (2, 1, 1, 1));
        assert_eq!((counted.others, counted.refused, counted.gets), (1, 1, 1));
        assert_eq!(counted.leases, 1);
        assert_eq!(counted.mutating(), 3);
        assert_eq!(counted.kinds["patch builds/status"], 1);
    }

    #[test]
    fn writes_of_two_processes_that_do_one_work_are_counted_together() {
        let log = [
            line("shipwright", "create", "taskruns", "", 201),
            line("shipwright", "update", "buildruns", "status", 200),
            line("tekton", "create", "pods", "", 201),
            line("tekton", "update", "taskruns", "status", 409),
            line("tekton", "update", "taskruns", "", 200),
            line("operator", "create", "pods", "", 201),
        ];
        let counted = count(log.join("\n").as_bytes(), &["shipwright", "tekton"]).unwrap();
        assert_eq!((counted.creates, counted.statuses, counted.others), (2, 2, 1));
        assert_eq!(counted.refused, 1);
    }
}
