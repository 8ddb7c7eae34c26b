//! What tools that deploy from Git make of every state that an object can be in: Argo CD by the health check that we
//! ship, run by a real Lua; Flux and Helm 4 by kstatus' rules, told here in our own words.

use imagefactory_core::build::status::{Cause, Draft};
use imagefactory_core::tenant::readiness::{Readiness, Standing};
use imagefactory_crds::build::{BuildStatus, Phase};
use imagefactory_tests::chart::{folder, read, repository};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde::Deserialize;
use serde_json::{Value, json};

/// A state of an object, and what tools are to make of it.
struct Moment {
    name: &'static str,
    /// Succeeded, Ready, Reconciling, Stalled; empty where it is absent.
    conditions: [&'static str; 4],
    flux: &'static str,
    argo: &'static str,
}

const fn moment(name: &'static str, conditions: [&'static str; 4], flux: &'static str, argo: &'static str) -> Moment {
    Moment {
        name,
        conditions,
        flux,
        argo,
    }
}

/// The table Status of the contract, for Builds.
const RUNS: [Moment; 8] = [
    moment(
        "Queued",
        ["Unknown", "Unknown", "True", ""],
        "InProgress",
        "Progressing",
    ),
    moment(
        "Preparing",
        ["Unknown", "Unknown", "True", ""],
        "InProgress",
        "Progressing",
    ),
    moment(
        "Building",
        ["Unknown", "Unknown", "True", ""],
        "InProgress",
        "Progressing",
    ),
    moment(
        "will retry",
        ["Unknown", "False", "True", ""],
        "InProgress",
        "Progressing",
    ),
    moment("Succeeded", ["True", "True", "", ""], "Current", "Healthy"),
    moment("Failed", ["False", "False", "", "True"], "Failed", "Degraded"),
    moment("Cancelled", ["False", "False", "", "True"], "Failed", "Degraded"),
    moment("TimedOut", ["False", "False", "", "True"], "Failed", "Degraded"),
];
/// The same for kinds that configure, which have no `Succeeded`.
const CONFIGURATION: [Moment; 4] = [
    moment("Ready", ["", "True", "", ""], "Current", "Healthy"),
    moment("in progress", ["", "Unknown", "True", ""], "InProgress", "Progressing"),
    moment("tried again", ["", "False", "True", ""], "InProgress", "Progressing"),
    moment("stalled", ["", "False", "", "True"], "Failed", "Degraded"),
];
const TYPES: [&str; 4] = ["Succeeded", "Ready", "Reconciling", "Stalled"];
const CONFIGURING_KINDS: [&str; 5] = ["Tenant", "TenantSettings", "Project", "ImagePolicy", "SorRecord"];
const RUNNING_KINDS: [&str; 3] = ["Build", "ImageScan", "QuarantineRequest"];

fn object(kind: &str, generation: i64, status: &Value) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "x", "generation": generation}, "spec": {}, "status": status,
    })
}

fn status_of(moment: &Moment) -> Value {
    let stated = TYPES.into_iter().zip(moment.conditions);
    let conditions: Vec<Value> = stated
        .filter(|(_, status)| !status.is_empty())
        .map(|(type_, status)| json!({"type": type_, "status": status, "reason": "R", "message": format!("because of {type_}")}))
        .collect();
    json!({"observedGeneration": 3, "conditions": conditions})
}

fn all() -> impl Iterator<Item = (&'static str, Moment)> {
    let runs = RUNNING_KINDS
        .into_iter()
        .flat_map(|kind| RUNS.into_iter().map(move |moment| (kind, moment)));
    let others = CONFIGURING_KINDS
        .into_iter()
        .flat_map(|kind| CONFIGURATION.into_iter().map(move |moment| (kind, moment)));
    runs.chain(others)
}

/// kstatus in our words: an observed generation that lags, then the two abnormal conditions, then `Ready`.
fn kstatus(object: &Value) -> &'static str {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return "Terminating";
    }
    let observed = object.pointer("/status/observedGeneration");
    if observed.is_some_and(|observed| Some(observed) != object.pointer("/metadata/generation")) {
        return "InProgress";
    }
    let none = Vec::new();
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    for condition in conditions.iter().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return "InProgress",
            Some("Stalled") => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        // No condition at all counts as done: that is why the generation is -1 before an object was seen.
        None => "Current",
        Some(ready) if ready["status"] == "True" => "Current",
        Some(_) => "InProgress",
    }
}

fn script() -> String {
    read(&repository().join("examples/gitops/argocd-health.lua")).unwrap()
}

/// Health and message, as Argo CD asks: Lua 5.1 with its basic functions and tables, the object as `obj`.
fn argo(script: &str, object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let health: mlua::Table = lua.load(script).eval().unwrap_or_else(|error| panic!("{error}"));
    (health.get("status").unwrap(), health.get("message").unwrap())
}

