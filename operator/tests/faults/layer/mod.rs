//! The layer between the operator and the API server: it numbers what passes, and does to it what the schedule says.

mod address;
mod answer;
mod events;
mod narrow;

pub use address::{address, steady};

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tower::BoxError;

use crate::fault::{EventFault, Fault, RequestFault};
use crate::world::lock;
use answer::Answer;

/// What the layer answers with.
type Answered = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// How long nothing must have passed before time may run.
const SETTLE: Duration = Duration::from_millis(12);

/// The layer of one schedule, over all instances of the operator.
pub struct Layer {
    tenant: String,
    base: Client,
    io: Handle,
    faults: Mutex<Vec<(Fault, bool)>>,
    passed: Mutex<Passed>,
    in_flight: AtomicUsize,
    last: Mutex<Instant>,
    crashes: watch::Sender<usize>,
    /// The first lists of the instance that runs show this version.
    stale: Mutex<Option<String>>,
    is_stale: AtomicBool,
}

/// What has passed.
#[derive(Default)]
struct Passed {
    requests: HashMap<String, usize>,
    events: BTreeMap<String, usize>,
    trace: Vec<(String, usize)>,
    writes: usize,
    versions: Vec<String>,
}

impl Layer {
    /// A layer for one tenant over an API server that `io` speaks to.
    pub fn new(tenant: &str, base: Client, io: Handle, faults: &[Fault]) -> Arc<Self> {
        Arc::new(Self {
            tenant: tenant.to_owned(),
            base,
            io,
            faults: Mutex::new(faults.iter().map(|fault| (fault.clone(), false)).collect()),
            passed: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            crashes: watch::Sender::new(0),
            stale: Mutex::default(),
            is_stale: AtomicBool::new(false),
        })
    }

    /// A client through the layer.
    pub fn client(self: &Arc<Self>) -> Client {
        let layer = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let layer = layer.clone();
            async move { layer.pass(request).await }
        });
        Client::new(service, "default")
    }

    /// How often the operator was told to die.
    pub fn crashes(&self) -> watch::Receiver<usize> {
        self.crashes.subscribe()
    }

    /// Whether something is on its way.
    pub fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0 || lock(&self.last).elapsed() < SETTLE
    }

    /// Requests that change something, but events, so far.
    pub fn writes(&self) -> usize {
        lock(&self.passed).writes
    }

    /// Requests so far, each with how many of the same came before.
    pub fn trace(&self) -> Vec<(String, usize)> {
        lock(&self.passed).trace.clone()
    }

    /// Events so far, by kind.
    pub fn events(&self) -> BTreeMap<String, usize> {
        lock(&self.passed).events.clone()
    }

    /// Whether every fault has happened.
    pub fn all_happened(&self) -> bool {
        lock(&self.faults).iter().all(|(_, happened)| *happened)
    }

    async fn pass(self: Arc<Self>, request: Request<Body>) -> Result<Answered, BoxError> {
        let at = address(request.method(), request.uri(), &self.tenant);
        let fault = self.number(&at);
        let (mut parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let is_list = at.starts_with("LIST");
        let stale = lock(&self.stale).clone().filter(|_| is_list);
        parts.uri = narrow::narrow(&parts.uri, &self.tenant, stale.as_deref())?;
        let request = Request::from_parts(parts, Body::from(body));
        match fault {
            Some(RequestFault::CrashBefore) => return self.crash().await,
            Some(fault) => {
                if let Some(answer) = answer::instead(fault, &at) {
                    return answer.map(Answer::into_response);
                }
            }
            None => {}
        }
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let answered = self.clone().send(request, &at, writes).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        *lock(&self.last) = Instant::now();
        match fault {
            Some(RequestFault::CrashAfter) => self.crash().await,
            Some(RequestFault::CrashThenStale(back)) => {
                self.lag(back);
                self.crash().await
            }
            Some(RequestFault::AnswerLost) => Err(answer::lost()),
            Some(RequestFault::AppliedTimeout) => Ok(Answer::failure(504, "Timeout").into_response()),
            _ if at.starts_with("WATCH") => Ok(events::through(self.clone(), &at, answered?)),
            _ => answered,
        }
    }

    /// Sends it from a task of its own: who dies meanwhile does not take it back.
    async fn send(self: Arc<Self>, request: Request<Body>, at: &str, writes: bool) -> Result<Answered, BoxError> {
        if at.ends_with("/log") {
            return Ok(Answer::text("what a container says\n").into_response());
        }
        let base = self.base.clone();
        let answered = self.io.spawn(async move { base.send(request).await }).await??;
        if !writes {
            return Ok(answered.map(answer::stream));
        }
        let (parts, body) = answered.into_parts();
        let bytes = body.collect_bytes().await?;
        if let Some(version) = answer::version(&bytes) {
            lock(&self.passed).versions.push(version);
        }
        Ok(Response::from_parts(parts, answer::whole(bytes)))
    }

    fn number(&self, at: &str) -> Option<RequestFault> {
        *lock(&self.last) = Instant::now();
        let nth = {
            let mut passed = lock(&self.passed);
            let count = passed.requests.entry(at.to_owned()).or_default();
            let nth = *count;
            *count += 1;
            passed.trace.push((at.to_owned(), nth));
            let reads = ["LIST", "WATCH", "GET"].iter().any(|verb| at.starts_with(verb));
            passed.writes += usize::from(!reads && !at.contains("events"));
            nth
        };
        let mut faults = lock(&self.faults);
        faults.iter_mut().find_map(|(fault, happened)| match fault {
            Fault::Request {
                at: there,
                nth: count,
                what,
            } if *there == *at && *count == nth && !*happened => {
                *happened = true;
                Some(*what)
            }
            _ => None,
        })
    }

    /// Numbers an event of a kind.
    fn number_event(&self, kind: &str) -> Option<EventFault> {
        *lock(&self.last) = Instant::now();
        let nth = {
            let mut passed = lock(&self.passed);
            let count = passed.events.entry(kind.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let mut faults = lock(&self.faults);
        faults.iter_mut().find_map(|(fault, happened)| match fault {
            Fault::Event { at, nth: count, what } if *at == kind && *count == nth && !*happened => {
                *happened = true;
                Some(*what)
            }
            _ => None,
        })
    }

    /// Has the operator die: whoever asked hears nothing any more.
    async fn crash<T>(&self) -> T {
        self.crashes.send_modify(|crashes| *crashes += 1);
        pending().await
    }

    /// The next instance reads from an API server that lags by so many writes.
    fn lag(&self, back: usize) {
        let versions = lock(&self.passed).versions.clone();
        let then = versions
            .len()
            .checked_sub(back + 1)
            .and_then(|index| versions.get(index));
        *lock(&self.stale) = then.cloned();
        self.is_stale.store(then.is_some(), Ordering::Relaxed);
    }

    /// The API server that the operator reads from has caught up.
    pub fn catch_up(&self) {
        *lock(&self.stale) = None;
        self.is_stale.store(false, Ordering::Relaxed);
    }

    fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }
}
