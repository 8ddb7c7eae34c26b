//! One process acts at a time: an election by a Lease.
//!
//! What is done, [`decide`] says; this module carries it out. Safety rests on three things:
//! - a write carries the resourceVersion that was read, so of two candidates one loses;
//! - a candidate waits until the lease stood still for its whole length on the candidate's own clock, also where
//!   somebody has deleted it;
//! - the holder stops acting when its last renewal is two thirds of the lease old, renewed or not; and its client sends
//!   no write from that moment on, whether the process has noticed or was frozen meanwhile ([`Fence`]).
//!
//! A process that lost its lease does not try to go on as a follower: [`Election::run`] returns an error, the process
//! ends, the kubelet starts it anew. No state of the time as leader can survive that.
//!
//! On a graceful stop the lease is released, and the next process, which watches it, takes over at once.

mod decide;
mod fence;
mod record;
mod wake;

#[cfg(test)]
mod tests;

pub use decide::{Action, Known, Moment, Seen, Timing, decide, may_act_for};
pub use fence::{Fence, Fenced};

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runner::chain;

/// A candidate.
pub struct Election {
    api: Api<Lease>,
    name: String,
    me: String,
    timing: Timing,
    clock: fn() -> Timestamp,
    began: Instant,
    lease: Option<(Lease, Seen)>,
    /// What the lease was before somebody deleted it.
    deleted: Option<Seen>,
    renewed: Option<Moment>,
    leads: watch::Sender<bool>,
    fence: Fence,
    pulse: Arc<watch::Sender<Instant>>,
}

/// Why a process that led must end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Lost {
    /// It could not renew in time.
    #[error("the lease could not be renewed in time")]
    NotRenewed,
    /// Another process holds the lease.
    #[error("the lease is held by {0:?}")]
    Taken(Option<String>),
}

/// Who is elected by which lease.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// Name of the lease.
    pub name: String,
    /// Who stands; unique among living processes.
    pub me: String,
    /// Length of the lease.
    pub timing: Timing,
}

impl Election {
    /// A candidate in the namespace of `api`.
    #[must_use]
    pub fn new(api: Api<Lease>, candidacy: Candidacy, clock: fn() -> Timestamp) -> Self {
        let Candidacy { name, me, timing } = candidacy;
        let began = Instant::now();
        let (leads, pulse) = (watch::Sender::new(false), Arc::new(watch::Sender::new(began)));
        Self {
            api,
            name,
            me,
            timing,
            clock,
            began,
            lease: None,
            deleted: None,
            renewed: None,
            leads,
            fence: Fence::default(),
            pulse,
        }
    }

    /// Whether this process leads, now and later.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Until when this process may write as leader.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Notes what the lease is, before this process can stand: how long it has stood still is counted from here.
    pub async fn look(&mut self) {
        self.read().await;
    }

    /// Looks whether the election is stuck: more than a lease has passed since its loop last went round, or since now.
    pub fn stuck(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        self.pulse.send_replace(Instant::now());
        let (pulse, limit) = (self.pulse.clone(), self.timing.lease());
        move || pulse.borrow().elapsed() > limit
    }

