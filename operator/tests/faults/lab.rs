//! The API server that all schedules share, and tenants that are lent to them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use imagefactory_core::settings::Settings;
use imagefactory_rig::control_plane::{ControlPlane, Parts};
use imagefactory_rig::setup;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::scenario::Scenario;
use crate::world::{World, lock};

/// What all schedules share.
pub struct Lab {
    /// A client that no fault touches.
    pub client: Client,
    /// What there is.
    pub world: World,
    /// Where requests are sent from.
    pub io: Handle,
    settings: Settings,
    archives: TempDir,
    made: AtomicUsize,
    free: Mutex<HashMap<String, Vec<String>>>,
    _plane: ControlPlane,
}

impl Lab {
    /// Brings everything up.
    pub async fn start() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let tools = std::env::var_os("IMAGEFACTORY_TOOLS").map_or(root.join(".cluster/bin"), PathBuf::from);
        // The double of the kubelet plays those controllers too, and its accounts and counts are not what is tested.
        let parts = Parts {
            controllers: false,
            audit: false,
            without: &["ServiceAccount", "ResourceQuota"],
        };
        let plane = ControlPlane::start(&tools, parts).await;
        let plane =
            plane.unwrap_or_else(|error| panic!("{error}; hack/tools/build.sh etcd kubernetes makes the programs"));
        let client = plane.client("operator").await.unwrap();
        let settings = settings();
        platform(&client, &settings, &root).await;
        Self {
            world: World::watch(&client),
            client,
            io: Handle::current(),
            settings,
            archives: tempfile::tempdir().unwrap(),
            made: AtomicUsize::new(0),
            free: Mutex::default(),
            _plane: plane,
        }
    }

    /// The settings of a schedule's operator, with an archive of its own.
    pub fn settings(&self, scenario: &Scenario, tenant: &str) -> Settings {
        let mut settings = self.settings.clone();
        let archive = self.archive(tenant);
        std::fs::create_dir_all(&archive).unwrap();
        settings.object_store.url = format!("file://{}", archive.display());
        settings.builds.retries.backoff_seconds = scenario.backoff_seconds;
        settings.builds.retries.max_backoff_seconds = scenario.backoff_seconds.max(4);
        settings
    }

    /// Takes the archive of a schedule away.
    pub fn forget_archive(&self, tenant: &str) {
        let _ = std::fs::remove_dir_all(self.archive(tenant));
    }

    fn archive(&self, tenant: &str) -> PathBuf {
        self.archives.path().join(tenant)
    }

    /// A name that no tenant has.
    pub fn new_name(&self) -> String {
        format!("t{:05}x", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// A tenant with this spec that is there and free.
    pub fn borrow(&self, spec: &Value) -> Option<String> {
        lock(&self.free).get_mut(&spec.to_string())?.pop()
    }

    /// Gives it back.
    pub fn give_back(&self, spec: &Value, tenant: String) {
        lock(&self.free).entry(spec.to_string()).or_default().push(tenant);
    }

    /// Writes a Tenant.
    pub async fn make_tenant(&self, name: &str, spec: &Value) {
        let tenant = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec,
        });
        let tenants: Api<imagefactory_crds::Tenant> = Api::all(self.client.clone());
        let tenant = serde_json::from_value(tenant).unwrap();
        tenants.create(&PostParams::default(), &tenant).await.unwrap();
    }
}

/// What the chart writes with its defaults; nothing of what is pending for long ends a build whose schedule is slow.
fn settings() -> Settings {
    let mut settings: Settings = serde_yaml::from_str(include_str!("../../src/config/testdata/config.yaml")).unwrap();
    settings.builds.pull_prefixes.push("docker.io/library".to_owned());
    settings.builds.pending_deadline_seconds = 1_000_000;
    settings.builds.default_timeout = "24h".into();
    settings.builds.pod_ttl_seconds = 1_000_000;
    settings.builds.job_ttl_seconds = 1_000_000;
    settings.tenants.resync_seconds = 10;
    settings
}

async fn platform(client: &Client, settings: &Settings, root: &Path) {
    let crds = root.join("charts/image-factory/files/crds");
    // Its last step waits for an account that a controller would make.
    let account: k8s_openapi::api::core::v1::ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    let accounts = async {
        let api: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(client.clone(), &settings.work_namespace);
        while api.create(&PostParams::default(), &account).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(())
    };
    // Without the platform there will never be an account: what went wrong with it is told at once.
    tokio::try_join!(setup::platform(client, &crds, settings), accounts).unwrap();
}