#[test]
fn flux_and_helm_wait_while_something_goes_on_stop_at_a_failure_and_go_on_when_it_is_there() {
    for (kind, moment) in all() {
        let object = object(kind, 3, &status_of(&moment));
        assert_eq!(kstatus(&object), moment.flux, "{kind} {}", moment.name);
    }
}

#[test]
fn argo_cd_shows_the_same_with_the_message_of_the_condition_that_decides() {
    let script = script();
    for (kind, moment) in all() {
        let (health, message) = argo(&script, &object(kind, 3, &status_of(&moment)));
        assert_eq!(health, moment.argo, "{kind} {}", moment.name);
        let decides = match moment.argo {
            "Healthy" => "because of Ready",
            "Degraded" => "because of Stalled",
            _ => "because of Reconciling",
        };
        assert_eq!(message, decides, "{kind} {}", moment.name);
    }
}

#[test]
fn what_was_not_seen_yet_or_was_changed_since_is_in_progress_for_both() {
    let script = script();
    let ready = status_of(&CONFIGURATION[0]);
    for kind in RUNNING_KINDS.into_iter().chain(CONFIGURING_KINDS) {
        for (generation, status) in [(1, json!({"observedGeneration": -1})), (4, ready.clone())] {
            let object = object(kind, generation, &status);
            assert_eq!(kstatus(&object), "InProgress", "{kind} {status}");
            let (health, message) = argo(&script, &object);
            assert_eq!(
                (health.as_str(), message.as_str()),
                ("Progressing", "Not seen by the operator yet")
            );
        }
    }
    let bare = json!({"metadata": {"generation": 1}});
    assert_eq!(argo(&script, &bare).0, "Progressing", "not even a status");
    let seen = json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1}});
    assert_eq!(argo(&script, &seen).0, "Progressing", "seen, and nothing said yet");
}

#[test]
fn the_api_server_gives_every_object_a_generation_that_is_not_its_own() {
    for file in std::fs::read_dir(folder().join("files/crds")).unwrap() {
        let file = file.unwrap().path();
        let definition: Value = serde_yaml::from_str(&read(&file).unwrap()).unwrap();
        let default =
            definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/default/observedGeneration");
        assert_eq!(default, Some(&json!(-1)), "{}", file.display());
    }
}

#[test]
fn the_script_in_the_config_map_is_the_file() {
    let text = read(&repository().join("examples/gitops/argocd.yaml")).unwrap();
    let map = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .find(|document| document["kind"] == "ConfigMap")
        .unwrap();
    let customizations = map["data"]["resource.customizations"].as_str().unwrap();
    let customizations: Value = serde_yaml::from_str(customizations).unwrap();
    assert_eq!(customizations["imagefactory.dev/*"]["health.lua"], json!(script()));
}

/// Statuses of the conditions, in the order of [`TYPES`].
fn stated(conditions: &Value) -> [String; 4] {
    let of = |type_: &str| {
        let all = conditions.as_array().unwrap();
        let found = all.iter().find(|condition| condition["type"] == type_);
        found.map_or_else(String::new, |condition| {
            condition["status"].as_str().unwrap().to_owned()
        })
    };
    TYPES.map(of)
}

#[test]
fn these_moments_are_those_that_the_operator_writes() {
    let cause = Cause {
        reason: "R",
        message: "m",
    };
    let draft = || Draft::on(None, 3, Timestamp::UNIX_EPOCH);
    let written: [(&str, BuildStatus); 6] = [
        ("Queued", draft().going_on(Phase::Queued, &cause)),
        ("Building", draft().going_on(Phase::Building, &cause)),
        ("Succeeded", draft().succeeded(&cause)),
        ("Failed", draft().ended(Phase::Failed, &cause)),
        ("Cancelled", draft().ended(Phase::Cancelled, &cause)),
        ("TimedOut", draft().ended(Phase::TimedOut, &cause)),
    ];
    for (name, status) in written {
        let moment = RUNS.iter().find(|moment| moment.name == name).unwrap();
        let status = serde_json::to_value(status).unwrap();
        assert_eq!(stated(&status["conditions"]), moment.conditions, "{name}");
        assert_eq!(status["observedGeneration"], 3);
    }
    let standings = [
        Standing::Ready,
        Standing::InProgress,
        Standing::Retrying,
        Standing::Stalled,
    ];
    for (standing, moment) in standings.into_iter().zip(CONFIGURATION) {
        let object = ObjectMeta {
            generation: Some(3),
            ..ObjectMeta::default()
        };
        let conditions = Readiness::new(standing, "R", "m").conditions(&[], &object, Timestamp::UNIX_EPOCH);
        let conditions = serde_json::to_value(conditions).unwrap();
        assert_eq!(stated(&conditions), moment.conditions, "{standing:?}");
    }
}
