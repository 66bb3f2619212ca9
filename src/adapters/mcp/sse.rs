//! HTTP with SSE, as version 2024-11-05 of the protocol has it: an event stream for what the server says, whose first event
//! names the address that takes what we say. rmcp does not speak it any more.
//! <https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse>

use super::problem::Problem;
use super::remote::{Place, accepted};
use super::watched::Watch;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use sse_stream::{Sse, SseStream};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

/// The largest event, in bytes: the same as over the other transports.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// How many messages may wait before the stream is not read any further.
const WAITING: usize = 16;

/// How long a server may take to take a message. Its answer comes over the stream.
const POST: Duration = Duration::from_secs(60);

type Message = RxJsonRpcMessage<RoleClient>;

/// The two sides of a connection.
pub(super) struct EventStream {
    place: Place,
    endpoint: Url,
    messages: mpsc::Receiver<Message>,
    watch: Watch,
    /// Ends the reading of the stream, and with it the stream.
    reading: Option<DropGuard>,
}

impl EventStream {
    /// Opens the stream, and waits for the first event.
    pub async fn open(place: &Place, watch: Watch, tasks: &TaskTracker) -> Result<Self, Problem> {
        let request = place.request(Method::GET, place.url.clone()).await?;
        let response = accepted(request.header(ACCEPT, "text/event-stream").send().await)?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("text/event-stream") {
            return Err(Problem::NotMcp("the address has no event stream".to_owned()));
        }
        // A redirect may have led to another path.
        let base = response.url().clone();
        let mut events = bounded(response);
        let endpoint = loop {
            let event = events.next().await.ok_or_else(|| broken("it ended before its first event"))?;
            let event = event.map_err(|_| broken("it cannot be read"))?;
            if event.event.as_deref() == Some("endpoint") {
                break endpoint_of(&base, event.data.as_deref().unwrap_or_default())?;
            }
        };
        let (sender, messages) = mpsc::channel(WAITING);
        let end = CancellationToken::new();
        let ended = end.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = read(events, sender) => {}
            }
        });
        Ok(Self { place: place.clone(), endpoint, messages, watch, reading: Some(end.drop_guard()) })
    }
}

fn broken(what: &str) -> Problem {
    Problem::Broken(format!("the event stream is broken: {what}"))
}

/// Headers and tokens are sent there, so it must be the same server.
fn endpoint_of(base: &Url, given: &str) -> Result<Url, Problem> {
    match base.join(given.trim()) {
        Ok(endpoint) if endpoint.origin() == base.origin() => Ok(endpoint),
        Ok(_) => Err(Problem::NotMcp("it wants messages to be sent to another server".to_owned())),
        Err(_) => Err(Problem::NotMcp("it does not say where to send messages".to_owned())),
    }
}

/// The events of a response. An event that is too large is an error.
fn bounded(response: reqwest::Response) -> BoxStream<'static, Result<Sse, sse_stream::Error>> {
    // Whatever came since the last whole event is held by the parser.
    let held = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&held);
    let chunks = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        let before = counted.fetch_add(chunk.len(), Ordering::Relaxed);
        if before + chunk.len() > MAX_EVENT { Err(io::Error::other("too large")) } else { Ok(chunk) }
    });
    let events = SseStream::from_bytes_stream(chunks).inspect(move |_| held.store(0, Ordering::Relaxed));
    events.boxed()
}

/// Hands on messages until the stream ends or nobody takes them.
async fn read(mut events: BoxStream<'static, Result<Sse, sse_stream::Error>>, messages: mpsc::Sender<Message>) {
    while let Some(Ok(event)) = events.next().await {
        let is_message = event.event.as_deref().is_none_or(|kind| kind == "message");
        // What is no message is passed over, as on standard output.
        let message = event.data.filter(|_| is_message).and_then(|data| serde_json::from_str(&data).ok());
        if let Some(message) = message
            && messages.send(message).await.is_err()
        {
            return;
        }
    }
}

impl Transport<RoleClient> for EventStream {
    type Error = Problem;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Problem>> + Send + 'static {
        let (place, endpoint, watch) = (self.place.clone(), self.endpoint.clone(), self.watch.clone());
        async move {
            let post = async {
                let request = place.request(Method::POST, endpoint).await?;
                accepted(request.json(&message).timeout(POST).send().await)
            };
            match post.await {
                Ok(_) => Ok(()),
                Err(problem) => {
                    watch.heard(&problem);
                    Err(problem)
                }
            }
        }
    }

    async fn receive(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), Problem> {
        self.reading = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
