//! One socket: what comes in, what goes out, and when it ends.

use super::{Closing, MESSAGE_BYTES, send};
use crate::domain::agent::News;
use crate::domain::agent::status::SessionState;
use crate::domain::auth::scope::Scope;
use crate::domain::auth::service::Proven;
use crate::domain::mcp::McpServerName;
use crate::domain::session::{Message as Stored, SessionId};
use crate::domain::text::PageLimit;
use crate::http::AppState;
use crate::http::chat::existing_session;
use crate::http::feed::{Batch, Frame, Reader, What};
use crate::http::sessions::MessageView;
use crate::http::streams::End;
use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);

/// How long nothing may be heard of a client: it answers pings, if it is there.
const SILENCE: Duration = Duration::from_secs(90);

/// How many messages a client may send: so many at once, and one more in each of these times.
const BURST: u32 = 60;
const ONE_MORE: Duration = Duration::from_millis(50);

/// How many messages in a row may be no JSON objects.
const MOST_BAD: u32 = 20;

/// How many messages of a session are shown, and how long their texts may be together.
const HISTORY: [i64; 3] = [20, 100, 500];
const HISTORY_BYTES: usize = 4 * 1024 * 1024;

/// A socket that is open.
pub struct Socket<'a> {
    client: &'a mut WebSocket,
    pub(super) state: AppState,
    pub(super) proven: Proven,
    /// The session that is followed.
    pub(super) session: SessionId,
    /// What the client wants to go on with.
    resume: Option<String>,
    reader: Reader,
    /// Whether the client was told that an answer begins, and not yet that it ended.
    pub(super) is_streaming: bool,
    /// The servers at which the user was told to sign in.
    sign_ins: HashSet<McpServerName>,
    /// What is to be sent next.
    out: Vec<Utf8Bytes>,
    bad_in_a_row: u32,
    allowance: Allowance,
}

/// How much a client may still send.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let earned = self.at.elapsed().as_secs_f64() / ONE_MORE.as_secs_f64();
        self.at = Instant::now();
        self.left = (self.left + earned).min(f64::from(BURST));
        self.left -= 1.0;
        self.left >= 0.0
    }
}

impl<'a> Socket<'a> {
    /// A socket for `proven`, opened at `uri`.
    pub fn new(socket: &'a mut WebSocket, state: AppState, proven: Proven, uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let resume = pairs.filter(|(name, _)| name == "resume_session").last().map(|(_, id)| id.into_owned());
        Self {
            client: socket,
            session: state.chats.new_session(),
            resume,
            reader: state.feed.read(),
            state,
            proven,
            is_streaming: false,
            sign_ins: HashSet::new(),
            out: Vec::new(),
            bad_in_a_row: 0,
            allowance: Allowance { left: f64::from(BURST), at: Instant::now() },
        }
    }

    /// Serves the client until one of the two has enough. Gives why, if the client is still to be told.
    pub async fn run(mut self) -> Option<Closing> {
        let ended = self.state.streams.clone().ended(self.proven.clone());
        let mut ended = std::pin::pin!(ended);
        let mut pings = interval_at(Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        self.greet().await;
        loop {
            if !self.flush().await {
                return None;
            }
            tokio::select! {
                end = &mut ended => return Some(match end {
                    End::Stopping => Closing::STOPPING,
                    End::Revoked => Closing::REVOKED,
                }),
                batch = self.reader.next() => self.hear(batch),
                message = self.client.recv() => {
                    last_heard = Instant::now();
                    match message {
                        Some(Ok(message)) => match self.take(message).await {
                            Ok(true) => {}
                            Ok(false) => return None,
                            Err(closing) => return Some(closing),
                        },
                        Some(Err(error)) => return why_unread(&error),
                        None => return None,
                    }
                }
                _ = pings.tick() => {
                    if last_heard.elapsed() >= SILENCE {
                        return None;
                    }
                    let ping = self.client.send(Message::Ping(Bytes::new()));
                    if !matches!(tokio::time::timeout(super::WRITE_TIME, ping).await, Ok(Ok(()))) {
                        return None;
                    }
                }
            }
        }
    }

    /// Says where the client is.
    async fn greet(&mut self) {
        let resumed = match self.resume.take() {
            Some(id) if self.may(Scope::Sessions) => existing_session(&self.state.sessions, &id).await.ok().flatten(),
            Some(_) | None => None,
        };
        let history = match &resumed {
            Some(session) => self.history(session).await,
            None => None,
        };
        if let Some(session) = resumed {
            self.session = session;
        }
        self.push(&json!({
            "type": "connection_info", "content": "Connected to PocketPaw", "id": self.session.as_str()
        }));
        if let Some(history) = history {
            self.push(&history);
        }
    }

    /// Whether the client may do what needs this scope.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.proven.principal.grant.scopes.allows(scope)
    }

