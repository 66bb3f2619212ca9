//! Login sessions: what a credential was exchanged for. (A conversation is a [`crate::domain::session`].)

use super::token::TokenHash;
use super::{CredentialKind, Grant, Principal};
use crate::domain::time::Timestamp;
use std::time::Duration;

/// The most characters kept of what a client says it is.
pub const DEVICE_CHARS: usize = 200;

/// How a session was got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A program exchanged its credential.
    Exchange,
    /// Somebody logged in with a browser.
    Login,
    /// A scanned code.
    Pairing,
    /// A native app, with the owner's consent.
    App,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Exchange, Self::Login, Self::Pairing, Self::App];

    /// The name in stores and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Login => "login",
            Self::Pairing => "pairing",
            Self::App => "app",
        }
    }

    /// The origin of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == name)
    }
}

/// How long sessions last, unless what they were got with ends before: 1 hour to 8,760 (a year).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTtl(u16);

impl SessionTtl {
    /// That many hours. `None` if out of bounds.
    #[must_use]
    pub fn from_hours(hours: u16) -> Option<Self> {
        (1..=8760).contains(&hours).then_some(Self(hours))
    }

    /// The same as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 3600)
    }
}

/// What is known of the client that asks for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it says it is, at most [`DEVICE_CHARS`] characters. Never trusted, only shown.
    pub label: String,
    /// Where it is.
    pub address: String,
}

/// A session: a row, so that it can be listed and revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSession {
    /// A UUID.
    pub id: String,
    /// What is kept of its token.
    pub hash: TokenHash,
    /// The fingerprint of the master token under which it was made. With another master token the session is worth nothing.
    pub epoch: String,
    /// How it was got.
    pub origin: Origin,
    /// The consent it descends from, if it is an app's: see [`super::oauth`].
    pub family: Option<String>,
    /// What it opens. Its end is in `expires`.
    pub grant: Grant,
    /// Who has it.
    pub device: Device,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used; some seconds late.
    pub last_used: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl AuthSession {
    /// Who shows the token of this session, unless it has ended or the master token is another one now.
    #[must_use]
    pub fn principal(&self, epoch: &str, now: Timestamp) -> Option<Principal> {
        let grant = self.grant.until_at_most(self.expires);
        let is_good = self.epoch == epoch && !grant.has_ended(now);
        let kind = if self.origin == Origin::App { CredentialKind::App } else { CredentialKind::Session };
        is_good.then(|| Principal { kind, id: self.id.clone(), grant })
    }
}
