//! Mode `self`: looks at the certificates every minute and whenever a configuration changes, and takes the steps that are
//! due. Any number of replicas do the same; who loses a race reads what the winner wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use imagefactory_serving::tls::LoadError;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use tokio::sync::watch;
use tracing::{info, warn};

use super::cluster::{Cluster, Configurations};
use super::held::{BUNDLE, Held};
use super::make;
use super::pair::{PairError, ends};
use super::plan::{Step, Terms, is_fit, plan, take};
use super::{Pair, Served};
use crate::metrics::Metrics;

/// How often all is looked at, whether something is heard of or not.
const EVERY: Duration = Duration::from_secs(60);
/// Pause after a look that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Most steps of one look. No state needs more.
const MAX_STEPS: usize = 8;

/// A look at the certificates failed.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The API server.
    #[error("the API server does not do what is asked")]
    Api(#[from] kube::Error),
    /// Cryptography.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// What is held can't be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Somebody else is always quicker.
    #[error("the Secret of certificates does not come to rest")]
    Restless,
}

/// Keeps certificates current. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Keeper {
    cluster: Cluster,
    terms: Terms,
    audit_terms: Terms,
    served: Served,
    metrics: Arc<Metrics>,
    trusted: Arc<AtomicBool>,
    bundle: watch::Sender<String>,
}

impl Keeper {
    /// One that serves what it keeps.
    #[must_use]
    pub fn new(cluster: Cluster, terms: Terms, served: Served, metrics: Arc<Metrics>) -> Self {
        let audit_terms = Terms {
            names: cluster.names.dns("audit"),
            ..terms.clone()
        };
        Self {
            cluster,
            terms,
            audit_terms,
            served,
            metrics,
            trusted: Arc::default(),
            bundle: watch::Sender::default(),
        }
    }

    /// Whether the API server trusts what is served, when last looked at.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    /// The certificates that clients trust, as they change; empty before the first look.
    #[must_use]
    pub fn bundle(&self) -> watch::Receiver<String> {
        self.bundle.subscribe()
    }

    /// Looks for as long as the process lives: `news` is when a configuration changed.
    pub async fn run(self, mut news: watch::Receiver<u64>) {
        loop {
            let pause = match self.look().await {
                Ok(()) => EVERY,
                Err(error) => {
                    warn!(
                        error = crate::chain(&error),
                        "certificates not looked after, will be tried again"
                    );
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The sender lives as long as the process.
                _ = news.changed() => {}
            }
        }
    }

    /// Looks once, and takes all steps that are due.
    ///
    /// # Errors
    /// When one fails. What was done before it stays done.
    pub async fn look(&self) -> Result<(), KeepError> {
        let configurations = self.cluster.configurations().await?;
        let held = self.settle(&configurations).await?;
        let bundle = held.bundle();
        if let Some(leaf) = &held.leaf
            && self.served.load(leaf)?
        {
            let until = ends(&leaf.certificate);
            self.metrics.certificate_ends(until.map_or(0, Timestamp::as_second));
            info!(until = until.map(tracing::field::display), "certificate loaded");
        }
        self.bundle.send_if_modified(|known| {
            let news = *known != bundle;
            known.clone_from(&bundle);
            news
        });
        for (which, configuration) in configurations.present() {
            if !super::cluster::trusts(configuration, &bundle) {
                self.cluster.trust(which, configuration, &bundle).await?;
                info!(?which, "caBundle written");
            }
        }
        // Once both were there and trust us. One that somebody deletes later does not make us unready: it is put back.
        if configurations.present().count() == 2 {
            self.trusted.store(true, Ordering::Relaxed);
        }
        self.cluster.publish(&bundle).await?;
        self.keep_audit(&held, &bundle).await
    }

    /// Takes steps until none is due, and gives what is held then.
    async fn settle(&self, configurations: &Configurations) -> Result<Held, KeepError> {
        let name = self.cluster.names.certificates();
        for _ in 0..MAX_STEPS {
            let read = self.cluster.read_secret(&name).await?;
            let held = Held::read(&read.data);
            let now = Timestamp::now();
            let step = plan(&held, configurations.trust(&held.bundle()), now, &self.terms);
            if step == Step::Keep {
                return Ok(held);
            }
            let after = take(step, &held, now, &self.terms)?;
            if self.cluster.write_secret(&name, &read, after.write()).await? {
                info!(?step, "certificates changed");
            }
        }
        Err(KeepError::Restless)
    }

    /// The leaf of the audit's intake, by the same authority.
    async fn keep_audit(&self, held: &Held, bundle: &str) -> Result<(), KeepError> {
        let Some(authority) = &held.authority else {
            return Ok(());
        };
        let name = self.cluster.names.audit();
        let read = self.cluster.read_secret(&name).await?;
        let now = Timestamp::now();
        let leaf = Held::read(&read.data).leaf;
        let leaf = leaf.filter(|leaf| is_fit(leaf, authority, now, &self.audit_terms));
        let known = read.data.get(BUNDLE).is_some_and(|known| known.0 == bundle.as_bytes());
        if leaf.is_some() && known {
            return Ok(());
        }
        let leaf = match leaf {
            Some(leaf) => leaf,
            None => make::leaf(authority, &self.audit_terms.names, now, self.audit_terms.leaf)?,
        };
        self.cluster
            .write_secret(&name, &read, secret_of(&leaf, bundle))
            .await?;
        info!("certificate of the audit changed");
        Ok(())
    }
}

fn secret_of(leaf: &Pair, bundle: &str) -> BTreeMap<String, ByteString> {
    [
        ("tls.crt", leaf.certificate.as_str()),
        ("tls.key", &leaf.key),
        (BUNDLE, bundle),
    ]
    .map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())))
    .into()
}
