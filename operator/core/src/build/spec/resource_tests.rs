//! Requests and limits of a build, by the words of all who say something of them.
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

use imagefactory_crds::TenantSettings;
use imagefactory_crds::build::FailureClass;
use imagefactory_crds::common::{ResourceList, Resources};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{by_template, files, refusal, validated};
use crate::build::fixtures::World;
use crate::tenant::amount::nano;

/// What Build, template, Project, TenantSettings and chart say of resources; null where one says nothing.
fn said(layers: [Value; 5]) -> World {
    let [build, template, project, tenant, chart] = layers;
    let mut source = json!({"source": files("FROM scratch")});
    source["resources"] = build;
    let mut world = by_template(source, json!({ "resources": template }));
    let defaults = |resources: Value| serde_json::from_value(json!({ "resources": resources })).unwrap();
    world.project.as_mut().unwrap().spec.build_defaults = Some(defaults(project));
    let mut settings = TenantSettings::new("settings", imagefactory_crds::TenantSettingsSpec::default());
    settings.spec.build_defaults = Some(defaults(tenant));
    world.tenant_settings = Some(settings);
    world.settings.builds.default_resources = serde_json::from_value::<Option<Resources>>(chart)
        .unwrap()
        .unwrap_or_default();
    world
}

/// As the chart comes.
fn chart() -> Value {
    json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}})
}

fn memory(world: &World) -> (Option<String>, Option<String>) {
    let resources = validated(world).resources;
    let of = |list: Option<ResourceList>| list.and_then(|list| list.memory).map(|memory| memory.0);
    (of(resources.requests), of(resources.limits))
}

fn amounts(request: &str, limit: &str) -> (Option<String>, Option<String>) {
    (Some(request.to_owned()), Some(limit.to_owned()))
}

const NO: Value = Value::Null;

#[test]
fn a_limit_lowers_a_request_that_comes_from_further_away() {
    let low = || json!({"limits": {"memory": "512Mi"}});
    let high = || json!({"requests": {"memory": "1Gi"}});
    for layers in [
        [low(), NO, NO, NO, chart()],
        [NO, low(), NO, NO, chart()],
        [NO, NO, low(), NO, chart()],
        [NO, NO, NO, low(), chart()],
        [low(), high(), NO, NO, NO],
        [NO, low(), NO, high(), chart()],
    ] {
        let text = format!("{layers:?}");
        assert_eq!(memory(&said(layers)), amounts("512Mi", "512Mi"), "{text}");
    }
}

#[test]
fn a_request_raises_a_limit_that_comes_from_further_away() {
    let high = || json!({"requests": {"memory": "8Gi"}});
    for layers in [
        [high(), NO, NO, NO, chart()],
        [high(), json!({"limits": {"memory": "2Gi"}}), NO, NO, chart()],
        [NO, NO, high(), json!({"limits": {"memory": "2Gi"}}), chart()],
    ] {
        let text = format!("{layers:?}");
        assert_eq!(memory(&said(layers)), amounts("8Gi", "8Gi"), "{text}");
    }
}

#[test]
fn what_agrees_is_left_as_it_is_said() {
    let world = said([json!({"limits": {"memory": "1024Mi"}}), NO, NO, NO, chart()]);
    assert_eq!(memory(&world), amounts("1Gi", "1024Mi"));
    let world = said([json!({"requests": {"memory": "2Gi"}}), NO, NO, NO, chart()]);
    assert_eq!(memory(&world), amounts("2Gi", "4Gi"));
}

#[test]
fn a_request_above_the_limit_that_the_namespace_gives_names_a_limit_of_its_own() {
    let mut world = said([json!({"requests": {"cpu": "8"}}), NO, NO, NO, chart()]);
    world.settings.tenants.default_limits.cpu = Some("4".into());
    let cpu = |world: &World| validated(world).resources.limits.and_then(|limits| limits.cpu);
    assert_eq!(cpu(&world), Some("8".into()));
    world.build.spec.resources = None;
    assert_eq!(cpu(&world), None, "what fits is left to the namespace");
}

