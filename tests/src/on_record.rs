//! What is on record of refusals: the audit's entries and counters, and the API server's own log beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use imagefactory_crds::denial::Code;
use imagefactory_crds::{Build, ImagePolicy, ImageScan, Project, QuarantineRequest, SorRecord, Tenant, TenantSettings};
use kube::Resource;
use serde_json::Value;

use crate::audit::{AuditEvent, AuditLog};
use crate::cluster::Cluster;
use crate::tenant::TestTenant;
use crate::wait::until;

/// How long what was spooled, or waits for the disk, may take to be listed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most entries of one list.
const PAGE: usize = 1000;

/// What a refusal was of, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Who was refused.
    pub user: String,
    /// `create`, `update` or `delete`.
    pub verb: String,
    /// Kind of the object.
    pub kind: String,
    /// Its namespace, where it has one.
    pub namespace: String,
    /// Its name; empty where the API server had yet to make it.
    pub name: String,
    /// Code of the denial.
    pub code: String,
}

/// How often each was.
pub type Refusals = BTreeMap<Refusal, u64>;

/// Refusals by what the API server's own log tells of one request; none where it tells of none of ours. What was only
/// asked for as a dry run is none.
fn refusal(event: &AuditEvent) -> Option<Refusal> {
    let code = Code::ALL.iter().find(|code| code.as_str() == event.reason())?;
    let verb = match event.verb.as_str() {
        "patch" => "update",
        "deletecollection" => "delete",
        verb => verb,
    };
    (event.mutates() && !event.is_dry_run()).then(|| Refusal {
        user: event.user().to_owned(),
        verb: verb.to_owned(),
        kind: kind_of(&event.resource()),
        namespace: event.namespace().to_owned(),
        name: event.name().to_owned(),
        code: code.as_str().to_owned(),
    })
}

/// The kind whose plural that is; of what is not ours the plural itself.
fn kind_of(plural: &str) -> String {
    fn names<K: Resource<DynamicType = ()>>() -> [String; 2] {
        [K::plural(&()).into_owned(), K::kind(&()).into_owned()]
    }
    let kinds = [
        names::<Tenant>(),
        names::<TenantSettings>(),
        names::<Project>(),
        names::<Build>(),
        names::<ImageScan>(),
        names::<QuarantineRequest>(),
        names::<SorRecord>(),
        names::<ImagePolicy>(),
    ];
    let found = kinds.into_iter().find(|[known, _]| known == plural);
    found.map_or_else(|| plural.to_owned(), |[_, kind]| kind)
}

impl Cluster {
    /// Asks `operator audit` in the pod that stores it.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn operator_audit(&self, arguments: &[&str]) -> String {
        self.run_operator(&self.audit_deployment(), &[&["audit"], arguments].concat())
    }

    /// Name of the Deployment that stores the audit.
    #[must_use]
    pub fn audit_deployment(&self) -> String {
        format!("{}-audit", self.installation.prefix())
    }

    /// Entries of the audit, the newest first.
    ///
    /// # Panics
    /// Where it does not answer, or with no JSON.
    #[must_use]
    pub fn recorded(&self, filters: &[&str]) -> Vec<Value> {
        let list = ["list", "-o", "json", "--limit", "1000"];
        let said = self.operator_audit(&[&list[..], filters].concat());
        let lines = said.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("a line of JSON")).collect()
    }
}

impl Cluster {
    /// Every denial that the audit has since then.
    fn denials_since(&self, log: &AuditLog) -> Vec<Value> {
        let (since, limit) = (log.since().to_string(), PAGE.to_string());
        let list = [
            "list", "-o", "json", "--kind", "denial", "--limit", &limit, "--since", &since,
        ];
        let mut entries: Vec<Value> = Vec::new();
        loop {
            let before = entries.last().map(|entry| entry["seq"].to_string());
            let before: Vec<&str> = before.iter().flat_map(|seq| ["--before", seq]).collect();
            let said = self.operator_audit(&[&list[..], &before].concat());
            let page = said
                .lines()
                .map(|line| serde_json::from_str(line).expect("a line of JSON"));
            let known = entries.len();
            entries.extend(page);
            if entries.len() < known + PAGE {
                return entries;
            }
        }
    }
}

impl TestTenant {
    /// Entries of the audit that are about this tenant.
    #[must_use]
    pub fn recorded(&self, filters: &[&str]) -> Vec<Value> {
        self.cluster
            .recorded(&[&["--tenant", self.name.as_str()], filters].concat())
    }

    /// Waits for exactly that many denials of a code; a moment later there are no more.
    ///
    /// # Panics
    /// Where there are others.
    pub async fn denials_are(&self, code: &str, count: usize) -> Vec<Value> {
        let look = || self.recorded(&["--kind", "denial", "--code", code]);
        let what = format!("{count} denials with {code} are on record");
        // What was spooled is delivered within half a minute of the intake's being there again.
        let found = until(&what, 60, async || Some(look()).filter(|found| found.len() >= count)).await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// The audit's own counters of this tenant's denials, by code.
    ///
    /// # Panics
    /// Where it does not tell them.
    #[must_use]
    pub fn denials_counted(&self) -> BTreeMap<String, usize> {
        let namespace = &self.cluster.installation.namespace;
        let service = self.cluster.audit_deployment();
        let path = format!("/api/v1/namespaces/{namespace}/services/{service}:http/proxy/metrics");
        let text = self.cluster.kubectl().run(&["get", "--raw", &path]).expect_ok();
        let mine = format!("tenant=\"{}\"", self.name);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("imagefactory_denials_total{") && line.contains(&mine));
        let mut counted = BTreeMap::new();
        for line in lines {
            let (code, count) = counter(line).expect("a counter has a code and a number");
            *counted.entry(code).or_default() += count;
        }
        counted
    }

