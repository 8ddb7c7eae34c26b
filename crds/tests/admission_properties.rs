//! What no write can do: make a decision panic or overflow its bounds, and, by changes of the settings that were let in,
//! give people together more than they held together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use std::collections::BTreeMap;

use imagefactory_crds::admission::rights::{Right, Scope, permissions_of};
use imagefactory_crds::admission::{MAX_SIDE_BYTES, Subject, Write};
use imagefactory_crds::tenant_settings::{CustomRole, Member, Permission};
use imagefactory_crds::{TenantSettings, TenantSettingsSpec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::door::{Door, acme, in_groups, platform, typed, update, user};
use support::fixtures;

const USERS: [&str; 8] = ["olga", "adam", "mia", "vic", "lisa", "rex", "tess", "eve"];

/// Pointers to all that is written in an object.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut below = |key: String, value: &Value| {
        let at = format!("{at}/{key}");
        found.push(at.clone());
        places(value, &at, found);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(index.to_string(), value)),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[-./,:@a-z\\x00-\\x1f]{0,40}".prop_map(Value::from),
        select(vec![
            "settings",
            "shop",
            "olga",
            "system:masters",
            "..",
            "",
            "imagefactory-x"
        ])
        .prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        Just(json!([])),
        (1usize..5000).prop_map(|length| json!("\"\u{202e}é".repeat(length))),
    ]
}

/// An object of the fixtures of a kind with some of what is written there replaced.
fn changed(kind: &'static str) -> impl Strategy<Value = Value> {
    let of_kind: Vec<Value> = fixtures::all()
        .into_iter()
        .filter(|object| object["kind"] == kind)
        .collect();
    (
        select(of_kind),
        prop::collection::vec((any::<Index>(), any_value()), 0..4),
    )
        .prop_map(|(mut object, changes)| {
            for (place, value) in changes {
                let mut found = Vec::new();
                places(&object["spec"], "/spec", &mut found);
                places(&object["metadata"], "/metadata", &mut found);
                if !found.is_empty() {
                    *object.pointer_mut(place.get(found.as_slice()).as_str()).unwrap() = value;
                }
            }
            object
        })
}

/// A write of two objects, where both can be read at all; the fixture itself where they can't.
fn write<T: DeserializeOwned>(verb: u8, old: Value, new: Value) -> Option<Write<T>> {
    let read = |object| serde_json::from_value(object).ok().map(Box::new);
    Some(match verb % 3 {
        0 => Write::Create(read(new)?),
        1 => Write::Update {
            old: read(old)?,
            new: read(new)?,
        },
        _ => Write::Delete(read(old)?),
    })
}

fn subject(kind: &str, verb: u8, old: Value, new: Value) -> Option<Subject> {
    Some(match kind {
        "Tenant" => Subject::Tenant(write(verb, old, new)?),
        "TenantSettings" => Subject::TenantSettings(write(verb, old, new)?),
        "Project" => Subject::Project(write(verb, old, new)?),
        "Build" => Subject::Build(write(verb, old, new)?),
        _ => Subject::ImagePolicy(write(verb, old, new)?),
    })
}

fn any_write() -> impl Strategy<Value = (&'static str, u8, Value, Value)> {
    select(support::KINDS.to_vec()).prop_flat_map(|kind| (Just(kind), any::<u8>(), changed(kind), changed(kind)))
}

fn scopes() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![2 => Just(Vec::new()), 1 => prop::sample::subsequence(vec!["shop", "web", "api"], 1..3)]
}

fn member() -> impl Strategy<Value = Member> {
    let who = select(vec![
        json!({"kind": "User", "name": "tess"}),
        json!({"kind": "User", "name": "lisa"}),
        json!({"kind": "User", "name": "eve"}),
        json!({"kind": "Group", "name": "crew"}),
        json!({"kind": "ServiceAccount", "name": "bot", "namespace": "tenant-acme"}),
        json!({"kind": "ServiceAccount", "name": "bot", "namespace": "elsewhere"}),
    ]);
    let role = select(vec!["Admin", "Member", "Viewer", "stopper", "lead", "third"]);
    (who, role, scopes())
        .prop_map(|(who, role, projects)| typed(json!({"subject": who, "role": role, "projects": projects})))
}

