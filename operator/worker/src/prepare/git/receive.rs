//! One conversation with a Git server, by way of gix: into a new repository, bounded, with nobody's configuration.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gix::credentials::helper::Action;
use gix::credentials::protocol::{Context, Outcome};
use gix::hash::Kind;
use gix::protocol::transport::client::blocking_io::http;
use gix::protocol::transport::client::blocking_io::http::options::FollowRedirects;
use gix::refspec::RefSpec;
use gix::remote::fetch::{RefMap, Shallow, Tags};
use gix::remote::{Direction, ref_map};
use gix::utils::progress::Discard;
use reqwest::Url;

use super::bound::bounded;
use super::credentials::Account;
use super::error::GitError;
use super::{Limits, probe};
use crate::ca::Roots;

/// Where to fetch from.
pub(super) struct Source<'a> {
    pub(super) url: &'a Url,
    pub(super) account: Option<&'a Account>,
    pub(super) roots: &'a Roots,
    pub(super) limits: Limits,
}

/// What is fetched: names of references or ids, how deep, and how ids are made.
#[derive(Clone, Copy)]
pub(super) struct Want<'a> {
    pub(super) specs: &'a [&'a str],
    pub(super) shallow: bool,
    pub(super) hash: Kind,
}

/// What came of it.
pub(super) enum Received {
    /// The objects, in a repository, and the references that were asked for.
    Objects(Box<gix::Repository>, RefMap),
    /// The server has nothing of what was asked for.
    Nothing,
    /// The server's repository has ids of another kind.
    OtherHash(Kind),
}

impl Source<'_> {
    /// Asks for what is wanted and takes it into a new repository at `directory`.
    pub(super) fn receive(&self, want: Want<'_>, directory: &Path) -> Result<Received, GitError> {
        let failed = |source| self.failed(source);
        let repo = self.repository(want.hash, directory)?;
        let remote = repo.remote_at_without_url_rewrite(self.url.as_str()).map_err(failed)?;
        let remote = remote.with_fetch_tags(Tags::None);
        let mut connection = remote.connect(Direction::Fetch).map_err(failed)?;
        connection
            .set_transport_options(self.transport())
            .set_credentials(|action| Ok(self.credentials(&action)));
        let options = ref_map::Options {
            extra_refspecs: parse(want.specs).map_err(failed)?,
            ..ref_map::Options::default()
        };
        let prepared = connection.prepare_fetch(Discard, options).map_err(failed)?;
        let refs = prepared.ref_map();
        if refs.object_hash != want.hash {
            return Ok(Received::OtherHash(refs.object_hash));
        }
        if refs.mappings.is_empty() {
            return Ok(Received::Nothing);
        }
        let depth = if want.shallow {
            Shallow::DepthAtRemote(NonZeroU32::MIN)
        } else {
            Shallow::NoChange
        };
        let prepared = prepared.with_shallow(depth).with_write_packed_refs_only(true);
        let stop = AtomicBool::new(false);
        let packs = directory.join("objects/pack");
        let outcome = bounded(&packs, self.limits.pack, &stop, || prepared.receive(Discard, &stop));
        if stop.load(Ordering::Relaxed) {
            let (what, limit) = ("bytes received", self.limits.pack);
            return Err(GitError::TooLarge { what, limit });
        }
        match outcome {
            Ok(outcome) => Ok(Received::Objects(Box::new(repo), outcome.ref_map)),
            Err(error) if error.is_resource_exhausted() => {
                let (what, limit) = ("bytes in one file", self.limits.object);
                Err(GitError::TooLarge { what, limit })
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn failed(&self, source: gix::Error) -> GitError {
        GitError::Fetch {
            url: self.url.to_string(),
            source,
        }
    }

    /// A new, empty repository that knows no configuration but what is written here.
    fn repository(&self, hash: Kind, directory: &Path) -> Result<gix::Repository, GitError> {
        crate::disk::empty(directory).map_err(GitError::Disk)?;
        let capabilities = gix::fs::Capabilities {
            precompose_unicode: false,
            ignore_case: false,
            executable_bit: true,
            symlink: true,
        };
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

    /// Whom to trust is ours to say, and no redirect is followed.
    fn transport(&self) -> Box<dyn std::any::Any> {
        let roots = self.roots.clone();
        let configure = move |builder| probe::configure(builder, &roots).map_err(gix::Error::from_error);
        let backend = http::reqwest::Options {
            configure_client: Some(Box::new(configure)),
            configure_request: None,
        };
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
        Some(Outcome {
            identity,
            next: Context::default().into(),
        })
    }
}

fn parse(specs: &[&str]) -> Result<Vec<RefSpec>, gix::Error> {
    let parse = |spec: &&str| {
        let spec = gix::refspec::parse((*spec).into(), gix::refspec::parse::Operation::Fetch)?;
        Ok(spec.to_owned())
    };
    specs.iter().map(parse).collect()
}
