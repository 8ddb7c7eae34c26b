//! Counts requests to the API server, and notes when its watches say something.
//!
//! A layer around kube's client sees every request that the process makes, whoever makes it, so nothing is counted
//! twice or forgotten. It also sees each piece of each answer, bookmarks included.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Response, header};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, Service};

use super::Metrics;

/// Resources that are told apart; everything else is `other`.
const RESOURCES: [&str; 25] = [
    "builds",
    "configmaps",
    "customresourcedefinitions",
    "events",
    "imagepolicies",
    "imagescans",
    "jobs",
    "leases",
    "limitranges",
    "namespaces",
    "networkpolicies",
    "persistentvolumeclaims",
    "pods",
    "projects",
    "quarantinerequests",
    "resourcequotas",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "sorrecords",
    "tenants",
    "tenantsettings",
    "tokenreviews",
    "other",
];

/// A request as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Kubernetes' verb.
    pub verb: &'static str,
    /// Plural name of the resource, or `other`.
    pub resource: &'static str,
}

impl Request {
    /// Takes an HTTP request apart. Nothing of it becomes a label as it is.
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let (resource, named) = target(request.uri().path());
        let content = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let verb = match *request.method() {
            Method::GET if watches => "watch",
            Method::GET if named => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH if content.starts_with("application/apply-patch") => "apply",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "other",
        };
        Self { verb, resource }
    }

    fn fills_a_cache(self) -> bool {
        matches!(self.verb, "list" | "watch") && !matches!(self.resource, "leases" | "other")
    }
}

/// Resource of a path, and whether the path names one object of it.
fn target(path: &str) -> (&'static str, bool) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let rest = match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return ("other", true),
    };
    let rest = match rest {
        ["namespaces", _namespace, resource, rest @ ..] => [&[*resource], rest].concat(),
        rest => rest.to_vec(),
    };
    let known = rest
        .first()
        .and_then(|resource| RESOURCES.into_iter().find(|known| known == resource));
    (known.unwrap_or("other"), rest.len() > 1)
}

/// The layer. Goes around the whole of kube's client.
#[derive(Clone)]
pub struct CountRequests(Arc<Metrics>);

impl CountRequests {
    /// Counts into `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted {
            inner,
            metrics: self.0.clone(),
        }
    }
}

/// A client whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, A, B> Service<http::Request<A>> for Counted<S>
where
    S: Service<http::Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Heard<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<A>) -> Self::Future {
        let counted = Request::of(&request);
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.requested(
                &counted,
                answer.as_ref().map_or("error", |answer| class(answer.status())),
            );
            let answer = answer?;
            let heard = counted.fills_a_cache() && answer.status().is_success();
            Ok(answer.map(|body| Heard {
                body,
                heard_of: heard.then_some((metrics, counted.resource)),
            }))
        })
    }
}

fn class(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// A body each piece of which shows that a watch is alive.
pub struct Heard<B> {
    body: B,
    heard_of: Option<(Arc<Metrics>, &'static str)>,
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(_))), Some((metrics, resource))) = (&polled, &self.heard_of) {
            metrics.heartbeats().beat(resource);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
