//! The webhook's own program over TLS, with caches that a real API server fills: for ten tenants, and for a large
//! installation beside it in the same run.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use hyper::body::Bytes;
use imagefactory_crds::{Project, Tenant};
use imagefactory_rig::control_plane::Parts;
use imagefactory_rig::door::{Door, Programs, namespace};
use imagefactory_rig::process::Process;
use imagefactory_rig::setup;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::time::sleep;

use super::Sizes;
use crate::error::{Result, Trying};
use crate::https::{Answered, Connection, at_full_speed, at_pace, connect};
use crate::output::{Figures, percentile};
use crate::rig::{ControlPlane, Places};

/// Requests in a second.
const PACE: u32 = 1000;
/// Connections of the load; an API server keeps about so many.
const CONNECTIONS: usize = 16;
/// The small installation.
pub(super) const FEW: (usize, usize) = (10, 30);
/// Requests that are made before anything counts.
const WARM_UP: u64 = 1;

/// A webhook that knows so many tenants.
pub(super) struct Installation {
    pub(super) plane: ControlPlane,
    pub(super) client: Client,
    pub(super) door: Door,
    pub(super) webhook: Process,
    reviews: Arc<Vec<Bytes>>,
}

/// All figures of the webhook alone.
pub(super) async fn take(places: &Places, sizes: Sizes, figures: &mut Figures) -> Result<()> {
    let mut few = Installation::start(places, FEW).await?;
    let many = Installation::start(places, (sizes.tenants, sizes.projects)).await?;
    for installation in [&few, &many] {
        installation.answers(WARM_UP).await?;
    }
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    // In the opposite order the second time: what drifts falls on both alike.
    for (installation, times) in [(&few, 0), (&many, 1), (&many, 1), (&few, 0)] {
        let taken = installation.answers(sizes.load_seconds).await?;
        if times == 0 {
            of_few.extend(taken);
        } else {
            of_many.extend(taken);
        }
    }
    let large = format!("{} tenants and {} projects", sizes.tenants, sizes.projects);
    tell(&of_few, &of_many, &large, figures)?;
    for (installation, what, goal) in [(&few, "10 tenants", "24"), (&many, large.as_str(), "")] {
        let held = installation.webhook.memory()?;
        figures.add_alone(
            &format!("webhook's resident memory, {what}"),
            "MiB",
            held.rss as f64 / 1024.0,
            goal,
        )?;
    }
    drop(many);
    let rate = few.on_one_core(sizes.load_seconds).await?;
    figures.add_alone("decisions over TLS at saturation, one core", "1/s", rate, "")
}

fn tell(of_few: &[Answered], of_many: &[Answered], large: &str, figures: &mut Figures) -> Result<()> {
    let times = |taken: &[Answered], share| percentile(taken.iter().map(|one| one.answered).collect(), share);
    for (name, share, goal) in [("p50", 0.5, ""), ("p99", 0.99, "2")] {
        let (small, big) = (times(of_few, share), times(of_many, share));
        for (tenants, value) in [("10 tenants", small), (large, big)] {
            let figure = format!("decision over TLS at {PACE}/s, {tenants}, {name}");
            figures.add_alone(&figure, "ms", value, goal)?;
        }
        let against = format!("{large} against 10 tenants, {name}");
        figures.add_alone(&against, "ratio", big / small, "1.1")?;
    }
    let sent: Vec<_> = of_few.iter().chain(of_many).map(|one| one.sent).collect();
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let figure = format!("of it before the client sent the review, {name}");
        figures.add_alone(&figure, "ms", percentile(sent.clone(), share), "")?;
    }
    Ok(())
}

