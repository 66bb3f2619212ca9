//! What is stored of a sign-in, as JSON.

use crate::domain::mcp::RemoteUrl;
use crate::domain::time::Timestamp;
use rmcp::transport::auth::OAuthTokenResponse;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How long before its end a token is renewed, so that it does not end on the way.
const BUFFER: Duration = Duration::from_secs(60);

/// A sign-in. Not `Debug`: nearly all of it is secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    /// The address that it is good for. `None`: it was imported, and nobody looked yet.
    #[serde(default)]
    pub url: Option<String>,
    /// Whose tokens they are. `None`: it was imported, and nobody asked yet.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What the MCP server said when it wanted a sign-in. It leads to the metadata again without asking the server itself,
    /// which may take a plain GET for the beginning of an endless stream.
    #[serde(default)]
    pub challenge: Option<String>,
    /// Where tokens can be given back (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// The client that the tokens were given to. `None`: the authorization server does not know it any more.
    #[serde(default)]
    pub client: Option<Client>,
    /// `None`: the authorization server does not take them any more.
    #[serde(default)]
    pub tokens: Option<Tokens>,
}

/// How the authorization server knows us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    pub id: String,
    /// Although we ask to be a public client, some issue one, and then want it with every request.
    #[serde(default)]
    pub secret: Option<String>,
    /// The one that it was registered with.
    #[serde(default)]
    pub redirect_uri: Option<String>,
    /// Whether the secret goes into the body (`client_secret_post`) and not into a header (`client_secret_basic`).
    #[serde(default)]
    pub secret_in_body: bool,
}

/// What the authorization server gave.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    pub access_token: String,
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// In seconds from `received_at`.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// In milliseconds since the epoch. `None`: it was imported.
    #[serde(default)]
    pub received_at: Option<i64>,
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// Why a grant or a token cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Grant {
    /// Reads what was stored: by [`Grant::to_text`], or by the product that is imported from.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let value: Value = serde_json::from_str(text).map_err(|_| Unreadable)?;
        let is_ours = value.get("client_info").is_none() && value.get("url").is_some();
        let grant = if is_ours { serde_json::from_value(value).ok() } else { imported(&value) };
        grant.ok_or(Unreadable)
    }

    pub fn to_text(&self) -> SecretString {
        SecretString::from(json!(self).to_string())
    }

    /// One of which nothing can be used.
    pub fn empty(url: &RemoteUrl) -> Self {
        let url = Some(url.expose().to_owned());
        Self { url, issuer: None, challenge: None, revocation_endpoint: None, client: None, tokens: None }
    }

    pub fn access_token(&self) -> Option<&str> {
        self.tokens.as_ref().map(|tokens| tokens.access_token.as_str())
    }

    pub fn is_for(&self, url: &RemoteUrl) -> bool {
        self.url.as_deref() == Some(url.expose())
    }

    /// The same with no tokens that are dead. The client stays, so that signing in again registers none.
    pub fn without_tokens(mut self) -> Self {
        self.tokens = None;
        self
    }

    /// What an authorization server should not repeat to us in its errors.
    pub fn secrets(&self) -> Vec<&str> {
        let client = self.client.iter().filter_map(|client| client.secret.as_deref());
        let access = self.tokens.iter().map(|tokens| tokens.access_token.as_str());
        let refresh = self.tokens.iter().filter_map(|tokens| tokens.refresh_token.as_deref());
        client.chain(access).chain(refresh).collect()
    }
}

impl Tokens {
    /// What the authorization server answered. `granted` if it does not say itself which scopes these are.
    pub fn received(response: &OAuthTokenResponse, granted: Vec<String>, now: Timestamp) -> Result<Self, Unreadable> {
        let response = json!(response);
        let text = |member: &str| response.get(member).and_then(Value::as_str).map(str::to_owned);
        let is_bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let scopes = text("scope").map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
        let access_token = text("access_token").filter(|token| is_header(token) && is_bearer).ok_or(Unreadable)?;
        Ok(Self {
            access_token,
            refresh_token: text("refresh_token").filter(|token| !token.is_empty()),
            expires_in: response.get("expires_in").and_then(Value::as_u64),
            received_at: Some(now.0),
            scopes: scopes.unwrap_or(granted),
        })
    }

    /// Whether they should be renewed before they are used again. Of imported ones nobody knows: they are tried.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let (Some(seconds), Some(received)) = (self.expires_in, self.received_at) else { return false };
        let lifetime = Duration::from_secs(seconds);
        // Half of a short life must be of use, or every request would renew it.
        now.since(Timestamp(received)) + BUFFER.min(lifetime / 2) >= lifetime
    }

    /// As `rmcp` wants it.
    pub fn to_response(&self) -> Option<OAuthTokenResponse> {
        let mut response = json!({ "access_token": self.access_token, "token_type": "bearer" });
        if let Some(token) = &self.refresh_token {
            response["refresh_token"] = json!(token);
        }
        serde_json::from_value(response).ok()
    }
}

/// Whether a token can stand in a header (RFC 6750 §2.1, a little wider).
fn is_header(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `{"tokens": {…}, "client_info": {…}}`: the answers of the authorization server as they were.
fn imported(value: &Value) -> Option<Grant> {
    let text = |of: &Value, member: &str| {
        of.get(member).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let tokens = value.get("tokens")?;
    let info = value.get("client_info").unwrap_or(&Value::Null);
    let client = text(info, "client_id").map(|id| Client {
        id,
        secret: text(info, "client_secret"),
        redirect_uri: info.get("redirect_uris").and_then(|uris| uris.get(0)).and_then(Value::as_str).map(str::to_owned),
        secret_in_body: text(info, "token_endpoint_auth_method").is_some_and(|method| method == "client_secret_post"),
    });
    let scopes = text(tokens, "scope").unwrap_or_default();
    let tokens = Tokens {
        access_token: text(tokens, "access_token").filter(|token| is_header(token))?,
        refresh_token: text(tokens, "refresh_token"),
        expires_in: tokens.get("expires_in").and_then(Value::as_u64),
        received_at: None,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
    };
    Some(Grant { url: None, issuer: None, challenge: None, revocation_endpoint: None, client, tokens: Some(tokens) })
}

#[cfg(test)]
mod tests;
