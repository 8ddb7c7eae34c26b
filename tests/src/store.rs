//! Where logs are kept, as tests change it: a bucket of a MinIO of their own, or the volume with hardly any room on it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, unique};
use crate::wait::until;

/// The bucket of a [`Minio`].
pub const BUCKET: &str = "archive";
const USER: &str = "archive";
/// Most that fits on a [`Tight`] volume, in bytes.
const ROOM: u64 = 1 << 20;

/// A MinIO on the node's address. It goes with the test, and so does the Secret with its credentials.
pub struct Minio {
    cluster: Cluster,
    process: Child,
    data: TempDir,
    /// What the chart calls `objectStore.options.endpoint`.
    pub endpoint: String,
    /// Secret in the release namespace.
    pub secret: String,
}

impl Minio {
    /// Builds it where it is not built yet, and starts it.
    ///
    /// # Panics
    /// Where it can't be built or does not come up.
    pub async fn start(cluster: &Cluster) -> Self {
        let build = cluster.environment.path("hack/tools/build.sh");
        let built = Command::new(build).arg("minio").status();
        assert!(built.is_ok_and(|status| status.success()), "MinIO can't be built");
        let data = tempfile::tempdir().expect("making a folder");
        fs::create_dir(data.path().join(BUCKET)).expect("a folder is a bucket");
        let node = cluster
            .environment
            .get("REGISTRY")
            .split(':')
            .next()
            .unwrap_or_default();
        let free = TcpListener::bind((node, 0)).and_then(|listener| listener.local_addr());
        let address = free.expect("a free port on the node's address").to_string();
        let password = unique("secret");
        let process = Command::new(cluster.environment.tool("minio"))
            .args(["server", "--quiet", "--address", &address])
            .arg(data.path())
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", &password)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting MinIO");
        let minio = Self {
            cluster: cluster.clone(),
            process,
            data,
            endpoint: format!("http://{address}"),
            secret: unique("imagefactory-t"),
        };
        minio.place(&password);
        until("MinIO answers", 60, async || {
            std::net::TcpStream::connect(&address).ok()
        })
        .await;
        minio
    }

    fn place(&self, password: &str) {
        let data = json!({"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": password});
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.secret}, "stringData": data});
        let create = ["create", "-n", &self.cluster.installation.namespace, "-f", "-"];
        let _ = self
            .cluster
            .kubectl()
            .run_with(&create, &secret.to_string())
            .expect_ok();
    }

    /// Arguments that have the chart keep logs here.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        let values = [
            format!("objectStore.url=s3://{BUCKET}/factory"),
            format!("objectStore.options.endpoint={}", self.endpoint),
            format!("objectStore.secret={}", self.secret),
        ];
        let mut arguments: Vec<String> = values
            .into_iter()
            .flat_map(|value| ["--set".to_owned(), value])
            .collect();
        arguments.extend(["--set-string", "objectStore.options.allow_http=true"].map(str::to_owned));
        arguments
    }

    /// Objects beneath that prefix of the bucket: what MinIO itself has on its disk.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.data.path().join(BUCKET).join(prefix), &mut found);
        found
    }
}

/// Folders that hold an object's own description are objects.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join("xl.meta").is_file() {
            found.push(path);
        } else if path.is_dir() {
            collect(&path, found);
        }
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.cluster.delete_secret(&self.secret);
    }
}

/// Folder of this machine that the operator's store lies in.
///
/// # Panics
/// Where the volume is no folder of this machine.
pub async fn archive_folder(cluster: &Cluster) -> PathBuf {
    let namespace = &cluster.installation.namespace;
    let claims = Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), namespace);
    let claim = claims.get(&format!("{}-archive", cluster.installation.prefix())).await;
    let name = claim.ok().and_then(|claim| claim.spec?.volume_name);
    let name = name.expect("logs are kept on a claim");
    let volume = Api::<PersistentVolume>::all(cluster.client.clone()).get(&name).await;
    let spec = volume.ok().and_then(|volume| volume.spec).unwrap_or_default();
    let path = spec
        .host_path
        .map(|host| host.path)
        .or_else(|| spec.local.map(|local| local.path));
    PathBuf::from(path.expect("the volume is a folder of this machine"))
}

/// The claim that logs are kept on, with a small file system over its folder on this node. Only a pod that starts
/// later sees it. Gone with the test.
pub struct Tight {
    folder: PathBuf,
}

impl Tight {
    /// Puts it over the volume, and fills it.
    ///
    /// # Panics
    /// Where the volume is no folder of this machine.
    pub async fn over_the_archive(cluster: &Cluster) -> Self {
        let tight = Self {
            folder: archive_folder(cluster).await,
        };
        let options = format!("size={ROOM},mode=0777");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&tight.folder));
        tight.fill();
        tight
    }

    /// Takes every byte.
    fn fill(&self) {
        let all = vec![0; usize::try_from(ROOM).unwrap_or_default()];
        let filled = fs::write(self.filler(), all);
        // What fits is written before the rest does not.
        assert!(filled.is_err() || self.filler().is_file(), "{filled:?}");
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// Where there was no file.
    pub fn give_room(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
        // Logs are longer than what was free.
        run(Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.folder));
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

fn run(command: &mut Command) {
    let output = command.output();
    assert!(
        output.as_ref().is_ok_and(|output| output.status.success()),
        "{command:?}: {output:?}"
    );
}

impl Drop for Tight {
    fn drop(&mut self) {
        // Pods that run still hold it; it goes with the last of them.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}
