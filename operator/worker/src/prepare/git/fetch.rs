//! Fetches one commit with gix, as shallow as the server allows.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gix::ObjectId;
use gix::credentials::helper::Action;
use gix::credentials::protocol::{Context, Outcome};
use gix::hash::Kind;
use gix::protocol::transport::client::blocking_io::http;
use gix::protocol::transport::client::blocking_io::http::options::FollowRedirects;
use gix::remote::fetch::{RefMap, Shallow, Tags, refmap};
use gix::remote::{Direction, ref_map};
use reqwest::Url;

use super::credentials::Account;
use super::error::GitError;
use super::{Limits, probe};
use crate::ca::Roots;

/// How often it is looked how much was received.
const LOOK: Duration = Duration::from_millis(100);

/// Where to fetch from.
pub(super) struct Source<'a> {
    pub(super) url: &'a Url,
    pub(super) account: Option<&'a Account>,
    pub(super) roots: &'a Roots,
    pub(super) limits: Limits,
}

/// What is fetched: names of references or ids, how deep, and how ids are made.
#[derive(Clone, Copy)]
struct Want<'a> {
    specs: &'a [&'a str],
    shallow: bool,
    hash: Kind,
}

/// What came of it.
enum Received {
    /// The objects, in a repository, and the references that were asked for.
    Objects(gix::Repository, RefMap),
    /// The server has nothing of what was asked for.
    Nothing,
    /// The server's repository has ids of another kind.
    OtherHash(Kind),
}

