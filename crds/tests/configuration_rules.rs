//! What may be written into Tenant, TenantSettings, Project and ImagePolicy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use serde_json::{Value, json};
use support::{admits, admits_update, fixtures, problems, refuses, refuses_update, with};

fn tenant_with(field: &str, value: Value) -> Value {
    with(&fixtures::tenant(), &format!("/spec/{field}"), Some(value))
}

fn settings_with(field: &str, value: Value) -> Value {
    with(&fixtures::tenant_settings(), &format!("/spec/{field}"), Some(value))
}

fn policy_with(field: &str, value: Value) -> Value {
    with(&fixtures::image_policy(), &format!("/spec/{field}"), Some(value))
}

mod tenants {
    use super::*;

    const NEW_REASON: &str = "a change of capabilities must carry a new changeReason";

    fn capability(tenant: &Value, name: &str, value: Option<bool>) -> Value {
        with(tenant, &format!("/spec/capabilities/{name}"), value.map(Value::from))
    }

    fn reason(tenant: &Value) -> Value {
        with(tenant, "/spec/capabilities/changeReason", Some(json!("Ticket ABC-2")))
    }

    #[test]
    fn a_change_of_any_capability_needs_a_new_reason() {
        let tenant = fixtures::tenant();
        for name in [
            "build",
            "quarantineRequest",
            "onDemandImageScanning",
            "quarantineRelease",
        ] {
            let now = tenant["spec"]["capabilities"][name].as_bool().unwrap();
            for change in [Some(!now), None] {
                let changed = capability(&tenant, name, change);
                refuses_update(&tenant, &changed, NEW_REASON);
                admits_update(&tenant, &reason(&changed));
                refuses_update(&changed, &tenant, NEW_REASON);
            }
        }
    }

    #[test]
    fn what_does_not_change_capabilities_needs_no_new_reason() {
        let tenant = fixtures::tenant();
        admits_update(&tenant, &tenant);
        admits_update(&tenant, &reason(&tenant));
        admits_update(&tenant, &tenant_with("suspended", json!(true)));
    }

    #[test]
    fn capabilities_are_turned_off_and_never_taken_out() {
        // Taken out, they would fall back to the onboarding policy without a reason.
        let tenant = fixtures::tenant();
        refuses_update(
            &tenant,
            &with(&tenant, "/spec/capabilities", None),
            "capabilities can't be removed",
        );
        admits_update(&with(&tenant, "/spec/capabilities", None), &tenant);
    }

    #[test]
    fn a_reason_is_not_blank() {
        for blank in ["", " ", "   "] {
            assert_ne!(
                problems(&with(
                    &fixtures::tenant(),
                    "/spec/capabilities/changeReason",
                    Some(json!(blank))
                )),
                Vec::<String>::new()
            );
        }
        refuses(
            &tenant_with("capabilities", json!({"build": true})),
            "changeReason: is required",
        );
    }

    #[test]
    fn a_tenant_has_an_owner() {
        refuses(&tenant_with("owners", json!([])), "spec.owners: too short");
        refuses(
            &with(&fixtures::tenant(), "/spec/owners", None),
            "spec.owners: is required",
        );
    }

    #[test]
    fn the_name_is_a_dns_label_of_at_most_40_characters() {
        let named = |name: &str| with(&fixtures::tenant(), "/metadata/name", Some(json!(name)));
        admits(&named(&"a".repeat(40)));
        for bad in [&"a".repeat(41), "Acme", "a.b", "-a", "a-", "a_b"] {
            refuses(
                &named(bad),
                "the name of a Tenant is a DNS label of at most 40 characters",
            );
        }
        refuses(
            &named("imagefactory-x"),
            "names that begin with imagefactory- are reserved",
        );
    }

