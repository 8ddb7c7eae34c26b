//! `operator logs`: prints the logs of a build that are kept, for administrators.

use std::io::Write;

use imagefactory_core::build::logs::{directory, is_segment};
use imagefactory_core::build::names::Identity;
use imagefactory_crds::Build;
use kube::{Api, Client};

use crate::archive::{Archive, ArchiveError, StoredLog};
use crate::config::LogsArgs;

/// Why logs can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowLogsError {
    /// Neither form.
    #[error("name a build as <namespace>/<build>, or as <tenant>/<project>/<uid> if it is gone")]
    Name,
    /// The Build can't be read.
    #[error("could not read the Build {name} in {namespace}; if it is gone, name it as <tenant>/<project>/<uid>")]
    Build {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// It is no build of a tenant.
    #[error("{0} is not in the namespace of a tenant")]
    Foreign(String),
    /// The store can't be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing is kept.
    #[error("no log is kept of {0}")]
    None(String),
    /// The output is closed.
    #[error("could not write")]
    Output(#[from] std::io::Error),
}

/// Prints the logs that are kept of a build, each under its name.
///
/// # Errors
/// When the build or its logs can't be found or read, or the output is closed.
pub async fn show(
    args: &LogsArgs,
    client: impl Future<Output = Result<Client, kube::Error>>,
    archive: &Archive,
    output: &mut (dyn Write + Send),
) -> Result<(), ShowLogsError> {
    let parts: Vec<&str> = args.build.split('/').collect();
    if !parts.iter().all(|part| is_segment(part)) {
        return Err(ShowLogsError::Name);
    }
    let directory = match parts[..] {
        [tenant, project, uid] => directory(tenant, project, uid),
        [namespace, name] => directory_of(namespace, name, client).await?,
        _ => return Err(ShowLogsError::Name),
    };
    let logs = archive.logs(&directory).await?;
    let chosen: Vec<&StoredLog> = logs.iter().filter(|log| is_asked_for(log, args)).collect();
    if chosen.is_empty() {
        return Err(ShowLogsError::None(args.build.clone()));
    }
    for log in chosen {
        writeln!(output, "==> {} ({} bytes) <==", log.name, log.bytes)?;
        archive.print(log, output).await?;
        writeln!(output)?;
    }
    Ok(())
}

/// `2/build-push.log`: attempt, stage, container.
fn is_asked_for(log: &StoredLog, args: &LogsArgs) -> bool {
    let (attempt, name) = log.name.split_once('/').unwrap_or(("", &log.name));
    let container = name.split_once('-').map_or("", |(_, container)| container);
    let attempts = args.attempt.is_none_or(|wanted| attempt == wanted.to_string());
    let containers = args.container.as_ref();
    attempts && containers.is_none_or(|wanted| container.strip_suffix(".log") == Some(wanted))
}

async fn directory_of(
    namespace: &str,
    name: &str,
    client: impl Future<Output = Result<Client, kube::Error>>,
) -> Result<String, ShowLogsError> {
    let failed = |source| ShowLogsError::Build {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    };
    let builds: Api<Build> = Api::namespaced(client.await.map_err(failed)?, namespace);
    let build = builds.get(name).await.map_err(failed)?;
    let identity = Identity::of(&build).ok_or_else(|| ShowLogsError::Foreign(format!("{namespace}/{name}")))?;
    Ok(directory(&identity.tenant, &identity.project, &identity.uid))
}
