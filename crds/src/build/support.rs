//! Which method honours which field. A field that a method can't honour is refused, never ignored; the operator and
//! the webhook ask the same function.

use super::{BuildSpec, Method};

/// Code of the refusal (product.md, Denials).
pub const CODE_NOT_SUPPORTED: &str = "field_not_supported";

/// A field that the build's method can't honour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Path of the field, as in `spec.platforms`.
    pub field: &'static str,
    /// Methods that can.
    pub methods: &'static [Method],
}

impl Unsupported {
    /// What is told: the field, the method, and the methods that can.
    #[must_use]
    pub fn message(&self, method: Method) -> String {
        let methods: Vec<_> = self.methods.iter().map(|method| method.as_str()).collect();
        format!(
            "{} can't be honoured by method {}; methods that can: {}.",
            self.field,
            method.as_str(),
            methods.join(", ")
        )
    }
}

const DOCKERFILES: &[Method] = &[Method::Kaniko, Method::Buildx, Method::Docker];
const BUILDKIT: &[Method] = &[Method::Buildx, Method::Docker];
const WITH_SECRETS: &[Method] = &[Method::Buildx, Method::Docker, Method::Custom];

/// The first field of a Build that `method` can't honour.
#[must_use]
pub fn first_unsupported(spec: &BuildSpec, method: Method) -> Option<Unsupported> {
    let source = spec.source.as_ref();
    let rules: [(bool, &'static str, &'static [Method]); 12] = [
        (spec.platforms.len() > 1, "spec.platforms (several)", &[Method::Buildx]),
        (!spec.platforms.is_empty(), "spec.platforms", BUILDKIT),
        (!spec.secrets.is_empty(), "spec.secrets", WITH_SECRETS),
        (spec.custom.is_some(), "spec.custom", &[Method::Custom]),
        (spec.target.is_some(), "spec.target", DOCKERFILES),
        (!spec.build_args.is_empty(), "spec.buildArgs", DOCKERFILES),
        (!spec.labels.is_empty(), "spec.labels", DOCKERFILES),
        (spec.recipe.is_some(), "spec.recipe", DOCKERFILES),
        (!spec.registry_mirrors.is_empty(), "spec.registryMirrors", DOCKERFILES),
        (
            source.is_some_and(|source| source.dockerfile.is_some()),
            "spec.source.dockerfile",
            DOCKERFILES,
        ),
        (spec.cache.is_some(), "spec.cache", DOCKERFILES),
        (
            source.is_some_and(|source| source.context_dir.is_some()) && spec.recipe.is_some(),
            "spec.source.contextDir",
            DOCKERFILES,
        ),
    ];
    rules
        .into_iter()
        .find(|(used, _, methods)| *used && !methods.contains(&method))
        .map(|(_, field, methods)| Unsupported { field, methods })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{BuildSecret, Cache, SecretKeyRef};

    #[test]
    fn a_field_that_a_method_can_t_honour_is_named_with_the_methods_that_can() {
        let several = BuildSpec {
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            ..BuildSpec::default()
        };
        let refused = first_unsupported(&several, Method::Docker).unwrap();
        assert_eq!(
            refused.message(Method::Docker),
            "spec.platforms (several) can't be honoured by method docker; methods that can: buildx."
        );
        assert_eq!(first_unsupported(&several, Method::Buildx), None);
    }

    #[test]
    fn kaniko_has_no_secrets_and_a_custom_builder_no_dockerfile() {
        let secret = BuildSecret {
            id: "token".into(),
            secret_ref: SecretKeyRef {
                name: "mine".into(),
                key: "token".into(),
            },
        };
        let with_secret = BuildSpec {
            secrets: vec![secret],
            ..BuildSpec::default()
        };
        assert!(first_unsupported(&with_secret, Method::Kaniko).is_some());
        for method in WITH_SECRETS {
            assert_eq!(first_unsupported(&with_secret, *method), None);
        }
        let with_cache = BuildSpec {
            cache: Some(Cache::default()),
            target: Some("final".into()),
            ..BuildSpec::default()
        };
        assert_eq!(first_unsupported(&with_cache, Method::Kaniko), None);
        assert_eq!(
            first_unsupported(&with_cache, Method::Custom).unwrap().field,
            "spec.target"
        );
    }
}
