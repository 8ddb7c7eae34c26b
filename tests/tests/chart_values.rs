//! Values: what is missing or misspelt is refused with a message, every image can come from elsewhere, notes warn.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use imagefactory_tests::chart::object::{containers, find, kind, list, of_kind, pod_specs, text};
use imagefactory_tests::chart::{Chart, folder, read};
use serde_json::Value;
use support::render;

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
        "oops", "operator.replica", "images.trivy.digst", "scan.server.cache.oops", "staging.tenantCredentials.oops",
        "tenants.egress.oops", "builds.defaultResources.limits.gpu", "workNamespace.oops", "defaultPolicy.oops",
    ] {
        let message = refusal(&Chart::minimal().set(&format!("{key}=1")));
        assert!(message.contains("additional properties"), "{key}: {message}");
    }
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    for value in [
        "operator.replicas=3", "operator.replicas=0", "workNamespace.name=tenant-work", "workNamespace.name=kube-system",
        "images.pullPolicy=Sometimes", "images.worker.digest=sha256:short", "staging.prefix=registry.example.com/",
        "staging.prefix=registry.example.com", "output.prefix=https://registry.example.com/images",
        "builds.defaultTimeout=soon", "requireUserNamespaces=maybe", "caBundle=nonsense",
        "tenants.egress.except={everything}", "fullnameOverride=a-name-that-is-far-too-long-to-leave-room-for-more",
    ] {
        let message = refusal(&Chart::minimal().set(value));
        assert!(message.contains("don't meet the specifications"), "{value}: {message}");
    }
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
    let (Some(values), Some(properties)) = (values.as_object(), schema.get("properties").and_then(Value::as_object)) else { return };
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
            let is_key = line.trim_start().split(':').next().is_some_and(|key| !key.is_empty() && key.chars().all(char::is_alphanumeric));
            let is_leaf = is_key && !line.trim_end().ends_with(':');
            let part_of_image_or_amount = ["registry:", "repository:", "tag:", "digest:", "requests:", "limits:", "mode:", "critical:", "ignoreUnfixed:"]
                .iter()
                .any(|key| line.trim_start().starts_with(key));
            is_leaf && !part_of_image_or_amount && !lines[index - 1].trim_start().starts_with("# -- ")
        })
        .map(|index| &lines[index])
        .collect();
    assert!(undescribed.is_empty(), "{undescribed:#?}");
}

#[test]
fn the_readme_lists_every_value() {
    let readme = read(&folder().join("README.md")).unwrap();
    let values: Value = serde_yaml::from_str(&read(&folder().join("values.yaml")).unwrap()).unwrap();
    let missing: Vec<String> = leaves(&values, String::new()).into_iter().filter(|path| !readme.contains(&format!("`{path}`"))).collect();
    assert!(missing.is_empty(), "run charts/image-factory/readme.sh: {missing:#?}");
}

fn leaves(value: &Value, path: String) -> Vec<String> {
    let is_whole = |name: &str| ["esources", "Quota", "Requests", "Limits", "defaultPolicy.spec"].iter().any(|end| name.ends_with(end));
    match value.as_object() {
        Some(object) if !object.is_empty() && !is_whole(&path) => object
            .iter()
            .flat_map(|(key, value)| leaves(value, if path.is_empty() { key.clone() } else { format!("{path}.{key}") }))
            .collect(),
        _ => vec![path],
    }
}

fn images(objects: &[Value]) -> BTreeSet<String> {
    let pods = pod_specs(objects).into_iter().flat_map(|(_, pod)| containers(pod)).map(|container| text(container, "/image").to_owned());
    let settings = of_kind(objects, "ConfigMap").filter_map(|map| serde_yaml::from_str::<Value>(text(map, "/data/config.yaml")).ok());
    let steps = settings.flat_map(|settings| {
        ["/images/worker", "/images/kaniko", "/images/trivy"].map(|pointer| text(&settings, pointer).to_owned())
    });
    pods.chain(steps).filter(|image| !image.is_empty()).collect()
}

#[test]
fn every_image_can_be_named_by_registry_repository_tag_and_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for image in ["operator", "worker", "kaniko", "trivy"] {
        let chart = Chart::minimal()
            .set(&format!("images.{image}.registry=r.example.com:5000"))
            .set(&format!("images.{image}.repository=some/where"))
            .set(&format!("images.{image}.tag=v1"));
        assert!(images(&render(&chart)).contains("r.example.com:5000/some/where:v1"), "{image}");
        let chart = chart.set(&format!("images.{image}.digest={digest}"));
        let found = images(&render(&chart));
        assert!(found.contains(&format!("r.example.com:5000/some/where@{digest}")), "{image}: {found:?}");
        assert!(!found.contains("r.example.com:5000/some/where:v1"), "a digest wins over a tag");
    }
}

