//! How a message comes in from another program: webhook slots.

pub mod payload;
pub mod service;
pub mod signature;

use super::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use thiserror::Error;

/// The name of a slot: 1 to 64 letters, digits, hyphens and underscores (ASCII), not `compaction` nor ending in
/// `_compaction`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookName(String);

/// Why a name was refused, in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebhookNameRejected {
    /// No name, or a blank one.
    #[error("Webhook name is required")]
    Missing,
    /// A character that is not allowed.
    #[error("Webhook name must be alphanumeric (hyphens and underscores allowed)")]
    Characters,
    /// More than [`WebhookName::MAX_LEN`] characters.
    #[error("Webhook name must have at most 64 characters")]
    TooLong,
    /// A name whose session would have the name of one of PocketPaw's own files: see [`super::session::SessionId`].
    #[error("Webhook name must not end in 'compaction'")]
    Reserved,
}

impl WebhookName {
    /// The longest name.
    pub const MAX_LEN: usize = 64;

    /// Trims and checks a name.
    ///
    /// # Errors
    /// [`WebhookNameRejected`] says which rule was broken.
    pub fn parse(name: &str) -> Result<Self, WebhookNameRejected> {
        let name = name.trim();
        if name.is_empty() {
            return Err(WebhookNameRejected::Missing);
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(WebhookNameRejected::Characters);
        }
        if name.len() > Self::MAX_LEN {
            return Err(WebhookNameRejected::TooLong);
        }
        if name == "compaction" || name.ends_with("_compaction") {
            return Err(WebhookNameRejected::Reserved);
        }
        Ok(Self(name.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a sender proves that a delivery is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// The secret itself in `X-Webhook-Secret`, or a hexadecimal HMAC of the body in `X-Webhook-Signature` or
    /// `X-Hub-Signature-256`. For compatibility; nothing stops a replay.
    Any,
    /// GitHub: a hexadecimal HMAC of the body in `X-Hub-Signature-256`.
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    GitHub,
    /// Standard Webhooks: id, time and body are signed, so that a delivery counts once.
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
    Standard,
}

impl Scheme {
    /// All schemes, the default first.
    pub const ALL: [Self; 3] = [Self::Any, Self::GitHub, Self::Standard];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::GitHub => "github",
            Self::Standard => "standard",
        }
    }

    /// The scheme of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name)
    }
}

/// Into which session deliveries go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionMode {
    /// A session of its own for each delivery.
    Delivery,
    /// One session for all deliveries of the slot, answered in order.
    Slot,
}

impl SessionMode {
    /// All modes, the default first.
    pub const ALL: [Self; 2] = [Self::Delivery, Self::Slot];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Slot => "slot",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

/// How long a sender who waits for the answer is kept waiting: 1 to 300 seconds, 30 unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncTimeout(u16);

impl SyncTimeout {
    /// The bounds, in seconds.
    pub const RANGE: std::ops::RangeInclusive<i64> = 1..=300;

    /// A number of seconds; `None` outside [`SyncTimeout::RANGE`].
    #[must_use]
    pub fn from_secs(seconds: i64) -> Option<Self> {
        if !Self::RANGE.contains(&seconds) {
            return None;
        }
        u16::try_from(seconds).ok().map(Self)
    }

    /// The number of seconds.
    #[must_use]
    pub fn as_secs(self) -> u16 {
        self.0
    }

    /// The same as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl Default for SyncTimeout {
    fn default() -> Self {
        Self(30)
    }
}

/// The secret shared with a sender.
///
/// For [`Scheme::Standard`] it is `whsec_` and standard base64, as that specification writes keys; else 43 URL-safe
/// base64 characters. Both are 32 random bytes.
#[derive(Clone)]
pub struct WebhookSecret(SecretString);

impl WebhookSecret {
    /// A secret from fresh randomness, in the form that `scheme` wants.
    #[must_use]
    pub fn generate(random: [u8; 32], scheme: Scheme) -> Self {
        let text = match scheme {
            Scheme::Any | Scheme::GitHub => URL_SAFE_NO_PAD.encode(random),
            Scheme::Standard => format!("whsec_{}", STANDARD.encode(random)),
        };
        Self(SecretString::from(text))
    }

    /// A secret that a store kept.
    #[must_use]
    pub fn from_stored(text: SecretString) -> Self {
        Self(text)
    }

    /// The secret itself: for the one answer that shows it, for signatures, and for sealing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The last four characters, enough to tell two secrets apart.
    #[must_use]
    pub fn hint(&self) -> &str {
        let text = self.expose();
        let start = text.char_indices().rev().nth(3).map_or(0, |(index, _)| index);
        &text[start..]
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The longest description, in characters.
pub const DESCRIPTION_CHARS: usize = 500;

/// A slot.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Unique among slots.
    pub name: WebhookName,
    /// What it is for; may be empty. At most [`DESCRIPTION_CHARS`] characters.
    pub description: String,
    /// Shared with the sender.
    pub secret: WebhookSecret,
    /// How the sender proves itself.
    pub scheme: Scheme,
    /// Where deliveries go.
    pub session: SessionMode,
    /// How long `wait=true` waits.
    pub sync_timeout: SyncTimeout,
    /// When the slot was added.
    pub created: Timestamp,
}

#[cfg(test)]
mod tests;
