//! The walls in a tenant's namespace, against its own owner and against the operator itself. That they hold at the API
//! server against everybody else, the chart's own tests show (chart_on_cluster).

use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{create, try_create};
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::tenant::owner_of;
use serde_json::{Value, json};

/// A pod as the operator may make one, with changes to its spec and to its container.
fn pod(changes: &Value, container: &Value) -> Value {
    let mut spec = json!({"hostUsers": false, "automountServiceAccountToken": false, "containers": [{
        "name": "a", "image": "debian:bookworm-slim", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
    }]});
    let merge = |into: &mut Value, from: &Value| {
        for (field, value) in from.as_object().into_iter().flatten() {
            into[field] = value.clone();
        }
    };
    merge(&mut spec, changes);
    merge(&mut spec["containers"][0], container);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "intruder"}, "spec": spec})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn not_even_the_operator_makes_a_pod_that_reaches_for_its_node() {
    let tenant = TestTenant::create("own-pods").await;
    let user = tenant.cluster.installation.operator_user();
    let groups = ["system:serviceaccounts", "system:authenticated"];
    let operator = tenant.cluster.client_as(&user, &groups).await;
    let namespace = Some(tenant.namespace.as_str());
    let none = json!({});
    let as_it_should_be = try_create(&operator, namespace, &pod(&none, &none)).await;
    assert_eq!(as_it_should_be, Ok(()));
    let host = json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]});
    let of_container = |context: Value| pod(&none, &json!({"securityContext": context}));
    for (expected, pod) in [
        ("hostUsers", pod(&json!({"hostUsers": true}), &none)),
        (
            "automountServiceAccountToken",
            pod(&json!({"automountServiceAccountToken": true}), &none),
        ),
        ("PodSecurity \"baseline", pod(&host, &none)),
        ("spec.hostNetwork: Forbidden", pod(&json!({"hostNetwork": true}), &none)),
        ("spec.HostPID: Forbidden", pod(&json!({"hostPID": true}), &none)),
        ("PodSecurity \"baseline", of_container(json!({"privileged": true}))),
        (
            "PodSecurity \"baseline",
            of_container(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
        ),
        (
            "PodSecurity \"baseline",
            of_container(json!({"seccompProfile": {"type": "Unconfined"}})),
        ),
    ] {
        let answer = try_create(&operator, namespace, &pod).await;
        assert!(
            answer.as_ref().is_err_and(|text| text.contains(expected)),
            "{expected}: {answer:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_owner_creates_secrets_and_never_sees_one() {
    let tenant = TestTenant::create("secrets").await;
    let namespace = tenant.namespace.as_str();
    let owner = owner_of(&tenant.name);
    let secret = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "b"}}).to_string()
    };
    let kubectl = tenant.cluster.kubectl();
    let as_owner = |arguments: &[&str], input: &str| {
        kubectl.run_with(&[arguments, &["-n", namespace, "--as", &owner]].concat(), input)
    };
    let created = as_owner(&["create", "-f", "-"], &secret("mine"));
    assert!(created.ok, "{}", created.stderr);
    let reserved = as_owner(&["create", "-f", "-"], &secret("imagefactory-mine"));
    assert!(
        !reserved.ok && reserved.stderr.contains("reserved for Image Factory"),
        "{}",
        reserved.stderr
    );
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}},
    });
    let token = as_owner(&["create", "-f", "-"], &token.to_string());
    assert!(
        !token.ok && token.stderr.contains("would get a token that never expires"),
        "{}",
        token.stderr
    );
    let mine = secret("mine");
    let attempts: [(&[&str], &str); 9] = [
        (&["get", "secret", "mine"], ""),
        (&["get", "secret", "imagefactory-staging"], ""),
        (&["get", "secrets"], ""),
        (&["get", "secrets", "--watch"], ""),
        (&["delete", "secret", "mine"], ""),
        (&["delete", "secret", "--all"], ""),
        (&["patch", "secret", "mine", "-p", "{}"], ""),
        (&["replace", "-f", "-"], &mine),
        (&["apply", "--server-side", "-f", "-"], &mine),
    ];
    for (attempt, input) in attempts {
        let answer = as_owner(attempt, input);
        assert!(
            !answer.ok && answer.stderr.to_lowercase().contains("forbidden"),
            "{attempt:?}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_owner_makes_builds_and_projects_and_nothing_that_runs() {
    let tenant = TestTenant::create("owner").await;
    let namespace = tenant.namespace.as_str();
    let owner = owner_of(&tenant.name);
    let client = tenant.cluster.client_as(&owner, &["system:authenticated"]).await;
    let ours = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let project = ours("Project", "mine", json!({}));
    create(&client, Some(namespace), &project).await.expect("a Project");
    let build = ours(
        "Build",
        "mine",
        json!({"projectRef": {"name": "mine"}, "source": quick()}),
    );
    create(&client, Some(namespace), &build).await.expect("a Build");
    let none = json!({});
    let refused = try_create(&client, Some(namespace), &pod(&none, &none)).await;
    assert!(
        refused.as_ref().is_err_and(|text| text.starts_with("403")),
        "{refused:?}"
    );
    tenant.has_succeeded("mine").await;
    for command in [
        &["get", "pods", "-n", namespace, "--as", &owner][..],
        &["logs", "mine-build-1", "-c", "build", "-n", namespace, "--as", &owner],
        &["describe", "build", "mine", "-n", namespace, "--as", &owner],
    ] {
        let answer = tenant.cluster.kubectl().run(command);
        assert!(answer.ok, "{command:?}: {}", answer.stderr);
    }
}
