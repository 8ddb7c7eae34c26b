//! The configuration of `buildkitd`, written by a TOML serializer: nothing of a tenant's is pasted into text.

use std::collections::BTreeMap;

use imagefactory_core::step::buildkit::BuildkitStep;
use serde::Serialize;

use crate::error::LaunchError;
use crate::workdir::Workdir;

#[derive(Serialize)]
struct Configuration {
    root: String,
    /// No RUN step may ask for more than its sandbox: no `security.insecure`, no `network.host`, no device.
    #[serde(rename = "insecure-entitlements")]
    insecure_entitlements: Vec<String>,
    grpc: Grpc,
    otel: Otel,
    cdi: Cdi,
    worker: Workers,
    registry: BTreeMap<String, Registry>,
}

#[derive(Serialize)]
struct Grpc {
    address: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Otel {
    socket_path: String,
}

#[derive(Serialize)]
struct Cdi {
    disabled: bool,
}

#[derive(Serialize)]
struct Workers {
    oci: OciWorker,
    containerd: ContainerdWorker,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OciWorker {
    enabled: bool,
    rootless: bool,
    /// A fresh /proc can't be mounted where the kubelet masks parts of it: steps share the container's processes. They
    /// can read no memory or environment of the daemon's, which holds capabilities that they do not.
    no_process_sandbox: bool,
    snapshotter: &'static str,
    /// The state ends with the pod.
    gc: bool,
    binary: &'static str,
}

#[derive(Serialize)]
struct ContainerdWorker {
    enabled: bool,
}

#[derive(Default, Serialize)]
struct Registry {
    mirrors: Vec<String>,
}

/// `buildkitd.toml` for a step.
///
/// # Errors
/// What the serializer does not take.
pub fn daemon_configuration(step: &BuildkitStep, workdir: &Workdir) -> Result<String, LaunchError> {
    let mut registry: BTreeMap<String, Registry> = BTreeMap::new();
    for mirror in &step.mirrors {
        registry
            .entry(mirror.registry.to_string())
            .or_default()
            .mirrors
            .push(mirror.mirror.to_string());
    }
    let configuration = Configuration {
        root: workdir.data().display().to_string(),
        insecure_entitlements: Vec::new(),
        grpc: Grpc {
            address: vec![workdir.address()],
        },
        otel: Otel {
            socket_path: workdir.run().join("otel.sock").display().to_string(),
        },
        cdi: Cdi { disabled: true },
        worker: Workers {
            oci: OciWorker {
                enabled: true,
                rootless: true,
                no_process_sandbox: true,
                snapshotter: "overlayfs",
                gc: false,
                binary: "runc",
            },
            containerd: ContainerdWorker { enabled: false },
        },
        registry,
    };
    toml::to_string(&configuration).map_err(LaunchError::Configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(step: &BuildkitStep) -> String {
        daemon_configuration(step, &Workdir::new("/state")).unwrap()
    }

    #[test]
    fn mirrors_of_a_registry_keep_their_order() {
        let step: BuildkitStep = serde_json::from_value(serde_json::json!({
            "context": "/workspace", "dockerfile": "/prepared/Dockerfile", "layout": "/layout", "state": "/state",
            "mirrors": [
                {"registry": "docker.io", "mirror": "b.example.com:5000/hub"},
                {"registry": "docker.io", "mirror": "a.example.com"},
            ],
        }))
        .unwrap();
        assert!(
            configuration(&step)
                .ends_with("[registry.\"docker.io\"]\nmirrors = [\"b.example.com:5000/hub\", \"a.example.com\"]\n")
        );
    }

    #[test]
    fn the_daemon_listens_on_its_socket_alone_and_grants_nothing() {
        let text = configuration(&BuildkitStep::default());
        assert!(text.contains("address = [\"unix:///state/run/buildkitd.sock\"]"));
        assert!(text.contains("insecure-entitlements = []"));
        assert!(!text.contains("tcp"));
    }
}
