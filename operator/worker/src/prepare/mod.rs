//! The first container of a build's pod: looks that the pod is walled off, lays the source out, pins the base
//! images, and hands pull credentials and certificate authorities to the builder.

mod bases;
mod dockerfile;
mod error;
mod git;
mod recipe;
mod source;
mod source_policy;
mod user_namespace;

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use imagefactory_core::step::{Builder, PrepareStep, Prepared, StepFailure, StepSource, paths};
use secrecy::ExposeSecret as _;

use crate::ca::{self, Roots};
use crate::disk::{empty, write_new};
use crate::places::Places;
use crate::proxy::Route;
use crate::registry::{Credentials, Registry};
use bases::Pinned;
use dockerfile::DockerfileError;
use error::PrepareError;
use source::beneath::{self, PathError};

/// Map of user ids, as the kernel tells it.
const UID_MAP: &str = "/proc/self/uid_map";
/// Key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG_KEY: &str = ".dockerconfigjson";
/// What a builder looks for beside a Dockerfile, before it looks for `.dockerignore` in the context.
const IGNORE_SUFFIX: &str = ".dockerignore";
/// Build arguments by which BuildKit is told to read the Dockerfile with another program.
const FRONTEND_ARGUMENTS: [&str; 1] = ["BUILDKIT_SYNTAX"];

/// Prepares a build in the places of a pod.
///
/// # Errors
/// Whatever keeps the build from beginning, told as the Build's status tells it.
pub async fn run(step: &PrepareStep) -> Result<Prepared, StepFailure> {
    run_in(step, &Places::default()).await
}

/// The same below another root.
///
/// # Errors
/// As [`run`].
pub async fn run_in(step: &PrepareStep, places: &Places) -> Result<Prepared, StepFailure> {
    prepare(step, places).await.map_err(StepFailure::from)
}

async fn prepare(step: &PrepareStep, places: &Places) -> Result<Prepared, PrepareError> {
    if step.require_user_namespace {
        user_namespace::check(&places.path(UID_MAP))?;
    } else {
        tracing::warn!("the pod may run without a user namespace of its own: root in it may be root of the node");
    }
    let prepared = places.path(paths::PREPARED);
    for directory in [&places.path(paths::WORKSPACE), &prepared] {
        empty(directory).map_err(|source| PrepareError::Disk {
            what: "the workspace",
            source,
        })?;
    }
    let roots = ca::install(places, true)?;
    roots.write(&prepared.join(paths::CA_FILE))?;
    let credentials = pull_credentials(&step.pull_secrets, places)?;
    write_docker_config(&credentials, &prepared)?;
    if let Some(missing) = step.secrets.iter().find(|id| !is_there(id, places)) {
        return Err(PrepareError::BuildSecret(missing.clone()));
    }
    let roots = match &step.proxy {
        Some(proxy) => roots.by(Route::by(proxy)?),
        None => roots,
    };
    let registry = Registry::new(credentials, &roots)
        .map_err(PrepareError::Client)?
        .with_mirrors(step.mirrors.clone(), step.platform_mirrors.clone());
    let mut images = Vec::new();
    let mut commit = None;
    if let StepSource::Oci { image } = &step.source {
        images.push(source::oci::fetch(image, step, &registry, &places.path(paths::WORKSPACE)).await?);
    } else {
        commit = lay_out(&step.source, places, &roots).await?;
    }
    match step.builder {
        Builder::Kaniko | Builder::Buildkit => images.extend(pin(step, places, &registry).await?),
        // What it does with the source is its own affair.
        Builder::Custom => drop(context(step, places)?),
    }
    let (bases, more_bases) = bases::reported(&images);
    Ok(Prepared {
        commit,
        bases,
        more_bases,
    })
}

/// Writes the Dockerfile with its images pinned, and what holds the builder to them.
async fn pin(step: &PrepareStep, places: &Places, registry: &Registry) -> Result<Vec<Pinned>, PrepareError> {
    if step.builder == Builder::Buildkit
        && let Some(name) = FRONTEND_ARGUMENTS
            .into_iter()
            .find(|name| step.build_args.iter().any(|given| given.name.as_str() == *name))
    {
        return Err(PrepareError::BuildArgument(name));
    }
    let prepared = places.path(paths::PREPARED);
    let text = read_dockerfile(step, places, &prepared)?;
    let uses = dockerfile::uses(&text, &step.build_args, step.target.as_deref(), step.builder)?;
    // Nobody is asked anything before everything is allowed.
    let mut images = bases::allowed(&uses, step)?;
    for image in &mut images {
        image.resolve(registry).await?;
    }
    let pinned = dockerfile::pin(&text, &uses, &bases::names(&images, step.builder))?;
    write(&prepared.join(paths::DOCKERFILE), pinned.as_bytes(), 0o644)?;
    if step.builder == Builder::Buildkit {
        let names: Vec<_> = images.iter().filter_map(Pinned::name).collect();
        let policy = source_policy::policy(names.iter().map(String::as_str));
        write(&prepared.join(paths::SOURCE_POLICY), policy.as_bytes(), 0o644)?;
    }
    Ok(images)
}

