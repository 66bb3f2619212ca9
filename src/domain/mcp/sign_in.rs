//! Signing in to remote servers: OAuth 2.1 as the MCP specification wants it.
//! <https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization>

use super::McpServerName;
use secrecy::SecretString;
use std::time::Duration;
use thiserror::Error;

/// How long a sign-in that was begun can be ended.
pub const LIFETIME: Duration = Duration::from_secs(1800);

/// What the browser brings back from the authorization server (RFC 6749 §4.1.2, RFC 9207).
#[derive(Clone)]
pub struct Callback {
    /// What [`crate::domain::mcp::status::McpState::NeedsAuth`]'s address had in it. Good once.
    pub state: SecretString,
    /// The code, or the error that the authorization server names.
    pub outcome: Result<SecretString, String>,
    /// Who sends it, if the authorization server says so.
    pub issuer: Option<String>,
}

/// What signing in gave: tokens, and the client they were given to. Only the adapter that made it can read it.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Where.
    pub server: McpServerName,
    /// The address that it is good for, and no other.
    pub url: super::RemoteUrl,
    /// The tokens.
    pub grant: SecretString,
}

/// Why signing in failed. The wording is for the user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignInError {
    /// Nothing that was begun has this state: it is over, was used, or never was.
    #[error("this sign-in has ended or was used already; begin again from the list of MCP servers")]
    UnknownState,
    /// The user or the authorization server said no.
    #[error("{server}: the sign-in was refused: {reason}")]
    Denied {
        /// At which server.
        server: String,
        /// In whose words.
        reason: String,
    },
    /// The authorization server does not do what the specification wants, or cannot be reached.
    #[error("the authorization server cannot be used: {0}")]
    Unusable(String),
}
