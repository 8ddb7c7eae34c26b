//! A steady load of requests, to say that none of them failed while something was done to who answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::task::JoinHandle;

use crate::door::Raw;

/// Clients that ask the same again and again, each at its own pace.
pub struct Load {
    end: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Asked>>,
    began: Instant,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Asked {
    /// Answers as they should be.
    pub well: usize,
    /// What else came, with when it did.
    pub failed: Vec<String>,
    /// Longest wait for an answer.
    pub longest: Duration,
}

impl Load {
    /// Begins: `clients` of them, `rate` requests a second together, each of which is to be answered with `http`. All
    /// are dry runs.
    #[must_use]
    pub fn of(client: &Client, what: &Raw, http: u16, clients: u32, rate: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let pause = Duration::from_secs(1) * clients / rate;
        let clients = (0..clients).map(|_| {
            let (end, client, what) = (end.clone(), client.clone(), what.clone());
            tokio::spawn(async move {
                let mut asked = Asked::default();
                let mut ticks = tokio::time::interval(pause);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !end.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let sent = Instant::now();
                    let told = what.send(&client, true).await;
                    asked.longest = asked.longest.max(sent.elapsed());
                    if told.http == http {
                        asked.well += 1;
                    } else {
                        let when = began.elapsed().as_secs_f32();
                        asked
                            .failed
                            .push(format!("after {when:.1} s: {} {}", told.http, told.body["message"]));
                    }
                }
                asked
            })
        });
        let clients = clients.collect();
        Self { end, clients, began }
    }

    /// Ends it, and gives what came of it.
    ///
    /// # Panics
    /// Where a client got no answer at all.
    pub async fn end(self) -> Asked {
        self.end.store(true, Ordering::Relaxed);
        let mut all = Asked::default();
        for client in self.clients {
            let asked = client.await.expect("every request was answered");
            all.well += asked.well;
            all.failed.extend(asked.failed);
            all.longest = all.longest.max(asked.longest);
        }
        let seconds = self.began.elapsed().as_secs_f32();
        #[allow(clippy::cast_precision_loss, reason = "told to people")]
        let rate = (all.well + all.failed.len()) as f32 / seconds;
        crate::busy::figure(&format!(
            "{} requests in {seconds:.0} s ({rate:.0} a second), {} failed, the longest took {:?}",
            all.well + all.failed.len(),
            all.failed.len(),
            all.longest
        ));
        all
    }
}
