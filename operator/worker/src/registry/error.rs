//! What can go wrong at a registry, told with host and repository, never with a credential.

use std::time::Duration;

use super::body::BodyFault;
use super::digest::Digest;
use super::docker_config::CredentialError;
use super::name::{NameError, Repository};

/// What went wrong at a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It has no such manifest, tag or blob.
    #[error("{repository} has no {what}")]
    NotFound {
        /// Where it was looked for.
        repository: Repository,
        /// Tag or digest.
        what: String,
    },
    /// It does not accept the credential, or its lack.
    #[error("{repository}: the registry refused access ({detail})")]
    Unauthorized {
        /// What access was asked to.
        repository: Repository,
        /// Status, and the registry's own words.
        detail: String,
    },
    /// A push without a credential for the host. No request was sent.
    #[error("there is no credential for {repository}")]
    NoCredential {
        /// Where something was to be pushed.
        repository: Repository,
    },
    /// The credentials may not be used for the repository. No request was sent.
    #[error("{repository} lies outside the prefixes that the credential may be used for")]
    OutsidePrefix {
        /// What was asked for.
        repository: Repository,
    },
    /// Nothing answers at the host, or not as TLS asks for.
    #[error("{host} can't be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The registry is there and can't serve now.
    #[error("{repository}: the registry can't serve now ({detail})")]
    Unavailable {
        /// What was asked for.
        repository: Repository,
        /// Status, and the registry's own words.
        detail: String,
        /// When it asks to be asked again.
        retry_after: Option<Duration>,
    },
    /// The registry refuses the request itself.
    #[error("{repository}: the registry refused the request ({detail})")]
    Rejected {
        /// What was asked for.
        repository: Repository,
        /// Status, and the registry's own words.
        detail: String,
    },
    /// An answer is larger than anything that is right.
    #[error("{repository}: {what} is larger than {limit} bytes")]
    TooLarge {
        /// Where it lies.
        repository: Repository,
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that the digest names.
    #[error("{repository}: the registry served {actual} for {expected}")]
    DigestMismatch {
        /// Where it lies.
        repository: Repository,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The answer is not what the distribution specification says.
    #[error("{repository}: the registry does not follow the distribution specification: {detail}")]
    Protocol {
        /// What was asked for.
        repository: Repository,
        /// In what.
        detail: String,
    },
    /// What was to be sent is not what it should be. The registry got no complete blob.
    #[error("blob {digest} was not sent to {repository}")]
    Body {
        /// Where it was to be sent.
        repository: Repository,
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        fault: BodyFault,
    },
    /// A base was found neither at the mirrors nor at its registry.
    #[error("{}", attempts.iter().map(chain).collect::<Vec<_>>().join("; "))]
    Nowhere {
        /// What each said: mirrors in order, then the registry.
        attempts: Vec<RegistryError>,
    },
    /// A client could not be made.
    #[error("the client for registries could not be made")]
    Client(#[source] reqwest::Error),
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Credentials that can't be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl RegistryError {
    /// The cause in one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "RegistryNotFound",
            Self::Unauthorized { .. } => "RegistryUnauthorized",
            Self::NoCredential { .. } => "RegistryCredentialMissing",
            Self::OutsidePrefix { .. } => "RepositoryNotAllowed",
            Self::Unreachable { .. } => "RegistryUnreachable",
            Self::Unavailable { .. } => "RegistryUnavailable",
            Self::Rejected { .. } => "RegistryRejected",
            Self::TooLarge { .. } => "RegistryAnswerTooLarge",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::Protocol { .. } => "RegistryProtocol",
            Self::Body {
                fault: BodyFault::Remote(source),
                ..
            } => source.reason(),
            Self::Body { .. } => "BlobChanged",
            Self::Nowhere { .. } => self.telling().reason(),
            Self::Client(_) => "ClientFailed",
            Self::Name(_) => "InvalidImageName",
            Self::Credential(CredentialError::Missing { .. }) => "SecretNotFound",
            Self::Credential(_) => "InvalidCredential",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Self::NotFound { what, .. } => format!("Check the name, and whether {what} was removed from the registry."),
            Self::Unauthorized { .. } => "Check the user name, the password and the rights of the Secret with the credential for this registry.".to_owned(),
            Self::NoCredential { repository } => format!("Name a Secret of type kubernetes.io/dockerconfigjson with an entry for {}.", repository.host()),
            Self::OutsidePrefix { .. } => "Choose a repository that the tenant is entitled to, or ask your administrator to list it in the Tenant's registries.".to_owned(),
            Self::Unreachable { .. } => "Check the host's name, its certificate against the CA bundle, and whether the network lets the pod reach it.".to_owned(),
            Self::Unavailable { .. } => "Try again later; if it lasts, ask who runs the registry.".to_owned(),
            Self::Rejected { .. } | Self::Protocol { .. } | Self::TooLarge { .. } => "Show the message to who runs the registry.".to_owned(),
            Self::DigestMismatch { .. } => "The registry, or something before it, changes content: ask who runs it.".to_owned(),
            Self::Body { fault: BodyFault::Remote(source), .. } => source.next(),
            Self::Body { .. } => "Try again.".to_owned(),
            Self::Nowhere { .. } => self.telling().next(),
            Self::Client(_) => "Report this as a defect of Image Factory.".to_owned(),
            Self::Name(_) => "Correct the image name.".to_owned(),
            Self::Credential(error) => error.next().to_owned(),
        }
    }

    /// Whether the same request may succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            // A name that does not resolve or a certificate that does not fit stays so for long; still a pod's
            // network may come up after its process, and both look alike from here.
            Self::Unreachable { source, .. } => !source.is_redirect() && !source.is_builder(),
            Self::Body {
                fault: BodyFault::Remote(source),
                ..
            } => source.is_transient(),
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What several attempts came to; of one alone, what it said.
    pub(super) fn of_attempts(mut attempts: Vec<Self>) -> Self {
        match attempts.pop() {
            Some(only) if attempts.is_empty() => only,
            last => {
                attempts.extend(last);
                Self::Nowhere { attempts }
            }
        }
    }

    /// Of several attempts the one that tells most: an answer of any kind before a host that can't be reached.
    fn telling(&self) -> &Self {
        let Self::Nowhere { attempts } = self else { return self };
        let answered = attempts
            .iter()
            .rev()
            .find(|error| !matches!(error, Self::Unreachable { .. }));
        answered.or(attempts.last()).unwrap_or(self)
    }
}

/// An error with all its sources, in one line.
#[must_use]
pub fn chain(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source's words in their own.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
