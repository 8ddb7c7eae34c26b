//! A program of the tenant's that writes an OCI layout. The kubelet pulls its image, by digest, with the build's pull
//! secrets; what it writes passes the same gate as everything else.

use k8s_openapi::api::core::v1::{Container, EnvVar, SecurityContext};

use super::capabilities;
use crate::build::objects::containers::{literal, runtime_default, variable};
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::paths;

/// The custom builder's container.
pub(super) fn container(build: &Validated, settings: &Settings) -> Container {
    let container = super::container(build, settings);
    let Some(custom) = &build.custom else {
        return container;
    };
    let list = |texts: &[imagefactory_crds::common::TextLine]| {
        let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
        (!texts.is_empty()).then_some(texts)
    };
    // Its own variables first: of two of one name the later counts, and ours say where credentials and CAs lie.
    let environment: Vec<EnvVar> = custom
        .env
        .iter()
        .map(|named| variable(&named.name, &literal(&named.value)))
        .chain(container.env.iter().flatten().cloned())
        .collect();
    let working_dir = match build.context_dir.as_str() {
        "" => paths::WORKSPACE.to_owned(),
        directory => format!("{}/{directory}", paths::WORKSPACE),
    };
    Container {
        image: Some(custom.image.0.clone()),
        // Always: so the registry is asked whether this tenant may have it, also where the node has it already.
        image_pull_policy: Some("Always".to_owned()),
        command: list(&custom.command),
        args: list(&custom.args),
        working_dir: Some(working_dir),
        env: Some(dedup(environment)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            seccomp_profile: Some(runtime_default()),
            capabilities: Some(capabilities()),
            ..SecurityContext::default()
        }),
        ..container
    }
}

/// The last of each name, as the kubelet would take it.
fn dedup(environment: Vec<EnvVar>) -> Vec<EnvVar> {
    let names: Vec<String> = environment.iter().map(|variable| variable.name.clone()).collect();
    let is_last = |index: usize| {
        names
            .get(index)
            .is_some_and(|name| names.iter().rposition(|other| other == name) == Some(index))
    };
    environment
        .into_iter()
        .enumerate()
        .filter(|(index, _)| is_last(*index))
        .map(|(_, variable)| variable)
        .collect()
}