    #[test]
    fn a_registry_is_a_host_and_a_path() {
        for good in [
            "registry.example.com",
            "registry.example.com:5000/team/app",
            "r.io/team/",
        ] {
            admits(&tenant_with("registries", json!([good])));
        }
        for bad in [
            "",
            "/",
            "r.io//a",
            "r.io/a/../b",
            "r.io/*",
            "https://r.io/a",
            "r.io/a:1",
            "*.io",
            "r.io/a@b",
        ] {
            assert_ne!(
                problems(&tenant_with("registries", json!([bad]))),
                Vec::<String>::new(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_quantity_is_a_number_or_a_string_and_never_negative() {
        for good in [json!(2), json!("2"), json!("500m"), json!("1.5"), json!("16Gi")] {
            admits(&tenant_with("quota", json!({"cpu": good})));
        }
        for bad in [
            json!(-1),
            json!("-1"),
            json!("1e3"),
            json!("1 Gi"),
            json!("lots"),
            json!(""),
            json!(true),
        ] {
            assert_ne!(
                problems(&tenant_with("quota", json!({"cpu": bad}))),
                Vec::<String>::new(),
                "{bad}"
            );
        }
    }
}

mod subjects {
    use super::*;

    /// The subject as an owner and as a member: the same rules hold for both.
    fn everywhere(subject: &Value) -> [Value; 2] {
        let member = json!({"subject": subject, "role": "Viewer"});
        [
            tenant_with("owners", json!([subject])),
            settings_with("members", json!([member])),
        ]
    }

    #[test]
    fn a_subject_is_a_user_a_group_or_a_service_account() {
        for subject in [
            json!({"kind": "User", "name": "alice@example.com"}),
            json!({"kind": "User", "name": "https://idp.example.com#alice"}),
            json!({"kind": "Group", "name": "oidc:team a"}),
            json!({"kind": "ServiceAccount", "name": "flux", "namespace": "flux-system"}),
        ] {
            everywhere(&subject).iter().for_each(admits);
        }
        for object in everywhere(&json!({"kind": "Robot", "name": "r2"})) {
            refuses(&object, "must be one of");
        }
    }

    #[test]
    fn what_belongs_to_kubernetes_is_no_subject() {
        for name in [
            "system:masters",
            "system:authenticated",
            "system:serviceaccount:kube-system:default",
        ] {
            for kind in ["User", "Group"] {
                for object in everywhere(&json!({"kind": kind, "name": name})) {
                    refuses(&object, "subjects that begin with system: belong to Kubernetes");
                }
            }
        }
    }

    #[test]
    fn a_namespace_belongs_to_a_service_account_alone() {
        let message = "namespace is required for a ServiceAccount and not allowed for a User or a Group";
        for subject in [
            json!({"kind": "ServiceAccount", "name": "flux"}),
            json!({"kind": "User", "name": "a", "namespace": "b"}),
            json!({"kind": "Group", "name": "a", "namespace": "b"}),
        ] {
            for object in everywhere(&subject) {
                refuses(&object, message);
            }
        }
    }
}

mod settings {
    use super::*;

    fn member(role: &str) -> Value {
        settings_with(
            "members",
            json!([{"subject": {"kind": "User", "name": "bob"}, "role": role}]),
        )
    }

    #[test]
    fn a_member_is_admin_member_viewer_or_holds_a_role_of_the_tenant() {
        for role in ["Admin", "Member", "Viewer", "releaser"] {
            admits(&member(role));
        }
        refuses(
            &member("painter"),
            "a member's role is Admin, Member, Viewer or one of spec.roles",
        );
        refuses(&with(&member("releaser"), "/spec/roles", None), "a member's role is");
    }

    #[test]
    fn nobody_becomes_an_owner_by_settings() {
        for role in ["Owner", "owner", "OWNER"] {
            assert_ne!(problems(&member(role)), Vec::<String>::new(), "{role}");
        }
        let custom = json!([{"name": "owner", "permissions": ["ManageTeam"]}]);
        refuses(&settings_with("roles", custom), "is the name of a built-in role");
    }

    #[test]
    fn a_role_does_not_take_the_name_of_a_built_in_one() {
        for name in ["owner", "admin", "member", "viewer"] {
            let roles = json!([{"name": "releaser", "permissions": ["ViewProjects"]}, {"name": name, "permissions": ["ViewProjects"]}]);
            refuses(&settings_with("roles", roles), "is the name of a built-in role");
        }
    }

    #[test]
    fn a_role_holds_permissions_that_exist() {
        let role =
            |permissions: Value| settings_with("roles", json!([{"name": "releaser", "permissions": permissions}]));
        admits(&role(json!([
            "ViewProjects",
            "CreateBuilds",
            "CancelBuilds",
            "ManageProjects",
            "ManageTeam",
            "ViewAnalytics",
            "ReadAudit",
            "EditSettings",
            "ManageBilling",
            "ApproveQuarantine",
            "ReleaseQuarantine"
        ])));
        refuses(&role(json!([])), "too short");
        for unknown in ["*", "viewprojects", "CreateProjects", "ManageWaivers", ""] {
            refuses(&role(json!([unknown])), "must be one of");
        }
    }

    #[test]
    fn a_permission_stands_in_a_role_once() {
        let twice = json!([{"name": "releaser", "permissions": ["ViewProjects", "ViewProjects"]}]);
        refuses(&settings_with("roles", twice), "duplicate");
    }

    #[test]
    fn a_role_may_say_what_it_is_for() {
        let role = |text: &str| json!([{"name": "releaser", "description": text, "permissions": ["ViewProjects"]}]);
        admits(&settings_with("roles", role("Those on call.\nSee the handbook.")));
        for bad in ["\u{7}".to_owned(), "a".repeat(1025)] {
            assert_ne!(
                problems(&settings_with("roles", role(&bad))),
                Vec::<String>::new(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn there_are_at_most_16_roles_and_their_names_are_dns_labels() {
        let roles = |count: usize| -> Value {
            let role = |number: usize| match number {
                0 => json!({"name": "releaser", "permissions": ["ViewProjects"]}),
                _ => json!({"name": format!("role-{number}"), "permissions": ["ViewProjects"]}),
            };
            (0..count).map(role).collect()
        };
        admits(&settings_with("roles", roles(16)));
        refuses(&settings_with("roles", roles(17)), "too long");
        for bad in ["Owner", "ADMIN", "a.b", "a b", "-a", "a-", "", &"a".repeat(41)] {
            let roles = json!([{"name": "releaser", "permissions": ["ViewProjects"]}, {"name": bad, "permissions": ["ViewProjects"]}]);
            assert_ne!(
                problems(&settings_with("roles", roles)),
                Vec::<String>::new(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_role_stands_there_once() {
        let twice = json!([{"name": "releaser", "permissions": ["ViewProjects"]}, {"name": "releaser", "permissions": ["ManageTeam"]}]);
        refuses(&settings_with("roles", twice), "duplicate");
    }

    #[test]
    fn there_is_one_named_settings() {
        let other = with(&fixtures::tenant_settings(), "/metadata/name", Some(json!("other")));
        refuses(&other, "there is one TenantSettings per tenant, named settings");
    }

    #[test]
    fn settings_may_say_nothing_at_all() {
        admits(&support::object("TenantSettings", "settings", json!({})));
    }

    #[test]
    fn a_logo_is_fetched_over_https() {
        for bad in [
            "http://www.example.com/a.svg",
            "javascript:alert(1)",
            "data:image/svg+xml,x",
            "https:///a",
            "//www.example.com/a",
        ] {
            refuses(&settings_with("logoUrl", json!(bad)), "does not match");
        }
    }
}

mod projects {
    use super::*;

    #[test]
    fn a_project_may_say_nothing_at_all() {
        admits(&support::object("Project", "shop", json!({})));
    }

    #[test]
    fn the_name_leaves_room_for_what_is_added() {
        let named = |name: &str| with(&fixtures::project(), "/metadata/name", Some(json!(name)));
        admits(&named(&"a".repeat(52)));
        refuses(
            &named(&"a".repeat(53)),
            "the name is a DNS label of at most 52 characters",
        );
    }

    #[test]
    fn a_default_source_obeys_the_rules_of_a_builds_source() {
        let source = |value: Value| with(&fixtures::project(), "/spec/source", Some(value));
        refuses(&source(json!({})), "name exactly one of git, inline, configMap and oci");
        refuses(
            &source(json!({"git": {"url": "https://git.example.com/a/../b"}})),
            "must not contain '..'",
        );
    }

    #[test]
    fn defaults_obey_the_bounds_of_what_they_stand_for() {
        for object in [fixtures::project(), fixtures::tenant_settings()] {
            let long = with(&object, "/spec/buildDefaults/timeout", Some(json!("25h")));
            refuses(&long, "must be between 10s and 24h");
        }
    }
}

mod image_policies {
    use super::*;

    #[test]
    fn a_score_lies_between_0_and_10_with_one_decimal() {
        for good in ["0", "0.0", "6.9", "9", "10", "10.0"] {
            admits(&policy_with("maxCvss", json!(good)));
        }
        for bad in ["", "10.1", "11", "-1", "6.95", "6,9", ".5", "5.", "high", "1e1"] {
            assert_ne!(
                problems(&policy_with("maxCvss", json!(bad))),
                Vec::<String>::new(),
                "{bad:?}"
            );
        }
        refuses(&policy_with("maxCvss", json!(6.9)), "must be of type string");
    }

    #[test]
    fn a_limit_is_a_whole_number_from_0() {
        admits(&policy_with(
            "maxVulnerabilities",
            json!({"critical": 0, "high": 4_294_967_295_u32}),
        ));
        for bad in [json!(-1), json!(0.5), json!("0"), json!(4_294_967_296_i64)] {
            assert_ne!(
                problems(&policy_with("maxVulnerabilities", json!({"critical": bad}))),
                Vec::<String>::new(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_mode_is_enforce_or_dry_run() {
        admits(&policy_with("mode", json!("DryRun")));
        for bad in ["dryrun", "Off", "Audit", ""] {
            refuses(&policy_with("mode", json!(bad)), "must be one of");
        }
    }

    #[test]
    fn a_rule_has_a_name_of_its_own_an_expression_and_a_message() {
        let rule = |name: &str, expression: &str, message: &str| json!({"name": name, "expression": expression, "message": message});
        let rules = |rules: Value| policy_with("rules", rules);
        admits(&rules(json!([
            rule("a", "true", "m"),
            rule("b", &"!".repeat(512), &"m".repeat(160))
        ])));
        admits(&rules(json!([rule(
            "a",
            "counts.critical == 0\n  && true",
            "Für alle"
        )])));
        for bad in [
            rule("A", "true", "m"),
            rule("a", "", "m"),
            rule("a", &"!".repeat(513), "m"),
            rule("a", "'é' == 'é'", "m"),
            rule("a", "true", ""),
            rule("a", "true", &"m".repeat(161)),
            rule("a", "true", "a\nb"),
            json!({"name": "a", "expression": "true"}),
        ] {
            assert_ne!(problems(&rules(json!([bad]))), Vec::<String>::new(), "{bad}");
        }
        let many: Vec<_> = (0..17).map(|number| rule(&format!("r{number}"), "true", "m")).collect();
        assert_ne!(problems(&rules(json!(many))), Vec::<String>::new());
    }

    #[test]
    fn allowed_sources_are_prefixes_of_repositories_without_a_scheme() {
        let git = |prefix: &str| policy_with("allowedSources", json!({"git": [prefix]}));
        let bases = |prefix: &str| policy_with("allowedSources", json!({"bases": [prefix]}));
        admits(&git("git.example.com:8443/Team/app.git"));
        admits(&git("git.example.com"));
        admits(&bases("registry.example.com:5000/hardened"));
        admits(&policy_with("allowedSources", json!({})));
        for bad in [
            "https://git.example.com",
            "git.example.com/../x",
            "user@git.example.com",
            "git.example.com//x",
            "",
        ] {
            assert_ne!(problems(&git(bad)), Vec::<String>::new(), "{bad}");
            assert_ne!(problems(&bases(bad)), Vec::<String>::new(), "{bad}");
        }
    }

    #[test]
    fn the_greatest_age_of_evidence_is_from_an_hour_to_a_year() {
        for good in ["1h", "72h", "90m", "8760h"] {
            admits(&policy_with("maxEvidenceAge", json!(good)));
        }
        for bad in ["59m", "8761h", "9999h"] {
            refuses(
                &policy_with("maxEvidenceAge", json!(bad)),
                "must be between 1h and 8760h",
            );
        }
        assert_ne!(
            problems(&policy_with("maxEvidenceAge", json!("3d"))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_policy_may_say_nothing_at_all() {
        admits(&support::object("ImagePolicy", "open", json!({})));
    }

    #[test]
    fn the_name_is_a_dns_label_that_is_not_reserved() {
        let named = |name: &str| with(&fixtures::image_policy(), "/metadata/name", Some(json!(name)));
        admits(&named(&"a".repeat(63)));
        refuses(
            &named("a.b"),
            "the name of an ImagePolicy is a DNS label of at most 63 characters",
        );
        refuses(
            &named("imagefactory-x"),
            "names that begin with imagefactory- are reserved",
        );
    }
}