    /// Refusals in this tenant's namespace, of the Tenant itself and of these people anywhere: what the API server's own
    /// log tells since then.
    #[must_use]
    pub fn refusals_by_the_api_server(&self, log: &AuditLog, people: &BTreeSet<String>) -> Refusals {
        let mut refusals = Refusals::new();
        for refusal in log.events().iter().filter_map(refusal) {
            let is_here = refusal.namespace == self.namespace;
            let is_itself = refusal.kind == "Tenant" && refusal.name == self.name;
            if is_here || is_itself || people.contains(&refusal.user) {
                *refusals.entry(refusal).or_default() += 1;
            }
        }
        refusals
    }

    /// The same by what the audit has.
    ///
    /// # Panics
    /// Where an entry is not what an entry is.
    #[must_use]
    pub fn refusals_by_the_audit(&self, log: &AuditLog, people: &BTreeSet<String>) -> Refusals {
        let mut refusals = Refusals::new();
        for entry in self.cluster.denials_since(log) {
            let event = &entry["event"];
            let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
            let refusal = Refusal {
                user: text(&event["actor"]["user"]),
                verb: text(&event["action"]),
                kind: text(&event["resource"]["kind"]),
                namespace: text(&event["resource"]["namespace"]),
                name: text(&event["resource"]["name"]),
                code: text(&event["code"]),
            };
            if event["tenant"] == self.name || people.contains(&refusal.user) {
                let count = event["count"].as_u64().expect("an event has a count");
                *refusals.entry(refusal).or_default() += count;
            }
        }
        refusals
    }

    /// Waits until the audit tells each refusal that the API server's own log tells as often as that does, and no other.
    /// Gives them.
    ///
    /// # Panics
    /// Where they go on telling different things.
    pub async fn audit_agrees_with(&self, log: &AuditLog, people: &BTreeSet<String>) -> Refusals {
        let began = Instant::now();
        let (here, there) = loop {
            let by_the_audit = self.refusals_by_the_audit(log, people);
            let by_the_api_server = self.refusals_by_the_api_server(log, people);
            if by_the_audit == by_the_api_server {
                return by_the_audit;
            }
            if began.elapsed() > PATIENCE {
                break (by_the_audit, by_the_api_server);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let only = |these: &Refusals, others: &Refusals| {
            let odd = these
                .iter()
                .filter(|(refusal, times)| others.get(refusal) != Some(times));
            odd.map(|(refusal, times)| format!("{times} times {refusal:?}"))
                .collect::<Vec<_>>()
        };
        panic!(
            "by the audit alone: {:#?}; by the API server's log alone: {:#?}",
            only(&here, &there),
            only(&there, &here)
        );
    }
}

/// Code and count of a line of the counter.
fn counter(line: &str) -> Option<(String, usize)> {
    let (code, _) = line.split_once("code=\"")?.1.split_once('"')?;
    // Counters are written as whole numbers, with or without a point.
    let count = line.rsplit_once(' ')?.1.split('.').next()?.parse().ok()?;
    Some((code.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl FnOnce(&mut Value)) -> Option<Refusal> {
        let mut event = serde_json::json!({
            "stage": "ResponseComplete", "verb": "patch", "user": {"username": "mia"}, "requestURI": "/apis/a",
            "objectRef": {"resource": "tenantsettings", "namespace": "tenant-a", "name": "settings"},
            "responseStatus": {"code": 409, "reason": "confirmation_required"},
        });
        change(&mut event);
        refusal(&serde_json::from_value(event).unwrap())
    }

    #[test]
    fn a_patch_that_we_refused_is_a_refused_update_of_its_kind() {
        let refusal = told(|_| ()).unwrap();
        let said = [&refusal.user, &refusal.verb, &refusal.kind, &refusal.code];
        assert_eq!(said, ["mia", "update", "TenantSettings", "confirmation_required"]);
    }

    #[test]
    fn what_others_refused_and_what_was_a_dry_run_is_none_of_ours() {
        assert_eq!(
            told(|event| event["responseStatus"]["reason"] = "Forbidden".into()),
            None
        );
        assert_eq!(told(|event| event["responseStatus"]["reason"] = "".into()), None);
        assert_eq!(told(|event| event["requestURI"] = "/apis/a?dryRun=All".into()), None);
    }

    #[test]
    fn a_counter_is_read_with_its_code() {
        let line = r#"imagefactory_denials_total{tenant="a",capability="",code="quota_exceeded"} 12"#;
        assert_eq!(counter(line), Some(("quota_exceeded".to_owned(), 12)));
    }
}
