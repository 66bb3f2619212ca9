//! The texts that are credentials: their forms, how they are made, and what is kept of them.
//!
//! Of every token but the master token only the SHA-256 is kept. That is enough because none can be guessed: each has 256
//! bits of randomness, so there is nothing for a slow hash to slow down. Tokens are looked up and compared by their hashes
//! alone; how long that takes says nothing about a token.

use crate::domain::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The longest text that may be a token, in bytes.
const MAX_LEN: usize = 256;

/// The SHA-256 of a token: what is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether the two are the same. The time taken depends on neither.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Names the token without giving it away: the first 12 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TokenHash({})", self.fingerprint())
    }
}

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
        if !(32..=MAX_LEN).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessTokenRejected);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// A new token: a random UUID, the form that clients know.
    #[must_use]
    pub fn generate(random: [u8; 16]) -> Self {
        Self(SecretString::from(crate::domain::id::random(random).to_string()))
    }

    /// What others compare with.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.expose_secret())
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

/// A token that was made just now: shown once, and kept as its hash.
#[derive(Debug)]
pub struct NewToken(SecretString);

impl NewToken {
    /// A session token: `EXPIRY:HEX`, the Unix time at which it ends and 64 hexadecimal digits, which are random. Clients
    /// look for the colon. The time in it is for them: what counts is the time that is stored.
    #[must_use]
    pub fn session(until: Timestamp, random: [u8; 32]) -> Self {
        Self(SecretString::from(format!("{}:{}", until.0.div_euclid(1000), hex::encode(random))))
    }

    /// An API key: `pp_`, 32 random bytes, checksum.
    #[must_use]
    pub fn api_key(random: [u8; 32]) -> Self {
        Self::recognisable("pp_", random)
    }

    /// A pairing code: `ppair_`, 32 random bytes, checksum.
    #[must_use]
    pub fn pairing(random: [u8; 32]) -> Self {
        Self::recognisable("ppair_", random)
    }

    /// An access token of an app: `ppat_`, 32 random bytes, checksum.
    #[must_use]
    pub fn app_access(random: [u8; 32]) -> Self {
        Self::recognisable("ppat_", random)
    }

    /// A refresh token of an app: `pprt_`, 32 random bytes, checksum.
    #[must_use]
    pub fn app_refresh(random: [u8; 32]) -> Self {
        Self::recognisable("pprt_", random)
    }

    /// A code that an app exchanges: `ppac_`, 32 random bytes, checksum.
    #[must_use]
    pub fn app_code(random: [u8; 32]) -> Self {
        Self::recognisable("ppac_", random)
    }

    /// A prefix and a CRC-32 of what is between, so that scanners for leaked secrets know a token from a word that looks
    /// like one. Everything after the prefix is URL-safe base64: 43 characters, then 6 of checksum.
    fn recognisable(prefix: &str, random: [u8; 32]) -> Self {
        let random = URL_SAFE_NO_PAD.encode(random);
        let checksum = URL_SAFE_NO_PAD.encode(crc32fast::hash(random.as_bytes()).to_be_bytes());
        Self(SecretString::from(format!("{prefix}{random}{checksum}")))
    }

    /// The token itself, for the answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }
}

/// What kind of token a text can be, by its form alone. Any text can be the master token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenForm {
    /// `EXPIRY:HEX`, or `ppat_…` for an app's
    Session,
    /// `pp_…`
    ApiKey,
    /// `ppair_…`
    Pairing,
    /// None of these.
    Other,
}

impl TokenForm {
    /// The form of `text`. What has the form of a key without a checksum may be one that another program made.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_base64 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let is_session = |text: &str| {
            text.split_once(':').is_some_and(|(expiry, hex)| {
                expiry.bytes().all(|byte| byte.is_ascii_digit())
                    && hex.len() == 64
                    && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        if text.len() > MAX_LEN {
            Self::Other
        } else if text.strip_prefix("pp_").is_some_and(|rest| rest.len() >= 43 && is_base64(rest)) {
            Self::ApiKey
        } else if text.strip_prefix("ppair_").is_some_and(|rest| rest.len() == 49 && is_base64(rest)) {
            Self::Pairing
        } else if is_session(text) || text.strip_prefix("ppat_").is_some_and(|rest| rest.len() == 49 && is_base64(rest))
        {
            Self::Session
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests;
