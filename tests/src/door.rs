//! The door as its users meet it: requests as they go over the wire, what a client reads of a refusal, and confirmations.

use http::Request;
use imagefactory_crds::names::ANNOTATION_CONFIRM;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::dockerfile::quick;
use crate::tenant::TestTenant;

/// A confirmation, as a change of metadata.
#[must_use]
pub fn confirmed(names: &str) -> Value {
    json!({"metadata": {"annotations": {ANNOTATION_CONFIRM: names}}})
}

/// A request to the API server as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Raw {
    /// `GET`, `POST`, `PATCH` (a merge patch) or `DELETE`.
    pub method: &'static str,
    /// Path, from the first slash on.
    pub path: String,
    /// What is sent.
    pub body: Value,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Told {
    /// Status line.
    pub http: u16,
    /// Body.
    pub body: Value,
}

/// Path of an object, or of all where it has no name, of one of our kinds or of Kubernetes' own: in that namespace, or
/// without one.
#[must_use]
pub fn path(namespace: Option<&str>, plural: &str, name: &str) -> String {
    let kind = plural.split('/').next().unwrap_or(plural);
    let root = if ["pods", "secrets", "configmaps"].contains(&kind) {
        "/api/v1"
    } else {
        "/apis/imagefactory.dev/v1alpha1"
    };
    let parts = [root, "namespaces", namespace.unwrap_or_default(), plural, name];
    let skipped = if namespace.is_some() { "" } else { "namespaces" };
    let parts = parts.into_iter().filter(|part| !part.is_empty() && *part != skipped);
    parts.collect::<Vec<_>>().join("/")
}

impl TestTenant {
    /// [`path`] in the tenant's namespace.
    #[must_use]
    pub fn path(&self, plural: &str, name: &str) -> String {
        path(Some(&self.namespace), plural, name)
    }

    /// The creation of a Build of its project `app`.
    #[must_use]
    pub fn raw_build(&self, name: &str) -> Raw {
        let spec = json!({"projectRef": {"name": "app"}, "source": quick()});
        Raw::create(self.path("builds", ""), ours("Build", name, &spec))
    }
}