impl Installation {
    /// Brings a control plane, tenants with their projects, and a webhook up.
    pub(super) async fn start(places: &Places, (tenants, projects): (usize, usize)) -> Result<Self> {
        let parts = Parts {
            controllers: true,
            audit: false,
            without: &["ServiceAccount", "ResourceQuota"],
        };
        let plane = ControlPlane::start(&places.tools, parts).await?;
        let client = plane.client("load").await?;
        platform(&client, &places.root).await?;
        fill(&client, tenants, projects).await?;
        let programs = Programs {
            webhook: places.webhook.clone(),
            operator: places.operator.clone(),
            root: places.root.clone(),
        };
        let door = Door::prepare(&plane, programs).await?;
        let webhook = door.webhook(false)?;
        door.webhook_is_ready().await?;
        let reviews = (0..projects)
            .map(|project| review(project % tenants, project))
            .collect();
        Ok(Self {
            plane,
            client,
            door,
            webhook,
            reviews: Arc::new(reviews),
        })
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        let authority = self.door.authority()?;
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            all.push(connect(self.door.port, &authority).await?);
        }
        Ok(all)
    }

    async fn answers(&self, seconds: u64) -> Result<Vec<Answered>> {
        at_pace(self.connections().await?, self.reviews.clone(), PACE, seconds).await
    }

    /// The same program again, held to one core; the load takes the others.
    async fn on_one_core(&mut self, seconds: u64) -> Result<f64> {
        self.webhook.kill();
        let webhook = self.door.webhook_command(false);
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(webhook.get_program())
            .args(webhook.get_args());
        for (name, value) in webhook.get_envs() {
            value.map(|value| command.env(name, value));
        }
        self.webhook = Process::start("webhook", self.plane.dir(), &mut command)?;
        sleep(Duration::from_millis(200)).await;
        self.door.webhook_is_ready().await?;
        at_full_speed(
            self.connections().await?,
            self.reviews.clone(),
            Duration::from_secs(seconds),
        )
        .await
    }
}

async fn platform(client: &Client, root: &Path) -> Result<()> {
    let template = root.join("operator/src/config/testdata/config.yaml");
    let text = std::fs::read_to_string(&template).trying("could not read the settings")?;
    let settings =
        serde_yaml::from_str(&text).map_err(|source| crate::error::BenchError::Yaml { path: template, source })?;
    setup::platform(client, &root.join("charts/image-factory/files/crds"), &settings).await
}

/// Tenants that may build, each with its namespace and its share of the projects.
async fn fill(client: &Client, tenants: usize, projects: usize) -> Result<()> {
    let at_once = 16;
    futures::stream::iter((0..tenants).map(Ok))
        .try_for_each_concurrent(at_once, async |number| {
            let name = format!("t{number}");
            tenant(client, &name, true).await?;
            namespace(client, &format!("tenant-{name}"), Some(&name), "nobody").await
        })
        .await?;
    futures::stream::iter((0..projects).map(Ok))
        .try_for_each_concurrent(at_once, async |number| {
            project(client, &format!("tenant-t{}", number % tenants), &format!("p{number}")).await
        })
        .await
}

/// Makes a tenant that the load's user owns, and that may build or not.
pub(super) async fn tenant(client: &Client, name: &str, may_build: bool) -> Result<()> {
    let object: Tenant = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {"owners": [{"kind": "Group", "name": "bench-team"}, {"kind": "User", "name": "load"}],
            "capabilities": {"build": may_build, "changeReason": "Measurement of the factory"}},
    }))
    .trying("a tenant")?;
    let api = Api::all(client.clone());
    api.create(&PostParams::default(), &object)
        .await
        .trying("could not create a tenant")?;
    Ok(())
}

/// Makes a project.
pub(super) async fn project(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let object: Project = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project",
        "metadata": {"name": name, "namespace": namespace}, "spec": {},
    }))
    .trying("a project")?;
    let api = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &object)
        .await
        .trying("could not create a project")?;
    Ok(())
}

/// A review as the API server sends one for a Build of that project.
fn review(tenant: usize, project: usize) -> Bytes {
    let (namespace, name) = (format!("tenant-t{tenant}"), format!("p{project}-1"));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4", "name": name, "namespace": namespace, "operation": "CREATE",
            "kind": {"group": "imagefactory.dev", "version": "v1alpha1", "kind": "Build"},
            "resource": {"group": "imagefactory.dev", "version": "v1alpha1", "resource": "builds"},
            "userInfo": {"username": "olga", "groups": ["bench-team", "system:authenticated"]},
            "object": {
                "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
                "metadata": {"name": name, "namespace": namespace, "managedFields": [{"manager": "kubectl"}],
                    "annotations": {"imagefactory.dev/requested-by": "olga"}},
                "spec": {"projectRef": {"name": format!("p{project}")},
                    "source": {"git": {"url": "https://git.example.com/team/shop.git", "revision": "main"}}},
            },
            "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    Bytes::from(review.to_string())
}