#[test]
fn who_contradicts_himself_is_told_both_values_and_where_they_stand() {
    let wrong = || json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    for (layers, place) in [
        ([wrong(), NO, NO, NO, chart()], "the Build"),
        ([NO, wrong(), NO, NO, chart()], "template t of project web"),
        ([NO, NO, wrong(), NO, chart()], "spec.buildDefaults of project web"),
        (
            [NO, NO, NO, wrong(), chart()],
            "spec.buildDefaults of the TenantSettings",
        ),
    ] {
        let refusal = refusal(&said(layers));
        assert_eq!(
            (refusal.class, refusal.reason, refusal.may_heal),
            (Some(FailureClass::Source), "InvalidSpec", false)
        );
        assert_eq!(
            refusal.message,
            format!(
                "A build can't ask for more than it may use: in {place}, resources.requests.memory is 2Gi and \
                 resources.limits.memory is 1Gi."
            )
        );
    }
    let world = said([NO, NO, NO, NO, wrong()]);
    assert_eq!(refusal(&world).class, Some(FailureClass::Infrastructure));
    assert!(refusal(&world).message.contains("builds.defaultResources"));
}

#[test]
fn a_nearer_word_mends_what_contradicts_itself_further_away() {
    let wrong = || json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    let world = said([json!({"limits": {"memory": "512Mi"}}), wrong(), NO, NO, chart()]);
    assert_eq!(memory(&world), amounts("512Mi", "512Mi"));
    let world = said([json!({"requests": {"memory": "3Gi"}}), NO, wrong(), NO, chart()]);
    assert_eq!(memory(&world), amounts("3Gi", "3Gi"));
}

fn below(world: &mut World, memory: &str) {
    world.settings.tenants.max_limits.memory = Some(memory.into());
}

#[test]
fn what_is_above_the_platforms_ceiling_is_refused_with_where_it_stands() {
    for (list, own) in [
        ("limits", json!({"limits": {"memory": "65Gi"}})),
        ("requests", json!({"requests": {"memory": "65Gi"}})),
    ] {
        for (layers, place) in [
            ([own.clone(), NO, NO, NO, chart()], "the Build"),
            ([NO, own.clone(), NO, NO, chart()], "template t of project web"),
            (
                [NO, NO, NO, own.clone(), chart()],
                "spec.buildDefaults of the TenantSettings",
            ),
        ] {
            let mut world = said(layers);
            below(&mut world, "64Gi");
            let refusal = refusal(&world);
            assert_eq!(
                (refusal.class, refusal.reason, refusal.may_heal),
                (Some(FailureClass::Source), "InvalidSpec", false)
            );
            assert_eq!(
                refusal.message,
                format!(
                    "The platform lets a container use 64Gi of memory at most: in {place}, resources.{list}.memory is 65Gi."
                )
            );
        }
    }
    let mut world = said([json!({"limits": {"memory": "65536Mi"}}), NO, NO, NO, chart()]);
    below(&mut world, "64Gi");
    assert_eq!(
        memory(&world),
        amounts("1Gi", "65536Mi"),
        "what is as high is not above"
    );
}

#[test]
fn a_limit_that_lowered_a_request_is_whose_word_is_above_the_ceiling() {
    let high = json!({"requests": {"memory": "70Gi"}});
    let mut world = said([json!({"limits": {"memory": "65Gi"}}), high, NO, NO, chart()]);
    below(&mut world, "64Gi");
    let refusal = refusal(&world);
    assert_eq!(refusal.class, Some(FailureClass::Source));
    assert!(
        refusal
            .message
            .ends_with("in the Build, resources.limits.memory is 65Gi."),
        "{}",
        refusal.message
    );
}

#[test]
fn a_request_without_a_limit_is_held_to_the_ceiling_too() {
    let mut world = said([json!({"requests": {"cpu": "9"}}), NO, NO, NO, chart()]);
    world.settings.tenants.max_limits.cpu = Some("8".into());
    let refusal = refusal(&world);
    assert!(refusal.message.contains("8 of cpu at most"), "{}", refusal.message);
}