#[derive(Clone, Debug)]
enum Step {
    Add(Member),
    Drop(Index),
    Role(&'static str, Vec<Permission>),
    Rescope(Index, Vec<&'static str>),
    Recast(Index, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let permissions = prop::sample::subsequence(Permission::ALL.to_vec(), 1..=Permission::ALL.len());
    prop_oneof![
        4 => member().prop_map(Step::Add),
        1 => any::<Index>().prop_map(Step::Drop),
        4 => (select(vec!["stopper", "lead", "third"]), permissions).prop_map(|(name, held)| Step::Role(name, held)),
        2 => (any::<Index>(), scopes()).prop_map(|(which, projects)| Step::Rescope(which, projects)),
        2 => (any::<Index>(), select(vec!["Admin", "Member", "Viewer", "stopper", "lead", "third"]))
            .prop_map(|(which, role)| Step::Recast(which, role)),
    ]
}

fn apply(step: Step, spec: &mut TenantSettingsSpec) {
    let count = spec.members.len();
    match step {
        Step::Add(member) => spec.members.push(member),
        Step::Drop(which) if count > 0 => drop(spec.members.remove(which.index(count))),
        Step::Rescope(which, projects) if count > 0 => {
            spec.members[which.index(count)].projects = projects.into_iter().map(Into::into).collect();
        }
        Step::Recast(which, role) if count > 0 => spec.members[which.index(count)].role = role.into(),
        Step::Role(name, permissions) => {
            spec.roles.retain(|role| role.name.as_str() != name);
            spec.roles.push(CustomRole {
                name: name.into(),
                description: None,
                permissions,
            });
        }
        Step::Drop(_) | Step::Rescope(..) | Step::Recast(..) => {}
    }
}

/// What the conspirators hold together: each of them with every group and account that they could speak for.
fn together(door: &Door) -> BTreeMap<Right, Scope> {
    let mut all = BTreeMap::<Right, Scope>::new();
    for name in [
        "tess",
        "lisa",
        "eve",
        "system:serviceaccount:tenant-acme:bot",
        "system:serviceaccount:elsewhere:bot",
    ] {
        let held = permissions_of(&in_groups(name, &["crew"]), door.tenant(), Some(&door.settings.spec));
        for (right, scope) in held.rights {
            let sum = all.remove(&right).map_or(scope.clone(), |held| held.and(scope));
            all.insert(right, sum);
        }
    }
    all
}

fn confirmed(old: &TenantSettings, change: Step) -> Write<TenantSettings> {
    let mut old = old.clone();
    old.metadata.annotations = None;
    update(&old, |new| {
        apply(change, &mut new.spec);
        support::door::confirm(new, "adam,mia,vic,lisa,rex,tess,ops,ci,eve,crew,bot");
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_decision_is_made_of_whatever_is_written((kind, verb, old, new) in any_write(), who in 0usize..10, leaving: bool) {
        let Some(subject) = subject(kind, verb, old.clone(), new.clone()) else { return Ok(()) };
        let mut door = acme();
        door.namespace_is_leaving = leaving;
        // What is written can be what is known, too.
        door.tenant = serde_json::from_value(new.clone()).ok().filter(|_| kind == "Tenant").or(door.tenant);
        door.project = serde_json::from_value(new).ok().filter(|_| kind == "Project").or(door.project);
        let requester = USERS.get(who).map_or_else(platform, |name| user(name));
        let decision = door.asks(&requester, subject.clone());
        prop_assert_eq!(&decision, &door.asks(&requester, subject), "the same question has the same answer");
        for warning in &decision.warnings {
            prop_assert!(warning.chars().count() <= 120, "{}", warning);
        }
        if let Some(denial) = &decision.denial {
            prop_assert!(denial.message.chars().count() <= 1500, "{}", denial.message);
            prop_assert!(!denial.message.chars().any(char::is_control), "{:?}", denial.message);
            prop_assert!(decision.attempt.is_none());
        }
        for side in decision.attempt.into_iter().flat_map(|attempt| [attempt.before, attempt.after]).flatten() {
            prop_assert!(side.to_string().len() <= MAX_SIDE_BYTES, "{}", side.to_string().len());
        }
    }

    #[test]
    fn no_changes_that_were_let_in_give_people_together_more_than_they_held(
        steps in prop::collection::vec((0usize..5, step()), 1..24),
        delegated: bool,
    ) {
        let mut door = acme();
        door.tenant_mut().spec.delegate_approval = delegated;
        // Roles and members from before, who are nobody's in the conspiracy.
        let before = together(&door);
        let conspirators = [user("tess"), user("lisa"), user("eve"), in_groups("eve", &["crew"]),
            user("system:serviceaccount:tenant-acme:bot")];
        for (who, step) in steps {
            let write = confirmed(&door.settings, step);
            let Write::Update { new, .. } = &write else { unreachable!() };
            let new = (**new).clone();
            if door.says(&conspirators[who], Subject::TenantSettings(write)) == "let in" {
                door.settings = new;
                door.settings.metadata.annotations = None;
            }
        }
        // Not even when the platform names the namespace that a service account was planted from.
        door.tenant_mut().spec.service_account_namespaces.push("elsewhere".into());
        for (right, scope) in together(&door) {
            prop_assert_eq!(scope.beyond(before.get(&right)), None, "{:?}", right);
        }
    }
}

#[test]
fn conspirators_do_get_some_changes_in() {
    // Else the property above would say nothing.
    let door = acme();
    let add = |role: &str| Step::Add(typed(json!({"subject": {"kind": "User", "name": "eve"}, "role": role})));
    let lets_in = |step: Step| door.says(&user("tess"), Subject::TenantSettings(confirmed(&door.settings, step)));
    assert_eq!(lets_in(add("lead")), "let in");
    assert_eq!(lets_in(Step::Role("third", Permission::ALL[..9].to_vec())), "let in");
    assert_eq!(lets_in(add("Admin")), "permission_denied");
}
