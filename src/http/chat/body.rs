//! What clients say, and where.

use crate::domain::agent::service::chat::Saying;
use crate::domain::auth::Principal;
use crate::domain::auth::scope::Scope;
use crate::domain::session::service::Sessions;
use crate::domain::session::{MessageText, SessionId};
use crate::domain::text::PageLimit;
use crate::http::error::ApiError;
use crate::ports::store::StoreError;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The longest message, in characters.
const CONTENT_CHARS: usize = 100_000;

/// How much may be said of what the user is looking at, in bytes of JSON.
const CONTEXT_BYTES: usize = 16 * 1024;

/// What can be said of that. Other members are left out: they would be shown to the model.
const CONTEXT: [&str; 7] =
    ["current_dir", "open_file", "open_file_name", "open_file_extension", "open_file_size", "selected_files", "source"];

/// The channel in which clients chat.
const CHANNEL: &str = "websocket";

/// Channels that are not for clients: in these they go on with what there is, and begin nothing.
const CHANNELS: [&str; 12] = [
    "discord",
    "slack",
    "whatsapp",
    "telegram",
    "signal",
    "matrix",
    "teams",
    "google_chat",
    "webhook",
    "cli",
    "api",
    "mission",
];

/// Something to say to the agent.
#[derive(Deserialize, ToSchema)]
pub struct ChatBody {
    /// What: 1 to 100,000 characters.
    #[schema(required = true, nullable = false, example = "How many files are in my home folder?")]
    content: Option<String>,
    /// Where: any session, or a new one whose id begins with `websocket_`, which may be left out. A new one unless given.
    #[schema(example = "websocket_c06a4bd8c2ee")]
    session_id: Option<String>,
    /// Attachments, which are not supported yet.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    media: Option<Vec<Value>>,
    /// What the user is looking at, for the agent to know: `current_dir`, `open_file`, `open_file_name`,
    /// `open_file_extension`, `open_file_size`, `selected_files`, `source`. At most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    file_context: Option<Map<String, Value>>,
}

impl ChatBody {
    /// What is to be said.
    pub async fn saying(self, sessions: &Sessions, principal: &Principal) -> Result<Saying, ApiError> {
        let content =
            self.content.ok_or_else(|| ApiError::invalid("missing", &["body", "content"], "Field required"))?;
        let text = text_of(content)?;
        if self.media.is_some_and(|media| !media.is_empty()) {
            return Err(ApiError::invalid("value_error", &["body", "media"], NO_MEDIA));
        }
        let file_context = self.file_context.map(known_context).transpose()?;
        let session = match self.session_id.as_deref().map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => {
                let session = session_of(sessions, id).await?;
                check_scope(principal, &session)?;
                Some(session)
            }
            None => None,
        };
        Ok(Saying { session, text, file_context })
    }
}

/// What whoever sends attachments is told.
pub const NO_MEDIA: &str = "attachments are not supported yet";

fn text_of(content: String) -> Result<MessageText, ApiError> {
    let place = ["body", "content"];
    if content.is_empty() {
        return Err(ApiError::invalid("string_too_short", &place, "String should have at least 1 character"));
    }
    if content.chars().nth(CONTENT_CHARS).is_some() {
        let message = format!("String should have at most {CONTENT_CHARS} characters");
        return Err(ApiError::invalid("string_too_long", &place, message));
    }
    MessageText::parse(content).map_err(|why| ApiError::invalid("value_error", &place, why.to_string()))
}

/// What a client says in a message of its own, whether or not that can be said.
pub fn content(message: &str, has_media: bool) -> Result<MessageText, String> {
    if has_media {
        return Err(format!("Sorry, {NO_MEDIA}."));
    }
    if message.trim().is_empty() {
        return Err("The message is empty.".to_owned());
    }
    if message.chars().nth(CONTENT_CHARS).is_some() {
        return Err(format!("The message has more than {CONTENT_CHARS} characters."));
    }
    MessageText::parse(message).map_err(|why| format!("The message {why}."))
}

fn known_context(mut context: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    context.retain(|name, value| CONTEXT.contains(&name.as_str()) && !value.is_null());
    match serde_json::to_vec(&context).is_ok_and(|json| json.len() <= CONTEXT_BYTES) {
        true => Ok(context),
        false => Err(ApiError::invalid("too_long", &["body", "file_context"], "must have at most 16 KiB")),
    }
}

/// The sessions that a client may mean: clients leave the channel out of the ids of their own chats.
pub fn written_forms(id: &str) -> Vec<SessionId> {
    let as_given = SessionId::parse(id).ok();
    let Some(as_given) = as_given else { return Vec::new() };
    let is_complete = as_given.channel() == CHANNEL && !as_given.chat().is_empty();
    let as_chat = (!is_complete).then(|| SessionId::parse(&format!("{CHANNEL}_{as_given}")).ok()).flatten();
    [Some(as_given), as_chat].into_iter().flatten().collect()
}

/// The session that a client may mean and that exists.
pub async fn existing_session(sessions: &Sessions, id: &str) -> Result<Option<SessionId>, StoreError> {
    for session in written_forms(id) {
        if !sessions.history(&session, PageLimit::clamped(1)).await?.is_empty() {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// Who may not read sessions goes on with chats of clients only: their ids cannot be guessed, those of channels can.
fn check_scope(principal: &Principal, session: &SessionId) -> Result<(), ApiError> {
    if session.channel() == CHANNEL || principal.grant.scopes.allows(Scope::Sessions) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "Missing required scope: sessions"))
}

/// The session in which a client wants to talk.
async fn session_of(sessions: &Sessions, id: &str) -> Result<SessionId, ApiError> {
    let refuse = |why: &str| ApiError::invalid("value_error", &["body", "session_id"], why);
    let forms = written_forms(id);
    let Some(last) = forms.last() else { return Err(refuse("Not a session id")) };
    // One of a chat of ours, which need not exist.
    if forms.len() == 1 && last.channel() == CHANNEL {
        return Ok(last.clone());
    }
    if let Some(session) = existing_session(sessions, id).await? {
        return Ok(session);
    }
    match forms.first() {
        Some(given) if CHANNELS.contains(&given.channel()) => {
            Err(refuse("There is no such session, and new ones begin with websocket_"))
        }
        _ => Ok(last.clone()),
    }
}
