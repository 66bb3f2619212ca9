//! Signing in a native app through the system's browser: the authorization code grant of OAuth 2.0 (RFC 6749 §4.1) with
//! PKCE (RFC 7636), as RFC 8252 says for native apps.
//!
//! What an app gets is a login session like any other, with an access token of its own form, and a refresh token that gets
//! the next one. Codes and refresh tokens are [`Ticket`]s: good once. All that descends from one consent is a family; a
//! ticket that is shown a second time was stolen, or its successor was, and ends the family (RFC 9700 §4.14.2).

use super::Grant;
use super::scope::{Scope, Scopes};
use super::token::TokenHash;
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// How long a code can be exchanged.
pub const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// How long an access token is good.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(3600);

/// How long a refresh token is good.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// The one app there is: the desktop client.
pub const DESKTOP_CLIENT: &str = "pocketpaw-desktop";

/// What an app gets that asks for everything, unless the owner ticks the box that says so.
pub const ALL_BUT_ADMIN: Scopes = Scopes::of(&[
    Scope::Channels,
    Scope::Chat,
    Scope::Memory,
    Scope::Sessions,
    Scope::SettingsRead,
    Scope::SettingsWrite,
]);

/// Where the browser is sent with the code: an address of the app on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// The address, if the desktop client may use it: its own scheme, its page in development, or a loopback address with
    /// any port and nothing but a slash behind it (RFC 8252 §7.3).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_loopback = |rest: &str| {
            let (name, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
            (matches!(name, "localhost" | "127.0.0.1" | "[::1]") && is_port && rest.matches('/').count() <= 1)
                .then_some(())
        };
        let is_ours = matches!(text, "tauri://oauth-callback" | "http://localhost:1420/oauth-callback")
            || text.strip_prefix("http://").and_then(is_loopback).is_some();
        is_ours.then(|| Self(text.to_owned()))
    }

    /// The address as it was registered or sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What proves later that whoever exchanges the code is whoever asked for it: the SHA-256 of a text that only they know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// The challenge: 43 characters of URL-safe base64 (RFC 7636 §4.2, method S256; `plain` is not taken).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok();
        is_hash.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made from `verifier`. The time taken says nothing about it.
    #[must_use]
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let made = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        made.as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

/// What a ticket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketKind {
    /// A code, for the one who met the challenge, from the address it was sent to.
    Code {
        /// Where it was sent.
        redirect_uri: RedirectUri,
        /// What the one who exchanges it has to meet.
        challenge: Challenge,
    },
    /// A refresh token.
    Refresh,
}

/// Something that can be exchanged for an access token, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What is kept of it.
    pub hash: TokenHash,
    /// Code or refresh token.
    pub kind: TicketKind,
    /// A UUID that all have in common that descends from one consent.
    pub family: String,
    /// Which app it was given to.
    pub client: String,
    /// The fingerprint of the master token under which it was made. With another master token it is worth nothing.
    pub epoch: String,
    /// What is got with it, at most.
    pub grant: Grant,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether it was exchanged.
    pub spent: bool,
}

/// What an app asks the owner for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Where the browser is to be sent.
    pub redirect_uri: RedirectUri,
    /// What the app wants.
    pub scopes: Scopes,
    /// What it will prove.
    pub challenge: Challenge,
    /// What it wants back with the answer, byte for byte.
    pub state: String,
}

/// Why a ticket gets nothing. The texts are what clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExchangeRejected {
    /// No such code.
    #[error("invalid_code")]
    InvalidCode,
    /// It was exchanged before.
    #[error("code_already_used")]
    CodeAlreadyUsed,
    /// It has ended.
    #[error("code_expired")]
    CodeExpired,
    /// It was given to another app.
    #[error("client_mismatch")]
    ClientMismatch,
    /// It was sent somewhere else.
    #[error("redirect_uri_mismatch")]
    RedirectUriMismatch,
    /// The challenge is not met.
    #[error("invalid_code_verifier")]
    InvalidCodeVerifier,
    /// No such refresh token, or it was used before, or has ended.
    #[error("invalid_refresh_token")]
    InvalidRefreshToken,
}

#[cfg(test)]
mod tests;
