//! API keys: for programs, with no more rights than they need.

use super::scope::Scopes;
use super::token::TokenHash;
use super::{CredentialKind, Grant, Principal};
use crate::domain::text::{self, TextRejected};
use crate::domain::time::Timestamp;

/// The most characters in the name of a key.
pub const NAME_CHARS: usize = 100;

/// How many characters of a key are kept to tell it from others: the prefix `pp_` and nine more, of 43.
pub const SHOWN_CHARS: usize = 12;

/// Names a key: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(String);

impl ApiKeyId {
    /// A new id.
    #[must_use]
    pub fn generate(random: [u8; 8]) -> Self {
        Self(hex::encode(random))
    }

    /// The id of that text. `None` if it can be none: 1 to 64 letters, digits, hyphens and underscores.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        ((1..=64).contains(&text.len()) && is_plain).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person calls a key: 1 to [`NAME_CHARS`] characters, without white space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyName(String);

impl ApiKeyName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it is blank, too long or holds NUL.
    pub fn parse(text: &str) -> Result<Self, TextRejected> {
        text::bounded(text, NAME_CHARS).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key, without what opens doors with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Which one.
    pub id: ApiKeyId,
    /// What is kept of the key.
    pub hash: TokenHash,
    /// Its first [`SHOWN_CHARS`] characters.
    pub prefix: String,
    /// What it is called.
    pub name: ApiKeyName,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used; some seconds late.
    pub last_used: Option<Timestamp>,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

impl ApiKey {
    /// Who shows the key, unless it is revoked or has ended.
    #[must_use]
    pub fn principal(&self, now: Timestamp) -> Option<Principal> {
        let grant = Grant { scopes: self.scopes, until: self.expires, api_key: Some(self.id.clone()) };
        let is_good = self.revoked.is_none() && !grant.has_ended(now);
        is_good.then(|| Principal { kind: CredentialKind::ApiKey, id: self.id.as_str().to_owned(), grant })
    }
}
