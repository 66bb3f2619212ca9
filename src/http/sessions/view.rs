//! Sessions and messages as clients read them.

use crate::domain::session::{Message, Metadata, SearchHit, SessionPage, SessionSummary, SessionTitle};
use crate::http::time::rfc3339;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A session in a list.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// The session.
    #[schema(example = "websocket_1d61a8c4f20b")]
    id: String,
    /// The title given by the user, else the beginning of the first message, else `New Chat`.
    title: String,
    /// Where the session takes place.
    #[schema(example = "websocket")]
    channel: String,
    /// When it began.
    #[schema(format = DateTime)]
    created: String,
    /// The same.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the newest message came.
    #[schema(format = DateTime)]
    last_activity: String,
    /// The same.
    #[schema(format = DateTime)]
    updated_at: String,
    /// How many messages it has.
    message_count: u64,
    /// The beginning of the newest message.
    preview: String,
    /// The title given by the user; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_title: Option<String>,
}

impl From<SessionSummary> for SessionView {
    fn from(session: SessionSummary) -> Self {
        let (created, last_activity) = (rfc3339(session.created), rfc3339(session.last_activity));
        Self {
            title: session.title().to_owned(),
            channel: session.id.channel().to_owned(),
            id: session.id.to_string(),
            created_at: created.clone(),
            created,
            updated_at: last_activity.clone(),
            last_activity,
            message_count: session.message_count,
            preview: session.preview,
            user_title: session.user_title.as_ref().map(SessionTitle::as_str).map(str::to_owned),
        }
    }
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
pub struct SessionPageView {
    /// The sessions, newest activity first.
    pub sessions: Vec<SessionView>,
    /// How many there are in all.
    total: u64,
}

impl From<SessionPage> for SessionPageView {
    fn from(page: SessionPage) -> Self {
        Self { sessions: page.sessions.into_iter().map(SessionView::from).collect(), total: page.total }
    }
}

/// What a search found.
#[derive(Serialize, ToSchema)]
pub struct SearchView {
    /// The sessions, newest activity first.
    pub sessions: Vec<HitView>,
}

/// A session in which the text was said.
#[derive(Serialize, ToSchema)]
pub struct HitView {
    id: String,
    title: String,
    channel: String,
    /// The first message with the text, cut around it to at most 200 characters.
    #[serde(rename = "match")]
    excerpt: String,
    /// Who said it.
    #[schema(example = "user")]
    match_role: &'static str,
    #[schema(format = DateTime)]
    last_activity: String,
}

impl From<SearchHit> for HitView {
    fn from(hit: SearchHit) -> Self {
        Self {
            title: hit.session.title().to_owned(),
            channel: hit.session.id.channel().to_owned(),
            id: hit.session.id.to_string(),
            excerpt: hit.excerpt,
            match_role: hit.role.as_str(),
            last_activity: rfc3339(hit.session.last_activity),
        }
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
pub struct MessageView {
    /// Unique within the session.
    id: String,
    /// `user`, `assistant` or `system`.
    role: &'static str,
    /// What was said.
    content: String,
    /// When.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Where the message came from, and what came with it.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        let message = message.content;
        // Stored as JSON, sent as it is. If a store was tampered with, an empty object is better than broken JSON.
        let metadata = RawValue::from_string(message.metadata.as_json().to_owned())
            .or_else(|_| RawValue::from_string(Metadata::empty().as_json().to_owned()));
        Self {
            id: message.id,
            role: message.role.as_str(),
            content: message.text.as_str().to_owned(),
            timestamp: rfc3339(message.at),
            metadata: metadata.unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}
