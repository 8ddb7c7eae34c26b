//! What of a Build is too long to be recorded.
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

use imagefactory_crds::build::{LongField, QueueLimit};
use serde_json::{Value, json};

use super::record::MAX_RECORD;
use super::tests::{by_template, content, files, refusal, set_template, spec, validated};
use crate::build::fixtures::{World, at, pod};
use crate::build::tests::waits;

#[test]
fn inline_files_of_the_build_itself_are_not_repeated() {
    let mut world = World::new();
    world.step();
    let recorded = world.status().resolved_spec.as_ref().unwrap();
    assert_eq!(recorded.inputs.source, None);
    assert_eq!(recorded.referred[0].field, LongField::Source);
    assert_eq!(content(&validated(&world)), "FROM scratch");
}

fn long_args(letter: &str) -> Value {
    (0..64)
        .map(|n| json!({"name": format!("A{n}"), "value": letter.repeat(2048)}))
        .collect()
}

#[test]
fn what_is_too_long_is_referred_to_and_found_again() {
    let mut world = by_template(
        json!({"labels": long_args("l")}),
        json!({"source": files("FROM a"), "buildArgs": long_args("x")}),
    );
    world.slot = waits(QueueLimit::ClusterLimit, 3);
    world.step();
    let recorded = world.status().resolved_spec.clone().unwrap();
    let referred: Vec<_> = recorded.referred.iter().map(|referred| referred.field).collect();
    assert_eq!(referred, [LongField::Labels, LongField::BuildArgs]);
    assert!(serde_json::to_string(&recorded).unwrap().len() <= MAX_RECORD);
    let build = validated(&world);
    assert_eq!(
        (build.labels.len(), build.build_args.len(), content(&build)),
        (64, 64, "FROM a")
    );

    set_template(
        &mut world,
        json!({"source": files("FROM b"), "buildArgs": long_args("y")}),
    );
    let refusal = refusal(&world);
    assert_eq!(refusal.reason, "InputsChanged");
    assert_eq!(
        refusal.message,
        "buildArgs was too long to be kept in status, and template t of project web does not say it any more."
    );
}

#[test]
fn a_template_that_changes_stops_no_attempt_that_has_begun_and_lets_no_other_begin() {
    let mut world = by_template(json!({}), json!({"source": files(&"x".repeat(8000))}));
    world.step();
    world.observed.pod = Some(pod("Running", vec![]));
    set_template(&mut world, json!({"source": files("FROM other")}));
    assert!(world.step().actions.is_empty(), "it runs on");
    let mut gone = pod("Failed", vec![]);
    gone.reason = Some("Evicted".to_owned());
    world.observed.pod = Some(gone);
    world.step();
    assert!(world.status().next_attempt_at.is_some());
    world.observed.pod = None;
    world.now = at(10_000);
    assert!(world.step().actions.is_empty());
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "InputsChanged");
}

/// Every field as long as the schema lets it be.
fn longest() -> Value {
    let line = "v".repeat(2048);
    let list = |count: usize, entry: &dyn Fn(usize) -> Value| -> Value { (0..count).map(entry).collect() };
    let host = format!("docker.io/library/{}", "m".repeat(360));
    let class = "c".repeat(253);
    let quantity = "1234567890123456Mi";
    let amounts = json!({"cpu": quantity, "memory": quantity, "ephemeralStorage": quantity});
    json!({
        "source": {
            "git": {"url": format!("https://git.example.com/{}", "u".repeat(1000)), "revision": "r".repeat(255), "secretRef": {"name": "s".repeat(63)}},
            "contextDir": "d".repeat(512), "dockerfile": "f".repeat(512),
        },
        "method": "buildx", "platforms": ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"], "target": "t".repeat(128),
        "buildArgs": list(64, &|n| json!({"name": format!("A{n}"), "value": line})),
        "labels": list(64, &|n| json!({"name": format!("l{n}"), "value": line})),
        "secrets": list(16, &|n| json!({"id": format!("{n}{}", "i".repeat(60)), "secretRef": {"name": "n".repeat(63), "key": "k".repeat(253)}})),
        "cache": {"mode": "Refresh"},
        "proxy": {"http": format!("http://{}", "p".repeat(500)), "https": format!("http://{}", "p".repeat(500)), "exceptions": list(32, &|_| json!("e".repeat(253)))},
        "placement": {
            "nodeSelector": list(8, &|n| json!({"key": format!("{n}{}", "k".repeat(250)), "value": "v".repeat(63)})),
            "priorityClassName": class, "runtimeClassName": class, "schedulerName": class,
        },
        "pullSecrets": list(8, &|n| json!({"name": format!("{n}{}", "p".repeat(62))})),
        "registryMirrors": list(16, &|_| json!({"registry": "r".repeat(259), "mirror": host})),
        "caBundle": {"name": "c".repeat(63), "key": "k".repeat(253)},
        "output": {"image": format!("registry.example.com/output/acme/{}:{}", "o".repeat(340), "t".repeat(128)), "pushSecretRef": {"name": "x".repeat(63)}},
        "resources": {"requests": amounts, "limits": amounts},
        "timeout": "1000h1000m1000s", "retries": 5, "priority": -10, "policyRef": {"name": "p".repeat(63)},
    })
}

#[test]
fn the_longest_build_that_is_legal_is_recorded_in_few_words() {
    let (line, class) = ("v".repeat(2048), "c".repeat(253));
    for recipe in [false, true] {
        let mut longest = longest();
        if recipe {
            let fields = longest.as_object_mut().unwrap();
            for name in ["source", "target", "buildArgs"] {
                fields.remove(name);
            }
            fields.insert(
                "recipe".to_owned(),
                json!({"baseImage": "b".repeat(512), "commands": vec![line.as_str(); 64]}),
            );
        }
        let mut world = World::new();
        world.build.spec = spec(longest);
        world.build.spec.timeout = Some("1h".into());
        world.settings.builds.placement = serde_json::from_value(json!({
            "nodeSelector": world.build.spec.placement.as_ref().unwrap().node_selector,
            "priorityClassNames": [class], "runtimeClassNames": [class], "schedulerNames": [class],
        }))
        .unwrap();
        world.settings.builds.pull_prefixes = vec!["docker.io/library".to_owned()];
        world.policies = world
            .policies
            .with(&"p".repeat(63), &imagefactory_crds::ImagePolicySpec::default());
        let before = validated(&world);
        world.step();
        let recorded = world.status().resolved_spec.clone().unwrap();
        let length = serde_json::to_string(&recorded).unwrap().len();
        assert!(length <= MAX_RECORD, "{length}");
        assert!(recorded.referred.len() >= 5, "{:?}", recorded.referred);
        assert_eq!(validated(&world), before);
    }
}
