//! The chart's life on a cluster: an upgrade changes nothing that is right, an uninstall leaves what is not its own to
//! take, and an install over that takes everything up again.
//!
//! Runs alone, after everything else: while it runs, there is no Image Factory (hack/test/run.sh).

use std::collections::BTreeMap;
use std::process::Command;

use imagefactory_tests::chart::{RELEASE, RELEASE_NAMESPACE};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

/// What outlives the release, as kubectl is asked for it.
const KEPT: [&str; 10] = [
    "customresourcedefinitions -l app.kubernetes.io/part-of=image-factory",
    "imagepolicies -l app.kubernetes.io/part-of=image-factory",
    "persistentvolumeclaims -n WORK",
    "namespaces WORK tenant-TENANT",
    "secrets -n WORK",
    "tenants TENANT",
    "tenantsettings,projects,builds -n tenant-TENANT",
    "rolebindings -n tenant-TENANT",
    "networkpolicies,resourcequotas -n tenant-TENANT",
    "secrets,serviceaccounts -n tenant-TENANT",
];
/// What goes with the release.
const GONE: [&str; 7] = [
    "deployments -A -l app.kubernetes.io/part-of=image-factory",
    "services -A -l app.kubernetes.io/part-of=image-factory",
    "serviceaccounts,roles,rolebindings,networkpolicies,configmaps,secrets -n RELEASE -l app.kubernetes.io/part-of=image-factory",
    "serviceaccounts,roles,rolebindings,networkpolicies -n WORK -l app.kubernetes.io/part-of=image-factory",
    "clusterroles,clusterrolebindings -l app.kubernetes.io/part-of=image-factory",
    "validatingadmissionpolicies -l app.kubernetes.io/part-of=image-factory",
    "validatingadmissionpolicybindings -l app.kubernetes.io/part-of=image-factory",
];

/// What queries found: uid and generation, by query and name.
type Found = BTreeMap<String, BTreeMap<String, (String, String)>>;

/// The release as `hack/deploy/deploy.sh` makes it, put back also where the test fails.
struct Release {
    cluster: Cluster,
    tenant: String,
}

impl Release {
    fn uninstall(&self) {
        let output = Command::new(self.cluster.environment.tool("helm"))
            .args(["uninstall", RELEASE, "--wait", "--namespace", RELEASE_NAMESPACE])
            .env("KUBECONFIG", self.cluster.environment.get("KUBECONFIG"))
            .output()
            .expect("running helm");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn found(&self, queries: &[&str]) -> Found {
        queries
            .iter()
            .map(|query| ((*query).to_owned(), self.found_by(query)))
            .collect()
    }

    fn found_by(&self, query: &str) -> BTreeMap<String, (String, String)> {
        let query = query
            .replace("WORK", self.cluster.installation.work_namespace())
            .replace("RELEASE", &self.cluster.installation.namespace)
            .replace("TENANT", &self.tenant);
        let columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,\
                       UID:.metadata.uid,GENERATION:.metadata.generation";
        let mut arguments = vec!["get", "--no-headers", "-o", columns];
        arguments.extend(query.split(' '));
        let table = self.cluster.kubectl().run(&arguments).expect_ok();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.len() == 5)
            .map(|row| (row[..3].join(" "), (row[3].to_owned(), row[4].to_owned())))
            .collect()
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.cluster.deploy(&[]);
        }
    }
}

/// The uids alone: an install may write to what it takes up again, and never makes it anew.
fn uids(found: &Found) -> BTreeMap<String, String> {
    let all = found.values().flatten();
    all.map(|(name, (uid, _))| (name.clone(), uid.clone())).collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_upgrade_changes_nothing_that_is_right_and_an_uninstall_takes_nothing_that_is_not_its_own() {
    let tenant = TestTenant::create("kept").await;
    let before = tenant.succeeds("before", json!({"source": quick()})).await;
    let release = Release {
        cluster: Cluster::connect().await,
        tenant: tenant.name.clone(),
    };
    let whole = [&KEPT[..], &GONE[..]].concat();
    let installed = release.found(&whole);
    for (query, found) in &installed {
        assert!(!found.is_empty(), "there is nothing of {query}");
    }
    release.cluster.deploy(&[]).expect("deploying again");
    let upgraded = release.found(&whole);
    assert_eq!(upgraded, installed, "an upgrade with the same values changes nothing");

    let kept = release.found(&KEPT);
    release.uninstall();
    assert_eq!(
        release.found(&KEPT),
        kept,
        "an uninstall takes nothing that is not its own"
    );
    // What the webhook made goes when the garbage collector has seen that its owner went.
    for query in GONE {
        until(&format!("an uninstall leaves nothing of {query}"), 60, async || {
            release.found_by(query).is_empty().then_some(())
        })
        .await;
    }

    release.cluster.deploy(&[]).expect("installing over what was kept");
    assert_eq!(
        uids(&release.found(&KEPT)),
        uids(&kept),
        "an install takes up what is there"
    );
    tenant.until_ready().await;
    let again = tenant.build("before").await;
    assert_eq!(again.status, before.status, "a build that had ended is left as it was");
    tenant.succeeds("after", json!({"source": quick()})).await;
}
