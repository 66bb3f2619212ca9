//! What is kept of a conversation: sessions and their messages.

pub mod export;
pub mod service;

use super::text::{self, TextRejected};
use super::time::Timestamp;
use std::fmt;
use thiserror::Error;

/// The name of a session, in the form `{channel}_{chat}`: 1 to [`SessionId::MAX_LEN`] characters of printable ASCII
/// without white space, quotes, slashes, backslashes, angle brackets and control characters.
///
/// Clients also write it with `:` or `/` between the parts; [`SessionId::parse`] accepts both and keeps the underscore
/// form. Names that PocketPaw's own files use (`_index`, `_aliases`, `…_compaction`) are never sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

/// A text that cannot be the id of any session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a session id")]
pub struct NotASessionId;

/// Channels whose own name contains an underscore, which the first underscore therefore does not end.
const CHANNELS_WITH_UNDERSCORE: [&str; 1] = ["google_chat"];

impl SessionId {
    /// The longest id.
    pub const MAX_LEN: usize = 200;

    /// Checks an id given by a client, or read from a store.
    ///
    /// # Errors
    /// [`NotASessionId`] if no session can have this name.
    pub fn parse(text: &str) -> Result<Self, NotASessionId> {
        let id = text.replace([':', '/'], "_");
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'<' | b'>');
        let reserved = matches!(id.as_str(), "_index" | "_aliases") || id.ends_with("_compaction");
        if id.is_empty() || id.len() > Self::MAX_LEN || reserved || !id.bytes().all(allowed) {
            return Err(NotASessionId);
        }
        Ok(Self(id))
    }

    /// A new chat of the dashboard: `websocket_` and 12 hexadecimal digits.
    #[must_use]
    pub fn new_chat(random: [u8; 6]) -> Self {
        Self(format!("websocket_{}", hex::encode(random)))
    }

    /// The id as it is stored and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The channel the session belongs to: the text before the first underscore, or all of it if there is none.
    #[must_use]
    pub fn channel(&self) -> &str {
        let prefix = CHANNELS_WITH_UNDERSCORE
            .iter()
            .find(|name| self.0.strip_prefix(**name).is_some_and(|rest| rest.starts_with('_')));
        match prefix {
            Some(name) => name,
            None => self.0.split('_').next().unwrap_or(&self.0),
        }
    }

    /// The id of the chat within its channel; empty if the id is a channel name only.
    #[must_use]
    pub fn chat(&self) -> &str {
        self.0.get(self.channel().len() + 1..).unwrap_or("")
    }

    /// The form `channel:chat`, which the agent status calls the session key.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.channel(), self.chat())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A title given by the user: trimmed, 1 to 200 characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTitle(String);

impl SessionTitle {
    /// The longest title, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Trims and checks a title.
    ///
    /// # Errors
    /// Says which rule was broken, in words for the user.
    pub fn parse(title: &str) -> Result<Self, TextRejected> {
        text::bounded(title, Self::MAX_CHARS).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The person or program that asked.
    User,
    /// The agent.
    Assistant,
    /// A note of the system, neither asked nor answered.
    System,
}

impl Role {
    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::User, Self::Assistant, Self::System].into_iter().find(|role| role.as_str() == name)
    }
}

/// The text of a message: at most [`MessageText::MAX_BYTES`] bytes, no NUL; kept as it came, white space included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

impl MessageText {
    /// The longest text, in bytes of UTF-8: as much as a webhook delivery can hold.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// Checks a text.
    ///
    /// # Errors
    /// [`TextRejected::Nul`] or [`TextRejected::TooLong`].
    pub fn parse(text: impl Into<String>) -> Result<Self, TextRejected> {
        let text = text.into();
        if text.contains('\0') {
            return Err(TextRejected::Nul);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(TextRejected::TooLong(Self::MAX_BYTES));
        }
        Ok(Self(text))
    }

    /// As [`MessageText::parse`], but what is not allowed is left out: for text that is not a request and cannot be
    /// refused, such as what a model wrote.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].replace('\0', ""))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A JSON object that is carried along and never looked into. Kept as compact JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(String);

impl Metadata {
    /// `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self("{}".to_owned())
    }

