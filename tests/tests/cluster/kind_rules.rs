//! Rules of the kinds that the API server holds, in the words of the contract: what can't change, names, shapes.

use imagefactory_tests::TestTenant;
use imagefactory_tests::access::try_create;
use imagefactory_tests::dockerfile::{files, quick};
use serde_json::{Value, json};

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Expects that the API server refuses the object with these words.
async fn refuses(tenant: &TestTenant, object: &Value, words: &str) {
    let is_cluster_wide = ["Tenant", "ImagePolicy", "SorRecord"]
        .iter()
        .any(|kind| object["kind"] == *kind);
    let namespace = (!is_cluster_wide).then_some(tenant.namespace.as_str());
    let answer = try_create(&tenant.client(), namespace, object).await;
    assert!(
        answer.as_ref().is_err_and(|refusal| refusal.contains(words)),
        "{object}: {answer:?}"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_builds_spec_does_not_change() {
    let tenant = TestTenant::create_with("immutable", json!({"quota": {"pods": 0}})).await;
    tenant.start("fixed", json!({"source": quick()})).await;
    for (field, change) in [
        ("projectRef", json!({"name": "other"})),
        (
            "source",
            json!({"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}}),
        ),
        ("timeout", json!("20m")),
        ("buildArgs", json!([{"name": "A", "value": "b"}])),
        ("output", json!({"image": "registry.example.com/a/b:1"})),
        ("policyRef", json!({"name": "lax"})),
    ] {
        let change = json!({"spec": {field: change}}).to_string();
        let namespace = tenant.namespace.as_str();
        let patch = [
            "patch",
            "build",
            "fixed",
            "-n",
            namespace,
            "--type=merge",
            "-p",
            &change,
        ];
        let answer = tenant.cluster.kubectl().run(&patch);
        // By the webhook, or by the schema where there is none.
        let expected = format!("{field} can't change after the Build was created");
        assert!(
            !answer.ok && answer.stderr.contains(&expected) && answer.stderr.contains("field_immutable"),
            "{field}: {}",
            answer.stderr
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn names_have_room_for_what_is_made_of_them_and_are_not_the_factorys() {
    let tenant = TestTenant::create("names").await;
    let owners = json!({"owners": [{"kind": "User", "name": "a"}]});
    let build = json!({"projectRef": {"name": "app"}, "source": quick()});
    let project = json!({});
    for (kind, spec, longest) in [
        ("Tenant", &owners, 40),
        ("Build", &build, 52),
        ("Project", &project, 52),
    ] {
        let too_long = object(kind, &"a".repeat(longest + 1), spec);
        refuses(&tenant, &too_long, &format!("at most {longest} characters")).await;
        refuses(&tenant, &object(kind, "a.b", spec), "DNS label").await;
        refuses(
            &tenant,
            &object(kind, "imagefactory-a", spec),
            "reserved for the factory",
        )
        .await;
    }
    refuses(
        &tenant,
        &object("TenantSettings", "other", &json!({})),
        "named settings",
    )
    .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn shapes_that_mean_nothing_are_refused_with_a_reason() {
    let tenant = TestTenant::create("shapes").await;
    let group = json!({"kind": "Group", "name": "system:masters"});
    let of_user = json!({"kind": "User", "name": "a", "namespace": "b"});
    for (owners, words) in [
        (json!([]), "owners"),
        (json!([group]), "system:"),
        (json!([of_user]), "namespace"),
    ] {
        refuses(&tenant, &object("Tenant", "a", &json!({"owners": owners})), words).await;
    }
    let big = files(&[("a", &"x".repeat(8000)), ("b", &"x".repeat(200))]);
    let recipe = json!({"baseImage": "a"});
    for (rest, words) in [
        (json!({"source": quick(), "recipe": recipe}), "not both"),
        (json!({"recipe": recipe, "target": "a"}), "a recipe has none"),
        (json!({"source": {}}), "exactly one of"),
        (json!({"source": big}), "8 KiB"),
        (json!({"timeout": "9s"}), "between 10s and 24h"),
        (
            json!({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1999m"}}}),
            "requests.cpu must be at most limits.cpu",
        ),
        (json!({"timeout": "25h"}), "between 10s and 24h"),
        (json!({"method": "packer"}), "must be kaniko, buildx, docker or custom"),
        (
            json!({"output": {"image": format!("a/b@sha256:{}", "0".repeat(64))}}),
            "an output has a tag",
        ),
        (
            json!({"output": {"pushSecretRef": {"name": "a"}}, "pullSecrets": [{"name": "a"}]}),
            "the secret to publish with can't be one of them",
        ),
    ] {
        let mut spec = rest;
        spec["projectRef"] = json!({"name": "app"});
        refuses(&tenant, &object("Build", "a", &spec), words).await;
    }
    refuses(
        &tenant,
        &object("ImagePolicy", "a", &json!({"maxCvss": "11"})),
        "maxCvss",
    )
    .await;
}