/// Whether a secret of the build is mounted. It is looked for and not read.
fn is_there(id: &str, places: &Places) -> bool {
    !id.contains('/') && places.path(paths::BUILD_SECRETS).join(id).is_file()
}

/// The directory of the source that is the context.
fn context(step: &PrepareStep, places: &Places) -> Result<PathBuf, PrepareError> {
    beneath::directory(&places.path(paths::WORKSPACE), &step.context_dir).map_err(PrepareError::ContextDir)
}

/// Lays the source out on a thread of its own: not one of the runtime's, whose end would wait for it when the pod is stopped.
async fn lay_out(source: &StepSource, places: &Places, roots: &Roots) -> Result<Option<String>, PrepareError> {
    let (source, places, roots) = (source.clone(), places.clone(), roots.clone());
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(done.send(source::lay_out(&source, &places, &roots))));
    result.await.map_err(|_| PrepareError::BrokenOff)?
}

fn pull_credentials(secrets: &[String], places: &Places) -> Result<Credentials, PrepareError> {
    let directory = places.path(paths::PULL_CREDENTIALS);
    let mut all = Credentials::none();
    for (number, name) in secrets.iter().enumerate() {
        let file = directory.join(number.to_string()).join(DOCKER_CONFIG_KEY);
        let read = Credentials::load(&[file]).map_err(|source| PrepareError::PullSecret {
            name: name.clone(),
            source,
        })?;
        all = all.or(read);
    }
    Ok(all)
}

/// One file of all pull secrets, with nothing in it but names and passwords: a `credHelpers` would be a program to run.
fn write_docker_config(credentials: &Credentials, prepared: &Path) -> Result<(), PrepareError> {
    let directory = prepared.join("docker");
    let made = DirBuilder::new().mode(0o700).create(&directory);
    made.map_err(|source| PrepareError::Disk {
        what: "the directory of pull credentials",
        source,
    })?;
    write(
        &directory.join("config.json"),
        credentials.to_docker_config().expose_secret().as_bytes(),
        0o400,
    )
}

/// The Dockerfile's text, from the source or from the recipe. What it ignores goes where the builder looks for it.
fn read_dockerfile(step: &PrepareStep, places: &Places, prepared: &Path) -> Result<String, PrepareError> {
    if let StepSource::Recipe(recipe) = &step.source {
        return Ok(recipe::dockerfile(recipe)?);
    }
    let workspace = places.path(paths::WORKSPACE);
    let context = context(step, places)?;
    let path = beneath::file(&workspace, &context, &step.dockerfile).map_err(PrepareError::DockerfilePath)?;
    let text = String::from_utf8(read(&path, &step.dockerfile)?).map_err(|_| DockerfileError::NotText)?;

    let ignored = format!("{}{IGNORE_SUFFIX}", step.dockerfile);
    match beneath::file(&workspace, &context, &ignored) {
        Ok(path) => {
            let target = prepared.join(format!("{}{IGNORE_SUFFIX}", paths::DOCKERFILE));
            write(&target, &read(&path, &ignored)?, 0o644)?;
        }
        Err(PathError::NotFound { .. }) => {}
        Err(error) => return Err(PrepareError::DockerfilePath(error)),
    }
    Ok(text)
}

fn read(path: &Path, shown: &str) -> Result<Vec<u8>, PrepareError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let most = dockerfile::lines::MAX_DOCKERFILE as u64 + 1;
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|source| {
        PrepareError::DockerfilePath(PathError::Io {
            path: shown.to_owned(),
            source,
        })
    })?;
    if bytes.len() as u64 == most {
        return Err(DockerfileError::TooLong.into());
    }
    Ok(bytes)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), PrepareError> {
    write_new(path, content, mode).map_err(|source| PrepareError::Disk {
        what: "what the builder is given",
        source,
    })
}
