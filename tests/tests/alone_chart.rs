//! The chart's life on a cluster: an upgrade changes nothing that is right, an uninstall leaves what is not its own to
//! take, and an install over that takes everything up again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

use std::collections::BTreeMap;
use std::process::Command;

use imagefactory_tests::{Cluster, TestTenant};

/// What outlives the release: kind and what kubectl is asked for.
const KEPT: [&str; 5] = [
    "customresourcedefinitions -l app.kubernetes.io/part-of=image-factory",
    "imagepolicies -l app.kubernetes.io/part-of=image-factory",
    "tenants",
    "namespaces -l imagefactory.dev/tenant",
    "secrets -n WORK",
];
/// What goes with the release.
const GONE: [&str; 6] = [
    "deployments -A -l app.kubernetes.io/part-of=image-factory",
    "services -A -l app.kubernetes.io/part-of=image-factory",
    "clusterroles -l app.kubernetes.io/part-of=image-factory",
    "clusterrolebindings -l app.kubernetes.io/part-of=image-factory",
    "validatingadmissionpolicies -l app.kubernetes.io/part-of=image-factory",
    "validatingadmissionpolicybindings -l app.kubernetes.io/part-of=image-factory",
];

/// The release as `hack/deploy/deploy.sh` makes it, put back also where the test fails.
struct Release {
    cluster: Cluster,
}

impl Release {
    fn deploy(&self) -> Result<(), String> {
        let script = self.cluster.environment.path("hack/deploy/deploy.sh");
        let output = Command::new(script).output().map_err(|error| error.to_string())?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn uninstall(&self) {
        let output = Command::new(self.cluster.environment.tool("helm"))
            .args([
                "uninstall",
                "image-factory",
                "--wait",
                "--namespace",
                &self.cluster.installation.namespace,
            ])
            .env("KUBECONFIG", self.cluster.environment.get("KUBECONFIG"))
            .output()
            .expect("running helm");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Uid and generation of what a query finds, by name.
    fn found(&self, query: &str) -> BTreeMap<String, String> {
        let query = query.replace("WORK", self.cluster.installation.work_namespace());
        let columns = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid,GENERATION:.metadata.generation";
        let mut arguments = vec!["get", "--no-headers", "-o", columns];
        arguments.extend(query.split(' '));
        let table = self.cluster.kubectl().run(&arguments).expect_ok();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.len() == 4)
            .map(|row| (format!("{}/{}", row[0], row[1]), format!("{} {}", row[2], row[3])))
            .collect()
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.deploy();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_upgrade_changes_nothing_that_is_right_and_an_uninstall_takes_nothing_that_is_not_its_own() {
    let tenant = TestTenant::create("kept").await;
    let release = Release {
        cluster: Cluster::connect().await,
    };
    let everything: Vec<&str> = KEPT
        .into_iter()
        .chain(GONE)
        .filter(|query| !query.starts_with("secrets"))
        .collect();
    let before: Vec<_> = everything.iter().map(|query| release.found(query)).collect();
    release.deploy().expect("deploying again");
    for (query, before) in everything.iter().zip(&before) {
        assert_eq!(
            &release.found(query),
            before,
            "an upgrade with the same values changed {query}"
        );
    }

    // Helm's own records of the release are Secrets elsewhere; these are the administrator's and the scanner's token.
    let kept: Vec<_> = KEPT.iter().map(|query| release.found(query)).collect();
    assert!(kept.iter().all(|found| !found.is_empty()), "{kept:?}");
    release.uninstall();
    for (query, kept) in KEPT.iter().zip(&kept) {
        assert_eq!(&release.found(query), kept, "an uninstall touched {query}");
    }
    for query in GONE {
        assert_eq!(release.found(query), BTreeMap::new(), "an uninstall left {query}");
    }

    release.deploy().expect("installing over what was kept");
    for (query, kept) in KEPT.iter().zip(&kept) {
        let uids = |found: &BTreeMap<String, String>| -> Vec<String> {
            found
                .values()
                .filter_map(|value| value.split(' ').next())
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(uids(&release.found(query)), uids(kept), "an install replaced {query}");
    }
    tenant.until_ready().await;
}
