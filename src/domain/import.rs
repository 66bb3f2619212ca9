//! What can be taken over from another program, and what became of it.

use super::audit::AuditEntry;
use super::auth::api_key::ApiKey;
use super::mcp::sign_in::SignedIn;
use super::mcp::{CallTimeout, McpServer, McpServerName, Rejected};
use super::memory::Memory;
use super::session::{NewMessage, SessionId, SessionSummary, SessionTitle};
use super::settings::StoredSetting;
use super::time::Timestamp;
use super::webhook::Webhook;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use thiserror::Error;

/// One thing to take over.
#[derive(Debug, Clone)]
pub enum Item {
    /// A session, or a part of one.
    Session(SessionPart),
    /// A webhook slot.
    Webhook(Webhook),
    /// An MCP server. It is stored switched off, whatever it says: switching one on runs a program.
    McpServer(McpServer),
    /// What signing in to an MCP server gave.
    McpSignIn(SignedIn),
    /// A setting that nobody set here.
    Setting(StoredSetting),
    /// A memory. Its id is its natural key.
    Memory(Memory),
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
    /// What it is: `mcp_server`, `mission_control.task` …. At most [`Kept::MAX_NAME`] bytes, no NUL.
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
    /// The same was there: for a server, one of that name that is reached in the same way, whatever else was changed about
    /// it; for a sign-in, any to that server.
    AlreadyThere,
    /// Something else has its key: a slot of that name with another secret, a key of that id with another hash, or of that
    /// hash with another id; a server of that name that is reached in another way; a setting that is set to something else. Or a sign-in has no server: none of
    /// that name is at that address.
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

/// Why an MCP server cannot keep its name, and gets no other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameRefused {
    /// Nothing like it is a name here.
    #[error("its name {0}")]
    Rejected(Rejected),
    /// What it would be called here is the name of another.
    #[error("here it would be called {0:?}, and so is another")]
    Taken(String),
}

/// What MCP servers are called here that are called like this elsewhere. Where a name cannot be the same, each character
/// that is not allowed becomes a hyphen, and what a name cannot begin with is left out.
#[must_use]
pub fn mcp_server_names(found: &[&str]) -> Vec<Result<McpServerName, NameRefused>> {
    let same = |name: &str| McpServerName::parse(name).ok().filter(|parsed| parsed.as_str() == name);
    let mut taken: Vec<McpServerName> = Vec::new();
    taken.extend(found.iter().filter_map(|name| same(name)));
    let name = |name: &&str| {
        if let Some(name) = same(name) {
            return Ok(name);
        }
        let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_');
        let plain: String = name.trim().chars().map(|it| if is_allowed(it) { it } else { '-' }).collect();
        let plain = plain.trim_start_matches(|character: char| !character.is_ascii_alphanumeric());
        // Without any letter or digit it is no better than the one it was.
        let plain = McpServerName::parse(plain).map_err(|_| NameRefused::Rejected(Rejected::Name))?;
        if taken.contains(&plain) {
            return Err(NameRefused::Taken(plain.as_str().to_owned()));
        }
        taken.push(plain.clone());
        Ok(plain)
    };
    found.iter().map(name).collect()
}

/// The allowed time limit of a call that is nearest to so many seconds, in whole ones; for none at all that of servers which
/// say nothing.
#[must_use]
pub fn nearest_call_timeout(seconds: f64) -> CallTimeout {
    if seconds == 0.0 {
        return CallTimeout::default();
    }
    let seconds = Duration::from_secs_f64(seconds.ceil().clamp(1.0, 600.0)).as_secs();
    i64::try_from(seconds).ok().and_then(|seconds| CallTimeout::from_secs(seconds).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
