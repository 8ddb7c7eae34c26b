//! Builds by a program of the tenant's own.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{failure_of, output_of, status_of};
use imagefactory_tests::dockerfile::{BASE, files};
use imagefactory_tests::image::{content_of, crane};
use serde_json::{Value, json};

const AMD64: &str = "linux/amd64";

/// Writes what lies in `/tmp/root` as a layout of one image with one layer.
const PACK: &str = "mkdir -p /layout/blobs/sha256; tar -C /tmp/root -cf /tmp/layer.tar $(ls /tmp/root); cd /layout; \
    put() { d=$(sha256sum \"$1\" | cut -d' ' -f1); cp \"$1\" blobs/sha256/$d; echo $d; }; \
    layer=$(put /tmp/layer.tar); size=$(stat -c %s /tmp/layer.tar); \
    printf '{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}' $layer > /tmp/config; \
    config=$(put /tmp/config); \
    printf '{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\",\"size\":%d},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%s\",\"size\":%d}]}' $config $(stat -c %s /tmp/config) $layer $size > /tmp/manifest; \
    manifest=$(put /tmp/manifest); \
    printf '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%d}]}' $manifest $(stat -c %s /tmp/manifest) > index.json; \
    printf '{\"imageLayoutVersion\":\"1.0.0\"}' > oci-layout";

/// A Build by a shell that runs `fill`, which leaves the image's files in `/tmp/root`, and makes an image of them.
pub fn by_shell(tenant: &TestTenant, source: &Value, fill: &str) -> Value {
    let script = format!("set -e; mkdir /tmp/root; cd /tmp/root; {fill}; eval \"$0\"");
    let custom = json!({"image": base(tenant), "command": ["/bin/sh", "-c"], "args": [script, PACK]});
    json!({"method": "custom", "source": source, "custom": custom})
}

/// The base image by its digest.
fn base(tenant: &TestTenant) -> String {
    let mirror = tenant.cluster.installation.text("/mirrors/0/mirror");
    let image = format!("{mirror}/library/{BASE}");
    let digest = crane(&tenant.cluster.environment, &["digest", "--platform", AMD64, &image]);
    format!("docker.io/library/debian@{}", digest.trim())
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_program_of_the_tenants_writes_a_layout_and_passes_the_same_gate() {
    let tenant = TestTenant::create("custom").await;
    let environment = &tenant.cluster.environment;
    let source = files(&[("message.txt", "made by hand")]);
    let spec = by_shell(&tenant, &source, "cp /workspace/message.txt .");
    let build = tenant.succeeds("made", spec).await;
    let content = content_of(environment, &output_of(&build).image, AMD64, "message.txt");
    assert_eq!(content, "made by hand");

    let nothing = by_shell(&tenant, &source, "exit 0");
    let failure = tenant.fails("nothing", FailureClass::Build, nothing).await;
    assert_eq!(failure.reason, "InvalidLayout", "{failure:?}");
    let image = base(&tenant).replace("docker.io/library/debian", "quay.example.com/evil/builder");
    let outside = json!({"method": "custom", "source": source, "custom": {"image": image}});
    tenant.start("outside", outside).await;
    let build = tenant.settled("outside").await;
    assert_eq!(failure_of(&build).reason, "RegistryNotAllowed");
    assert!(status_of(&build).pod_name.is_none(), "nothing of it ran");
}