    /// The members of `object`.
    #[must_use]
    pub fn of(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::to_string(object).unwrap_or_else(|_| "{}".to_owned()))
    }

    /// The same with another member.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.0).unwrap_or_default();
        object.insert(name.to_owned(), value.into());
        Self::of(&object)
    }

    /// A text that a store kept.
    #[must_use]
    pub fn from_stored(json: String) -> Self {
        Self(json)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// A message that is about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// A UUID made by the caller; unique within its session by construction, not checked.
    pub id: String,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: MessageText,
    /// When.
    pub at: Timestamp,
    /// Where it came from, for the client to show.
    pub metadata: Metadata,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message as it was given to the store.
    pub content: NewMessage,
    /// Its place in the session: 1, 2, 3 … without gaps.
    pub number: u64,
}

/// What lists show of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// The name.
    pub id: SessionId,
    /// The title given by the user, if any.
    pub user_title: Option<SessionTitle>,
    /// The first [`SessionSummary::TITLE_CHARS`] characters of the first message of the user; empty while there is none.
    pub first_words: String,
    /// The first [`SessionSummary::PREVIEW_CHARS`] characters of the newest message.
    pub preview: String,
    /// When the session was created.
    pub created: Timestamp,
    /// When its newest message was stored; the creation while there is none.
    pub last_activity: Timestamp,
    /// How many messages it has.
    pub message_count: u64,
}

impl SessionSummary {
    /// How much of the first message serves as a title.
    pub const TITLE_CHARS: usize = 80;
    /// How much of the newest message serves as a preview.
    pub const PREVIEW_CHARS: usize = 120;
    /// The title of a session in which nothing was said.
    pub const UNTITLED: &'static str = "New Chat";

    /// A session without messages.
    #[must_use]
    pub fn new(id: SessionId, now: Timestamp) -> Self {
        Self {
            id,
            user_title: None,
            first_words: String::new(),
            preview: String::new(),
            created: now,
            last_activity: now,
            message_count: 0,
        }
    }

    /// The session after `message` was added: the one rule for what a new message does to the summary.
    #[must_use]
    pub fn with(mut self, message: &NewMessage) -> Self {
        if self.first_words.is_empty() && message.role == Role::User {
            text::head(message.text.as_str().trim(), Self::TITLE_CHARS).clone_into(&mut self.first_words);
        }
        text::head(message.text.as_str().trim(), Self::PREVIEW_CHARS).clone_into(&mut self.preview);
        // A clock that was set back does not make a session older.
        self.last_activity = self.last_activity.max(message.at);
        self.message_count += 1;
        self
    }

    /// What to show as the title: the user's, else the first words, else [`SessionSummary::UNTITLED`].
    #[must_use]
    pub fn title(&self) -> &str {
        match &self.user_title {
            Some(title) => title.as_str(),
            None if self.first_words.is_empty() => Self::UNTITLED,
            None => &self.first_words,
        }
    }
}

/// A page of the session list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions, newest activity first.
    pub sessions: Vec<SessionSummary>,
    /// How many sessions there are in all.
    pub total: u64,
}

/// A text to look for, taken literally: `%`, `_` and quotes mean themselves. 1 to [`SearchQuery::MAX_CHARS`]
/// characters, trimmed, folded for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery(String);

impl SearchQuery {
    /// The longest query, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Checks and folds a query.
    ///
    /// # Errors
    /// Says which rule was broken; a blank query is [`TextRejected::Blank`].
    pub fn parse(query: &str) -> Result<Self, TextRejected> {
        text::bounded(query, Self::MAX_CHARS).map(|query| Self(text::fold(&query)))
    }

    /// The folded text, to be found in texts folded by [`text::fold`].
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.0
    }
}

/// A session in which the text was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The session.
    pub session: SessionSummary,
    /// A piece of the first message that contains the text, cut around it to at most [`SearchHit::EXCERPT_CHARS`].
    pub excerpt: String,
    /// Who said it.
    pub role: Role,
}

impl SearchHit {
    /// How much of a message is shown, in characters.
    pub const EXCERPT_CHARS: usize = 200;
}

#[cfg(test)]
mod tests;
