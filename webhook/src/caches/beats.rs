//! When each watch was last heard of. Bookmarks do not leave kube's watcher, so a layer around the client notes every
//! piece of a good answer to a list or watch, whoever asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tower::{Layer, Service};

/// When one resource's lists and watches were last heard of. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<Mutex<Option<Instant>>>);

impl Beat {
    /// The API server said something just now.
    pub fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When it last did.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer. Goes around the whole of kube's client.
#[derive(Clone, Debug, Default)]
pub struct Listen(Arc<Vec<(&'static str, Beat)>>);

impl Listen {
    /// Notes beats of these resources, by their plural names.
    #[must_use]
    pub fn to(beats: Vec<(&'static str, Beat)>) -> Self {
        Self(Arc::new(beats))
    }

    /// A list or watch of all objects ends in the resource's name.
    fn beat_of<B>(&self, request: &Request<B>) -> Option<Beat> {
        let last = request.uri().path().rsplit('/').next()?;
        let found = self.0.iter().find(|(resource, _)| *resource == last);
        found
            .filter(|_| request.method() == Method::GET)
            .map(|(_, beat)| beat.clone())
    }
}

impl<S> Layer<S> for Listen {
    type Service = Listening<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Listening {
            inner,
            listen: self.clone(),
        }
    }
}

/// A client that listens.
#[derive(Clone)]
pub struct Listening<S> {
    inner: S,
    listen: Listen,
}

impl<S, A, B> Service<Request<A>> for Listening<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Heard<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let beat = self.listen.beat_of(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let beat = beat.filter(|_| answer.status().is_success());
            Ok(answer.map(|body| Heard { body, beat }))
        })
    }
}

/// A body each piece of which is a beat.
pub struct Heard<B> {
    body: B,
    beat: Option<Beat>,
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(beat)) = (&polled, &self.beat) {
            beat.now();
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
