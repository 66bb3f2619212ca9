//! From the body of a delivery to what the agent is asked.
//!
//! Senders were not written for us: any JSON object is a delivery, and a member that does not have the form we know is
//! somebody else's member of the same name (GitHub's `sender` is an object) and is left alone.

use super::WebhookName;
use crate::domain::session::MessageText;
use crate::domain::text;
use serde_json::{Map, Value};
use thiserror::Error;

/// The longest `sender`, in characters.
pub const SENDER_CHARS: usize = 200;
/// How many `media_urls` are kept.
pub const MAX_MEDIA_URLS: usize = 32;
/// The longest of `media_urls`, in bytes.
pub const MEDIA_URL_BYTES: usize = 2_048;

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What the agent is asked: the member `content`, else the whole body as it came.
    pub text: MessageText,
    /// Who asks: the member `sender`, else `webhook:` and the slot's name.
    pub sender: String,
    /// The member `metadata`, if it is an object.
    pub metadata: Map<String, Value>,
    /// The member `media_urls`: links to show, never fetched. Only `http` and `https`.
    pub media_urls: Vec<String>,
}

/// Why a body cannot be a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PayloadRejected {
    /// Not JSON in UTF-8.
    #[error("Invalid JSON body")]
    NotJson,
    /// JSON, but not an object.
    #[error("The body must be a JSON object")]
    NotAnObject,
    /// The text has a NUL character.
    #[error("content must not contain a NUL character")]
    Content,
}

/// Reads the body of a delivery to `slot`.
///
/// # Errors
/// [`PayloadRejected`] says what is wrong with the body.
pub fn parse(slot: &WebhookName, body: &[u8]) -> Result<Payload, PayloadRejected> {
    let whole = std::str::from_utf8(body).map_err(|_| PayloadRejected::NotJson)?;
    let value: Value = serde_json::from_str(whole).map_err(|_| PayloadRejected::NotJson)?;
    let Value::Object(mut members) = value else { return Err(PayloadRejected::NotAnObject) };

    let content = members.get("content").and_then(Value::as_str).filter(|content| !content.trim().is_empty());
    let text = MessageText::parse(content.unwrap_or(whole.trim())).map_err(|_| PayloadRejected::Content)?;
    let sender = members
        .get("sender")
        .and_then(Value::as_str)
        .and_then(|sender| text::bounded(sender, SENDER_CHARS).ok())
        .unwrap_or_else(|| format!("webhook:{}", slot.as_str()));
    let media_urls = members
        .get("media_urls")
        .and_then(Value::as_array)
        .map(|urls| urls.iter().filter_map(link).take(MAX_MEDIA_URLS).collect())
        .unwrap_or_default();
    let metadata = match members.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    Ok(Payload { text, sender, metadata, media_urls })
}

fn link(value: &Value) -> Option<String> {
    let url = value.as_str()?.trim();
    let is_link = url.starts_with("https://") || url.starts_with("http://");
    let is_clean = url.len() <= MEDIA_URL_BYTES && !url.contains(|c: char| c.is_control() || c.is_whitespace());
    (is_link && is_clean).then(|| url.to_owned())
}
