//! Which Secrets are referred to, and by which field.

use super::{BuildSecret, BuildSpec, BuildTemplate, Source};
use crate::ProjectSpec;
use crate::common::LocalRef;

/// A Secret of the tenant's namespace that a spec refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret<'a> {
    /// Path of the field, as in `spec.pullSecrets[0].name`.
    pub field: String,
    /// Name of the Secret.
    pub name: &'a str,
}

impl BuildSpec {
    /// Every Secret that it refers to.
    #[must_use]
    pub fn secrets_named(&self) -> Vec<NamedSecret<'_>> {
        let push = (self.output.as_ref()).and_then(|output| output.push_secret_ref.as_ref());
        let lists = of_lists("spec", &self.pull_secrets, &self.secrets);
        let single = of_references("spec", self.source.as_deref(), push);
        lists.chain(single).collect()
    }
}

impl BuildTemplate {
    fn secrets_named<'a>(&'a self, place: &str) -> Vec<NamedSecret<'a>> {
        let push = (self.output.as_ref()).and_then(|output| output.push_secret_ref.as_ref());
        let lists = of_lists(place, &self.inputs.pull_secrets, &self.inputs.secrets);
        let single = of_references(place, self.inputs.source.as_deref(), push);
        lists.chain(single).collect()
    }
}

impl ProjectSpec {
    /// Every Secret that it refers to, by its source or a template.
    #[must_use]
    pub fn secrets_named(&self) -> Vec<NamedSecret<'_>> {
        let templates = (self.templates.iter().enumerate())
            .flat_map(|(index, template)| template.secrets_named(&format!("spec.templates[{index}]")));
        of_references("spec", self.source.as_ref(), None)
            .chain(templates)
            .collect()
    }
}

fn of_lists<'a>(place: &str, pull: &'a [LocalRef], steps: &'a [BuildSecret]) -> impl Iterator<Item = NamedSecret<'a>> {
    let pull = pull.iter().enumerate().map(move |(index, secret)| NamedSecret {
        field: format!("{place}.pullSecrets[{index}].name"),
        name: secret.name.as_str(),
    });
    let steps = steps.iter().enumerate().map(move |(index, secret)| NamedSecret {
        field: format!("{place}.secrets[{index}].secretRef.name"),
        name: secret.secret_ref.name.as_str(),
    });
    pull.chain(steps)
}

fn of_references<'a>(
    place: &str,
    source: Option<&'a Source>,
    push: Option<&'a LocalRef>,
) -> impl Iterator<Item = NamedSecret<'a>> {
    let git = source
        .and_then(|source| source.git.as_ref())
        .and_then(|git| git.secret_ref.as_ref());
    let named = [("source.git.secretRef", git), ("output.pushSecretRef", push)];
    named.into_iter().filter_map(move |(field, secret)| {
        Some(NamedSecret {
            field: format!("{place}.{field}.name"),
            name: secret?.name.as_str(),
        })
    })
}
