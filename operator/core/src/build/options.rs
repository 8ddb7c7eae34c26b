//! What a build may be given beside its source: what its method honours, where it may pull from, where it may run.
//!
//! A part of [`validate`](super::validated::validate); the Tenant and the platform's settings decide.

use imagefactory_crds::admission::entitlement::may_run_at;
use imagefactory_crds::build::support::{CODE_NOT_SUPPORTED, first_unsupported};
use imagefactory_crds::build::{FailureClass, Method, Placement};
use imagefactory_crds::{BuildSpec, Tenant};

use super::validated::Refusal;
use crate::reference::lies_under;
use crate::settings::Settings;
use crate::step::ClosedPlaces;

/// Refuses a field that the method can't honour.
pub(super) fn check_method(spec: &BuildSpec, method: Method) -> Result<(), Refusal> {
    match first_unsupported(spec, method) {
        None => Ok(()),
        Some(unsupported) => Err(Refusal::denial(
            CODE_NOT_SUPPORTED,
            &unsupported.message(method),
            "Leave the field out, or choose another method, in a new Build.",
        )),
    }
}

/// Prefixes that everything the build pulls must lie under: what the platform allows to all, what the Tenant lists, and
/// what the tenant has published with the platform's credential.
pub(super) fn pull_prefixes(tenant: &Tenant, tenant_name: &str, settings: &Settings) -> Vec<String> {
    let platform = settings.builds.pull_prefixes.iter().cloned();
    let listed = tenant.spec.registries.iter().map(|prefix| prefix.0.clone());
    let own = std::iter::once(format!("{}/{tenant_name}", settings.output.prefix));
    platform.chain(listed).chain(own).collect()
}

/// What is closed to the tenant's pulls whatever prefix holds it: staging, and of the output all but the tenant's own part
/// and what the platform's pull prefixes or the Tenant name within it. A prefix that only holds the output names nothing there.
pub(super) fn closed_places(tenant: &Tenant, tenant_name: &str, settings: &Settings) -> ClosedPlaces {
    let output = &settings.output.prefix;
    let of_platform = settings.builds.pull_prefixes.iter().cloned();
    let listed = tenant.spec.registries.iter().map(|prefix| prefix.0.clone());
    let within = |prefix: &String| lies_under(prefix.trim_end_matches('/'), output);
    let named = of_platform.chain(listed.filter(|prefix| prefix.trim_end_matches('/') != output.as_str()));
    ClosedPlaces {
        staging: settings.staging.prefix.clone(),
        output: output.clone(),
        open: std::iter::once(format!("{output}/{tenant_name}"))
            .chain(named.filter(within))
            .collect(),
    }
}

