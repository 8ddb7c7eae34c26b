//! Values: what is missing, misspelt or out of bounds is refused with a message; every one is described.

use crate::support::render;
use imagefactory_tests::chart::object::{find, kind, of_kind, text};
use imagefactory_tests::chart::{Chart, folder, read};
use serde_json::Value;

fn refusal(chart: &Chart) -> String {
    match chart.render() {
        Ok(_) => panic!("rendered, although it should be refused: {chart:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_has_no_default_is_asked_for_by_name() {
    assert!(refusal(&Chart::bare()).contains("staging.prefix is required"));
    let half = Chart::bare().set("staging.prefix=registry.example.com/staging");
    assert!(refusal(&half).contains("output.prefix is required"));
}

#[test]
fn a_key_that_the_chart_does_not_know_is_refused() {
    for key in [
        "oops",
        "operator.replica",
        "images.trivy.digst",
        "scan.server.cache.oops",
        "staging.tenantCredentials.oops",
        "tenants.egress.oops",
        "builds.defaultResources.limits.gpu",
        "builds.retention.maxBuild",
        "workNamespace.oops",
        "defaultPolicy.oops",
    ] {
        let message = refusal(&Chart::minimal().set(&format!("{key}=1")));
        assert!(message.contains("additional properties"), "{key}: {message}");
    }
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    for value in [
        "operator.replicas=3",
        "operator.replicas=0",
        "workNamespace.name=tenant-work",
        "workNamespace.name=kube-system",
        "images.pullPolicy=Sometimes",
        "images.worker.digest=sha256:short",
        "staging.prefix=registry.example.com/",
        "staging.prefix=registry.example.com",
        "output.prefix=https://registry.example.com/images",
        "builds.defaultTimeout=soon",
        "builds.retention.maxAge=30d",
        "sor.expiringWindow=30d",
        "builds.retention.maxBuilds=0",
        "builds.retention.includeApplied=perhaps",
        "requireUserNamespaces=maybe",
        "caBundle=nonsense",
        "staging.prefix=registry/staging",
        "images.pullSecrets={imagefactory-pull}",
        "staging.secret=a..b",
        "tenants.egress.dns.ports={}",
        "tenants.egress.dns.addresses={169.254.20.10}",
        "tenants.egress.dns.namespace=",
        "tenants.egress.except={everything}",
        "tenants.egress.except={1.2.3.4/99}",
        "tenants.egress.except={1.2.3.256/32}",
        "tenants.egress.except={fd00::/129}",
        "fullnameOverride=a-name-that-is-far-too-long-to-leave-room-for-more",
    ] {
        let message = refusal(&Chart::minimal().set(value));
        assert!(message.contains("don't meet the specifications"), "{value}: {message}");
    }
}

/// Each with what the message says.
#[test]
fn what_the_operator_or_the_api_server_would_refuse_later_is_refused_when_it_is_rendered() {
    let sor = |values: &str| format!("sor.http.url=https://sor.example.com,{values}");
    let long = "scan.javaDatabase.enabled=true,scan.javaDatabase.schedule=@daily,fullnameOverride=".to_owned();
    for (values, said) in [
        (
            "builds.defaultTimeout=25h".to_owned(),
            "builds.defaultTimeout must be from 10s to 24h",
        ),
        ("builds.defaultTimeout=9s".to_owned(), "builds.defaultTimeout"),
        ("builds.defaultTimeout=23h61m".to_owned(), "builds.defaultTimeout"),
        ("builds.retention.maxAge=59m".to_owned(), "builds.retention.maxAge"),
        ("sor.expiringWindow=9000h".to_owned(), "sor.expiringWindow"),
        (sor("sor.http.interval=1s"), "sor.http.interval must be from 10s to 24h"),
        (sor("sor.http.timeout=61s"), "sor.http.timeout"),
        (sor("sor.http.interval=12h,sor.http.greatestAge=23h"), "two intervals"),
        (
            "sor.http.url=http://sor.example.com,sor.http.tokenSecret=token".to_owned(),
            "must begin with https://",
        ),
        (
            "output.prefix=registry.example.com/factory/staging".to_owned(),
            "another than staging.prefix",
        ),
        (
            "seccomp.namespace.name=image-factory-work".to_owned(),
            "a namespace of its own",
        ),
        (
            "seccomp.namespace.name=image-factory-system".to_owned(),
            "a namespace of its own",
        ),
        (
            r"staging.tenantCredentials.secret=image-factory-staging,staging.data.a\.json=x,staging.tenantCredentials.data.a\.json=y"
                .to_owned(),
            "staging.data and staging.tenantCredentials.data",
        ),
        (format!("{long}{}", "a".repeat(39)), "52 characters"),
    ] {
        let message = refusal(&Chart::minimal().set(&values));
        assert!(message.contains(said), "{values}: {message}");
    }
    for values in [
        "builds.defaultTimeout=24h,sor.expiringWindow=0s,builds.retention.maxAge=60m".to_owned(),
        sor("sor.http.interval=12h,sor.http.greatestAge=24h,sor.http.tokenSecret=token"),
        r"staging.tenantCredentials.secret=image-factory-staging,staging.data.a\.json=x".to_owned(),
        "staging.prefix=localhost/staging,output.prefix=registry:5000/images".to_owned(),
        format!("{long}{}", "a".repeat(38)),
    ] {
        render(&Chart::minimal().set(&values));
    }
}

#[test]
fn no_default_asks_for_more_than_it_may_use_or_is_above_the_ceiling() {
    for (values, said) in [
        (
            "tenants.maxLimits.memory=4095Mi",
            "builds.defaultResources.limits.memory must be at most tenants.maxLimits.memory, and is 4Gi where that is 4095Mi",
        ),
        (
            "builds.defaultResources.requests.memory=5Gi",
            "at most builds.defaultResources.limits.memory",
        ),
        (
            "builds.stepResources.requests.cpu=5",
            "at most tenants.defaultLimits.cpu",
        ),
        ("tenants.defaultRequests.cpu=4001m", "at most tenants.defaultLimits.cpu"),
    ] {
        let message = refusal(&Chart::minimal().set(values));
        assert!(message.contains(said), "{values}: {message}");
    }
    render(&Chart::minimal().set("tenants.maxLimits.memory=4Gi,tenants.maxLimits.cpu=4000m"));
}

#[test]
fn every_property_of_the_schema_has_a_default_in_the_values_and_the_other_way_round() {
    let values: Value = serde_yaml::from_str(&read(&folder().join("values.yaml")).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(&read(&folder().join("values.schema.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    compare(&values, &schema, &schema, "", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn compare(values: &Value, schema: &Value, root: &Value, path: &str, wrong: &mut Vec<String>) {
    let schema = match text(schema, "/$ref").strip_prefix('#') {
        Some(pointer) => root.pointer(pointer).unwrap(),
        None => schema,
    };
    let (Some(values), Some(properties)) = (values.as_object(), schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    // Amounts of resources are as many as an administrator likes, and `global` belongs to parent charts too.
    let amounts = path.ends_with("equests") || path.ends_with("imits") || path.ends_with("esources");
    if !amounts && path != "/global" && schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        wrong.push(format!("{path} takes keys that nobody knows"));
    }
    for key in properties.keys().filter(|key| !amounts && !values.contains_key(*key)) {
        wrong.push(format!("{path}/{key} is in the schema and not in values.yaml"));
    }
    for (key, value) in values {
        match properties.get(key) {
            Some(property) => compare(value, property, root, &format!("{path}/{key}"), wrong),
            None => wrong.push(format!("{path}/{key} is in values.yaml and not in the schema")),
        }
    }
}

#[test]
fn every_value_is_described() {
    let text = read(&folder().join("values.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let undescribed: Vec<&&str> = (1..lines.len())
        .filter(|index| {
            let line = lines[*index];
            let is_key = line
                .trim_start()
                .split(':')
                .next()
                .is_some_and(|key| !key.is_empty() && key.chars().all(char::is_alphanumeric));
            let is_leaf = is_key && !line.trim_end().ends_with(':');
            let part_of_image_or_amount = [
                "registry:",
                "repository:",
                "tag:",
                "digest:",
                "requests:",
                "limits:",
                "mode:",
                "critical:",
                "ignoreUnfixed:",
                "sbom:",
            ]
            .iter()
            .any(|key| line.trim_start().starts_with(key));
            is_leaf && !part_of_image_or_amount && !lines[index - 1].trim_start().starts_with("# -- ")
        })
        .map(|index| &lines[index])
        .collect();
    assert!(undescribed.is_empty(), "{undescribed:#?}");
}

#[test]
fn the_default_policy_is_a_hook_until_its_kind_is_served_and_an_object_after() {
    let first = render(&Chart::minimal());
    let policy = find(&first, "ImagePolicy", "default").unwrap();
    assert_eq!(
        text(policy, "/metadata/annotations/helm.sh~1hook"),
        "post-install,post-upgrade"
    );
    assert_eq!(
        text(policy, "/metadata/annotations/helm.sh~1hook-delete-policy"),
        "hook-failed",
        "never deleted before it is made again"
    );
    assert_eq!(
        text(policy, "/metadata/annotations/meta.helm.sh~1release-name"),
        "image-factory",
        "so that the next upgrade adopts it"
    );
    let next = render(&Chart::minimal().served("imagefactory.dev/v1alpha1/ImagePolicy"));
    let adopted = find(&next, "ImagePolicy", "default").unwrap();
    assert_eq!(
        adopted["metadata"]["annotations"],
        serde_json::json!({"helm.sh/resource-policy": "keep"})
    );
    assert_eq!(policy["spec"], adopted["spec"]);
    for without in ["defaultPolicy.create=false", "defaultPolicy.name="] {
        assert!(
            !render(&Chart::minimal().set(without))
                .iter()
                .any(|object| kind(object) == "ImagePolicy"),
            "{without}"
        );
    }
}

#[test]
fn credentials_in_values_become_secrets_and_are_not_made_otherwise() {
    assert_eq!(of_kind(&render(&Chart::minimal()), "Secret").count(), 0);
    let objects = render(&Chart::full());
    let types: Vec<(&str, &str)> = of_kind(&objects, "Secret")
        .map(|secret| (text(secret, "/metadata/name"), text(secret, "/type")))
        .collect();
    let registry = "kubernetes.io/dockerconfigjson";
    assert_eq!(
        types,
        [("stage", registry), ("out", registry), ("stage-tenants", "Opaque")]
    );
    let message = refusal(&Chart::minimal().set("staging.data.password=x"));
    assert!(message.contains("additional properties"), "{message}");
}
