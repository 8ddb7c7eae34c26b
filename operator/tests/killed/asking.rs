//! People who ask for what their tenant may not, through the API server, one after the other and for as long as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The one whose refusals are many enough to be counted instead of stored one by one.
pub const MANY: &str = "mallory";
/// Most patience with one answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest time between two of one task's requests: a load, and not a flood that leaves no time to anybody else.
const PAUSE: Duration = Duration::from_millis(15);

/// Who asked, how often each was refused and how often nobody answered.
#[derive(Debug, Default)]
pub struct Tally(pub BTreeMap<String, (usize, usize)>);

impl Tally {
    /// Refusals that were answered.
    pub fn answered(&self) -> usize {
        self.0.values().map(|(answered, _)| answered).sum()
    }

    /// What others were told besides.
    pub fn add(&mut self, other: Self) {
        for (user, (answered, unanswered)) in other.0 {
            let of = self.0.entry(user).or_default();
            *of = (of.0 + answered, of.1 + unanswered);
        }
    }

    /// Requests that ended otherwise.
    pub fn unanswered(&self) -> usize {
        self.0.values().map(|(_, unanswered)| unanswered).sum()
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Every third request is of [`MANY`], the others are of somebody else each.
    Some,
    /// Each is of somebody else, whose name begins so.
    Each(&'static str),
}

impl Who {
    /// Who asks for the build of that name.
    fn user(self, number: usize, name: &str) -> String {
        match self {
            Self::Some if number.is_multiple_of(3) => MANY.to_owned(),
            Self::Some | Self::Each(_) => name.to_owned(),
        }
    }

    fn begin(self) -> &'static str {
        match self {
            Self::Some => "ask",
            Self::Each(begin) => begin,
        }
    }
}

/// Requests that are being made.
pub struct Asking {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Tally>>,
}

impl Asking {
    /// So many at a time.
    pub fn begin(client: &Client, at_once: usize, who: Who) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..at_once).map(|task| tokio::spawn(ask(client.clone(), task, who, stop.clone())));
        Self {
            tasks: tasks.collect(),
            stop,
        }
    }

    /// Ends them, and sums up.
    pub async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for task in self.tasks {
            sum.add(task.await.unwrap());
        }
        sum
    }
}

async fn ask(client: Client, task: usize, who: Who, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{}-{task}-{number}", who.begin());
        let user = who.user(number, &name);
        let refused = timeout(PATIENCE, refused(&client, &user, &name)).await.unwrap_or(false);
        let of = tally.0.entry(user).or_default();
        if refused {
            of.0 += 1;
        } else {
            of.1 += 1;
        }
        sleep(PAUSE).await;
    }
    tally
}

/// Whether the webhook refused, and not the API server for it. One that has just begun refuses because it knows nothing yet,
/// which is on record too; what it could not put on record it says.
fn is_of_the_webhook(status: &Status) -> bool {
    match (status.code, status.reason.as_str()) {
        (403, "tenant_capability_not_entitled") => true,
        (503, "decision_unavailable") => !status.message.contains("can't be recorded"),
        (code, _) => {
            assert!(code >= 500, "{status:?}");
            false
        }
    }
}

/// Somebody of the team asks for a build.
pub fn build(user: &str, name: &str) -> Request<Vec<u8>> {
    let body = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": name},
        "spec": {"projectRef": {"name": "web"},
            "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch\n"}]}}},
    });
    Request::post("/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/builds")
        .header("content-type", "application/json")
        .header("impersonate-user", user)
        .header("impersonate-group", "acme-team")
        .body(body.to_string().into_bytes())
        .unwrap()
}

/// Whether the answer was the webhook's; anything but a refusal or a failure would be a hole.
async fn refused(client: &Client, user: &str, name: &str) -> bool {
    match client.request::<Value>(build(user, name)).await {
        Ok(made) => panic!("a build was let in: {made}"),
        Err(kube::Error::Api(status)) => is_of_the_webhook(&status),
        Err(_) => false,
    }
}
