//! Builds and projects: what a tenant is entitled to, whoever asks; stamps; what a method honours.

use imagefactory_crds::admission::Subject;
use imagefactory_crds::entitlement::OnboardingPolicy;
use serde_json::{Value, json};

use crate::support::door::{acme, annotate, build, create, platform, project, quarantine, typed, update, user};

const STAMP: &str = "imagefactory.dev/requested-by";

fn new(spec: Value) -> Subject {
    Subject::Build(create(build(spec)))
}

#[test]
fn entitlement_holds_for_administrators_of_the_platform_too() {
    let mut door = acme();
    door.tenant_mut().spec.suspended = true;
    assert_eq!(door.says(&platform(), new(json!({}))), "tenant_suspended");
    door.tenant_mut().spec.capabilities = None;
    assert_eq!(door.says(&platform(), new(json!({}))), "tenant_capability_not_entitled");
    door.tenant_mut().spec.suspended = false;
    door.onboarding = OnboardingPolicy { build: true };
    assert_eq!(door.says(&platform(), new(json!({}))), "let in");
}

#[test]
fn what_runs_can_be_stopped_whatever_the_tenant_may() {
    let mut door = acme();
    door.tenant_mut().spec.suspended = true;
    door.tenant_mut().spec.capabilities = None;
    door.project = Some(project("shop", json!({"archived": true})));
    let cancel = Subject::Build(update(&build(json!({})), |new| new.spec.cancelled = true));
    assert_eq!(door.says(&user("adam"), cancel), "let in");
}

#[test]
fn a_project_that_is_not_known_yet_takes_nothing_away() {
    let mut door = acme();
    door.project = None;
    assert_eq!(
        door.says(&user("mia"), new(json!({}))),
        "let in",
        "the operator waits for it"
    );
}