    /// Puts a message into what is sent next.
    pub(super) fn push(&mut self, message: &Value) {
        self.out.push(message.to_string().into());
    }

    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let out = std::mem::take(&mut self.out);
        send(self.client, out).await
    }

    /// Takes a message. `false` if the client goes.
    async fn take(&mut self, message: Message) -> Result<bool, Closing> {
        if !self.allowance.take() {
            return Err(Closing::TOO_OFTEN);
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Closing::NOT_TEXT),
            Message::Ping(_) | Message::Pong(_) => return Ok(true),
            Message::Close(_) => {
                // Reading on sends the answer to it.
                let rest = async { while let Some(Ok(_)) = self.client.recv().await {} };
                let _ = tokio::time::timeout(super::CLOSE_TIME, rest).await;
                return Ok(false);
            }
        };
        if text.len() > MESSAGE_BYTES {
            return Err(Closing::TOO_LARGE);
        }
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(message) => {
                self.bad_in_a_row = 0;
                self.act(&message).await;
            }
            Err(_) => {
                self.bad_in_a_row += 1;
                if self.bad_in_a_row >= MOST_BAD {
                    return Err(Closing::NO_JSON);
                }
                self.error("A message has to be a JSON object.");
            }
        }
        Ok(true)
    }

    pub(super) fn error(&mut self, content: &str) {
        self.push(&json!({ "type": "error", "content": content }));
    }

    fn hear(&mut self, batch: Batch) {
        match batch {
            Batch::Frames(frames) => frames.iter().for_each(|frame| self.hear_frame(frame)),
            Batch::Gap(missed) => self.tell_of_gap(missed),
        }
    }

    fn hear_frame(&mut self, frame: &Arc<Frame>) {
        match &frame.what {
            What::Turn(news) | What::Failed(news, _) => {
                if news.session != self.session {
                    return;
                }
                let is_end = matches!(news.news, News::Finished { .. }) && matches!(frame.what, What::Turn(_));
                if !is_end {
                    self.begin_stream();
                }
                self.out.extend_from_slice(frame.messages());
                if is_end {
                    self.end_stream();
                }
            }
            What::Server { name, is_settled, .. } => {
                if *is_settled {
                    self.sign_ins.remove(name);
                }
            }
            What::SignIn { name, .. } => {
                if self.may(Scope::Admin) && self.sign_ins.insert(name.clone()) {
                    self.out.extend_from_slice(frame.messages());
                }
            }
            // Sockets know no message for it.
            What::Tunnel(_) => {}
            What::Lost(missed) => self.tell_of_gap(Some(*missed)),
        }
    }

    /// Tells the client that it missed something, and that the answer has ended if that may be what it missed.
    fn tell_of_gap(&mut self, missed: Option<u64>) {
        self.push(&json!({ "type": "system_event", "event_type": "gap", "data": { "missed": missed } }));
        let status = self.state.agent.status();
        let is_answered = |state: &SessionState| !matches!(state, SessionState::Error(_));
        if !status.sessions.iter().any(|it| it.id == self.session && is_answered(&it.state)) {
            self.end_stream();
        }
    }

    /// Tells the client that an answer begins, unless it knows.
    pub(super) fn begin_stream(&mut self) {
        if !std::mem::replace(&mut self.is_streaming, true) {
            self.push(&json!({ "type": "stream_start" }));
        }
    }

    /// Tells the client that the answer has ended, unless it knows.
    pub(super) fn end_stream(&mut self) {
        if std::mem::replace(&mut self.is_streaming, false) {
            self.push(&json!({ "type": "stream_end" }));
        }
    }

    /// What was said in a session, newest last. `None` if the storage does not say.
    pub(super) async fn history(&mut self, session: &SessionId) -> Option<Value> {
        let mut messages = Vec::new();
        // Step by step: most sessions are short, and one message may hold two megabytes.
        for limit in HISTORY.map(PageLimit::clamped) {
            messages = self.state.sessions.history(session, limit).await.ok()?;
            let bytes =
                |message: &Stored| message.content.text.as_str().len() + message.content.metadata.as_json().len();
            if messages.len() < limit.get() || messages.iter().map(bytes).sum::<usize>() >= HISTORY_BYTES {
                break;
            }
        }
        let mut room = HISTORY_BYTES;
        let fits = |message: &&Stored| {
            let length = message.content.text.as_str().len() + message.content.metadata.as_json().len();
            let left = room.checked_sub(length);
            room = left.unwrap_or_default();
            left.is_some()
        };
        let shown = messages.iter().rev().take_while(fits).count();
        let shown: Vec<_> = messages.into_iter().rev().take(shown).map(MessageView::from).collect();
        let shown: Vec<_> = shown.iter().rev().collect();
        Some(json!({ "type": "session_history", "session_id": session.as_str(), "messages": shown }))
    }
}

/// Why a message could not be read, for the client to know. `None` if the connection is gone.
fn why_unread(error: &axum::Error) -> Option<Closing> {
    // The library does not let its kinds of errors through.
    let why = error.to_string();
    if why.contains("too long") || why.contains("Space limit") {
        return Some(Closing::TOO_LARGE);
    }
    (why.contains("UTF-8") || why.contains("utf-8")).then_some(Closing::NOT_UTF8)
}
