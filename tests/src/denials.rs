//! The table of denials, tried row by row: what a refusal is to say, that it leaves nothing behind, and that it is on record
//! and counted once, as the API server's own log has it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Client;
use serde_json::{Value, json};

use crate::access::Person;
use crate::audit::AuditLog;
use crate::cluster::unique;
use crate::dockerfile::quick;
use crate::door::{Raw, Told, heard, ours, path};
use crate::on_record::Refusals;
use crate::tenant::{ClusterObject, PROJECT, TestTenant};
use crate::wait::until;

/// What lies in a tenant's namespace, by its API.
const KINDS: [(&str, &[&str]); 5] = [
    (
        "apis/imagefactory.dev/v1alpha1",
        &[
            "builds",
            "imagescans",
            "projects",
            "quarantinerequests",
            "tenantsettings",
        ],
    ),
    (
        "api/v1",
        &[
            "pods",
            "configmaps",
            "secrets",
            "serviceaccounts",
            "resourcequotas",
            "limitranges",
            "persistentvolumeclaims",
        ],
    ),
    ("apis/batch/v1", &["jobs"]),
    ("apis/rbac.authorization.k8s.io/v1", &["rolebindings"]),
    ("apis/networking.k8s.io/v1", &["networkpolicies"]),
];

/// What a refusal is to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Status line, and `status.code`.
    pub http: u16,
    /// `status.reason`.
    pub code: &'a str,
    /// Parts of the message that have to stand in it; the first one begins it.
    pub words: &'a [&'a str],
    /// Reason and message of causes.
    pub causes: &'a [(&'a str, &'a str)],
    /// Path of the field that is a cause; empty where none is meant.
    pub field: &'a str,
}

/// A tenant, with whom it refused, and how many denials of each code it has to have on record.
pub struct Table {
    /// The tenant.
    pub tenant: TestTenant,
    log: AuditLog,
    people: BTreeSet<String>,
    told: BTreeMap<String, usize>,
    counted: BTreeMap<String, usize>,
}

