//! `operator logs`: prints the logs of a build or a scan that are kept, for administrators.

use std::io::Write;

use imagefactory_core::build::logs::{directory, is_segment};
use imagefactory_core::retention::Ends;
use imagefactory_core::work::Work;
use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::{Build, GROUP, ImageScan};
use k8s_openapi::NamespaceResourceScope;
use kube::core::CustomResourceExt;
use kube::{Api, Client, Resource, ResourceExt};

use crate::apply::Writable;
use crate::archive::{Archive, ArchiveError, StoredLog};
use crate::config::LogsArgs;

/// Why logs can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowLogsError {
    /// None of the forms.
    #[error(
        "name a build as <namespace>/<build>, a scan as --namespace <namespace> imagescan/<scan>, \
         or either as <tenant>/<project>/<uid> if it is gone"
    )]
    Name,
    /// A kind whose logs nobody keeps.
    #[error("no logs are kept of {0:?}: name a build, as in build/<name>, or a scan, as in imagescan/<name>")]
    Kind(String),
    /// A kind and a name.
    #[error("say in which namespace it is, as in --namespace tenant-acme {0}")]
    Namespace(String),
    /// It can't be read.
    #[error("could not read the {kind} {name} in {namespace}; if it is gone, name it as <tenant>/<project>/<uid>")]
    Read {
        /// Build or ImageScan.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// There is only one of the other kind.
    #[error(
        "there is no {kind} {name} in {namespace}, but {other} of that name: --namespace {namespace} {word}/{name}"
    )]
    Other {
        /// The kind that was named.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// The other kind, with the article.
        other: &'static str,
        /// The word that names it.
        word: String,
    },
    /// It is of no tenant.
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

/// Prints the logs that are kept of a build or a scan, each under its name.
///
/// # Errors
/// When the run or its logs can't be found or read, or the output is closed.
pub async fn show(
    args: &LogsArgs,
    client: impl Future<Output = Result<Client, kube::Error>>,
    archive: &Archive,
    output: &mut (dyn Write + Send),
) -> Result<(), ShowLogsError> {
    let directory = match named(args)? {
        Named::Gone(directory) => directory,
        Named::There(there) => there.directory(client).await?,
    };
    let logs = archive.logs(&directory).await?;
    let chosen: Vec<&StoredLog> = logs.iter().filter(|log| is_asked_for(log, args)).collect();
    if chosen.is_empty() {
        return Err(ShowLogsError::None(args.name.clone()));
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

/// What the words name.
enum Named {
    /// One that may be gone, by where its logs lie.
    Gone(String),
    /// One that is to be asked for.
    There(There),
}

/// A Build or an ImageScan.
struct There {
    work: Work,
    namespace: String,
    name: String,
}

fn named(args: &LogsArgs) -> Result<Named, ShowLogsError> {
    let parts: Vec<&str> = args.namespace.iter().map(String::as_str).collect();
    let named: Vec<&str> = args.name.split('/').collect();
    if !parts.iter().chain(&named).all(|part| is_segment(part)) {
        return Err(ShowLogsError::Name);
    }
    let there = |work, namespace: &str, name: &str| {
        Named::There(There {
            work,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    };
    match (&parts[..], &named[..]) {
        ([], [tenant, project, uid]) => Ok(Named::Gone(directory(tenant, project, uid))),
        // No tenant's namespace is called as a kind is.
        ([], [kind, _]) if work_of(kind).is_some() => Err(ShowLogsError::Namespace(args.name.clone())),
        ([], [namespace, name]) | ([namespace], [name]) => Ok(there(Work::Build, namespace, name)),
        ([namespace], [kind, name]) => match work_of(kind) {
            Some(work) => Ok(there(work, namespace, name)),
            None => Err(ShowLogsError::Kind((*kind).to_owned())),
        },
        _ => Err(ShowLogsError::Name),
    }
}

/// The kind that a word means, as kubectl takes it: kind, plural or short name, with or without the group.
fn work_of(word: &str) -> Option<Work> {
    let word = word.to_lowercase();
    let bare = word.strip_suffix(&format!(".{GROUP}")).unwrap_or(&word);
    if is_called::<Build>(bare) {
        Some(Work::Build)
    } else if is_called::<ImageScan>(bare) {
        Some(Work::Scan)
    } else {
        None
    }
}

fn is_called<K: Resource<DynamicType = ()> + CustomResourceExt>(word: &str) -> bool {
    word == K::kind(&()).to_lowercase() || word == K::plural(&()) || K::shortnames().contains(&word)
}

impl There {
    /// Where its logs lie.
    async fn directory(
        &self,
        client: impl Future<Output = Result<Client, kube::Error>>,
    ) -> Result<String, ShowLogsError> {
        let client = client.await.map_err(|source| self.unread(source))?;
        let found = match self.work {
            Work::Build => self.lies::<Build>(&client).await?,
            Work::Scan => self.lies::<ImageScan>(&client).await?,
        };
        match found {
            Ok(directory) => Ok(directory),
            Err(absent) => Err(self.other(&client).await.unwrap_or_else(|| self.unread(absent))),
        }
    }

    /// Where its logs lie, or that it is absent.
    async fn lies<K>(&self, client: &Client) -> Result<Result<String, kube::Error>, ShowLogsError>
    where
        K: Ends + Writable + Resource<Scope = NamespaceResourceScope>,
    {
        let found = match Api::<K>::namespaced(client.clone(), &self.namespace)
            .get(&self.name)
            .await
        {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Err(kube::Error::Api(status))),
            Err(source) => return Err(self.unread(source)),
        };
        let tenant = tenant_of_namespace(&self.namespace);
        let foreign = || ShowLogsError::Foreign(format!("{}/{}", self.namespace, self.name));
        let (tenant, uid) = tenant.zip(found.uid()).ok_or_else(foreign)?;
        Ok(Ok(directory(tenant, found.project(), &uid)))
    }

    /// What to say where there is one of the other kind.
    async fn other(&self, client: &Client) -> Option<ShowLogsError> {
        let (other, found) = match self.work {
            Work::Build => (Work::Scan, self.lies::<ImageScan>(client).await),
            Work::Scan => (Work::Build, self.lies::<Build>(client).await),
        };
        let _ = found.ok()?.ok()?;
        Some(ShowLogsError::Other {
            kind: self.work.kind(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            other: other.a_kind(),
            word: other.kind().to_lowercase(),
        })
    }

    fn unread(&self, source: kube::Error) -> ShowLogsError {
        ShowLogsError::Read {
            kind: self.work.kind(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests;
