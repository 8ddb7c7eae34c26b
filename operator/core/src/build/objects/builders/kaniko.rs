//! Kaniko, started by our own program, which passes on all that it says and how it ends, and tells what it used. Its
//! arguments are a list, never a shell's line.

use imagefactory_crds::build::CacheMode;
use k8s_openapi::api::core::v1::{Container, SecurityContext};

use super::{capabilities, proxy_values};
use crate::build::objects::containers::{literal, runtime_default};
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::paths;

/// Where every image of Kaniko has its program.
const EXECUTOR: &str = "/kaniko/executor";

/// Kaniko's container: root of the pod's own user namespace, the runtime's own seccomp profile.
pub(super) fn container(build: &Validated, settings: &Settings) -> Container {
    Container {
        image: Some(settings.images.kaniko.clone()),
        command: Some(vec![
            format!("{}/{}", paths::PREPARED, paths::LAUNCHER),
            "launch".to_owned(),
            EXECUTOR.to_owned(),
        ]),
        args: Some(arguments(build)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            seccomp_profile: Some(runtime_default()),
            capabilities: Some(capabilities()),
            ..SecurityContext::default()
        }),
        ..super::container(build, settings)
    }
}

fn arguments(build: &Validated) -> Vec<String> {
    let context = match build.context_dir.as_str() {
        "" => paths::WORKSPACE.to_owned(),
        directory => format!("{}/{directory}", paths::WORKSPACE),
    };
    let mut arguments = vec![
        format!("--context=dir://{context}"),
        format!("--dockerfile={}/{}", paths::PREPARED, paths::DOCKERFILE),
        "--no-push".to_owned(),
        format!("--oci-layout-path={}", paths::LAYOUT),
        "--force".to_owned(),
        "--log-format=text".to_owned(),
    ];
    if build.cache != CacheMode::Disabled {
        // Kaniko makes a layout `k:<key>` for each step, and reads and writes at one place: `load-cache` puts there
        // what it found. What it takes from an archive on disk would be a base image: there is none.
        arguments.push("--cache=true".to_owned());
        arguments.push(format!("--cache-repo=oci:{}/k", paths::CACHE_OUT));
        arguments.push("--cache-copy-layers=true".to_owned());
    }
    arguments.extend(build.target.iter().map(|target| format!("--target={target}")));
    let named = |option: &str, name: &str, value: &str| format!("--{option}={name}={value}");
    arguments.extend(
        proxy_of_steps(build)
            .iter()
            .map(|(name, value)| named("build-arg", name, value)),
    );
    arguments.extend(
        build
            .build_args
            .iter()
            .map(|argument| named("build-arg", &argument.name, &argument.value)),
    );
    arguments.extend(
        build
            .labels
            .iter()
            .map(|label| named("label", &label.name, &label.value)),
    );
    arguments.extend(build.mirrors.iter().map(|mirror| {
        let registry = match mirror.registry.as_str() {
            "docker.io" => "index.docker.io",
            registry => registry,
        };
        named("registry-map", registry, &mirror.mirror)
    }));
    arguments.iter().map(|argument| literal(argument)).collect()
}

/// Kaniko gives a step the image's environment and no variable of its own, but arguments of these names without an ARG line,
/// as `docker build` does, and keeps them out of the image. What the build names itself counts.
fn proxy_of_steps(build: &Validated) -> Vec<(String, String)> {
    let is_named = |name: &str| build.build_args.iter().any(|argument| argument.name.as_str() == name);
    let mut values: Vec<_> = build.proxy.iter().flat_map(proxy_values).collect();
    values.retain(|(name, _)| !is_named(name));
    values
}
