//! What a build may refer to by name: what is the tenant's, and nothing of the factory's that lies beside it.
//!
//! A part of [`validate`](super::validated::validate), on the whole that came of the Build, its template and all defaults.

use imagefactory_crds::admission::entitlement::may_name;
use imagefactory_crds::build::FailureClass;
use imagefactory_crds::{Build, BuildSpec, names};

use super::validated::Refusal;
use crate::settings::Settings;

const REASON: &str = "ReservedName";

/// Refuses names of the factory. Schema and webhook do too; this holds where they were not asked. A build that has begun is
/// not ended for a name that became the platform's since.
pub(super) fn check(build: &Build, spec: &BuildSpec, settings: &Settings) -> Result<(), Refusal> {
    let secrets = spec.secrets_named();
    let config_map = (spec.source.as_ref()).and_then(|source| source.config_map.as_ref());
    let named = (secrets.iter().map(|secret| secret.name))
        .chain(config_map.map(|source| source.name.as_str()))
        .chain(spec.ca_bundle.as_ref().map(|bundle| bundle.name.as_str()));
    for name in named {
        if names::is_reserved(name) {
            return Err(refusal(
                format!("{name} is a name of the factory; a Build can't refer to it."),
                "Refer to a Secret or ConfigMap of your own.",
            ));
        }
    }
    let has_begun = build.status.as_ref().is_some_and(|status| status.start_time.is_some());
    if has_begun {
        return Ok(());
    }
    may_name(&secrets, &settings.images.pull_secrets)
        .map_err(|withheld| refusal(withheld.message, withheld.remediation))
}

fn refusal(message: String, next: &str) -> Refusal {
    Refusal::failure(FailureClass::Source, REASON, message, next)
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::common::LocalRef;
    use serde_json::{Value, json};

    use crate::build::fixtures::World;

    /// A platform that pulls its own images with `mirror-pull`.
    fn world(spec: &Value) -> World {
        let mut world = World::new();
        world.settings.images.pull_secrets = vec!["other-pull".to_owned(), "mirror-pull".to_owned()];
        let mut whole = serde_json::to_value(&world.build.spec).unwrap();
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        world.build.spec = serde_json::from_value(whole).unwrap();
        world
    }

    fn refused(world: &World) -> String {
        let refusal = world.validated().unwrap_err();
        assert_eq!(refusal.reason, "ReservedName", "{}", refusal.message);
        refusal.message
    }

    #[test]
    fn a_reserved_name_is_refused_where_the_schema_was_not_asked() {
        let mut world = World::new();
        world.build.spec.pull_secrets = vec![LocalRef::to("imagefactory-staging")];
        refused(&world);
    }

    #[test]
    fn what_the_platform_pulls_its_own_images_with_is_refused_in_every_field_that_names_a_secret() {
        let git = |secret: &str| json!({"git": {"url": "https://git.example.com/a", "secretRef": {"name": secret}}});
        let step =
            |id: &str, secret: &str| json!({"id": id, "secretRef": {"name": secret, "key": ".dockerconfigjson"}});
        for (field, spec) in [
            (
                "spec.pullSecrets[1].name",
                json!({"pullSecrets": [{"name": "own"}, {"name": "mirror-pull"}]}),
            ),
            (
                "spec.secrets[1].secretRef.name",
                json!({"method": "docker", "secrets": [step("a", "own"), step("b", "mirror-pull")]}),
            ),
            ("spec.source.git.secretRef.name", json!({"source": git("mirror-pull")})),
            (
                "spec.output.pushSecretRef.name",
                json!({"output": {"pushSecretRef": {"name": "mirror-pull"}}}),
            ),
        ] {
            let message = refused(&world(&spec));
            assert!(
                message.starts_with(&format!("{field} names mirror-pull, which is reserved for the factory")),
                "{message}"
            );
            let own = spec.to_string().replace("mirror-pull", "mine");
            let own = world(&serde_json::from_str(&own).unwrap());
            assert!(own.validated().is_ok(), "{field}");
        }
    }

    #[test]
    fn a_project_s_source_or_template_names_no_secret_of_the_platform_for_a_build() {
        let git = json!({"git": {"url": "https://git.example.com/a", "secretRef": {"name": "mirror-pull"}}});
        let mut by_source = world(&json!({}));
        by_source.build.spec.source = None;
        by_source.project.as_mut().unwrap().spec.source = serde_json::from_value(git).unwrap();
        assert!(refused(&by_source).starts_with("spec.source.git.secretRef.name names"));

        let template = json!([{"name": "t", "pullSecrets": [{"name": "mirror-pull"}]}]);
        let mut by_template = world(&json!({"templateRef": {"name": "t"}, "pullSecrets": [{"name": "own"}]}));
        by_template.project.as_mut().unwrap().spec.templates = serde_json::from_value(template).unwrap();
        assert!(refused(&by_template).starts_with("spec.pullSecrets[1].name names"));
    }

    #[test]
    fn a_build_that_has_begun_goes_on_when_a_name_becomes_the_platforms() {
        let mut world = world(&json!({"pullSecrets": [{"name": "own"}]}));
        world.step();
        world.settings.images.pull_secrets.push("own".to_owned());
        assert!(world.validated().is_ok());
        world.build.status = None;
        refused(&world);
    }

    #[test]
    fn a_config_map_of_the_same_name_is_another_object() {
        let bundle = json!({"caBundle": {"name": "mirror-pull", "key": "ca.pem"}});
        assert!(world(&bundle).validated().is_ok());
    }
}