    /// Takes part until `stop`, then releases the lease if it holds it.
    ///
    /// # Errors
    /// When this process led and must not act any more. It is to end.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Lost> {
        let wake = wake::on_change(self.api.clone(), &self.name).boxed();
        self.read().await;
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            lost = self.hold(wake) => Err(lost),
        };
        self.leads.send_replace(false);
        self.fence.close();
        if ended.is_ok() {
            self.release().await;
        }
        ended
    }

    async fn hold(&mut self, wake: BoxStream<'static, ()>) -> Lost {
        // Only a follower listens: as leader nobody would read the stream.
        let mut wake = Some(wake);
        loop {
            let now = self.now();
            self.pulse.send_replace(Instant::now());
            let rest = match self.renewed.map(|renewed| may_act_for(renewed, now, self.timing)) {
                Some(None) => return Lost::NotRenewed,
                Some(Some(rest)) => rest,
                None => self.timing.renew_every(),
            };
            if let Some(holder) = self.taken_by_another() {
                return Lost::Taken(holder);
            }
            match decide(&self.me, self.known(), self.renewed, now, self.timing) {
                Action::Wait(pause) if self.renewed.is_some() => {
                    wake = None;
                    sleep(pause.min(rest)).await;
                }
                Action::Wait(pause) => {
                    wake::wait(wake.as_mut(), pause).await;
                    self.read().await;
                }
                action => self.write(action, rest).await,
            }
        }
    }

    /// The holder, if this process led and the lease is not its own any more.
    fn taken_by_another(&self) -> Option<Option<String>> {
        let (_, seen) = self.lease.as_ref().filter(|_| self.renewed.is_some())?;
        (seen.holder.as_deref() != Some(self.me.as_str())).then(|| seen.holder.clone())
    }

    async fn write(&mut self, action: Action, rest: Duration) {
        let (sent, now) = (self.now(), (self.clock)());
        let limit = self.timing.request().min(rest);
        let params = PostParams::default();
        let request = async {
            match (action, &self.lease) {
                (Action::Renew, Some((lease, _))) => {
                    self.api
                        .replace(&self.name, &params, &record::renewed(lease, &self.me, self.timing, now))
                        .await
                }
                (_, Some((lease, _))) => {
                    self.api
                        .replace(&self.name, &params, &record::taken(lease, &self.me, self.timing, now))
                        .await
                }
                (_, None) => {
                    self.api
                        .create(&params, &record::fresh(&self.name, &self.me, self.timing, now))
                        .await
                }
            }
        };
        match timeout(limit, request).await {
            Ok(Ok(lease)) => self.written(lease, sent),
            Ok(Err(error)) => self.refused(action, &error).await,
            Err(_) => warn!(lease = self.name, ?action, "request about the lease took too long"),
        }
    }

    fn written(&mut self, lease: Lease, sent: Moment) {
        self.note(lease);
        // From when the request was sent: when the API server took it, nobody here knows.
        self.renewed = Some(sent);
        self.fence.open_until(self.began + sent + self.timing.act_for());
        if !self.leads.send_replace(true) {
            info!(lease = self.name, me = self.me, "this process leads");
        }
    }

    async fn refused(&mut self, action: Action, error: &kube::Error) {
        if let kube::Error::Api(status) = error
            && (status.is_conflict() || status.is_already_exists() || status.is_not_found())
        {
            info!(lease = self.name, ?action, "lease has changed, reading it");
            return self.read().await;
        }
        warn!(
            lease = self.name,
            ?action,
            error = chain(error),
            "lease could not be written"
        );
        sleep(self.timing.retry()).await;
    }

    /// Reads the lease. One that can't be read is as it was: time goes on for it all the same.
    async fn read(&mut self) {
        match timeout(self.timing.request(), self.api.get_opt(&self.name)).await {
            Ok(Ok(Some(lease))) => self.note(lease),
            Ok(Ok(None)) => self.note_deletion(),
            Ok(Err(error)) => {
                warn!(lease = self.name, error = chain(&error), "lease could not be read");
                sleep(self.timing.retry()).await;
            }
            Err(_) => warn!(lease = self.name, "reading the lease took too long"),
        }
    }

    fn note(&mut self, lease: Lease) {
        let before = self.lease.as_ref().map(|(lease, seen)| (lease, seen));
        let seen = record::seen(&lease, before, self.now(), self.timing);
        self.lease = Some((lease, seen));
        self.deleted = None;
    }

    /// There is no lease. If there was one before, it changed now: its holder may have renewed it a moment ago.
    fn note_deletion(&mut self) {
        if let Some((_, seen)) = self.lease.take() {
            let changed = self.now();
            self.deleted = Some(Seen { changed, ..seen });
        }
    }

    fn known(&self) -> Known<'_> {
        match (&self.lease, &self.deleted) {
            (Some((_, seen)), _) => Known::There(seen),
            (None, Some(seen)) => Known::Deleted(seen),
            (None, None) => Known::Never,
        }
    }

    async fn release(&mut self) {
        // Read first: a write that was cut short may have come through.
        self.read().await;
        let Some((lease, seen)) = &self.lease else { return };
        if seen.holder.as_deref() != Some(self.me.as_str()) {
            return;
        }
        let free = record::released(lease, (self.clock)());
        match timeout(
            self.timing.request(),
            self.api.replace(&self.name, &PostParams::default(), &free),
        )
        .await
        {
            Ok(Ok(_)) => info!(lease = self.name, "lease released"),
            Ok(Err(error)) => warn!(lease = self.name, error = chain(&error), "lease could not be released"),
            Err(_) => warn!(lease = self.name, "releasing the lease took too long"),
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}
