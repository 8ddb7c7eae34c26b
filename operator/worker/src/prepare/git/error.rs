//! What can go wrong between a Git server and the workspace. No variant carries a credential or a server's page.

use std::io;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum GitError {
    /// The URL is not one that is fetched from.
    #[error("{url:?} is not the URL of a Git repository over HTTPS or HTTP")]
    Url {
        /// As written, cut.
        url: String,
    },
    /// Credentials for a server without TLS. Nothing was sent.
    #[error("credentials are named for {url}, which is not HTTPS: they were not sent")]
    CredentialsOverHttp {
        /// The repository.
        url: String,
    },
    /// The Secret is not what it should be.
    #[error("the Secret with the Git credentials {problem}")]
    Credentials {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The server sends us to another.
    #[error("{url} redirects to another server, {to}")]
    Redirected {
        /// The repository.
        url: String,
        /// Scheme, host and port that it names.
        to: String,
    },
    /// No repository there, as far as we may know.
    #[error("{url}: there is no such repository ({detail})")]
    RepositoryNotFound {
        /// The repository.
        url: String,
        /// What the server said.
        detail: String,
    },
    /// The server wants credentials, or others.
    #[error("{url}: the server refused {} (HTTP status {status})", if *.sent { "the credentials" } else { "access without credentials" })]
    Unauthorized {
        /// The repository.
        url: String,
        /// What it answered.
        status: u16,
        /// Whether credentials were sent.
        sent: bool,
    },
    /// Nothing answers, or not as TLS asks for.
    #[error("{host} can't be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It answers, but can't serve.
    #[error("{url}: the server can't serve now (HTTP status {status})")]
    Unavailable {
        /// The repository.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// No branch and no tag of this name.
    #[error("{url} has no branch and no tag {revision:?}")]
    RevisionNotFound {
        /// The repository.
        url: String,
        /// What was looked for.
        revision: String,
    },
    /// Nothing in it.
    #[error("{url} has no commit on its default branch")]
    Empty {
        /// The repository.
        url: String,
    },
    /// No such commit.
    #[error("{url} has no commit {commit} on any branch or tag")]
    CommitNotFound {
        /// The repository.
        url: String,
        /// What was looked for.
        commit: String,
    },
    /// A branch, tag or id that leads to something that is not a commit.
    #[error("{what} is not a commit")]
    NotACommit {
        /// Its id.
        what: String,
    },
    /// Larger than is taken.
    #[error("the repository is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is taken.
        limit: u64,
    },
    /// A tree that no honest tool makes.
    #[error("the repository holds {path:?}: {problem}")]
    Tree {
        /// The entry.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The conversation with the server broke off, or made no sense.
    #[error("fetching from {url} failed")]
    Fetch {
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: gix::Error,
    },
    /// What was fetched can't be read or laid out.
    #[error("what was fetched can't be laid out")]
    Object(#[source] gix::Error),
    /// What was fetched can't be laid out.
    #[error("{0} can't be laid out")]
    File(String),
    /// The HTTP client can't be made.
    #[error("the client for Git servers could not be made")]
    Client(#[source] reqwest::Error),
    /// The disk says no.
    #[error("the workspace can't be written")]
    Disk(#[source] io::Error),
}

impl GitError {
    /// The cause in one CamelCase word.
    pub(in crate::prepare) fn reason(&self) -> &'static str {
        match self {
            Self::Url { .. } => "InvalidUrl",
            Self::CredentialsOverHttp { .. } => "CredentialsOverHttp",
            Self::Credentials { .. } => "InvalidGitCredentials",
            Self::Redirected { .. } => "GitRedirected",
            Self::RepositoryNotFound { .. } => "RepositoryNotFound",
            Self::Unauthorized { .. } => "GitUnauthorized",
            Self::Unreachable { .. } | Self::Unavailable { .. } => "GitUnreachable",
            Self::RevisionNotFound { .. } | Self::Empty { .. } => "RevisionNotFound",
            Self::CommitNotFound { .. } | Self::NotACommit { .. } => "CommitNotFound",
            Self::TooLarge { .. } => "SourceTooLarge",
            Self::Tree { .. } => "InvalidPath",
            Self::Fetch { .. } | Self::Object(_) | Self::File(_) => "GitFetchFailed",
            Self::Client(_) => "ClientFailed",
            Self::Disk(_) => "WorkspaceFailed",
        }
    }

    /// What to do about it.
    pub(in crate::prepare) fn next(&self) -> &'static str {
        match self {
            Self::Url { .. } => "Name the repository by its HTTPS URL, without credentials in it.",
            Self::CredentialsOverHttp { .. } => "Name the repository by its HTTPS URL, or leave secretRef out.",
            Self::Credentials { .. } => {
                "Make a Secret of type kubernetes.io/basic-auth with username and password (or a token as the password)."
            }
            Self::Redirected { .. } => "Name the URL that the server redirects to, if you trust it.",
            Self::RepositoryNotFound { .. } => {
                "Check the URL. If the repository is private, name a Secret with credentials that may read it."
            }
            Self::Unauthorized { sent: true, .. } => {
                "Check the user name, the password or token, and what it may read."
            }
            Self::Unauthorized { sent: false, .. } => {
                "Check the URL. If the repository is private, name a Secret with credentials in secretRef."
            }
            Self::Unreachable { .. } => {
                "Check the host's name, its certificate against caBundle, and whether the network lets the pod reach it."
            }
            Self::Unavailable { .. } | Self::Fetch { .. } => {
                "Try again later; if it lasts, ask who runs the Git server."
            }
            Self::RevisionNotFound { .. } => "Check the name of the branch or tag; a commit is named by its full id.",
            Self::Empty { .. } => "Push a commit, or name a branch that has one.",
            Self::CommitNotFound { .. } => "Check the commit's id, and whether a branch or tag still holds it.",
            Self::NotACommit { .. } => "Name a branch, a tag or a commit.",
            Self::TooLarge { .. } => "Keep large files out of the repository, or split it.",
            Self::Tree { .. } => "Remove that entry from the repository.",
            Self::Object(_) | Self::File(_) => "Check the repository with `git fsck`.",
            Self::Client(_) | Self::Disk(_) => "Try again; if it lasts, tell your administrator.",
        }
    }

    /// Whether the same question may be answered in a moment: a pod's network can come up after its process.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// Whether the factory is at fault, not the source.
    pub(in crate::prepare) fn is_ours(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Disk(_))
    }
}