/// An object of one of our kinds.
#[must_use]
pub fn ours(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

impl Raw {
    /// Reads what is at that path.
    #[must_use]
    pub fn get(path: String) -> Self {
        Self {
            method: "GET",
            path,
            body: Value::Null,
        }
    }

    /// Creates an object.
    #[must_use]
    pub fn create(path: String, body: Value) -> Self {
        Self {
            method: "POST",
            path,
            body,
        }
    }

    /// Changes an object by a merge patch.
    #[must_use]
    pub fn change(path: String, body: Value) -> Self {
        Self {
            method: "PATCH",
            path,
            body,
        }
    }

    /// Deletes an object.
    #[must_use]
    pub fn delete(path: String) -> Self {
        Self {
            method: "DELETE",
            path,
            body: json!({}),
        }
    }

    /// Sends it, for real or as a dry run.
    ///
    /// # Panics
    /// Where nothing comes back.
    pub async fn send(&self, client: &Client, dry_run: bool) -> Told {
        self.try_send(client, dry_run).await.expect("the API server answers")
    }

    /// The same.
    ///
    /// # Errors
    /// Where nothing comes back.
    ///
    /// # Panics
    /// Where what comes back is no JSON.
    pub async fn try_send(&self, client: &Client, dry_run: bool) -> Result<Told, kube::Error> {
        let query = if dry_run { "?dryRun=All" } else { "" };
        let media = if self.method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        // A deletion takes its options from the body alone, where there is one.
        let body = if self.method == "DELETE" {
            String::new()
        } else {
            self.body.to_string()
        };
        let request = Request::builder()
            .method(self.method)
            .uri(format!("{}{query}", self.path))
            .header("content-type", media)
            .body(Body::from(body.into_bytes()))
            .expect("it is a request");
        let answer = client.send(request).await?;
        let http = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await?;
        Ok(Told {
            http,
            body: serde_json::from_slice(&bytes).expect("the answer is JSON"),
        })
    }
}

impl Told {
    /// `status.reason`.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// `status.message` behind what the API server puts before it.
    #[must_use]
    pub fn message(&self) -> &str {
        let whole = self.body["message"].as_str().unwrap_or_default();
        whole.split_once("denied the request: ").map_or(whole, |(_, rest)| rest)
    }

    /// `status.details.causes`: reason, message and field of each.
    #[must_use]
    pub fn causes(&self) -> Vec<[&str; 3]> {
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        causes
            .map(|cause| ["reason", "message", "field"].map(|name| cause[name].as_str().unwrap_or_default()))
            .collect()
    }
}

/// A release without its door, until this goes.
#[must_use = "the door is there again when this goes"]
pub struct Away {
    cluster: Cluster,
    replicas: String,
}

impl Cluster {
    /// Name of the webhook's Deployment, Service and configurations.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("{}-webhook", self.installation.prefix())
    }

    /// Both configurations of the webhook, as kubectl names them.
    #[must_use]
    pub fn configurations(&self) -> [String; 2] {
        ["mutating", "validating"].map(|kind| format!("{kind}webhookconfiguration/{}", self.webhook()))
    }

    /// Takes the door away: nobody answers, and the API server asks nobody.
    ///
    /// # Panics
    /// Where it can't be taken away.
    pub fn without_door(&self) -> Away {
        let kubectl = self.kubectl();
        let (namespace, deployment) = (
            self.installation.namespace.clone(),
            format!("deployment/{}", self.webhook()),
        );
        let replicas = ["get", &deployment, "-n", &namespace, "-o", "jsonpath={.spec.replicas}"];
        let away = Away {
            cluster: self.clone(),
            replicas: kubectl.run(&replicas).expect_ok(),
        };
        let _ = kubectl
            .run(&["scale", &deployment, "-n", &namespace, "--replicas=0"])
            .expect_ok();
        // Whoever still runs would put the configurations back.
        let pods = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=webhook";
        let gone = [
            "wait",
            "pod",
            "-n",
            &namespace,
            "-l",
            pods,
            "--for=delete",
            "--timeout=90s",
        ];
        let _ = kubectl.run(&gone).expect_ok();
        for configuration in self.configurations() {
            let _ = kubectl.run(&["delete", &configuration]).expect_ok();
        }
        away
    }

    /// Waits until webhook and configurations stand, with the authority that the API server is to trust.
    ///
    /// # Panics
    /// Where they don't come.
    pub fn until_door_stands(&self) {
        self.until_rolled_out(&self.installation.namespace, &self.webhook());
        assert!(self.is_configured(), "the webhook's configurations are not there");
    }

    /// Waits for the configurations, and says whether they came.
    fn is_configured(&self) -> bool {
        let trusts = |configuration: &String| {
            let bundles = "jsonpath={.webhooks[*].clientConfig.caBundle}";
            let answer = self.kubectl().run(&["get", configuration, "-o", bundles]);
            answer.ok && !answer.stdout.is_empty()
        };
        for _ in 0..120 {
            if self.configurations().iter().all(trusts) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        false
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let replicas = format!("--replicas={}", self.replicas);
        let deployment = format!("deployment/{}", self.cluster.webhook());
        let namespace = &self.cluster.installation.namespace;
        let answer = self
            .cluster
            .kubectl()
            .run(&["scale", &deployment, "-n", namespace, &replicas]);
        if std::thread::panicking() {
            // A panic during a panic would hide the first one; but who comes next needs the door all the same.
            let rolled_out = ["rollout", "status", "-n", namespace, &deployment, "--timeout=120s"];
            let _ = self.cluster.kubectl().run(&rolled_out);
            self.cluster.is_configured();
            return;
        }
        let _ = answer.expect_ok();
        self.cluster.until_door_stands();
    }
}

/// Waits until every replica has heard of what was just changed: that is expected within a second.
pub async fn heard() {
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
}

/// What a client sees of a refusal.
///
/// # Panics
/// Where it was let in, or nobody answered.
#[track_caller]
pub fn refused<T>(answer: Result<T, kube::Error>) -> Status {
    match answer {
        Ok(_) => panic!("it was let in"),
        Err(kube::Error::Api(status)) => *status,
        Err(other) => panic!("no answer: {other}"),
    }
}

/// Expects a refusal of ours with that code; gives it.
///
/// # Panics
/// Where it is another.
#[track_caller]
pub fn refused_with<T>(answer: Result<T, kube::Error>, http: u16, code: &str) -> Status {
    let status = refused(answer);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (http, code),
        "{}",
        status.message
    );
    status
}

/// Causes of a refusal: reason and message of each, and the field where one is meant.
#[must_use]
pub fn causes(status: &Status) -> Vec<(String, String, String)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let all = causes.map(|cause| (cause.reason.clone(), cause.message.clone(), cause.field.clone()));
    all.collect()
}

/// Whether a cause of that kind names that thing.
#[must_use]
pub fn names_cause(status: &Status, reason: &str, message: &str) -> bool {
    causes(status)
        .iter()
        .any(|(found, told, _)| found == reason && told == message)
}

/// Whether the field at that path is a cause.
#[must_use]
pub fn names_field(status: &Status, path: &str) -> bool {
    causes(status).iter().any(|(.., field)| field == path)
}

impl TestTenant {
    /// Deletes a Project, confirmed.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn delete_project(&self, name: &str) {
        let kubectl = self.cluster.kubectl();
        confirm(self, &["project", name, "-n", &self.namespace], name);
        let _ = kubectl
            .run(&["delete", "project", name, "-n", &self.namespace])
            .expect_ok();
    }
}

fn confirm(tenant: &TestTenant, object: &[&str], name: &str) {
    let annotation = format!("{ANNOTATION_CONFIRM}={name}");
    let arguments = [&["annotate", "--overwrite"], object, &[annotation.as_str()]].concat();
    let _ = tenant.cluster.kubectl().run(&arguments).expect_ok();
}
