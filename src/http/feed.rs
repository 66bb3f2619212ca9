//! What clients may hear, numbered and kept for a while.
//!
//! One task listens to the bus for all clients. What it hears is put into a ring once, and written down once, however many
//! read it. A reader is a place in the ring: it never holds the others up, and costs nothing while it does not read. Who is
//! overtaken by the ring is told how much they missed.

mod words;

use crate::domain::agent::{News, TurnEnd, TurnNews};
use crate::domain::event::Event;
use crate::domain::mcp::McpServerName;
use crate::domain::mcp::service::McpServers;
use crate::domain::mcp::status::McpState;
use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use crate::domain::tunnel::service::Tunnel;
use crate::http::mcp::McpStatusView;
use crate::http::remote::TunnelView;
use crate::ports::events::{EventBus, EventStream, Heard};
use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use words::{chunk, counted, sse};

/// How many frames are kept.
const KEPT: usize = 4_096;

/// How much room they may take, in bytes.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// How many frames a reader is given at once.
const BATCH: usize = 64;

/// What a frame takes besides its texts.
const FRAME_BYTES: usize = 512;

/// The feed.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    events: Arc<dyn EventBus>,
    servers: Arc<McpServers>,
    tunnel: Arc<Tunnel>,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Timestamp,
    /// Tells this run's ids from those of others.
    boot: Arc<str>,
    listening: Once,
    ring: Mutex<Ring>,
    /// Changes with every frame.
    newest: watch::Sender<u64>,
    /// Changes whenever a credential may have been revoked.
    credentials: watch::Sender<u64>,
    /// Changes whenever the agent's status may have changed.
    status: watch::Sender<u64>,
}

/// The frames, oldest first, numbered without gaps.
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// The number of the next frame.
    next: u64,
}

impl Ring {
    /// The number of the oldest frame that is kept.
    fn oldest(&self) -> u64 {
        self.next - self.frames.len() as u64
    }
}

/// Something that clients may hear.
pub struct Frame {
    id: String,
    /// What it is about.
    pub what: What,
    as_event: OnceLock<Option<Bytes>>,
    as_chat: OnceLock<Option<Bytes>>,
    as_messages: OnceLock<Box<[Utf8Bytes]>>,
}

/// What can be heard.
pub enum What {
    /// Something happened to a turn.
    Turn(Arc<TurnNews>),
    /// A turn failed, for this reason; that it ended comes next.
    Failed(Arc<TurnNews>, String),
    /// An MCP server changed.
    Server {
        /// Which.
        name: McpServerName,
        /// Whether it needs nobody any more: it is connected, or gone.
        is_settled: bool,
        /// As clients read it.
        data: Value,
    },
    /// The user has to sign in to an MCP server.
    SignIn {
        /// Which.
        name: McpServerName,
        /// Where.
        url: String,
    },
    /// The tunnel changed; as clients read it.
    Tunnel(Value),
    /// That much was told faster than it could be taken in.
    Lost(u64),
}

impl What {
    /// What it is about, if that is a turn.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnNews> {
        match self {
            Self::Turn(news) | Self::Failed(news, _) => Some(news),
            Self::Server { .. } | Self::SignIn { .. } | Self::Tunnel(_) | Self::Lost(_) => None,
        }
    }
}

impl Frame {
    /// As `/events/stream` sends it.
    pub fn event(&self) -> Option<Bytes> {
        let write = || {
            let (event, data) = words::system_event(&self.what)?;
            Some(sse(event, Some(&self.id), &json!({ "event": event, "data": data })))
        };
        self.as_event.get_or_init(write).clone()
    }

    /// As `/events/poll` sends it.
    pub fn value(&self) -> Option<Value> {
        let (event, data) = words::system_event(&self.what)?;
        Some(json!({ "id": self.id, "event": event, "data": data }))
    }

    /// As `/chat/stream` sends it.
    pub fn chat(&self) -> Option<Bytes> {
        let write = || words::chat_event(&self.what).map(|(event, data)| sse(event, None, &data));
        self.as_chat.get_or_init(write).clone()
    }

    /// As WebSockets send it.
    pub fn messages(&self) -> &[Utf8Bytes] {
        let write = || words::messages(&self.what).iter().map(|message| message.to_string().into()).collect();
        self.as_messages.get_or_init(write)
    }

    /// The session that it belongs to, if any.
    pub fn session(&self) -> Option<&SessionId> {
        self.what.turn().map(|news| &news.session)
    }
}

