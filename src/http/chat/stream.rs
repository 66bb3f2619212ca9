//! Following one turn.

use crate::domain::agent::model::TokenUsage;
use crate::domain::agent::service::Agent;
use crate::domain::agent::{AgentEvent, News, Reply, TurnId};
use crate::domain::session::SessionId;
use crate::http::feed::{Batch, Frame, Reader, What, chunk, counted, sse};
use crate::http::streams::{self, End, OpenStream};
use axum::body::Bytes;
use axum::response::Response;
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;

/// One client that follows one turn.
pub struct Follower {
    reader: Reader,
    turn: TurnId,
    session: SessionId,
    /// The answer, for whoever began the turn.
    reply: Option<oneshot::Receiver<Reply>>,
    agent: Arc<Agent>,
    /// When following has to end.
    ended: BoxFuture<'static, End>,
    /// What is still to be sent.
    ready: VecDeque<Bytes>,
    is_done: bool,
}

/// What comes next of a turn.
enum Step {
    Frames(Vec<Arc<Frame>>),
    /// So many are gone.
    Gap(Option<u64>),
    End(End),
}

impl Follower {
    /// Follows `turn` from where `reader` is.
    pub fn new(
        reader: Reader,
        turn: TurnId,
        session: SessionId,
        reply: Option<oneshot::Receiver<Reply>>,
        agent: Arc<Agent>,
        ended: BoxFuture<'static, End>,
    ) -> Self {
        Self { reader, turn, session, reply, agent, ended, ready: VecDeque::new(), is_done: false }
    }

    /// The answer that begins with `start` and ends with the turn.
    pub fn answer(mut self, start: Bytes, open: OpenStream) -> Response {
        self.ready.push_back(start);
        let frames = stream::unfold((self, open), |(mut follower, open)| async move {
            let frame = follower.next().await?;
            Some((frame, (follower, open)))
        });
        streams::answer(frames)
    }

    /// What the agent says from here to the end of the turn. `None` if the server stops before that.
    pub async fn rest(mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            match self.step().await {
                Step::Frames(frames) => {
                    for frame in frames {
                        match &frame.what {
                            What::Failed(_, reason) if text.is_empty() => text.push_str(reason),
                            What::Failed(_, reason) => text.extend(["\n\n", reason]),
                            What::Turn(news) => match &news.news {
                                News::Agent(AgentEvent::Text(piece)) => text.push_str(piece),
                                News::Finished { usage, .. } => return Some(Reply { text, usage: *usage }),
                                News::Agent(_) | News::Started { .. } => {}
                            },
                            _ => {}
                        }
                    }
                }
                Step::Gap(_) if self.is_going_on() => {}
                Step::Gap(_) => return Some(Reply { text, usage: TokenUsage::default() }),
                Step::End(_) => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        tokio::select! {
            batch = self.reader.next() => match batch {
                Batch::Frames(mut frames) => {
                    frames.retain(|frame| match &frame.what {
                        What::Lost(_) => true,
                        what => what.turn().is_some_and(|news| news.turn == self.turn),
                    });
                    match frames.iter().find_map(|frame| match frame.what { What::Lost(missed) => Some(missed), _ => None }) {
                        // What else is in the batch is not worth telling then: it is in the session.
                        Some(missed) if !frames.iter().any(|frame| is_end(frame)) => Step::Gap(Some(missed)),
                        _ => Step::Frames(frames),
                    }
                }
                Batch::Gap(missed) => Step::Gap(missed),
            },
            end = &mut self.ended => Step::End(end),
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.is_done {
                return None;
            }
            match self.step().await {
                Step::Frames(frames) => {
                    self.is_done = frames.iter().any(|frame| is_end(frame));
                    self.ready.extend(frames.iter().filter_map(|frame| frame.chat()));
                }
                Step::Gap(missed) => {
                    self.ready.push_back(sse("gap", None, &json!({ "missed": missed })));
                    if !self.is_going_on() {
                        self.end(TokenUsage::default());
                    }
                }
                Step::End(end) => {
                    let detail = match end {
                        End::Stopping => "The server stops; the answer will be in the session",
                        End::Revoked => "The credential is no longer good",
                    };
                    self.ready.push_back(sse("error", None, &json!({ "detail": detail })));
                    self.end(TokenUsage::default());
                }
            }
        }
    }

    fn end(&mut self, usage: TokenUsage) {
        self.ready.push_back(stream_end(&self.session, usage));
        self.is_done = true;
    }

    /// Whether the end of the turn is still to come: asked when it may be among what was missed.
    fn is_going_on(&mut self) -> bool {
        match &mut self.reply {
            Some(reply) => matches!(reply.try_recv(), Ok(None)),
            None => self.agent.is_open(&self.turn),
        }
    }
}

fn is_end(frame: &Frame) -> bool {
    matches!(&frame.what, What::Turn(news) if matches!(news.news, News::Finished { .. }))
}

fn stream_end(session: &SessionId, usage: TokenUsage) -> Bytes {
    sse("stream_end", None, &json!({ "session_id": session.as_str(), "usage": counted(usage) }))
}

/// The answer to a command.
pub fn of_command(start: Bytes, text: &str, session: &SessionId) -> Response {
    let (event, data) = chunk(text);
    let frames = [start, sse(event, None, &data), stream_end(session, TokenUsage::default())];
    streams::answer(stream::iter(frames).boxed())
}
