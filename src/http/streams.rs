//! What stays open: not too much of it, and not for longer than the credential it was opened with.

use super::error::ApiError;
use super::tally::{Held, Tally};
use crate::domain::auth::service::{Proven, Tokens};
use crate::domain::event::Event;
use crate::ports::events::{EventBus, Heard};
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use futures_util::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many event streams may be open at once.
const MAX_STREAMS: usize = 64;

/// How many of them one credential may hold, so that none takes them all.
const MAX_OF_ONE: usize = 16;

/// How often an open stream asks whether its credential is still good although nobody said that one was revoked: it may
/// have ended, or been revoked by another program.
const LOOK: Duration = Duration::from_millis(500);

/// The open streams.
#[derive(Clone)]
pub struct Streams {
    permits: Arc<Semaphore>,
    /// How many each credential holds.
    held: Tally,
    tokens: Arc<Tokens>,
    events: Arc<dyn EventBus>,
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end with `stop`.
    #[must_use]
    pub fn new(tokens: Arc<Tokens>, events: Arc<dyn EventBus>, stop: CancellationToken) -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_STREAMS)), held: Tally::default(), tokens, events, stop }
    }

    /// Opens a stream for `proven`. It is open until what this gives is dropped.
    ///
    /// # Errors
    /// 503 if too many are open.
    pub fn open(&self, proven: &Proven) -> Result<OpenStream, ApiError> {
        let too_many =
            || ApiError::busy("Too many event streams are open; close one, or read /api/v1/agent/status instead");
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| too_many())?;
        let held = self.held.take(proven.principal.key(), MAX_OF_ONE).ok_or_else(too_many)?;
        Ok(OpenStream { _held: held, _permit: permit })
    }

    /// The answer that sends `frames`, with a comment whenever it was quiet for as long as `keep_alive`. It ends when the
    /// server stops, or the credential of `proven` is no longer good.
    pub fn answer(
        self,
        frames: impl Stream<Item = sse::Event> + Send + 'static,
        keep_alive: Duration,
        proven: Proven,
    ) -> Response {
        let frames = frames.map(Ok::<_, Infallible>).take_until(Box::pin(self.ended(proven)));
        let mut response = Sse::new(frames).keep_alive(KeepAlive::new().interval(keep_alive)).into_response();
        // Proxies such as nginx would otherwise gather events until a buffer is full.
        response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        response
    }

    /// Waits until a stream that `proven` opened has to end: the server stops, or the credential is no longer good.
    async fn ended(self, proven: Proven) {
        let mut events = self.events.subscribe();
        let lost = async {
            loop {
                // A storage that does not answer is no reason to believe that the credential is still good.
                if !self.tokens.still_holds(&proven).await.unwrap_or(false) {
                    return;
                }
                let told = async {
                    while let Some(heard) = events.next().await {
                        if matches!(heard, Heard::Event(Event::CredentialsChanged) | Heard::Missed(_)) {
                            return;
                        }
                    }
                };
                let _ = tokio::time::timeout(LOOK, told).await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = lost => {}
        }
    }
}

/// A stream that is open.
pub struct OpenStream {
    _held: Held,
    _permit: OwnedSemaphorePermit,
}