#[test]
fn a_ceiling_that_was_lowered_leaves_what_runs_and_blames_nobody_for_an_older_default() {
    let mut world = said([NO, NO, NO, NO, chart()]);
    world.step();
    below(&mut world, "2Gi");
    world.settings.builds.default_resources = Resources::default();
    assert_eq!(
        memory(&world),
        amounts("1Gi", "4Gi"),
        "it goes on with what it was made with"
    );
    world.build.status.as_mut().unwrap().attempts = None;
    let refusal = refusal(&world);
    assert_eq!(
        (refusal.class, refusal.next),
        (
            Some(FailureClass::Infrastructure),
            "Create the Build again: what it had by default when it was taken on is above the ceiling now.".to_owned()
        )
    );
}

#[test]
fn amounts_that_no_int64_holds_are_compared_as_the_api_server_does() {
    let request = || json!({"requests": {"memory": "20000000T"}});
    let world = said([request(), NO, json!({"limits": {"memory": "10000000T"}}), NO, NO]);
    assert_eq!(memory(&world), amounts("20000000T", "20000000T"));
}

fn list() -> impl Strategy<Value = ResourceList> {
    let amount = || {
        prop::option::of(prop::sample::select(vec![
            "1", "500m", "0.5", "1k", "1Ki", "2", "2000m", "1Gi", "0",
        ]))
    };
    (amount(), amount(), amount()).prop_map(|(cpu, memory, storage)| ResourceList {
        cpu: cpu.map(Into::into),
        memory: memory.map(Into::into),
        ephemeral_storage: storage.map(Into::into),
    })
}

fn resources() -> impl Strategy<Value = Resources> {
    (prop::option::of(list()), prop::option::of(list())).prop_map(|(requests, limits)| Resources { requests, limits })
}

const AMOUNTS: [fn(&ResourceList) -> Option<i128>; 3] = [
    |list| nano(list.cpu.as_ref()?.as_str()),
    |list| nano(list.memory.as_ref()?.as_str()),
    |list| nano(list.ephemeral_storage.as_ref()?.as_str()),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is said by whom, in a namespace that limits whatever it does.
    #[test]
    fn no_build_asks_for_more_than_its_limit_and_the_nearest_word_stays(
        layers in prop::array::uniform5(resources()), namespace in list(),
    ) {
        let contradicts = |said: &Resources| AMOUNTS.iter().any(|amount| {
            let pair = said.requests.as_ref().and_then(amount).zip(said.limits.as_ref().and_then(amount));
            pair.is_some_and(|(request, limit)| request > limit)
        });
        let mut world = said(layers.clone().map(|layer| json!(layer)));
        world.settings.tenants.default_limits = namespace.clone();
        let merged = match world.validated() {
            Ok(build) => build.resources,
            Err(refusal) => {
                prop_assert_eq!(refusal.reason, "InvalidSpec");
                prop_assert!(layers.iter().any(contradicts), "{}", refusal.message);
                return Ok(());
            }
        };
        for amount in AMOUNTS {
            let pair = |said: &Resources| (said.requests.as_ref().and_then(amount), said.limits.as_ref().and_then(amount));
            let (request, limit) = pair(&merged);
            let holds = limit.or_else(|| amount(&namespace));
            prop_assert!(request.zip(holds).is_none_or(|(request, limit)| request <= limit), "{merged:?}");
            let nearest = layers.iter().map(pair).find(|said| *said != (None, None));
            let (first_request, first_limit) = nearest.unwrap_or_default();
            prop_assert!(first_request.is_none() || first_request == request, "{merged:?}");
            prop_assert!(first_limit.is_none() || first_limit == limit, "{merged:?}");
        }
        world.step();
        prop_assert_eq!(validated(&world).resources, merged, "what is recorded is taken again");
    }
}