/// What a reader is given.
pub enum Batch {
    /// The next frames.
    Frames(Vec<Arc<Frame>>),
    /// So many frames are gone; `None` if nobody knows how many.
    Gap(Option<u64>),
}

impl Feed {
    /// A feed of what `events` carries, for an app that started then. It listens once somebody reads.
    #[must_use]
    pub fn new(
        events: Arc<dyn EventBus>,
        servers: Arc<McpServers>,
        tunnel: Arc<Tunnel>,
        tasks: TaskTracker,
        stop: CancellationToken,
        started: Timestamp,
    ) -> Self {
        Self(Arc::new(Shared {
            events,
            servers,
            tunnel,
            tasks,
            stop,
            started,
            boot: base36(started.0.unsigned_abs()).into(),
            listening: Once::new(),
            ring: Mutex::new(Ring { frames: VecDeque::new(), bytes: 0, next: 1 }),
            newest: watch::Sender::new(0),
            credentials: watch::Sender::new(0),
            status: watch::Sender::new(0),
        }))
    }

    /// When the app started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// The id of an event with that number: it names this run of the server, too.
    #[must_use]
    pub fn id(&self, number: u64) -> String {
        self.0.id(number)
    }

    /// The number in the id of an event of this run. `None` if it is of another one, or none.
    #[must_use]
    pub fn number(&self, id: &str) -> Option<u64> {
        let (boot, number) = id.rsplit_once('-')?;
        number.parse().ok().filter(|_| *boot == *self.0.boot)
    }

    /// A reader of everything from now on.
    #[must_use]
    pub fn read(&self) -> Reader {
        self.listen();
        let newest = self.0.newest.subscribe();
        let next = self.0.ring().next;
        Reader { shared: Arc::clone(&self.0), newest, next, is_lost: false }
    }

    /// A reader of everything after the frame with the id that a client read last. What is not kept any more is a gap.
    #[must_use]
    pub fn read_after(&self, id: &str) -> Reader {
        let mut reader = self.read();
        let ring = self.0.ring();
        match self.number(id).filter(|number| *number < ring.next) {
            Some(number) => reader.next = number + 1,
            None => {
                reader.next = ring.oldest();
                reader.is_lost = true;
            }
        }
        drop(ring);
        reader
    }

    /// Tells when a credential may have been revoked.
    #[must_use]
    pub fn credentials(&self) -> watch::Receiver<u64> {
        self.listen();
        self.0.credentials.subscribe()
    }

    /// Tells when the agent's status may have changed.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<u64> {
        self.listen();
        self.0.status.subscribe()
    }

    /// Listens to the bus from now on, unless that is done already.
    fn listen(&self) {
        // Who comes second waits until the first has subscribed; and that is done here and not in the task, so that whoever
        // made it listen misses nothing.
        self.0.listening.call_once(|| {
            let heard = self.0.events.subscribe();
            let shared = Arc::clone(&self.0);
            let stop = self.0.stop.clone();
            self.0.tasks.spawn(async move { stop.run_until_cancelled(shared.take_in(heard)).await });
        });
    }
}

