//! Who is calling, what they may do, and for how long.
//!
//! Everything that opens a door is a credential; what it opens is its [`Grant`]. A credential that is got with another one
//! gets a grant that is no wider and no longer: see [`Grant`].

pub mod api_key;
pub mod locality;
pub mod login;
pub mod oauth;
pub mod pairing;
pub mod rate;
pub mod scope;
pub mod service;
pub mod token;

use super::time::Timestamp;
use api_key::ApiKeyId;
use scope::Scopes;

/// The kinds of credentials there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// The master token.
    MasterToken,
    /// A session token, in a header or a cookie.
    Session,
    /// An API key.
    ApiKey,
    /// The access token of a native app.
    App,
    /// A pairing code: good for getting a session and nothing else.
    Pairing,
    /// The key of whoever watches the agent's status.
    StatusKey,
    /// None: the request comes from this machine, and that is enough.
    Loopback,
    /// The secret of a webhook slot: good for deliveries to that slot and nothing else.
    WebhookSecret,
    /// The state of a sign-in to an MCP server: good for ending that sign-in and nothing else.
    McpSignIn,
    /// None: the agent does it, in the turn with this id.
    Agent,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::MasterToken,
        Self::Session,
        Self::ApiKey,
        Self::App,
        Self::Pairing,
        Self::StatusKey,
        Self::Loopback,
        Self::WebhookSecret,
        Self::McpSignIn,
        Self::Agent,
    ];

    /// The name in stores, on the wire and in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MasterToken => "master_token",
            Self::Session => "session",
            Self::ApiKey => "api_key",
            Self::App => "app",
            Self::Pairing => "pairing",
            Self::StatusKey => "status_key",
            Self::Loopback => "loopback",
            Self::WebhookSecret => "webhook_secret",
            Self::McpSignIn => "mcp_sign_in",
            Self::Agent => "agent",
        }
    }

    /// Who acts with such a credential, as the audit log calls them.
    #[must_use]
    pub fn actor(self) -> &'static str {
        match self {
            Self::MasterToken | Self::Session | Self::Pairing | Self::Loopback | Self::McpSignIn => "dashboard_user",
            Self::ApiKey | Self::App => "api_client",
            Self::StatusKey => "monitor",
            Self::WebhookSecret => "webhook",
            Self::Agent => "agent",
        }
    }
}

/// What a credential opens, and what it can pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub scopes: Scopes,
    /// The end of it; nothing that is got with the credential outlives this. `None`: until it is revoked.
    pub until: Option<Timestamp>,
    /// The API key that the credential is, or was got with. What was got with a key ends with the key.
    pub api_key: Option<ApiKeyId>,
}

impl Grant {
    /// Everything, for ever: what the owner has.
    pub const OWNER: Self = Self { scopes: Scopes::ALL, until: None, api_key: None };

    /// Nothing: for credentials that open one door of their own.
    pub const NOTHING: Self = Self { scopes: Scopes::NONE, until: None, api_key: None };

    /// Whether the grant has ended.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The same grant, ending at `at` unless it ends before.
    #[must_use]
    pub fn until_at_most(&self, at: Timestamp) -> Self {
        let until = self.until.map_or(at, |until| until.min(at));
        Self { until: Some(until), ..self.clone() }
    }

    /// How long what is made with this grant may last, beside the sessions got with it: an API key that ends, and what was
    /// got with a key, makes nothing that outlives it. The owner's sessions end, but what the owner makes in one need not.
    #[must_use]
    pub fn ceiling(&self) -> Option<Timestamp> {
        self.api_key.as_ref().and(self.until)
    }
}

/// Who passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they showed.
    pub kind: CredentialKind,
    /// Which one it was: a fingerprint, an id or a name, never the credential.
    pub id: String,
    /// What it opens.
    pub grant: Grant,
}

impl Principal {
    /// Somebody with a credential that opens no route but one of its own.
    #[must_use]
    pub fn without_grant(kind: CredentialKind, id: &str) -> Self {
        Self { kind, id: id.to_owned(), grant: Grant::NOTHING }
    }

    /// Names the credential among all kinds: for counting what is done with it.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.id)
    }

    /// Somebody on this machine.
    #[must_use]
    pub fn on_this_machine() -> Self {
        Self { kind: CredentialKind::Loopback, id: "loopback".to_owned(), grant: Grant::OWNER }
    }
}

#[cfg(test)]
mod tests;