impl Source<'_> {
    /// Fetches a revision into a new repository at `directory`. A full id is a commit; any other name is looked for
    /// among the branches, then among the tags, so that a branch stands above a tag of its name.
    pub(super) fn fetch(&self, revision: Option<&str>, directory: &Path) -> Result<(gix::Repository, ObjectId), GitError> {
        let Some(revision) = revision else {
            let empty = || GitError::Empty { url: self.url.to_string() };
            return self.fetch_name(&["HEAD"], directory)?.ok_or_else(empty);
        };
        if let Ok(commit) = ObjectId::from_hex(revision.to_ascii_lowercase().as_bytes()) {
            return self.fetch_commit(commit, directory);
        }
        let missing = || GitError::RevisionNotFound { url: self.url.to_string(), revision: revision.chars().take(255).collect() };
        let (branch, tag) = (format!("refs/heads/{revision}"), format!("refs/tags/{revision}"));
        if gix::validate::reference::name(branch.as_str().into()).is_err() {
            return Err(missing());
        }
        self.fetch_name(&[&branch, &tag], directory)?.ok_or_else(missing)
    }

    /// The first of the references that the server has.
    fn fetch_name(&self, names: &[&str], directory: &Path) -> Result<Option<(gix::Repository, ObjectId)>, GitError> {
        let want = Want { specs: names, shallow: true, hash: Kind::Sha1 };
        let mut received = self.receive(want, directory)?;
        if let Received::OtherHash(hash) = received {
            received = self.receive(Want { hash, ..want }, directory)?;
        }
        let Received::Objects(repo, refs) = received else { return Ok(None) };
        let found = names.iter().find_map(|name| target(&refs, name));
        Ok(found.map(|commit| (repo, commit)))
    }

    /// A commit by its id. A server may hand out only what a branch or tag names: then all of these are fetched.
    fn fetch_commit(&self, commit: ObjectId, directory: &Path) -> Result<(gix::Repository, ObjectId), GitError> {
        let missing = || GitError::CommitNotFound { url: self.url.to_string(), commit: commit.to_string() };
        let hex = commit.to_string();
        let hash = commit.kind();
        let alone = self.receive(Want { specs: &[&hex], shallow: true, hash }, directory);
        match alone {
            Ok(Received::Objects(repo, _)) if repo.has_object(commit) => return Ok((repo, commit)),
            Ok(Received::OtherHash(_)) => return Err(missing()),
            Err(error @ (GitError::TooLarge { .. } | GitError::Disk(_))) => return Err(error),
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %crate::registry::chain(&error), "the commit can't be fetched by its id"),
        }
        let all = Want { specs: &["refs/heads/*", "refs/tags/*"], shallow: false, hash };
        match self.receive(all, directory)? {
            Received::Objects(repo, _) if repo.has_object(commit) => Ok((repo, commit)),
            _ => Err(missing()),
        }
    }

    fn receive(&self, want: Want<'_>, directory: &Path) -> Result<Received, GitError> {
        let failed = |source| GitError::Fetch { url: self.url.to_string(), source };
        let repo = self.repository(want.hash, directory)?;
        let remote = repo.remote_at_without_url_rewrite(self.url.as_str()).map_err(failed)?.with_fetch_tags(Tags::None);
        let mut connection = remote.connect(Direction::Fetch).map_err(failed)?;
        connection.set_transport_options(self.transport()).set_credentials(|action| Ok(self.credentials(&action)));
        let specs = want.specs.iter().map(|spec| gix::refspec::parse((*spec).into(), gix::refspec::parse::Operation::Fetch));
        let specs: Result<Vec<_>, _> = specs.map(|spec| spec.map(|spec| spec.to_owned())).collect();
        let specs = specs.map_err(|error| failed(error.into()))?;
        let options = ref_map::Options { extra_refspecs: specs, ..ref_map::Options::default() };
        let prepared = connection.prepare_fetch(gix::utils::progress::Discard, options).map_err(failed)?;
        let refs = prepared.ref_map();
        if refs.object_hash != want.hash {
            return Ok(Received::OtherHash(refs.object_hash));
        }
        if refs.mappings.is_empty() {
            return Ok(Received::Nothing);
        }
        let depth = if want.shallow { Shallow::DepthAtRemote(NonZeroU32::MIN) } else { Shallow::NoChange };
        let prepared = prepared.with_shallow(depth).with_write_packed_refs_only(true);
        let stop = AtomicBool::new(false);
        let outcome = self.bounded(directory, &stop, || prepared.receive(gix::utils::progress::Discard, &stop));
        if stop.load(Ordering::Relaxed) {
            return Err(GitError::TooLarge { what: "bytes received", limit: self.limits.pack });
        }
        let refs = outcome.map_err(failed)?.ref_map;
        Ok(Received::Objects(repo, refs))
    }

    /// A new, empty repository that knows no configuration but what is written here.
    fn repository(&self, hash: Kind, directory: &Path) -> Result<gix::Repository, GitError> {
        crate::prepare::source::files::empty(directory).map_err(GitError::Disk)?;
        let capabilities =
            gix::fs::Capabilities { precompose_unicode: false, ignore_case: false, executable_bit: true, symlink: true };
        let create = gix::create::Options {
            fs_capabilities: Some(capabilities),
            object_hash: Some(hash),
            ..gix::create::Options::default()
        };
        let open = gix::open::Options::isolated().config_overrides([
            format!("gitoxide.objects.allocLimit={}", self.limits.object),
            "core.protectHFS=true".to_owned(),
            "core.protectNTFS=true".to_owned(),
            "http.followRedirects=false".to_owned(),
        ]);
        let repo = gix::ThreadSafeRepository::init_opts(directory, gix::create::Kind::Bare, create, open);
        Ok(repo.map_err(GitError::Object)?.to_thread_local())
    }

    fn transport(&self) -> Box<dyn std::any::Any> {
        let roots = self.roots.clone();
        let configure = move |builder| probe::configure(builder, &roots).map_err(gix::Error::from_error);
        let backend = http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
        Box::new(http::Options {
            follow_redirects: FollowRedirects::None,
            backend: Some(Arc::new(Mutex::new(backend))),
            ..http::Options::default()
        })
    }

    /// Name and password for the URL that gix is about to ask, if they may go there.
    fn credentials(&self, action: &Action) -> Option<Outcome> {
        let Action::Get(context) = action else { return None };
        let url = context.url.as_ref().and_then(|url| Url::parse(&url.to_string()).ok())?;
        let (username, password) = self.account?.for_url(&url)?;
        let identity = gix::sec::identity::Account {
            username: username.to_owned(),
            password: password.to_owned(),
            oauth_refresh_token: None,
        };
        Some(Outcome { identity, next: Context::default().into() })
    }

    /// Does `work`, and sets `stop` as soon as more was received than may be.
    fn bounded<T>(&self, directory: &Path, stop: &AtomicBool, work: impl FnOnce() -> T) -> T {
        let packs = directory.join("objects/pack");
        let (ended, wait) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let wait = wait;
                while wait.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    if size(&packs) > self.limits.pack {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
            let result = work();
            drop(ended);
            // What came between the last look and the end counts as well.
            if size(&packs) > self.limits.pack {
                stop.store(true, Ordering::Relaxed);
            }
            result
        })
    }
}

/// The commit that a reference of the server leads to.
fn target(refs: &RefMap, name: &str) -> Option<ObjectId> {
    refs.mappings.iter().find_map(|mapping| {
        let refmap::Source::Ref(reference) = &mapping.remote else { return None };
        let (found, target, peeled) = reference.unpack();
        let id = peeled.or(target)?;
        (found == name).then(|| id.to_owned())
    })
}

fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
