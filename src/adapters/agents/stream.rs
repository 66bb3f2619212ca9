//! What a provider sends, piece by piece, within bounds of size and time.

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use sse_stream::{Sse, SseStream};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// The largest event, and the largest answer that comes in one piece, in bytes.
pub(super) const MAX_EVENT: usize = 8 * 1024 * 1024;

/// Why there is no next piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The connection broke, was silent for too long, or carries something that is no event stream.
    Connection(String),
    /// A piece is larger than is taken.
    TooLarge,
}

/// The bytes of an answer, with errors in words that hold no address.
pub(super) fn bytes_of(response: reqwest::Response) -> impl Stream<Item = io::Result<Bytes>> + Send {
    response.bytes_stream().map(|chunk| chunk.map_err(|error| io::Error::other(innermost(&error))))
}

/// What is at the bottom of an error: the outer ones name the address, this one says what happened.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// The events of a stream.
pub(super) struct Events {
    parsed: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    is_too_large: Arc<AtomicBool>,
    at_end: Arc<AtomicBool>,
}

impl Events {
    pub fn new(bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        // Whatever came since the last whole event is held by the parser.
        let held = Arc::new(AtomicUsize::new(0));
        let (is_too_large, at_end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (counted, flag, end) = (Arc::clone(&held), Arc::clone(&is_too_large), Arc::clone(&at_end));
        let counted = bytes.map(move |chunk| {
            let chunk = chunk?;
            let before = counted.fetch_add(chunk.len(), Ordering::Relaxed);
            if before + chunk.len() > MAX_EVENT {
                flag.store(true, Ordering::Relaxed);
                return Err(io::Error::other("too large"));
            }
            Ok(chunk)
        });
        // Some servers forget the empty line after their last event.
        let flush = futures_util::stream::once(async move {
            end.store(true, Ordering::Relaxed);
            Ok(Bytes::from_static(b"\n\n"))
        });
        let parsed = SseStream::from_bytes_stream(counted.chain(flush));
        let parsed = parsed.inspect(move |_| held.store(0, Ordering::Relaxed)).boxed();
        Self { parsed, is_too_large, at_end }
    }

    /// The data of the next event that has any; `None` at the end. Waits for `limit` at most.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<String>, Lost> {
        let next = async {
            loop {
                match self.parsed.next().await {
                    Some(Ok(Sse { data: Some(data), .. })) => return Ok(Some(data)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(None),
                }
            }
        };
        match timeout(limit, next).await {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(_)) if self.is_too_large.load(Ordering::Relaxed) => Err(Lost::TooLarge),
            Ok(Err(sse_stream::Error::Body(error))) => Err(Lost::Connection(innermost(&*error))),
            Ok(Err(_)) => Err(Lost::Connection("what it sent is no event stream".to_owned())),
            Err(_) => Err(silent(limit)),
        }
    }

    /// Whether all bytes came. The last event may be a part of one then.
    pub fn at_end(&self) -> bool {
        self.at_end.load(Ordering::Relaxed)
    }
}

/// The first `most` bytes, or all of them. No longer than `limit` is waited between two pieces.
pub(super) async fn read_all(
    bytes: impl Stream<Item = io::Result<Bytes>>,
    most: usize,
    limit: Duration,
) -> Result<Vec<u8>, Lost> {
    let mut bytes = std::pin::pin!(bytes);
    let mut all = Vec::new();
    loop {
        match timeout(limit, bytes.next()).await {
            Ok(Some(Ok(chunk))) if all.len() + chunk.len() > most => return Err(Lost::TooLarge),
            Ok(Some(Ok(chunk))) => all.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => return Err(Lost::Connection(innermost(&error))),
            Ok(None) => return Ok(all),
            Err(_) => return Err(silent(limit)),
        }
    }
}

fn silent(limit: Duration) -> Lost {
    Lost::Connection(format!("it said nothing for {} seconds", limit.as_secs()))
}

#[cfg(test)]
mod tests;