#[test]
fn a_template_s_method_counts_where_the_build_names_none() {
    let mut door = acme();
    let templates = json!([{"name": "multi", "method": "buildx"}, {"name": "plain"}]);
    door.project = Some(project("shop", json!({"templates": templates})));
    let by = |template: &str, more: Value| {
        let mut spec = json!({"templateRef": {"name": template}, "platforms": ["linux/arm64"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        door.says(&user("mia"), new(spec))
    };
    assert_eq!(by("multi", json!({})), "let in");
    assert_eq!(by("plain", json!({})), "field_not_supported");
    assert_eq!(by("multi", json!({"method": "kaniko"})), "field_not_supported");
    assert_eq!(
        by("unknown", json!({})),
        "let in",
        "the operator tells that there is none"
    );
    assert_eq!(
        door.says(&user("mia"), new(json!({"rerunOf": {"name": "x"}}))),
        "let in"
    );
}

#[test]
fn a_placement_is_let_in_that_the_platform_or_the_tenant_allows() {
    let placed = || new(json!({"placement": {"runtimeClassName": "gvisor"}}));
    let mut door = acme();
    assert_eq!(door.says(&user("mia"), placed()), "invalid_object");
    door.placement.runtime_class_names.push("gvisor".into());
    assert_eq!(door.says(&user("mia"), placed()), "let in");
    door.placement.runtime_class_names.clear();
    door.tenant_mut().spec.placement = Some(typed(json!({"runtimeClassNames": ["gvisor"]})));
    assert_eq!(door.says(&user("mia"), placed()), "let in");
}

#[test]
fn no_build_names_a_secret_that_the_platform_pulls_its_own_images_with() {
    let mut door = acme();
    let git = json!({"git": {"url": "https://git.example.com/a", "secretRef": {"name": "mirror-pull"}}});
    let step = json!([{"id": "a", "secretRef": {"name": "mirror-pull", "key": "k"}}]);
    let fields = [
        (
            "spec.pullSecrets[1].name",
            json!({"pullSecrets": [{"name": "own"}, {"name": "mirror-pull"}]}),
        ),
        (
            "spec.secrets[0].secretRef.name",
            json!({"method": "docker", "secrets": step}),
        ),
        ("spec.source.git.secretRef.name", json!({ "source": git })),
        (
            "spec.output.pushSecretRef.name",
            json!({"output": {"pushSecretRef": {"name": "mirror-pull"}}}),
        ),
    ];
    for (field, spec) in &fields {
        let denial = door.asks(&user("mia"), new(spec.clone())).denial.unwrap();
        assert_eq!(denial.code.as_str(), "invalid_object");
        assert_eq!(denial.causes[0].field, *field);
        assert_eq!(
            denial.message,
            format!(
                "{field} names mirror-pull, which is reserved for the factory: it pulls the product's own images. Refer to \
                 a Secret of your own."
            )
        );
    }
    door.pull_secrets.clear();
    for (field, spec) in fields {
        assert_eq!(door.says(&user("mia"), new(spec)), "let in", "{field}");
    }
}

#[test]
fn a_project_names_no_secret_of_the_platform_that_it_did_not_name_before() {
    let mut door = acme();
    let git = |secret: &str| json!({"git": {"url": "https://git.example.com/a", "secretRef": {"name": secret}}});
    let template = |secret: &str| json!([{"name": "a"}, {"name": "b", "pullSecrets": [{"name": secret}]}]);
    for (field, spec) in [
        ("spec.source.git.secretRef.name", json!({"source": git("mirror-pull")})),
        (
            "spec.templates[1].pullSecrets[0].name",
            json!({"templates": template("mirror-pull")}),
        ),
        (
            "spec.templates[0].output.pushSecretRef.name",
            json!({"templates": [{"name": "a", "output": {"pushSecretRef": {"name": "mirror-pull"}}}]}),
        ),
    ] {
        let made = Subject::Project(create(project("new", spec.clone())));
        let denial = door.asks(&user("olga"), made).denial.unwrap();
        assert_eq!(
            (denial.code.as_str(), denial.causes[0].field.as_str()),
            ("invalid_object", field)
        );
        let changed = update(&project("shop", json!({})), |new| {
            new.spec = project("shop", spec.clone()).spec;
        });
        assert_eq!(door.says(&user("olga"), Subject::Project(changed)), "invalid_object");
        let later = update(&project("shop", spec), |new| new.spec.archived = true);
        assert_eq!(door.says(&user("olga"), Subject::Project(later)), "let in", "{field}");
    }
    door.projects = 0;
    let own = json!({"source": git("own"), "templates": template("own")});
    let made = Subject::Project(create(project("new", own)));
    assert_eq!(door.says(&user("olga"), made), "let in");
}

#[test]
fn every_field_of_a_build_but_cancelled_stays_as_it_is() {
    let door = acme();
    let old = build(json!({"target": "a"}));
    for (field, value) in [
        ("target", json!("b")),
        ("target", Value::Null),
        ("priority", json!(1)),
        ("projectRef", json!({"name": "web"})),
    ] {
        let write = update(&old, |new| {
            let mut spec = serde_json::to_value(&new.spec).unwrap();
            spec[field] = value.clone();
            spec["cancelled"] = json!(true);
            new.spec = serde_json::from_value(spec).unwrap();
        });
        let denial = door.asks(&user("olga"), Subject::Build(write)).denial.unwrap();
        assert_eq!(denial.code.as_str(), "field_immutable");
        assert_eq!(denial.causes[0].field, format!("spec.{field}"));
    }
}

#[test]
fn who_asked_is_told_once_and_for_all() {
    let door = acme();
    let stamped = |name: &str| {
        let mut object = build(json!({}));
        annotate(&mut object, STAMP, name);
        object
    };
    assert_eq!(
        door.says(&user("mia"), Subject::Build(create(stamped("mia")))),
        "let in"
    );
    assert_eq!(
        door.says(&user("mia"), Subject::Build(create(stamped("olga")))),
        "field_immutable"
    );
    let old = stamped("mia");
    let changed =
        |change: fn(&mut imagefactory_crds::Build)| door.says(&user("mia"), Subject::Build(update(&old, change)));
    assert_eq!(changed(|new| annotate(new, "else", "x")), "let in");
    assert_eq!(changed(|new| annotate(new, STAMP, "olga")), "field_immutable");
    assert_eq!(changed(|new| new.metadata.annotations = None), "field_immutable");
    let later = update(&build(json!({})), |new| annotate(new, STAMP, "mia"));
    assert_eq!(door.says(&user("mia"), Subject::Build(later)), "field_immutable");
}

#[test]
fn a_tenant_has_as_many_projects_as_its_quota_says() {
    let mut door = acme();
    let one_more = |door: &crate::support::door::Door| {
        door.says(&user("olga"), Subject::Project(create(project("new", json!({})))))
    };
    door.projects = 2;
    assert_eq!(one_more(&door), "let in");
    door.projects = 3;
    assert_eq!(one_more(&door), "quota_exceeded");
    let edit = Subject::Project(update(&project("shop", json!({})), |new| new.spec.archived = true));
    assert_eq!(
        door.says(&user("olga"), edit),
        "let in",
        "those that exist are edited as before"
    );
    door.tenant_mut().spec.quota = None;
    assert_eq!(one_more(&door), "let in");
}

#[test]
fn turning_on_what_lets_outside_images_in_is_warned_of_once() {
    let door = acme();
    let turn_on = update(door.tenant(), |new| {
        let written = new.spec.capabilities.as_mut().unwrap();
        written.quarantine_request = Some(true);
        written.change_reason = "ticket 7".into();
    });
    let on = turn_on.new_object().unwrap().clone();
    let decision = door.asks(&platform(), Subject::Tenant(turn_on));
    assert!(decision.denial.is_none() && decision.warnings[0].contains("quarantineRequest"));
    let later = door.asks(
        &platform(),
        Subject::Tenant(update(&on, |new| new.spec.suspended = true)),
    );
    assert_eq!(later.warnings, Vec::<String>::new());
}

#[test]
fn a_project_that_would_turn_builds_on_is_told_that_it_can_t() {
    let mut door = acme();
    let ask = |door: &crate::support::door::Door| {
        let object = project("new", json!({"capabilities": {"build": true}}));
        door.asks(&user("olga"), Subject::Project(create(object))).warnings
    };
    assert_eq!(ask(&door), Vec::<String>::new());
    door.tenant_mut().spec.capabilities = None;
    assert!(ask(&door)[0].contains("changes nothing"));
}

#[test]
fn an_owner_who_can_t_be_one_is_warned_of_in_at_most_120_characters() {
    let door = acme();
    let write = update(door.tenant(), |new| {
        new.spec.owners.push(typed(
            json!({"kind": "User", "name": format!("system:{}", "x".repeat(240))}),
        ));
    });
    let warnings = door.asks(&platform(), Subject::Tenant(write)).warnings;
    assert_eq!(warnings, ["spec.owners[1] belongs to Kubernetes: it is no owner"]);
}

#[test]
fn builds_and_requests_beyond_the_tenant_s_quota_are_refused_with_limit_and_use() {
    let mut door = acme();
    let spec = &mut door.tenant_mut().spec;
    spec.capabilities.as_mut().unwrap().quarantine_request = Some(true);
    spec.quota = Some(typed(
        json!({"builds": 40, "buildsPerHour": 5, "openQuarantineRequests": 2}),
    ));
    let told = |builds: u32, hour: Value, open: Value| {
        let mut door = door.clone();
        door.tenant_mut().status = Some(typed(json!({"usage": {
            "builds": {"total": builds, "queued": 0, "running": 0, "succeeded": 0, "failed": 0},
            "slots": {"taken": 0}, "members": 1, "projects": 1,
            "buildsLastHour": hour, "openQuarantineRequests": open,
        }})));
        door
    };
    let ask = |door: &crate::support::door::Door| {
        let request = Subject::QuarantineRequest(create(quarantine("APP-1")));
        [
            door.says(&user("mia"), new(json!({}))),
            door.says(&user("mia"), request),
        ]
    };
    assert_eq!(
        ask(&door),
        ["let in", "let in"],
        "what is not told yet the operator counts"
    );
    assert_eq!(ask(&told(39, json!(4), json!(1))), ["let in", "let in"]);
    assert_eq!(ask(&told(40, json!(4), json!(1))), ["quota_exceeded", "let in"]);
    assert_eq!(ask(&told(39, json!(5), json!(2))), ["quota_exceeded", "quota_exceeded"]);
    let denial = told(39, json!(7), json!(1))
        .asks(&platform(), new(json!({})))
        .denial
        .unwrap();
    assert!(
        denial.message.contains("may have 5 builds within 60 minutes and has 7"),
        "{}",
        denial.message
    );
    assert_eq!(denial.code.http(), 403);
    let cancel = Subject::Build(update(&build(json!({})), |new| new.spec.cancelled = true));
    assert_eq!(told(99, json!(99), json!(9)).says(&user("adam"), cancel), "let in");
}

#[test]
fn a_limit_of_none_needs_no_count() {
    let mut door = acme();
    door.tenant_mut().spec.quota = Some(typed(json!({"buildsPerHour": 0})));
    assert_eq!(door.says(&user("mia"), new(json!({}))), "quota_exceeded");
}
