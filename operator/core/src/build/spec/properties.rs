//! What holds for whatever a Build and its template say.

use imagefactory_crds::build::BuildInputs;
use imagefactory_crds::common::LocalRef;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::merge;
use super::record::MAX_RECORD;
use super::tests::by_template;

/// Some of the fields of a Build, each with one of a few values. Together they often are what no Build may say.
fn fields(mark: &'static str) -> impl Strategy<Value = Value> {
    let named = |mark: &'static str| {
        prop::collection::btree_set(0_u8..70, 0..70).prop_map(move |names| {
            names
                .iter()
                .map(|n| json!({"name": format!("A{n}"), "value": mark.repeat(40)}))
                .collect::<Value>()
        })
    };
    let choices: Vec<(&'static str, BoxedStrategy<Value>)> = vec![
        (
            "source",
            prop_oneof![
                (0_usize..8000).prop_map(
                    move |n| json!({"inline": {"files": [{"path": "Dockerfile", "content": mark.repeat(n)}]}})
                ),
                Just(json!({"oci": {"image": format!("docker.io/library/{mark}:1")}})),
                Just(json!({"configMap": {"name": mark}})),
            ]
            .boxed(),
        ),
        (
            "method",
            prop::sample::select(vec!["kaniko", "docker", "buildx", "custom"])
                .prop_map(Value::from)
                .boxed(),
        ),
        (
            "platforms",
            prop::sample::select(vec![json!(["linux/amd64"]), json!(["linux/amd64", "linux/arm64"])]).boxed(),
        ),
        ("target", Just(json!(mark)).boxed()),
        ("buildArgs", named(mark).boxed()),
        ("labels", named(mark).boxed()),
        (
            "pullSecrets",
            prop::sample::select(vec![json!([{"name": "one"}]), json!([{"name": "one"}, {"name": mark}])]).boxed(),
        ),
        (
            "resources",
            prop::sample::select(vec![
                json!({"limits": {"cpu": "2"}}),
                json!({"requests": {"memory": "1Gi"}}),
                json!({"requests": {"memory": "8Gi"}}),
                json!({"limits": {"memory": "512Mi"}}),
                json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
            ])
            .boxed(),
        ),
        (
            "timeout",
            prop::sample::select(vec!["5m", "7m"]).prop_map(Value::from).boxed(),
        ),
        ("cache", Just(json!({"mode": "Use"})).boxed()),
        ("retries", (0_u32..5).prop_map(Value::from).boxed()),
    ];
    choices
        .into_iter()
        .map(|(name, value)| prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value))))
        .collect::<Vec<_>>()
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
}

fn recipe() -> Value {
    json!({"recipe": {"baseImage": "debian", "commands": ["true"]}})
}

/// A Build's words and a template's, one of which may have a recipe in the source's place.
fn both() -> impl Strategy<Value = (Value, Value)> {
    (fields("b"), fields("t"), 0..4).prop_map(|(mut build, mut template, choice)| {
        let swapped = match choice {
            0 => Some(&mut build),
            1 => Some(&mut template),
            _ => None,
        };
        if let Some(Value::Object(fields)) = swapped {
            fields.remove("source");
            fields.extend(recipe().as_object().unwrap().clone());
        }
        (build, template)
    })
}

fn inputs(value: &Value) -> BuildInputs {
    serde_json::from_value(value.clone()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A record decides as what it was made of, is itself again, and is short.
    #[test]
    fn a_record_of_a_record_is_itself((build, template) in both()) {
        let mut world = by_template(build, template);
        let Ok(before) = world.validated() else { return Ok(()) };
        world.step();
        let recorded = world.status().resolved_spec.clone();
        prop_assert!(serde_json::to_string(&recorded).unwrap().len() <= MAX_RECORD);
        let after = world.validated().unwrap();
        prop_assert_eq!(Some(&after.resolved), recorded.as_ref());
        prop_assert_eq!(after, before);
    }

    /// What comes of a Build and a template is just what a Build that says it all itself comes to, refusals included.
    #[test]
    fn a_template_says_nothing_that_a_build_could_not((build, template) in both()) {
        let world = by_template(build.clone(), template.clone());
        let mut alone = by_template(json!({}), json!({}));
        let merged = merge::over(inputs(&build), &inputs(&template));
        alone.build.spec = merged.into_spec(LocalRef::to("web"), None);
        match (world.validated(), alone.validated()) {
            (Err(by_template), Err(alone)) => prop_assert_eq!(by_template.reason, alone.reason),
            (Ok(by_template), Ok(alone)) => {
                prop_assert_eq!((&by_template.source, &by_template.build_args), (&alone.source, &alone.build_args));
                prop_assert_eq!((by_template.method, by_template.timeout), (alone.method, alone.timeout));
            }
            (by_template, alone) => prop_assert!(false, "{by_template:?} {alone:?}"),
        }
    }

    /// The Build's word is never lost, the template's only where the Build says otherwise.
    #[test]
    fn the_upper_layer_wins_and_nothing_else_is_lost((build, template) in both()) {
        let (own, under) = (inputs(&build), inputs(&template));
        let merged = merge::over(own.clone(), &under);
        prop_assert_eq!(merge::over(merged.clone(), &under), merged.clone(), "merging again changes nothing");
        prop_assert_eq!(merge::over(own.clone(), &BuildInputs::default()), own.clone());
        prop_assert_eq!(merge::over(BuildInputs::default(), &under), under.clone());
        prop_assert!(own.build_args.iter().all(|arg| merged.build_args.contains(arg)));
        let said = |arg| merged.build_args.contains(arg) || own.build_args.iter().any(|other| other.name == arg.name);
        prop_assert!(under.build_args.iter().all(said));
        prop_assert!(!(merged.source.is_some() && merged.recipe.is_some()));
    }
}
