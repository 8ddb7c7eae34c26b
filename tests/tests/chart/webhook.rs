//! The admission webhook's part of the chart: what the API server asks it about, and what it restores.

use crate::support::render;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, of_kind, text};
use serde_json::{Value, json};

const BOTH: [(&str, &str); 2] = [
    ("ValidatingWebhookConfiguration", "validating.json"),
    ("MutatingWebhookConfiguration", "mutating.json"),
];

#[test]
fn what_is_restored_is_what_is_rendered_with_helms_marks() {
    let objects = render(&Chart::minimal());
    let map = find(&objects, "ConfigMap", "image-factory-webhook").unwrap();
    for (kind, key) in BOTH {
        let rendered = find(&objects, kind, "image-factory-webhook").unwrap();
        let restored: Value = serde_json::from_str(map["data"][key].as_str().unwrap()).unwrap();
        assert_eq!(restored["webhooks"], rendered["webhooks"], "{kind}");
        assert_eq!(restored["metadata"]["labels"], rendered["metadata"]["labels"], "{kind}");
        assert_eq!(
            restored["metadata"]["annotations"]["meta.helm.sh/release-name"],
            "image-factory"
        );
    }
}

#[test]
fn the_webhook_is_told_what_the_products_images_are_pulled_with() {
    for (chart, secrets) in [
        (Chart::minimal(), json!([])),
        (Chart::full(), json!(["mirror-pull", "other-pull"])),
    ] {
        let objects = render(&chart);
        let mut settings = of_kind(&objects, "ConfigMap")
            .filter_map(|map| serde_json::from_str::<Value>(map["data"]["settings.json"].as_str()?).ok());
        assert_eq!(settings.next().unwrap()["pullSecrets"], secrets);
    }
}

#[test]
fn the_api_server_asks_about_our_kinds_alone_closed_on_failure_and_in_three_seconds() {
    let objects = render(&Chart::minimal());
    for (kind, _) in BOTH {
        let found = find(&objects, kind, "image-factory-webhook").unwrap();
        for webhook in list(found, "/webhooks") {
            assert_eq!(webhook["timeoutSeconds"], 3, "{kind}");
            assert_eq!(webhook["matchPolicy"], "Equivalent", "{kind}");
            let open = text(webhook, "/name") == "default-policy.imagefactory.dev";
            assert_eq!(webhook["failurePolicy"], if open { "Ignore" } else { "Fail" }, "{kind}");
            assert!(
                webhook["clientConfig"].get("caBundle").is_none(),
                "it is another manager's field"
            );
            for rule in list(webhook, "/rules") {
                assert_eq!(rule["apiGroups"], json!(["imagefactory.dev"]), "{kind}");
                assert!(
                    list(rule, "/resources")
                        .iter()
                        .all(|resource| !resource.as_str().unwrap().contains('/')),
                    "no subresources: {rule}"
                );
            }
        }
    }
}

/// A webhook that fails open is asked about the release's own policy alone, and all else is asked of one that does not.
#[test]
fn only_writes_of_the_releases_own_policy_pass_while_nobody_answers() {
    let objects = render(&Chart::minimal().set("defaultPolicy.name=house"));
    let found = find(&objects, BOTH[0].0, "image-factory-webhook").unwrap();
    let webhooks = list(found, "/webhooks");
    assert_eq!(webhooks.len(), 2);
    let last = |webhook: &Value| {
        let conditions = list(webhook, "/matchConditions");
        text(conditions.last().unwrap(), "/expression").to_owned()
    };
    let own = r#"request.resource.resource == "imagepolicies" && request.name == "house" && request.operation in ["CREATE", "UPDATE"]"#;
    assert_eq!(last(&webhooks[1]), own);
    assert_eq!(last(&webhooks[0]), format!("!({own})"));
    let without = render(&Chart::minimal().set("defaultPolicy.create=false"));
    let found = find(&without, BOTH[0].0, "image-factory-webhook").unwrap();
    assert_eq!(
        list(found, "/webhooks").len(),
        1,
        "what the release does not write has no exception"
    );
}

#[test]
fn who_reaches_the_port_is_anybody_unless_the_values_name_them() {
    let from = |values: &Chart| {
        let objects = render(values);
        let policy = find(&objects, "NetworkPolicy", "image-factory-webhook").unwrap();
        let rules = list(policy, "/spec/ingress").to_vec();
        let rule = rules.iter().find(|rule| rule["ports"][0]["port"] == 8443).unwrap();
        rule.get("from").cloned()
    };
    assert_eq!(from(&Chart::minimal()), None);
    let named = Chart::minimal().set("networkPolicies.webhookFrom[0].ipBlock.cidr=10.0.0.10/32");
    assert_eq!(from(&named), Some(json!([{"ipBlock": {"cidr": "10.0.0.10/32"}}])));
}

/// A policy of the chart refuses it too, and runs before the validating call: without this there would be no code and no
/// record.
#[test]
fn who_may_not_change_the_team_or_how_long_an_object_stays_is_told_by_the_mutating_call() {
    let objects = render(&Chart::minimal());
    let found = find(&objects, BOTH[1].0, "image-factory-webhook").unwrap();
    let rules = list(found, "/webhooks/0/rules");
    let asks = |resource: &str, operation: &str| {
        let asked = rules.iter().any(|rule| {
            list(rule, "/resources").contains(&json!(resource)) && list(rule, "/operations").contains(&json!(operation))
        });
        assert!(asked, "{operation} {resource}: {rules:?}");
    };
    // What persons make and change in a tenant's namespace, and what a platform administrator made.
    for resource in [
        "builds",
        "imagescans",
        "projects",
        "quarantinerequests",
        "tenantsettings",
    ] {
        asks(resource, "CREATE");
        asks(resource, "UPDATE");
    }
    asks("sorrecords", "UPDATE");
    asks("tenants", "UPDATE");
}

#[test]
fn without_the_webhook_nothing_of_it_is_there_and_who_asked_can_still_not_be_forged() {
    let objects = render(&Chart::minimal().set("webhook.enabled=false,audit.enabled=false"));
    for object in &objects {
        assert!(!text(object, "/metadata/name").contains("webhook"), "{object}");
    }
    assert!(find(&objects, "ValidatingAdmissionPolicy", "image-factory-requested-by").is_some());
}

#[test]
fn with_given_certificates_the_webhook_may_write_nothing() {
    let chart = Chart::minimal().set("webhook.certificates.mode=files,webhook.certificates.secret=given");
    let objects = render(&chart.set("webhook.certificates.caBundle=PEM"));
    let role = find(&objects, "ClusterRole", "image-factory-webhook").unwrap();
    for rule in list(role, "/rules") {
        assert_eq!(rule["verbs"], json!(["list", "watch"]));
    }
    assert!(find(&objects, "Role", "image-factory-webhook").is_none());
}

#[test]
fn with_cert_manager_a_certificate_is_asked_for_and_its_authority_injected() {
    let chart = Chart::minimal().set("webhook.certificates.mode=certManager,webhook.certificates.issuer.name=house");
    let objects = render(&chart);
    let certificate = find(&objects, "Certificate", "image-factory-webhook").unwrap();
    assert_eq!(
        certificate["spec"]["dnsNames"][0],
        "image-factory-webhook.image-factory-system.svc"
    );
    for (kind, _) in BOTH {
        let found = find(&objects, kind, "image-factory-webhook").unwrap();
        assert_eq!(
            found["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
            "image-factory-system/image-factory-webhook"
        );
    }
}
