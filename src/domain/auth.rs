//! Who is calling.

pub mod service;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The master token: 32 to 256 printable ASCII characters without spaces. It opens everything.
///
/// Two tokens are compared in constant time; there is no other way to compare them, and none to print one.
#[derive(Clone)]
pub struct AccessToken(SecretString);

/// Why a text cannot be the master token. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an access token has 32 to 256 printable ASCII characters and no spaces")]
pub struct AccessTokenRejected;

impl AccessToken {
    /// Checks a token; white space around it is not part of it.
    ///
    /// # Errors
    /// [`AccessTokenRejected`] if it is too short, too long or holds other characters.
    pub fn parse(text: &SecretString) -> Result<Self, AccessTokenRejected> {
        let text = text.expose_secret().trim();
        if !(32..=256).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessTokenRejected);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// A new token: a random UUID, the form that clients know.
    #[must_use]
    pub fn generate(random: [u8; 16]) -> Self {
        Self(SecretString::from(super::id::random(random).to_string()))
    }

    /// Whether `given` is this token. The time taken depends on neither.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        Sha256::digest(given).ct_eq(&Sha256::digest(self.0.expose_secret())).into()
    }

    /// Names the token without giving it away: the first 12 hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0.expose_secret())[..6])
    }

    /// The token itself: for its file, and for the owner who asks for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The kinds of credentials there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// The master token.
    MasterToken,
    /// The secret of a webhook slot: good for deliveries to that slot and nothing else.
    WebhookSecret,
}

impl CredentialKind {
    /// The name in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MasterToken => "master_token",
            Self::WebhookSecret => "webhook_secret",
        }
    }

    /// Who acts with such a credential, as the audit log calls them.
    #[must_use]
    pub fn actor(self) -> &'static str {
        match self {
            Self::MasterToken => "dashboard_user",
            Self::WebhookSecret => "webhook",
        }
    }
}

/// Who passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they showed.
    pub kind: CredentialKind,
    /// Which one it was: a fingerprint or a name, never the credential.
    pub id: String,
}

#[cfg(test)]
mod tests;
