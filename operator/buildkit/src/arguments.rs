//! The argument vector of `buildctl build`.

use std::path::Path;

use imagefactory_core::step::buildkit::BuildkitStep;

use crate::workdir::Workdir;

/// Arguments for a step that [`crate::check::check`] let through. Each flag carries its value in the same argument, so
/// that no value is ever taken for a flag.
#[must_use]
pub fn build_arguments(step: &BuildkitStep, workdir: &Workdir) -> Vec<String> {
    let mut arguments = vec![
        format!("--addr={}", workdir.address()),
        "build".to_owned(),
        "--progress=plain".to_owned(),
        "--frontend=dockerfile.v0".to_owned(),
        format!("--local=context={}", step.context),
        format!("--local=dockerfile={}", workdir.dockerfile_dir().display()),
        "--opt=filename=Dockerfile".to_owned(),
        format!("--output=type=oci,tar=false,dest={}", step.layout),
    ];
    arguments.extend(step.target.iter().map(|target| format!("--opt=target={target}")));
    if !step.platforms.is_empty() {
        arguments.push(format!("--opt=platform={}", step.platforms.join(",")));
    }
    arguments.extend(proxy_arguments(step));
    arguments.extend(
        step.build_args
            .iter()
            .map(|argument| format!("--opt=build-arg:{}={}", argument.name, argument.value)),
    );
    arguments.extend(
        step.labels
            .iter()
            .map(|label| format!("--opt=label:{}={}", label.name, label.value)),
    );
    arguments.extend(
        step.secrets
            .iter()
            .map(|secret| format!("--secret=type=file,id={},src={}", secret.id, secret.path)),
    );
    arguments.extend(cache_arguments(step));
    arguments.extend(
        step.source_policy
            .iter()
            .map(|file| format!("--source-policy-file={file}")),
    );
    arguments
}

/// As `docker build` does it: in both spellings. BuildKit keeps these names out of the image's history and of cache
/// keys. What the build names itself comes later and counts.
fn proxy_arguments(step: &BuildkitStep) -> impl Iterator<Item = String> {
    step.proxy.variables().flat_map(|(name, value)| {
        [name.to_owned(), name.to_ascii_lowercase()].map(|name| format!("--opt=build-arg:{name}={value}"))
    })
}

fn cache_arguments(step: &BuildkitStep) -> impl Iterator<Item = String> {
    let import = step
        .cache_import
        .iter()
        .filter(|directory| Path::new(directory).join("index.json").is_file())
        .map(|directory| format!("--import-cache=type=local,src={directory}"));
    let export = step.cache_export.iter().map(|directory| {
        format!(
            "--export-cache=type=local,dest={directory},mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"
        )
    });
    import.chain(export)
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