#[test]
fn one_value_moves_all_images_to_another_registry() {
    let images = images(&render(&Chart::minimal().set("global.imageRegistry=mirror.example.com:5000").set("scan.javaDatabase.enabled=true")));
    assert_eq!(images.len(), 4, "{images:?}");
    assert!(images.iter().all(|image| image.starts_with("mirror.example.com:5000/")), "{images:?}");
}

#[test]
fn the_list_of_images_for_mirroring_is_complete() {
    let chart: Value = serde_yaml::from_str(&read(&folder().join("Chart.yaml")).unwrap()).unwrap();
    let listed: Vec<Value> = serde_yaml::from_str(text(&chart, "/annotations/artifacthub.io~1images")).unwrap();
    let listed: BTreeSet<String> = listed.iter().map(|image| text(image, "/image").to_owned()).collect();
    assert_eq!(listed, images(&render(&Chart::minimal())));
}

#[test]
fn pull_secrets_and_pull_policy_reach_every_pod() {
    let objects = render(&Chart::full());
    for (owner, pod) in pod_specs(&objects) {
        assert_eq!(list(pod, "/imagePullSecrets").len(), 2, "{owner}");
        assert!(containers(pod).iter().all(|container| text(container, "/imagePullPolicy") == "Always"), "{owner}");
    }
}

#[test]
fn the_default_policy_is_a_hook_until_its_kind_is_served_and_an_object_after() {
    let first = render(&Chart::minimal());
    let policy = find(&first, "ImagePolicy", "default").unwrap();
    assert_eq!(text(policy, "/metadata/annotations/helm.sh~1hook"), "post-install,post-upgrade");
    assert_eq!(text(policy, "/metadata/annotations/helm.sh~1hook-delete-policy"), "hook-failed", "never deleted before it is made again");
    assert_eq!(text(policy, "/metadata/annotations/meta.helm.sh~1release-name"), "image-factory", "so that the next upgrade adopts it");
    let next = render(&Chart::minimal().served("imagefactory.dev/v1alpha1/ImagePolicy"));
    let adopted = find(&next, "ImagePolicy", "default").unwrap();
    assert_eq!(adopted["metadata"]["annotations"], serde_json::json!({"helm.sh/resource-policy": "keep"}));
    assert_eq!(policy["spec"], adopted["spec"]);
    for without in ["defaultPolicy.create=false", "defaultPolicy.name="] {
        assert!(!render(&Chart::minimal().set(without)).iter().any(|object| kind(object) == "ImagePolicy"), "{without}");
    }
}

/// Notes are not shown by `helm template`, so a copy of the chart renders them into an object.
fn notes(chart: &Chart) -> String {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder(), copy.path());
    let text = read(&folder().join("templates/NOTES.txt")).unwrap();
    let template = format!(
        "{{{{ define \"notes\" }}}}{text}{{{{ end }}}}\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: notes}}\ndata:\n  notes: {{{{ include \"notes\" . | toJson }}}}\n"
    );
    std::fs::write(copy.path().join("templates/notes.yaml"), template).unwrap();
    let objects = render(&chart.clone().in_folder(copy.path()));
    self::text(find(&objects, "ConfigMap", "notes").unwrap(), "/data/notes").to_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn notes_say_what_is_next_and_warn_loudly_of_what_is_unsafe() {
    let safe = notes(&Chart::minimal());
    assert!(!safe.contains("WARNING"), "{safe}");
    assert!(safe.contains("kubectl apply") && safe.contains("kind: Tenant") && safe.contains("image-factory-staging"), "{safe}");
    for (value, warning) in [
        ("requireUserNamespaces=false", "the node's own root user"),
        ("admission.create=false", "Nothing at the API server refuses"),
        ("networkPolicies.create=false", "any pod in the cluster reaches the scanner"),
        ("defaultPolicy.name=", "can't publish anything"),
        ("staging.dockerconfigjson=x", "registry credentials stand in the release's values"),
    ] {
        let notes = notes(&Chart::minimal().set(value));
        assert!(notes.contains("WARNING") && notes.contains(warning), "{value}: {notes}");
    }
}

#[test]
fn credentials_in_values_become_secrets_and_are_not_made_otherwise() {
    assert_eq!(of_kind(&render(&Chart::minimal()), "Secret").count(), 0);
    let objects = render(&Chart::full());
    let types: Vec<(&str, &str)> =
        of_kind(&objects, "Secret").map(|secret| (text(secret, "/metadata/name"), text(secret, "/type"))).collect();
    let registry = "kubernetes.io/dockerconfigjson";
    assert_eq!(types, [("stage", registry), ("out", registry), ("stage-tenants", "Opaque")]);
}
