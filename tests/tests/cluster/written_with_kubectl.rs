//! How people write what they may write: which commands of kubectl serve whom. What the docs and `examples/` say of
//! `create` and `apply` is tried here in the names of an admin and a member.

use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{Person, may};
use imagefactory_tests::kubectl::Answer;
use imagefactory_tests::wait::until;
use serde_json::json;

/// A tenant with an admin and a member, both in force.
async fn tenant_with_people(purpose: &str) -> (TestTenant, String, String) {
    let tenant = TestTenant::create(purpose).await;
    let [admin, member] = ["admin", "member"].map(|role| format!("{role}-of-{}", tenant.name));
    let person = |name: &str, role: &str| json!({"subject": {"kind": "User", "name": name}, "role": role});
    let people = json!({"members": [person(&admin, "Admin"), person(&member, "Member")]});
    let _ = tenant.patch_settings(&people).expect_ok();
    for (name, resource) in [(&admin, "secrets"), (&member, "builds.imagefactory.dev")] {
        until("the roles are in force", 30, async || {
            let client = tenant.client();
            may(&client, Person::named(name), "create", resource, &tenant.namespace)
                .await
                .then_some(())
        })
        .await;
    }
    (tenant, admin, member)
}

fn write(tenant: &TestTenant, who: &str, how: &[&str], text: &str) -> Answer {
    let mut arguments = vec!["--as", who];
    arguments.extend(how);
    arguments.extend(["-f", "-"]);
    tenant.cluster.kubectl().run_with(&arguments, text)
}

fn is_forbidden(answer: &Answer, verb: &str) -> bool {
    !answer.ok && answer.stderr.contains("Forbidden") && answer.stderr.contains(&format!("cannot {verb} resource"))
}

fn secret(tenant: &TestTenant, name: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
        "metadata": {"name": name, "namespace": tenant.namespace},
        "stringData": {"username": "reader", "password": "once"},
    })
    .to_string()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_admin_makes_a_secret_with_create_and_with_no_apply() {
    let (tenant, admin, member) = tenant_with_people("secretive").await;
    let one = secret(&tenant, "one");
    assert!(is_forbidden(&write(&tenant, &admin, &["apply"], &one), "get"));
    assert!(is_forbidden(
        &write(&tenant, &admin, &["apply", "--server-side"], &one),
        "patch"
    ));
    assert!(is_forbidden(&write(&tenant, &member, &["create"], &one), "create"));
    let made = write(&tenant, &admin, &["create"], &one).expect_ok();
    assert!(!made.contains("once") && made.contains("secret/one created"), "{made}");
    let again = write(&tenant, &admin, &["create"], &one);
    assert!(again.stderr.contains("AlreadyExists"), "{}", again.stderr);
    assert!(is_forbidden(&write(&tenant, &admin, &["replace"], &one), "update"));
    let _ = write(&tenant, &admin, &["create"], &secret(&tenant, "two")).expect_ok();
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_example_of_a_private_repository_is_made_as_it_says() {
    let (tenant, admin, member) = tenant_with_people("private").await;
    let file = tenant.cluster.environment.path("examples/git/private.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("kubectl create -f"), "it says how");
    let text = text.replace("tenant-acme", &tenant.namespace);
    let (secret, build) = text.split_once("\n---\n").unwrap();
    let _ = write(&tenant, &admin, &["create"], secret).expect_ok();
    let _ = write(&tenant, &member, &["create"], build).expect_ok();
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_member_starts_a_build_with_create_or_apply_and_not_with_server_side_apply() {
    let (tenant, admin, member) = tenant_with_people("starting").await;
    let build = |name: &str| {
        json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
            "metadata": {"name": name, "namespace": tenant.namespace},
            "spec": {"projectRef": {"name": "nowhere"}, "source": {"configMap": {"name": "none"}}},
        })
        .to_string()
    };
    let _ = write(&tenant, &member, &["create"], &build("created")).expect_ok();
    let _ = write(&tenant, &member, &["apply"], &build("applied")).expect_ok();
    assert!(is_forbidden(
        &write(&tenant, &member, &["apply", "--server-side"], &build("server-side")),
        "patch"
    ));
    let _ = write(&tenant, &admin, &["apply", "--server-side"], &build("server-side")).expect_ok();
}
