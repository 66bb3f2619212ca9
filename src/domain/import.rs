//! What can be taken over from another program, and what became of it.

use super::audit::AuditEntry;
use super::auth::api_key::ApiKey;
use super::session::{NewMessage, SessionId, SessionSummary, SessionTitle};
use super::time::Timestamp;
use super::webhook::Webhook;
use secrecy::{ExposeSecret, SecretString};

/// One thing to take over.
#[derive(Debug, Clone)]
pub enum Item {
    /// A session, or a part of one.
    Session(SessionPart),
    /// A webhook slot.
    Webhook(Webhook),
    /// An API key.
    ApiKey(ApiKey),
    /// Something that happened in the other program.
    Audit(AuditEntry),
    /// Something that has no place of its own yet.
    Kept(Kept),
}

/// A session with messages that follow each other. A long session comes in several parts, one after the other.
#[derive(Debug, Clone)]
pub struct SessionPart {
    /// Which session.
    pub id: SessionId,
    /// The title that the user gave it, if any.
    pub user_title: Option<SessionTitle>,
    /// When it was created, as far as is known. Its messages may be older.
    pub created: Timestamp,
    /// The messages, oldest first. Their ids differ from each other, from those of the other parts, and from those that the
    /// session has: whoever makes the part knows that.
    pub messages: Vec<NewMessage>,
}

impl SessionPart {
    /// The session without the messages of the part: `existing`, or one that is new.
    #[must_use]
    pub fn summary(&self, existing: Option<SessionSummary>) -> SessionSummary {
        let earliest = self.messages.iter().map(|message| message.at).fold(self.created, Timestamp::min);
        match existing {
            Some(session) => SessionSummary {
                created: session.created.min(earliest),
                user_title: session.user_title.or_else(|| self.user_title.clone()),
                ..session
            },
            None => {
                SessionSummary { user_title: self.user_title.clone(), ..SessionSummary::new(self.id.clone(), earliest) }
            }
        }
    }
}

/// A record that is kept as it was found until the area it belongs to exists.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What it is: `memory`, `mcp_server`, `mission_control.task` …. At most [`Kept::MAX_NAME`] bytes, no NUL.
    pub kind: String,
    /// Its name, unique within the kind. At most [`Kept::MAX_NAME`] bytes, no NUL.
    pub id: String,
    /// JSON text without secrets, at most [`Kept::MAX_BODY`] bytes. What is in it depends on the kind: see `docs/import.md`.
    pub body: String,
    /// JSON text with what is secret in it, at most [`Kept::MAX_BODY`] bytes.
    pub secret: Option<SecretString>,
    /// Whether it takes the place of a record of that name with other content; else the one that is there stays.
    pub replaces: bool,
}

impl Kept {
    /// The longest kind or id, in bytes: databases index them.
    pub const MAX_NAME: usize = 400;

    /// The longest body or secret, in bytes.
    pub const MAX_BODY: usize = 4 * 1024 * 1024;

    /// Whether the content is the same.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let secret = |kept: &Self| kept.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        self.body == other.body && secret(self) == secret(other)
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was stored, or takes the place of what it [replaces](Kept::replaces), or a key that was there is revoked now.
    Imported,
    /// The same was there.
    AlreadyThere,
    /// Something else has its key: a slot of that name with another secret, a key of that id with another hash, or of that
    /// hash with another id.
    Conflict,
    /// A part of a session was stored.
    Session {
        /// Whether the session was not there.
        is_new: bool,
        /// How many messages were stored.
        added: u64,
    },
}

impl Outcome {
    /// Whether anything was stored.
    #[must_use]
    pub fn changed_something(self) -> bool {
        match self {
            Self::Imported => true,
            Self::AlreadyThere | Self::Conflict => false,
            Self::Session { is_new, added } => is_new || added > 0,
        }
    }
}
