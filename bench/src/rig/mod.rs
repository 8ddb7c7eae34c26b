//! What is measured stands here: a control plane of its own, the double of the kubelet, the operator, and those that it is
//! measured beside.

mod gatekeeper;
mod operator;
mod peers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use imagefactory_crds::names::LABEL_BUILD_UID;
use kube::Client;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;

pub use gatekeeper::Gatekeeper;
use imagefactory_rig::control_plane::Parts;
pub use imagefactory_rig::control_plane::{ControlPlane, USERS, client_of};
pub use imagefactory_rig::process::{Memory, Process};
use imagefactory_rig::setup;
pub use imagefactory_rig::setup::{PROJECT, Team};
pub use operator::{NO_LIMIT, Operator};
pub use peers::{Peer, Peers};

use crate::error::{Result, Trying};

/// Where programs and files lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directory of etcd, kube-apiserver and kube-controller-manager, and of third parties' programs that are measured.
    pub tools: PathBuf,
    /// The operator's program.
    pub operator: PathBuf,
    /// The webhook's program.
    pub webhook: PathBuf,
    /// The repository.
    pub root: PathBuf,
}

/// A control plane with everything on it but builds.
pub struct Rig {
    /// The control plane.
    pub plane: ControlPlane,
    /// A client of the load.
    pub client: Client,
    places: Places,
    _double: Process,
}

/// Length of the leader's lease, as the chart has it.
pub const LEASE: Duration = Duration::from_secs(15);

impl Rig {
    /// Brings everything up, and the operator with it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(places: &Places, teams: &[Team], max_builds: Option<u32>) -> Result<(Self, Operator)> {
        let rig = Self::bare(places, LABEL_BUILD_UID).await?;
        let template = places.root.join("operator/src/config/testdata/config.yaml");
        let settings = operator::settings(&template, rig.plane.dir(), max_builds)?;
        operator::write_settings(&settings, rig.plane.dir())?;
        let crds = places.root.join("charts/image-factory/files/crds");
        setup::platform(&rig.client, &crds, &settings).await?;
        let mut operator = rig.operator("operator-first")?;
        operator.leads().await?;
        setup::teams(&rig.client, teams).await?;
        Ok((rig, operator))
    }

    /// Brings up a control plane with nothing on it, and the double of the kubelet for pods with that label.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn bare(places: &Places, pods: &str) -> Result<Self> {
        let plane = ControlPlane::start(&places.tools, Parts::ALL).await?;
        Ok(Self {
            client: plane.client("load").await?,
            _double: rig_process("double", &plane, &["--pods", pods])?,
            plane,
            places: places.clone(),
        })
    }

    /// Starts an operator in a pod of that name: one that had the lease goes on with it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn operator(&self, pod: &str) -> Result<Operator> {
        Operator::start(&self.places.operator, &self.plane, LEASE, pod)
    }

    /// Starts the contender that decides nothing, with further arguments.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn null(&self, recorded: &Path, more: &[&str]) -> Result<Process> {
        let recorded = recorded.display().to_string();
        let arguments = [&["--recorded", &recorded], more].concat();
        rig_process("null", &self.plane, &arguments)
    }
}

/// A kind that this program has no type for.
fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Another role of this program, as a process of its own, so that what it takes is told apart.
fn rig_process(role: &str, plane: &ControlPlane, arguments: &[&str]) -> Result<Process> {
    let program = std::env::current_exe().trying("could not find this program")?;
    let mut command = Command::new(program);
    command
        .arg(role)
        .arg("--kubeconfig")
        .arg(plane.kubeconfig(role))
        .args(arguments);
    Process::start(role, plane.dir(), &mut command)
}
