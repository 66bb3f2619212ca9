//! What stays open: not too much of it, and not for longer than the credential it was opened with.

use super::error::ApiError;
use super::feed::Feed;
use super::tally::{Held, Tally};
use crate::domain::auth::service::{Proven, Tokens};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many event streams may be open at once, and how many of them one credential may hold, so that none takes them all.
const STREAMS: (usize, usize) = (576, 512);

/// The same of WebSockets. All of these together are fewer than the connections that may be open, so that there is always
/// one left for a request.
const SOCKETS: (usize, usize) = (240, 208);

/// How often an open stream asks whether its credential is still good although nobody said that one was revoked: it may
/// have ended, or been revoked by another program.
const LOOK: Duration = Duration::from_millis(500);

/// How often a quiet stream says that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What it says then: a comment.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// The open streams.
#[derive(Clone)]
pub struct Streams {
    followed: Places,
    sockets: Places,
    tokens: Arc<Tokens>,
    feed: Feed,
    stop: CancellationToken,
}

/// So many may be open, and so many of them by one.
#[derive(Clone)]
struct Places {
    permits: Arc<Semaphore>,
    /// How many each credential holds.
    held: Tally,
    of_one: usize,
}

impl Places {
    fn new((all, of_one): (usize, usize)) -> Self {
        Self { permits: Arc::new(Semaphore::new(all)), held: Tally::default(), of_one }
    }

    fn take(&self, proven: &Proven) -> Option<OpenStream> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let held = self.held.take(proven.principal.key(), self.of_one)?;
        Some(OpenStream { _held: held, _permit: permit })
    }
}

/// Why something that is open has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server stops.
    Stopping,
    /// The credential is no longer good.
    Revoked,
}

impl Streams {
    /// Streams that end with `stop`.
    #[must_use]
    pub fn new(tokens: Arc<Tokens>, feed: Feed, stop: CancellationToken) -> Self {
        Self { followed: Places::new(STREAMS), sockets: Places::new(SOCKETS), tokens, feed, stop }
    }

    /// Opens a stream for `proven`. It is open until what this gives is dropped.
    ///
    /// # Errors
    /// 503 if too many are open.
    pub fn open(&self, proven: &Proven) -> Result<OpenStream, ApiError> {
        let too_many = "Too many event streams are open; close one, or read /api/v1/agent/status instead";
        self.followed.take(proven).ok_or_else(|| ApiError::busy(too_many))
    }

    /// Opens a WebSocket for `proven`. It is open until what this gives is dropped. `None` if too many are.
    #[must_use]
    pub fn open_socket(&self, proven: &Proven) -> Option<OpenStream> {
        self.sockets.take(proven)
    }

    /// The answer that sends `frames` until the server stops, or the credential of `proven` is no longer good.
    pub fn answer(&self, frames: impl Stream<Item = Bytes> + Send + 'static, proven: Proven) -> Response {
        let ended = self.clone().ended(proven);
        answer(frames.take_until(Box::pin(ended)))
    }

    /// What `happening` gives, if that is before `wait` is over and the server stops; nothing otherwise.
    ///
    /// # Errors
    /// 401 if the credential of `proven` is no longer good before that.
    pub async fn wait_for<T>(
        &self,
        happening: impl Future<Output = T>,
        wait: Duration,
        proven: Proven,
    ) -> Result<Option<T>, ApiError> {
        tokio::select! {
            // Nothing is told to whom it is not for any more, and what has happened also to those who do not want to wait.
            biased;
            end = self.clone().ended(proven) => match end {
                End::Stopping => Ok(None),
                End::Revoked => Err(ApiError::unauthorized()),
            },
            happened = happening => Ok(Some(happened)),
            () = tokio::time::sleep(wait) => Ok(None),
        }
    }

    /// Waits until the server is told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until what `proven` opened has to end.
    pub async fn ended(self, proven: Proven) -> End {
        // Before the first look, so that no change falls between the two.
        let mut changes = self.feed.credentials();
        let lost = async {
            loop {
                changes.borrow_and_update();
                // A storage that does not answer is no reason to believe that the credential is still good.
                if !self.tokens.still_holds(&proven).await.unwrap_or(false) {
                    return;
                }
                let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => End::Stopping,
            () = lost => End::Revoked,
        }
    }
}

/// The answer that sends `frames`, with a comment whenever it was quiet for a while.
pub fn answer(frames: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let frames = stream::unfold(Box::pin(frames), |mut frames| async move {
        match tokio::time::timeout(KEEP_ALIVE, frames.next()).await {
            Ok(frame) => frame.map(|frame| (frame, frames)),
            Err(_) => Some((ALIVE, frames)),
        }
    });
    let mut response = Response::new(Body::from_stream(frames.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies such as nginx would otherwise gather events until a buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// A stream that is open.
pub struct OpenStream {
    _held: Held,
    _permit: OwnedSemaphorePermit,
}