/// Refuses what the spec itself names to be pulled from outside the prefixes; what a Dockerfile names, `prepare` checks.
pub(super) fn check_pulls(spec: &BuildSpec, prefixes: &[String], closed: &ClosedPlaces) -> Result<(), Refusal> {
    let oci = spec.source.as_ref().and_then(|source| source.oci.as_ref());
    let named = (spec.custom.iter().map(|custom| custom.image.as_str()))
        .chain(oci.map(|oci| oci.image.as_str()))
        .map(|image| (image, without_tag(image.split('@').next().unwrap_or_default())))
        // A mirror has no tag: what follows a colon there is its port.
        .chain((spec.registry_mirrors.iter()).map(|mirror| (mirror.mirror.as_str(), mirror.mirror.as_str())));
    for (reference, repository) in named {
        let allowed = prefixes.iter().any(|prefix| lies_under(repository, prefix));
        if !allowed || closed.hold(repository) {
            return Err(Refusal::failure(
                FailureClass::Source,
                "RegistryNotAllowed",
                format!(
                    "The tenant may not pull {reference}. It may pull what lies under {}.",
                    prefixes.join(", ")
                ),
                "Name an image under one of these prefixes in a new Build, or ask a platform administrator to list the registry in the Tenant.",
            ));
        }
    }
    Ok(())
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// The placement, refused unless the platform or the Tenant allows every part of it.
pub(super) fn check_placement(spec: &BuildSpec, tenant: &Tenant, settings: &Settings) -> Result<Placement, Refusal> {
    let merged = spec.placement.as_deref().cloned().unwrap_or_default();
    match may_run_at(&merged, Some(tenant), &settings.builds.placement) {
        Ok(()) => Ok(merged),
        Err(withheld) => Err(Refusal::failure(
            FailureClass::Source,
            "PlacementNotAllowed",
            withheld.message,
            withheld.remediation,
        )),
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::build::{AllowedPlacement, Cache, CacheMode, NodeLabel};
    use imagefactory_crds::common::BuildDefaults;
    use serde_json::{Value, json};

    use super::super::fixtures::World;
    use super::super::validated::Validated;
    use super::*;

    fn world(spec: &Value) -> World {
        let mut world = World::new();
        let mut whole = serde_json::to_value(&world.build.spec).unwrap();
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        world.build.spec = serde_json::from_value(whole).unwrap();
        world
    }

    fn reason(world: &World) -> &'static str {
        world.validated().map_or_else(|refusal| refusal.reason, |_| "")
    }

    fn validated(world: &World) -> Validated {
        world.validated().unwrap()
    }

    #[test]
    fn a_field_that_the_method_can_t_honour_is_refused_with_its_code() {
        assert_eq!(
            reason(&world(&json!({"platforms": ["linux/arm64"]}))),
            "field_not_supported"
        );
        assert_eq!(
            reason(&world(&json!({"platforms": ["linux/arm64"], "method": "docker"}))),
            ""
        );
    }

    #[test]
    fn what_the_spec_names_is_pulled_only_from_where_the_tenant_may_pull() {
        let custom = |image: &str| json!({"method": "custom", "custom": {"image": format!("{image}@sha256:{}", "a".repeat(64))}});
        for (spec, allowed) in [
            (custom("docker.io/library/builder"), true),
            (custom("registry.example.com/output/acme/builder"), true),
            (custom("registry.example.com/output/other/builder"), false),
            (custom("registry.example.com/staging/acme/builds/web/x"), false),
            (custom("evil.example.com/library/builder"), false),
            (
                json!({"source": {"oci": {"image": "docker.io/library/source:1"}}}),
                true,
            ),
            (
                json!({"source": {"oci": {"image": "docker.io.example.com/library/source:1"}}}),
                false,
            ),
            (
                json!({"registryMirrors": [{"registry": "docker.io", "mirror": "evil.example.com"}]}),
                false,
            ),
            (
                json!({"registryMirrors": [{"registry": "docker.io", "mirror": "mirror.example.com/hub"}]}),
                true,
            ),
            (
                json!({"registryMirrors": [{"registry": "docker.io", "mirror": "mirror.example.com:8443"}]}),
                false,
            ),
        ] {
            let found = reason(&world(&spec));
            assert_eq!(found, if allowed { "" } else { "RegistryNotAllowed" }, "{spec}");
        }
    }

    #[test]
    fn of_the_output_a_tenant_pulls_its_own_and_what_is_named_there_and_of_staging_nothing() {
        let mut world = World::new();
        let output = "registry.example.com/output";
        world.settings.builds.pull_prefixes = [&format!("{output}/bases/"), "registry.example.com", "docker.io"]
            .map(str::to_owned)
            .into();
        let registries = [output, &format!("{output}/shared"), "registry.example.com", "quay.io"];
        world.tenant.as_mut().unwrap().spec.registries = registries.map(Into::into).into();
        let closed = validated(&world).closed;
        let open = [
            format!("{output}/acme"),
            format!("{output}/bases/"),
            format!("{output}/shared"),
        ];
        assert_eq!(closed.open, open);
        let custom = |image: &str| json!({"image": format!("{image}@sha256:{}", "a".repeat(64))});
        for (image, allowed) in [
            (format!("{output}/acme/x"), true),
            (format!("{output}/bases/debian"), true),
            (format!("{output}/shared/debian"), true),
            (format!("{output}/other/x"), false),
            ("registry.example.com/staging/acme/x".to_owned(), false),
            ("registry.example.com/free/x".to_owned(), true),
        ] {
            world.says(|said| {
                said.method = Some(Method::Custom);
                said.custom = Some(serde_json::from_value(custom(&image)).unwrap());
            });
            assert_eq!(
                reason(&world),
                if allowed { "" } else { "RegistryNotAllowed" },
                "{image}"
            );
        }
    }

    #[test]
    fn a_mirror_is_known_with_its_port() {
        let mirror = json!({"registryMirrors": [{"registry": "docker.io", "mirror": "quay.io:8443"}]});
        let mut world = world(&mirror);
        for (listed, allowed) in [("quay.io", false), ("quay.io:8443", true), ("quay.io:9443", false)] {
            world.tenant.as_mut().unwrap().spec.registries = vec![listed.into()];
            assert_eq!(
                reason(&world),
                if allowed { "" } else { "RegistryNotAllowed" },
                "{listed}"
            );
        }
    }

    #[test]
    fn what_the_tenant_lists_is_added_to_what_everybody_may_pull() {
        let mut world = world(&json!({"source": {"oci": {"image": "quay.io/acme/source:1"}}}));
        assert_eq!(reason(&world), "RegistryNotAllowed");
        world.tenant.as_mut().unwrap().spec.registries = vec!["quay.io/acme".into()];
        assert_eq!(
            validated(&world).pull_prefixes,
            [
                "docker.io/library",
                "mirror.example.com",
                "quay.io/acme",
                "registry.example.com/output/acme"
            ]
        );
    }

    #[test]
    fn placement_is_refused_unless_the_platform_or_the_tenant_allows_all_of_it() {
        let placement = json!({
            "nodeSelector": [{"key": "pool", "value": "builds"}],
            "tolerations": [{"key": "builds", "value": "only", "effect": "NoSchedule"}],
            "runtimeClassName": "gvisor",
        });
        let mut world = world(&json!({ "placement": placement }));
        assert_eq!(reason(&world), "PlacementNotAllowed");
        world.settings.builds.placement = serde_json::from_value(json!({
            "nodeSelector": [{"key": "pool", "value": "builds"}], "runtimeClassNames": ["gvisor"],
        }))
        .unwrap();
        assert_eq!(reason(&world), "PlacementNotAllowed");
        world.tenant.as_mut().unwrap().spec.placement =
            Some(serde_json::from_value(json!({"tolerations": [{"key": "builds", "effect": "NoSchedule"}]})).unwrap());
        assert_eq!(reason(&world), "");
    }

    #[test]
    fn what_the_project_sets_is_checked_too_and_gives_way_to_the_builds_own() {
        let mut world = world(&json!({"placement": {"nodeSelector": [{"key": "pool", "value": "own"}]}}));
        let label = |key: &str, value: &str| NodeLabel {
            key: key.into(),
            value: value.into(),
        };
        let defaults = Placement {
            node_selector: vec![label("pool", "project"), label("zone", "a")],
            ..Placement::default()
        };
        world.project.as_mut().unwrap().spec.build_defaults = Some(BuildDefaults {
            placement: Some(defaults),
            ..BuildDefaults::default()
        });
        world.settings.builds.placement = AllowedPlacement {
            node_selector: vec![label("pool", "own")],
            ..AllowedPlacement::default()
        };
        assert_eq!(reason(&world), "PlacementNotAllowed");
        world.settings.builds.placement.node_selector.push(label("zone", "a"));
        assert_eq!(
            validated(&world).placement.node_selector,
            [label("pool", "own"), label("zone", "a")]
        );
    }

    #[test]
    fn the_cache_is_the_builds_choice_then_the_projects_then_the_charts() {
        let mut world = world(&json!({}));
        assert_eq!(validated(&world).cache, CacheMode::Disabled);
        world.settings.builds.cache = CacheMode::Use;
        assert_eq!(validated(&world).cache, CacheMode::Use);
        world.project.as_mut().unwrap().spec.build_defaults = Some(BuildDefaults {
            cache: Some(Cache {
                mode: CacheMode::Disabled,
            }),
            ..BuildDefaults::default()
        });
        assert_eq!(validated(&world).cache, CacheMode::Disabled);
        world.build.spec.cache = Some(Cache {
            mode: CacheMode::Refresh,
        });
        assert_eq!(validated(&world).cache, CacheMode::Refresh);
    }
}
