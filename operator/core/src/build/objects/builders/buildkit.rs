//! BuildKit, for the methods buildx and docker: our launcher starts a daemon of the build's own in namespaces of its
//! own, and ends it with the build (docs/decisions/0011). What it is told stands in one variable, as JSON.

use imagefactory_crds::build::CacheMode;
use k8s_openapi::api::core::v1::{Capabilities, Container, SeccompProfile, SecurityContext};

use crate::build::objects::containers::{literal, mount, variable};
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::buildkit::{BuildkitStep, ProxySettings, SecretFile};
use crate::step::{STEP_VARIABLE, paths};

/// Volume of the daemon's state.
pub(super) const STATE: &str = "buildkit-state";

/// What the launcher needs to map users and to own the daemon's files; steps have their own, in a namespace below.
const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETFCAP", "SETGID", "SETUID"];

/// BuildKit's container: root of the pod's own user namespace, and a seccomp profile that lets it make namespaces.
pub(super) fn container(build: &Validated, settings: &Settings) -> Container {
    let mut container = super::container(build, settings);
    let step = serde_json::to_string(&step(build)).unwrap_or_default();
    container
        .env
        .get_or_insert_default()
        .insert(0, variable(STEP_VARIABLE, &literal(&step)));
    container
        .volume_mounts
        .get_or_insert_default()
        .push(mount(STATE, paths::BUILDKIT_STATE));
    Container {
        image: Some(settings.images.buildkit.clone()),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            }),
            seccomp_profile: Some(SeccompProfile {
                type_: "Localhost".to_owned(),
                localhost_profile: Some(settings.builds.buildkit_seccomp_profile.clone()),
            }),
            ..SecurityContext::default()
        }),
        ..container
    }
}

fn step(build: &Validated) -> BuildkitStep {
    let context = match build.context_dir.as_str() {
        "" => paths::WORKSPACE.to_owned(),
        directory => format!("{}/{directory}", paths::WORKSPACE),
    };
    let cached = |directory: &str, modes: &[CacheMode]| modes.contains(&build.cache).then(|| directory.to_owned());
    BuildkitStep {
        context,
        dockerfile: format!("{}/{}", paths::PREPARED, paths::DOCKERFILE),
        layout: paths::LAYOUT.to_owned(),
        state: paths::BUILDKIT_STATE.to_owned(),
        target: build.target.clone(),
        build_args: build.build_args.clone(),
        labels: build.labels.clone(),
        platforms: build.platforms.clone(),
        mirrors: build.mirrors.clone(),
        secrets: build
            .secrets
            .iter()
            .map(|secret| SecretFile {
                id: secret.id.0.clone(),
                path: format!("{}/{}", paths::BUILD_SECRETS, secret.id),
            })
            .collect(),
        cache_import: cached(paths::CACHE_IN, &[CacheMode::Use]),
        cache_export: cached(paths::CACHE_OUT, &[CacheMode::Use, CacheMode::Refresh]),
        source_policy: Some(format!("{}/{}", paths::PREPARED, paths::SOURCE_POLICY)),
        proxy: build.proxy.as_ref().map(proxy).unwrap_or_default(),
    }
}

fn proxy(proxy: &imagefactory_crds::build::Proxy) -> ProxySettings {
    let exceptions: Vec<&str> = proxy.exceptions.iter().map(|exception| exception.as_str()).collect();
    ProxySettings {
        http: proxy.http.as_ref().map(ToString::to_string),
        https: proxy.https.as_ref().map(ToString::to_string),
        none: (!exceptions.is_empty()).then(|| exceptions.join(",")),
    }
}
