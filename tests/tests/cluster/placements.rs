//! Where builds' pods run: what the Tenant allows reaches the pod, part by part, and nothing else does.

use imagefactory_crds::Build;
use imagefactory_tests::access;
use imagefactory_tests::cluster::{Cluster, unique};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::tenant::{ClusterObject, TestTenant};
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Value of the test's own PriorityClass.
const PRIORITY: i32 = 7;

/// The classes that a pod names have to be there. Gone with the test.
struct Classes {
    priority: ClusterObject,
    runtime: ClusterObject,
    /// Nobody's but the test's: it places the pod itself.
    scheduler: String,
}

impl Classes {
    async fn create(cluster: &Cluster) -> Self {
        let named = |rest: Value| {
            let mut object = json!({"metadata": {"name": unique("placed")}});
            object
                .as_object_mut()
                .unwrap()
                .extend(rest.as_object().unwrap().clone());
            object
        };
        let priority = named(json!({"value": PRIORITY, "globalDefault": false}));
        let runtime = named(json!({"handler": "runc"}));
        Self {
            priority: ClusterObject::create::<PriorityClass>(cluster, "priorityclass", priority).await,
            runtime: ClusterObject::create::<RuntimeClass>(cluster, "runtimeclass", runtime).await,
            scheduler: unique("scheduler"),
        }
    }

    /// What the Tenant allows to its builds.
    fn allowed(&self) -> Value {
        json!({
            "nodeSelector": [{"key": "kubernetes.io/os", "value": "linux"}],
            "tolerations": [{"key": "example.org/builds"}],
            "priorityClassNames": [self.priority.name], "runtimeClassNames": [self.runtime.name],
            "schedulerNames": [self.scheduler],
        })
    }

    fn wanted_by_the_build(&self) -> Value {
        json!({
            "tolerations": [{"key": "example.org/builds", "value": "only", "effect": "NoSchedule"}],
            "priorityClassName": self.priority.name, "runtimeClassName": self.runtime.name,
            "schedulerName": self.scheduler,
        })
    }

    fn reached(&self, pod: &PodSpec) {
        let selector: Vec<_> = pod.node_selector.iter().flatten().collect();
        assert_eq!(selector, [(&"kubernetes.io/os".to_owned(), &"linux".to_owned())]);
        let tolerations = serde_json::to_value(&pod.tolerations).unwrap();
        let wanted = json!({"key": "example.org/builds", "operator": "Equal", "value": "only", "effect": "NoSchedule"});
        assert!(tolerations.as_array().unwrap().contains(&wanted), "{tolerations}");
        assert_eq!(
            (pod.priority_class_name.as_ref(), pod.priority),
            (Some(&self.priority.name), Some(PRIORITY))
        );
        assert_eq!(pod.runtime_class_name.as_ref(), Some(&self.runtime.name));
        assert_eq!(pod.scheduler_name.as_ref(), Some(&self.scheduler));
    }
}

/// Places the pod as a scheduler does.
async fn place(tenant: &TestTenant, pod: &str) -> String {
    let nodes = Api::<Node>::all(tenant.client()).list(&ListParams::default()).await;
    let node = nodes
        .expect("listing nodes")
        .items
        .first()
        .expect("there is a node")
        .name_any();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/binding", tenant.namespace);
    let create = ["create", "--raw", &path, "-f", "-"];
    let _ = tenant
        .cluster
        .kubectl()
        .run_with(&create, &binding.to_string())
        .expect_ok();
    node
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_the_tenant_allows_reaches_the_pod_and_nothing_else_is_let_in() {
    let cluster = Cluster::connect().await;
    let classes = Classes::create(&cluster).await;
    let tenant = TestTenant::create_with("placed", json!({"placement": classes.allowed()})).await;
    refused_where_it_is_not_allowed(&tenant).await;
    // What the tenant says for all its builds is joined with what the Build says.
    let defaults = json!({"placement": {"nodeSelector": [{"key": "kubernetes.io/os", "value": "linux"}]}});
    let _ = tenant.patch_settings(&json!({"buildDefaults": defaults})).expect_ok();
    let spec = json!({"source": quick(), "placement": classes.wanted_by_the_build()});
    tenant.start("placed", spec).await;
    let pods = tenant.api::<Pod>();
    let pod = until("the pod waits for its scheduler", 60, async || {
        pods.get_opt("placed-build-1").await.expect("reading the pod")
    })
    .await;
    let spec = pod.spec.expect("a pod has a spec");
    classes.reached(&spec);
    assert_eq!(spec.node_name, None, "no other scheduler takes it");
    let node = place(&tenant, "placed-build-1").await;
    tenant.has_succeeded("placed").await;
    let pod = pods.get("placed-build-1").await.expect("the pod stays");
    assert_eq!(pod.spec.and_then(|spec| spec.node_name), Some(node));
}

/// One part of each kind beside those that are allowed.
async fn refused_where_it_is_not_allowed(tenant: &TestTenant) {
    for (field, other) in [
        ("nodeSelector", json!([{"key": "kubernetes.io/os", "value": "other"}])),
        ("tolerations", json!([{"key": "example.org/other"}])),
        ("priorityClassName", json!("system-node-critical")),
        ("runtimeClassName", json!("other")),
        ("schedulerName", json!("other")),
    ] {
        let spec = json!({"projectRef": {"name": "app"}, "source": quick(), "placement": {field: other}});
        let object = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": "never"}, "spec": spec});
        let said = access::create(&tenant.client(), Some(&tenant.namespace), &object)
            .await
            .unwrap_err();
        let path = format!("spec.placement.{field}");
        assert!(
            said.contains(&path) && said.contains("is not allowed in tenant"),
            "{said}"
        );
    }
    let never = tenant.api::<Build>().get_opt("never").await;
    assert!(never.expect("reading the Build").is_none());
}