impl Shared {
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.boot)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_in(&self, mut heard: EventStream) {
        while let Some(heard) = heard.next().await {
            match heard {
                Heard::Event(Event::Turn(news)) => self.tell_of_turn(news),
                Heard::Event(Event::McpServerChanged(name)) => self.tell_of_server(name),
                Heard::Event(Event::TunnelChanged) => self.tell_of_tunnel(),
                Heard::Event(Event::AgentStatusChanged) => bump(&self.status),
                Heard::Event(Event::CredentialsChanged) => bump(&self.credentials),
                // Clients ask for settings when they show them.
                Heard::Event(Event::SettingsChanged) => {}
                Heard::Missed(missed) => {
                    tracing::warn!(missed, "events came faster than they were taken in");
                    self.keep(What::Lost(missed), 0);
                    // What was missed may have been about these.
                    bump(&self.status);
                    bump(&self.credentials);
                }
            }
        }
    }

    fn tell_of_turn(&self, news: Arc<TurnNews>) {
        if let News::Finished { end: TurnEnd::Failed(reason), .. } = &news.news {
            let reason = reason.clone();
            self.keep(What::Failed(Arc::clone(&news), reason.clone()), reason.len());
        }
        let bytes = words::length(&news.news);
        self.keep(What::Turn(news), bytes);
    }

    /// Tells what the server is now: it may have changed again since the event.
    fn tell_of_server(&self, name: McpServerName) {
        let Some(status) = self.servers.status(&name) else {
            let data = json!({ "name": name.as_str(), "removed": true });
            return self.keep(What::Server { name, is_settled: true, data }, 0);
        };
        let url = match &status.state {
            McpState::NeedsAuth { url } => Some(url.clone()),
            _ => None,
        };
        let is_settled = status.state == McpState::Connected;
        let mut data = json!(McpStatusView::from(status));
        data["name"] = name.as_str().into();
        let bytes = data.to_string().len();
        self.keep(What::Server { name: name.clone(), is_settled, data }, bytes);
        if let Some(url) = url {
            let bytes = url.len();
            self.keep(What::SignIn { name, url }, bytes);
        }
    }

    fn tell_of_tunnel(&self) {
        let data = json!(TunnelView::from(self.tunnel.status()));
        let bytes = data.to_string().len();
        self.keep(What::Tunnel(data), bytes);
    }

    /// Puts a frame with texts of that length into the ring, and wakes the readers.
    fn keep(&self, what: What, bytes: usize) {
        let mut ring = self.ring();
        let number = ring.next;
        let frame = Frame {
            id: self.id(number),
            what,
            as_event: OnceLock::new(),
            as_chat: OnceLock::new(),
            as_messages: OnceLock::new(),
        };
        ring.next += 1;
        ring.bytes += frame_bytes(bytes);
        ring.frames.push_back(Arc::new(frame));
        while ring.frames.len() > KEPT || (ring.bytes > KEPT_BYTES && ring.frames.len() > 1) {
            let Some(oldest) = ring.frames.pop_front() else { break };
            ring.bytes = ring.bytes.saturating_sub(frame_bytes(oldest.what.bytes()));
        }
        drop(ring);
        self.newest.send_replace(number);
    }
}

impl What {
    /// The length of its texts.
    fn bytes(&self) -> usize {
        match self {
            Self::Turn(news) => words::length(&news.news),
            Self::Failed(_, reason) => reason.len(),
            Self::Server { data, .. } if data.get("removed").is_some() => 0,
            Self::Server { data, .. } | Self::Tunnel(data) => data.to_string().len(),
            Self::SignIn { url, .. } => url.len(),
            Self::Lost(_) => 0,
        }
    }
}

/// What a frame with texts of that length takes: they are kept as they came, and written down in up to three forms.
fn frame_bytes(texts: usize) -> usize {
    FRAME_BYTES + 4 * texts
}

fn bump(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count += 1);
}

/// A place in the feed.
pub struct Reader {
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    /// The number of the next frame to be read.
    next: u64,
    /// Whether it is not known what was read before.
    is_lost: bool,
}

impl Reader {
    /// What comes next; waits for it. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Batch {
        loop {
            // Before the ring is looked at, so that what comes meanwhile is seen the next time.
            self.newest.borrow_and_update();
            if let Some(batch) = self.take() {
                return batch;
            }
            if self.newest.changed().await.is_err() {
                // Cannot be: the sender is in what this holds. Nothing will come.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The id of what was read last.
    #[must_use]
    pub fn position(&self) -> String {
        self.shared.id(self.next.saturating_sub(1))
    }

    fn take(&mut self) -> Option<Batch> {
        let ring = self.shared.ring();
        if std::mem::take(&mut self.is_lost) {
            return Some(Batch::Gap(None));
        }
        let oldest = ring.oldest();
        if self.next < oldest {
            let missed = oldest - self.next;
            self.next = oldest;
            return Some(Batch::Gap(Some(missed)));
        }
        let from = usize::try_from(self.next - oldest).unwrap_or(usize::MAX).min(ring.frames.len());
        let to = ring.frames.len().min(from + BATCH);
        let frames: Vec<_> = ring.frames.range(from..to).cloned().collect();
        drop(ring);
        self.next += frames.len() as u64;
        (!frames.is_empty()).then_some(Batch::Frames(frames))
    }
}

/// A number in digits and small letters.
fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(DIGITS[usize::try_from(number % 36).unwrap_or_default()]));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_base_36() {
        assert_eq!([0, 35, 36, 1_795_408_821_000].map(base36), ["0", "z", "10", "mwss20i0"]);
    }
}
