//! What can go wrong in this step, and how it is told: class, reason, message, what to do next.

use imagefactory_core::step::StepFailure;
use imagefactory_crds::build::FailureClass;

use super::dockerfile::DockerfileError;
use super::git::GitError;
use super::recipe::RecipeError;
use super::source::beneath::PathError;
use super::source::files::FilesError;
use super::source::oci::OciError;
use super::user_namespace::UserNamespaceError;
use crate::ca::CaError;
use crate::failure::ca_failure;
use crate::proxy::ProxyError;
use crate::registry::{CredentialError, NameError, RegistryError, chain};

/// A message's bound in the status, and some room.
const MAX_MESSAGE: usize = 500;
const MAX_NEXT: usize = 250;

const ASK_ADMINISTRATOR: &str = "Try again; if it lasts, tell your administrator.";

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// Root of the pod may be root of the node.
    #[error(transparent)]
    UserNamespace(#[from] UserNamespaceError),
    /// Certificate authorities.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A Git source.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A source of files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The directory that is the context.
    #[error("contextDir: {0}")]
    ContextDir(#[source] PathError),
    /// The path of the Dockerfile.
    #[error("dockerfile: {0}")]
    DockerfilePath(#[source] PathError),
    /// The Dockerfile itself.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// A recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Something that is not the name of an image.
    #[error("{place}")]
    Name {
        /// Where it stands.
        place: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// An image that the tenant may not pull. No request was sent.
    #[error("{place}: {repository} lies outside what may be pulled, which is {allowed}")]
    NotAllowed {
        /// Where it stands.
        place: String,
        /// Its repository.
        repository: String,
        /// Prefixes that are allowed.
        allowed: String,
    },
    /// An image of the platform's own registries that is not the tenant's. No request was sent.
    #[error("{place}: {repository} lies in the platform's own registries, in no part that the tenant may pull from")]
    Closed {
        /// Where it stands.
        place: String,
        /// Its repository, or that of a mirror that the Build names for it.
        repository: String,
    },
    /// A build argument that would change what reads the Dockerfile.
    #[error("the build argument {0} is not allowed: it names a program that is not pinned")]
    BuildArgument(&'static str),
    /// A secret of the build that is not there.
    #[error("the build's secret {0:?} is not there")]
    BuildSecret(String),
    /// A proxy that is none.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A source that is an OCI artifact.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A base image.
    #[error("the image {reference:?} can't be had")]
    Base {
        /// As the Dockerfile names it.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// A pull secret.
    #[error("the pull secret {name} can't be used")]
    PullSecret {
        /// Name of the Secret.
        name: String,
        /// Why.
        #[source]
        source: CredentialError,
    },
    /// The client for registries.
    #[error(transparent)]
    Client(RegistryError),
    /// The disk.
    #[error("{what} can't be written")]
    Disk {
        /// What was to be written.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread of ours broke off.
    #[error("laying the source out broke off")]
    BrokenOff,
}

impl PrepareError {
    fn class(&self) -> FailureClass {
        match self {
            Self::UserNamespace(_) | Self::Ca(_) | Self::Client(_) | Self::Disk { .. } | Self::BrokenOff => {
                FailureClass::Infrastructure
            }
            Self::Git(error) if error.is_ours() => FailureClass::Infrastructure,
            Self::Files(FilesError::Write { .. }) => FailureClass::Infrastructure,
            Self::Oci(OciError::Disk(_)) => FailureClass::Infrastructure,
            Self::Base { .. }
            | Self::PullSecret { .. }
            | Self::Oci(OciError::Unresolved { .. } | OciError::Registry { .. }) => FailureClass::Pull,
            _ => FailureClass::Source,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UserNamespace(_) => "UserNamespaceMissing",
            Self::Ca(_) => "InvalidCaBundle",
            Self::Git(error) => error.reason(),
            Self::Files(FilesError::Path(error)) => path_reason(error, "PathNotFound"),
            Self::Files(FilesError::Twice { .. }) => "InvalidPath",
            Self::Files(FilesError::NoConfigMap(_)) => "ConfigMapNotFound",
            Self::Files(FilesError::TooLarge) => "SourceTooLarge",
            Self::Files(FilesError::Write { .. }) | Self::Disk { .. } => "WorkspaceFailed",
            Self::ContextDir(error) => path_reason(error, "PathNotFound"),
            Self::DockerfilePath(error) => path_reason(error, "DockerfileNotFound"),
            Self::Dockerfile(DockerfileError::TargetNotFound { .. }) => "TargetNotFound",
            Self::Dockerfile(_) | Self::Name { .. } => "InvalidDockerfile",
            Self::Recipe(_) => "InvalidRecipe",
            Self::NotAllowed { .. } | Self::Closed { .. } => "RegistryNotAllowed",
            Self::BuildArgument(_) => "InvalidBuildArgument",
            Self::BuildSecret(_) => "SecretNotFound",
            Self::Proxy(_) => "InvalidProxy",
            Self::Oci(error) => error.reason(),
            Self::Base { source, .. } => match source.reason() {
                "RegistryNotFound" => "BaseImageNotFound",
                "RegistryUnauthorized" => "BaseImageUnauthorized",
                "RegistryUnavailable" => "RegistryUnreachable",
                other => other,
            },
            Self::PullSecret {
                source: CredentialError::Missing { .. },
                ..
            } => "SecretNotFound",
            Self::PullSecret { .. } => "InvalidPullSecret",
            Self::Client(_) => "ClientFailed",
            Self::BrokenOff => "PrepareFailed",
        }
    }

    fn next(&self) -> String {
        let text = match self {
            Self::UserNamespace(_) => {
                "Tell your administrator: the node's container runtime must support user namespaces (hostUsers: false)."
            }
            Self::Git(error) => error.next(),
            Self::Files(FilesError::Path(_) | FilesError::Twice { .. }) => {
                "Name each file by a plain relative path of its own, without '..'."
            }
            Self::Files(FilesError::NoConfigMap(_)) => "Create the ConfigMap, or correct its name.",
            Self::Files(FilesError::TooLarge) => "Use a Git source for large files.",
            Self::ContextDir(PathError::NotFound { .. }) => "Check contextDir against the source.",
            Self::DockerfilePath(PathError::NotFound { .. }) => {
                "Check dockerfile: it is a path in the context directory."
            }
            Self::ContextDir(_) | Self::DockerfilePath(_) => {
                "Name a path inside the source; symbolic links may not lead out of it."
            }
            Self::Dockerfile(DockerfileError::TargetNotFound { .. }) => {
                "Correct target, or name a stage so with FROM … AS."
            }
            Self::Dockerfile(_) | Self::Name { .. } => "Correct the Dockerfile.",
            Self::Recipe(_) => "Correct the recipe.",
            Self::NotAllowed { .. } => {
                "Use an image that lies under one of these, or ask your administrator to list its registry in the Tenant's registries."
            }
            Self::Closed { .. } => {
                "Use an image that the tenant published itself or one of another registry, or ask a platform administrator to list the prefix: staging and other tenants' images are not pulled."
            }
            Self::BuildArgument(_) => "Take it out of buildArgs; a `# syntax=` line in the Dockerfile does the same.",
            Self::BuildSecret(_) => {
                "Create the Secret with this key in this namespace, or correct secretRef in a new Build."
            }
            Self::Proxy(_) => "Correct the Build's proxy.",
            Self::Oci(OciError::Unresolved { source, .. } | OciError::Registry { source }) => return base_next(source),
            Self::Oci(error) => error.next(),
            Self::Base { source, .. } => return base_next(source),
            Self::PullSecret {
                source: error @ CredentialError::Missing { .. },
                ..
            } => error.next(),
            Self::PullSecret { .. } => {
                "Correct the Secret that pullSecrets names; `kubectl create secret docker-registry` makes a right one."
            }
            Self::Ca(_)
            | Self::Files(FilesError::Write { .. })
            | Self::Client(_)
            | Self::Disk { .. }
            | Self::BrokenOff => ASK_ADMINISTRATOR,
        };
        text.to_owned()
    }
}

fn path_reason(error: &PathError, missing: &'static str) -> &'static str {
    match error {
        PathError::NotFound { .. } => missing,
        _ => "InvalidPath",
    }
}

fn base_next(error: &RegistryError) -> String {
    match error.reason() {
        "RegistryNotFound" => "Check the image's name and tag.".to_owned(),
        // Docker Hub says so of what does not exist, too.
        "RegistryUnauthorized" => {
            "Check the image's name. If it is private, name a Secret with a credential for its registry in pullSecrets."
                .to_owned()
        }
        _ => error.next(),
    }
}

impl From<PrepareError> for StepFailure {
    fn from(error: PrepareError) -> Self {
        if let PrepareError::Ca(error) = &error {
            return ca_failure(error);
        }
        Self {
            class: error.class(),
            reason: error.reason().to_owned(),
            message: one_line(&chain(&error), MAX_MESSAGE),
            next: one_line(&error.next(), MAX_NEXT),
        }
    }
}

/// Text as a status may carry it: one line, and not too long, also where JSON writes a character as two.
fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for letter in text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
    {
        length += if matches!(letter, '"' | '\\') {
            2
        } else {
            letter.len_utf8()
        };
        if length + '…'.len_utf8() > most {
            line.push('…');
            break;
        }
        line.push(letter);
    }
    line
}

#[cfg(test)]
mod tests {
    use imagefactory_core::step::{Prepared, Report};

    use super::*;

    #[test]
    fn a_failure_fits_the_status_whatever_was_written() {
        let path = "\u{1F980}\n\"\\".repeat(2000);
        let failure = StepFailure::from(PrepareError::ContextDir(PathError::NotFound { path }));
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Source, "PathNotFound")
        );
        assert!(failure.message.len() <= MAX_MESSAGE && failure.message.ends_with('…'));
        let report = Report::<Prepared>::Failed(failure.clone());
        assert_eq!(Report::decode(&report.encode()), Some(report));
        assert!(!failure.message.contains('\n') && failure.message.starts_with("contextDir: the source has no"));
    }

    #[test]
    fn the_same_path_error_has_the_reason_of_its_place() {
        let missing = || PathError::NotFound { path: "x".to_owned() };
        let outside = || PathError::Escapes { path: "x".to_owned() };
        for (error, reason) in [
            (PrepareError::ContextDir(missing()), "PathNotFound"),
            (PrepareError::DockerfilePath(missing()), "DockerfileNotFound"),
            (PrepareError::ContextDir(outside()), "InvalidPath"),
            (PrepareError::DockerfilePath(outside()), "InvalidPath"),
        ] {
            assert_eq!(error.reason(), reason);
        }
    }
}
