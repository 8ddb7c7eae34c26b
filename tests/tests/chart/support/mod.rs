//! What several files of chart tests share.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use imagefactory_tests::chart::{Chart, read, repository};
use serde_json::Value;

static RENDERED: LazyLock<Mutex<HashMap<String, Vec<Value>>>> = LazyLock::new(Mutex::default);

/// The objects, or a panic with what Helm says. Helm is asked once for each set of values.
pub fn render(chart: &Chart) -> Vec<Value> {
    let key = format!("{chart:?}");
    let mut rendered = RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
    rendered
        .entry(key)
        .or_insert_with(|| chart.render().unwrap_or_else(|error| panic!("{error}")))
        .clone()
}

/// The values of the local cluster, filled in as `hack/deploy/deploy.sh` does.
pub fn local() -> Chart {
    static LOCAL: LazyLock<Chart> = LazyLock::new(fill_in_local);
    LOCAL.clone()
}

fn fill_in_local() -> Chart {
    let mut text = read(&repository().join("hack/deploy/values-local.yaml.tpl")).unwrap();
    let image = |name: &str| format!("{{registry: image-factory.local, repository: {name}, tag: dev-1, digest: \"\"}}");
    for (name, value) in [
        ("OPERATOR_IMAGE", image("operator")),
        ("WORKER_IMAGE", image("worker")),
        ("WEBHOOK_IMAGE", image("webhook")),
        ("KANIKO_IMAGE", image("kaniko")),
        ("TRIVY_IMAGE", image("trivy")),
        ("BUILDKIT_IMAGE", image("buildkit")),
        ("KUBELET_DIR", "/var/lib/kubelet".to_owned()),
        ("REGISTRY", "10.90.0.1:5000".to_owned()),
        ("MIRROR", "10.90.0.1:5001".to_owned()),
        ("EGRESS", "[{cidr: 10.90.0.1/32, ports: [5000]}]".to_owned()),
        (
            "TRIVY_DB_REPOSITORY",
            "10.90.0.1:5001/aquasecurity/trivy-db:2".to_owned(),
        ),
        (
            "TRIVY_JAVA_DB_REPOSITORY",
            "10.90.0.1:5001/aquasecurity/trivy-java-db:1".to_owned(),
        ),
    ] {
        text = text.replace(&format!("${{{name}}}"), &value);
    }
    assert!(
        !text.contains("${"),
        "a value that this test and deploy.sh must know:\n{text}"
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("values-local.yaml");
    std::fs::write(&path, text).unwrap();
    let ca = "caBundle=-----BEGIN CERTIFICATE-----\\nbm8=\\n-----END CERTIFICATE-----";
    Chart::bare().with_values(&path).set(ca)
}