impl Table {
    /// A tenant of that spec, once the door has heard of it.
    pub async fn create(purpose: &str, spec: Value) -> Self {
        let tenant = TestTenant::create_with(purpose, spec).await;
        let log = tenant.cluster.audit();
        heard().await;
        Self {
            tenant,
            log,
            people: BTreeSet::new(),
            told: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }

    /// The creation of an object of one of our kinds.
    #[must_use]
    pub fn create_of(&self, kind: &str, plural: &str, name: &str, spec: &Value) -> Raw {
        Raw::create(self.tenant.path(plural, ""), ours(kind, name, spec))
    }

    /// The creation of a Build, of which `spec` says more.
    #[must_use]
    pub fn build(&self, name: &str, spec: &Value) -> Raw {
        let whole = json!({"projectRef": {"name": PROJECT}, "source": quick()});
        self.create_of("Build", "builds", name, &with(whole, spec))
    }

    /// The creation of a QuarantineRequest, of which `spec` says more.
    #[must_use]
    pub fn request(&self, name: &str, spec: &Value) -> Raw {
        let whole = json!({
            "projectRef": {"name": PROJECT}, "source": {"image": "quay.io/team/redis:7"}, "justification": "A test.",
        });
        self.create_of("QuarantineRequest", "quarantinerequests", name, &with(whole, spec))
    }

    /// The creation of an ImageScan, of which `spec` says more.
    #[must_use]
    pub fn scan(&self, name: &str, spec: &Value) -> Raw {
        let whole = json!({"projectRef": {"name": PROJECT}, "image": "quay.io/team/redis:7"});
        self.create_of("ImageScan", "imagescans", name, &with(whole, spec))
    }

    /// A change of an object in the tenant's namespace, by a merge patch.
    #[must_use]
    pub fn change(&self, plural: &str, name: &str, body: Value) -> Raw {
        Raw::change(self.tenant.path(plural, name), body)
    }

    /// The deletion of an object in the tenant's namespace.
    #[must_use]
    pub fn delete(&self, plural: &str, name: &str) -> Raw {
        Raw::delete(self.tenant.path(plural, name))
    }

    /// Path of the Tenant itself.
    #[must_use]
    pub fn tenant_itself(&self) -> String {
        path(None, "tenants", &self.tenant.name)
    }

    /// A name that nobody has in another tenant.
    #[must_use]
    pub fn user(&self, name: &str) -> String {
        format!("{name}-of-{}", self.tenant.name)
    }

    /// Somebody's client, whose refusals are looked for in the audit wherever they are of.
    pub async fn client_of(&mut self, who: Person<'_>) -> Client {
        self.people.insert(who.user.to_owned());
        self.tenant.cluster.client_as(who.user, who.groups).await
    }

    /// Has RBAC let people do everything everywhere, so that only the door can refuse them.
    ///
    /// # Panics
    /// Where RBAC does not come to know of it.
    pub async fn rbac_lets_in(&self, users: &[&str]) -> ClusterObject {
        let subjects: Vec<Value> = users
            .iter()
            .map(|user| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}))
            .collect();
        let binding = json!({
            "metadata": {"name": unique("lets-in")}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        });
        let binding =
            ClusterObject::create::<ClusterRoleBinding>(&self.tenant.cluster, "clusterrolebinding", binding).await;
        for user in users {
            let client = self.tenant.cluster.client_as(user, Person::named(user).groups).await;
            until("RBAC lets them in", 20, async || {
                let told = Raw::get(self.tenant_itself()).send(&client, false).await;
                (told.http == 200).then_some(())
            })
            .await;
        }
        binding
    }

    /// Makes something for others to be refused on.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn make(&self, what: &Raw) {
        let told = what.send(&self.tenant.client(), false).await;
        assert_eq!(told.http, 201, "{what:?}: {}", told.body);
    }

    /// Tries it as a platform administrator, as a dry run and for real: refused alike, with nothing left behind.
    ///
    /// # Panics
    /// Where it is let in, or refused in another way.
    pub async fn refuses(&mut self, what: &Raw, expected: &Expected<'_>) {
        let client = self.tenant.client();
        self.refuses_of(&client, what, expected).await;
    }

    /// The same as somebody else.
    ///
    /// # Panics
    /// As above.
    pub async fn refuses_of(&mut self, client: &Client, what: &Raw, expected: &Expected<'_>) {
        let before = self.all_there_is().await;
        for dry_run in [true, false] {
            expected.holds_for(what, &what.send(client, dry_run).await);
        }
        assert_eq!(self.all_there_is().await, before, "{what:?} left something behind");
        *self.told.entry(expected.code.to_owned()).or_default() += 1;
        // What is of no tenant is counted for none.
        if what.path.contains(&self.tenant.name) {
            *self.counted.entry(expected.code.to_owned()).or_default() += 1;
        }
    }

    /// Every object of the tenant, with what of it counts as a change of it, and Events about what is not there.
    async fn all_there_is(&self) -> BTreeSet<String> {
        let namespace = &self.tenant.namespace;
        let mut all = BTreeSet::new();
        for (api, plurals) in KINDS {
            for plural in plurals {
                for item in self.list(&format!("/{api}/namespaces/{namespace}/{plural}")).await {
                    let meta = &item["metadata"];
                    let what = [&meta["name"], &meta["uid"], &meta["generation"], &meta["annotations"]];
                    all.insert(json!([plural, what, item["spec"]]).to_string());
                }
            }
        }
        let itself = Raw::get(self.tenant_itself()).send(&self.tenant.client(), false).await;
        let meta = &itself.body["metadata"];
        all.insert(json!(["tenants", meta["uid"], meta["generation"]]).to_string());
        let label = format!("labelSelector=imagefactory.dev%2Ftenant%3D{}", self.tenant.name);
        let work = self.tenant.cluster.installation.work_namespace();
        for (api, plural) in [("apis/batch/v1", "jobs"), ("api/v1", "pods")] {
            for item in self.list(&format!("/{api}/namespaces/{work}/{plural}?{label}")).await {
                all.insert(json!([work, plural, item["metadata"]["name"]]).to_string());
            }
        }
        for event in self.list(&format!("/api/v1/namespaces/{namespace}/events")).await {
            let about = &event["involvedObject"];
            let line = json!(["events", about["kind"], about["name"], event["reason"]]).to_string();
            all.extend(Some(line).filter(|line| line.contains("never")));
        }
        all
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let told = Raw::get(path.to_owned()).send(&self.tenant.client(), false).await;
        assert_eq!(told.http, 200, "{path}: {}", told.body);
        told.body["items"].as_array().cloned().unwrap_or_default()
    }

    /// Every refusal is on record once, as the API server's own log has it, and counted once; no dry run is.
    ///
    /// # Panics
    /// Where something else is.
    pub async fn is_on_record(&self) {
        let refusals = self.agrees().await;
        let mut by_code = BTreeMap::<String, usize>::new();
        for (refusal, times) in &refusals {
            *by_code.entry(refusal.code.clone()).or_default() += usize::try_from(*times).unwrap_or(usize::MAX);
        }
        assert_eq!(by_code, self.told, "what was refused is on record");
        let all: usize = self.counted.values().sum();
        let counted = until("they are counted", 15, async || {
            Some(self.tenant.denials_counted()).filter(|counted| counted.values().sum::<usize>() >= all)
        })
        .await;
        assert_eq!(counted, self.counted, "the counters say what is on record");
    }

    /// What is on record, once the audit tells what the API server's own log tells of this tenant and these people.
    ///
    /// # Panics
    /// Where they go on telling different things.
    pub async fn agrees(&self) -> Refusals {
        self.tenant.audit_agrees_with(&self.log, &self.people).await
    }

    /// What the audit has now, whatever the API server's own log tells.
    #[must_use]
    pub fn on_record(&self) -> Refusals {
        self.tenant.refusals_by_the_audit(&self.log, &self.people)
    }
}

fn with(mut whole: Value, more: &Value) -> Value {
    if let (Some(whole), Some(more)) = (whole.as_object_mut(), more.as_object()) {
        whole.extend(more.clone());
    }
    whole
}

impl Expected<'_> {
    /// Compares all of it with what was told.
    ///
    /// # Panics
    /// Where something differs.
    pub fn holds_for(&self, what: &Raw, told: &Told) {
        assert_eq!(
            (told.http, told.reason()),
            (self.http, self.code),
            "{what:?}: {}",
            told.body
        );
        assert_eq!(told.body["code"], json!(self.http), "{}", told.body);
        let whole = told.body["message"].as_str().unwrap_or_default();
        assert!(
            whole.starts_with("admission webhook \""),
            "the API server's prefix: {whole}"
        );
        let message = told.message();
        let first = self.words.first().copied().unwrap_or_default();
        assert!(message.starts_with(first), "{first:?} does not begin {message:?}");
        for word in self.words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
        let causes = told.causes();
        for (reason, about) in self.causes {
            assert!(
                causes.iter().any(|cause| cause[..2] == [*reason, *about]),
                "{reason} {about} is not in {causes:?}"
            );
        }
        let fields: Vec<&str> = causes
            .iter()
            .map(|cause| cause[2])
            .filter(|field| !field.is_empty())
            .collect();
        let expected: Vec<&str> = [self.field].into_iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(fields, expected, "{causes:?}");
    }
}
