//! A steady load of requests, to say that none of them failed while something was done to who answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::cluster::Cluster;
use crate::door::Raw;

/// Clients that ask, each one thing after the other: as many as hold the pace where an answer takes a third of a second.
const CLIENTS: u32 = 64;

/// What is asked for again and again, and how it is to be answered.
pub struct Ask {
    what: Box<dyn Fn(u64) -> Raw + Send + Sync>,
    dry_run: bool,
    http: u16,
}

impl Ask {
    /// For real: `what` makes the request of a number that no other request has.
    pub fn real(http: u16, what: impl Fn(u64) -> Raw + Send + Sync + 'static) -> Self {
        Self {
            what: Box::new(what),
            dry_run: false,
            http,
        }
    }

    /// As a dry run, always the same.
    #[must_use]
    pub fn dry(http: u16, what: Raw) -> Self {
        Self {
            what: Box::new(move |_| what.clone()),
            dry_run: true,
            http,
        }
    }
}

/// A load that goes on, in a thread of its own: what the test waits for meanwhile does not hold it up.
pub struct Load {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Asked>,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Asked {
    /// Answers as they should be, by how.
    pub well: BTreeMap<u16, u64>,
    /// What else came, with when it did.
    pub failed: Vec<String>,
    /// Longest wait for an answer.
    pub longest: Duration,
    /// How long it was asked for.
    pub lasted: Duration,
}

impl Asked {
    /// Requests that were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.well.values().sum::<u64>() + u64::try_from(self.failed.len()).unwrap_or(u64::MAX)
    }

    /// Requests that were sent in a second, by all that were.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "some ten thousands")]
    pub fn rate(&self) -> f64 {
        self.sent() as f64 / self.lasted.as_secs_f64()
    }
}

/// What the clients have in common.
struct Shared {
    asks: Vec<Ask>,
    number: AtomicU64,
    end: Arc<AtomicBool>,
    began: Instant,
}

impl Load {
    /// Begins: `rate` requests a second, of each of `asks` as many. Whoever is behind catches up.
    ///
    /// # Panics
    /// Where there is nobody to ask.
    #[must_use]
    pub fn begin(cluster: &Cluster, rate: u32, asks: Vec<Ask>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (cluster, its_end) = (cluster.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(ask_all(&cluster, rate, asks, its_end))
        });
        Self { end, thread }
    }

    /// Ends it, and gives what came of it.
    ///
    /// # Panics
    /// Where it came to no end.
    pub fn end(self) -> Asked {
        self.end.store(true, Ordering::Relaxed);
        let asked = self.thread.join().expect("the load came to its end");
        crate::busy::figure(&format!(
            "{} requests in {:.0} s ({:.1} a second, {:?}), {} failed, the longest took {:?}",
            asked.sent(),
            asked.lasted.as_secs_f64(),
            asked.rate(),
            asked.well,
            asked.failed.len(),
            asked.longest
        ));
        asked
    }
}

async fn ask_all(cluster: &Cluster, rate: u32, asks: Vec<Ask>, end: Arc<AtomicBool>) -> Asked {
    let client = cluster.impatient_client_as("load", &["system:masters"]).await;
    let shared = Arc::new(Shared {
        asks,
        number: AtomicU64::new(0),
        end,
        began: Instant::now(),
    });
    let clients = (0..CLIENTS).map(|index| {
        let first = shared.began + Duration::from_secs(1) * index / rate;
        tokio::spawn(ask(
            client.clone(),
            shared.clone(),
            first,
            Duration::from_secs(1) * CLIENTS / rate,
        ))
    });
    let clients: Vec<_> = clients.collect();
    let mut all = Asked::default();
    for client in clients {
        let asked = client.await.expect("a client came to its end");
        for (http, count) in asked.well {
            *all.well.entry(http).or_default() += count;
        }
        all.failed.extend(asked.failed);
        all.longest = all.longest.max(asked.longest);
    }
    all.lasted = shared.began.elapsed();
    all
}

async fn ask(client: Client, shared: Arc<Shared>, first: Instant, pause: Duration) -> Asked {
    let mut asked = Asked::default();
    let mut ticks = interval_at(first, pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !shared.end.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = shared.number.fetch_add(1, Ordering::Relaxed);
        let which = usize::try_from(number).unwrap_or_default() % shared.asks.len();
        let Ask { what, dry_run, http } = &shared.asks[which];
        let sent = Instant::now();
        let told = what(number).try_send(&client, *dry_run).await;
        asked.longest = asked.longest.max(sent.elapsed());
        let failed = match told {
            Ok(told) if told.http == *http => {
                *asked.well.entry(*http).or_default() += 1;
                continue;
            }
            Ok(told) => format!("{} {}", told.http, told.body["message"]),
            Err(error) => format!("no answer: {error}"),
        };
        let when = shared.began.elapsed().as_secs_f32();
        asked.failed.push(format!("after {when:.1} s: {failed}"));
    }
    asked
}
