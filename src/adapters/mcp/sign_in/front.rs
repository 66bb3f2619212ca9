//! The tokens of one server as `rmcp`'s client sees them.
//!
//! `AuthClient` renews tokens by itself, and so does that of every other connection to the same server, at the same time. So
//! the manager in it never meets the authorization server: what it takes for its storage shows the current access token, and
//! what it takes for the network asks the [`Keeper`], where renewals wait for each other.

use super::keeper::{Keeper, NotRenewed};
use crate::domain::mcp::{McpServerName, RemoteUrl};
use async_trait::async_trait;
use rmcp::transport::auth::{
    AuthError, AuthorizationManager, AuthorizationMetadata, CredentialStore, OAuthHttpClient, OAuthHttpClientFuture,
    OAuthHttpRequest, StoredCredentials,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// The one client that such a manager knows. The real one may change when the user signs in anew.
const CLIENT: &str = "pawport";

/// Where such a manager thinks it asks for tokens. Nobody can be there (RFC 2606).
const NOWHERE: &str = "https://keeper.invalid/";

/// What it takes for the refresh token.
const PLACEHOLDER: &str = "kept elsewhere";

#[derive(Clone)]
pub(super) struct Front {
    keeper: Arc<Keeper>,
    server: McpServerName,
    url: RemoteUrl,
    /// The access token that was shown last: the one that is to be renewed.
    shown: Arc<Mutex<SecretString>>,
}

impl Front {
    pub fn new(keeper: Arc<Keeper>, server: McpServerName, url: RemoteUrl) -> Self {
        Self { keeper, server, url, shown: Arc::new(Mutex::new(SecretString::from(""))) }
    }

    pub async fn into_manager(self) -> Result<AuthorizationManager, AuthError> {
        let network = Arc::new(self.clone());
        let mut manager = AuthorizationManager::new_with_oauth_http_client(self.url.expose(), network).await?;
        let mut metadata = AuthorizationMetadata::default();
        NOWHERE.clone_into(&mut metadata.authorization_endpoint);
        NOWHERE.clone_into(&mut metadata.token_endpoint);
        manager.set_metadata(metadata);
        manager.configure_client_id(CLIENT)?;
        manager.set_credential_store(self);
        Ok(manager)
    }

    async fn answer(&self) -> (u16, Value) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.keeper.renew(&self.server, &self.url, shown.expose_secret()).await {
            Ok(tokens) => (200, json!({ "access_token": tokens.access_token, "token_type": "bearer" })),
            Err(NotRenewed::SignInAgain) => (400, json!({ "error": "invalid_grant" })),
            Err(NotRenewed::Later(why)) => {
                (400, json!({ "error": "temporarily_unavailable", "error_description": why }))
            }
        }
    }
}

#[async_trait]
impl CredentialStore for Front {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        let grant = self.keeper.grant(&self.server, &self.url).await;
        let grant = grant.map_err(|error| AuthError::CredentialStoreError(error.to_string()))?;
        let Some(tokens) = grant.and_then(|grant| grant.tokens) else { return Ok(None) };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = SecretString::from(tokens.access_token.as_str());
        let mut response = json!({ "access_token": tokens.access_token, "token_type": "bearer" });
        if tokens.refresh_token.is_some() {
            response["refresh_token"] = json!(PLACEHOLDER);
        }
        // Whether they are over is said by our clock: the library is told of tokens that ended in 1970, or never.
        let mut received_at = None;
        if self.keeper.is_over(&tokens) {
            response["expires_in"] = json!(1);
            received_at = Some(0);
        }
        let response = serde_json::from_value(response);
        let response = response.map_err(|error| AuthError::InternalError(error.to_string()))?;
        Ok(Some(StoredCredentials::new(CLIENT.to_owned(), Some(response), tokens.scopes, received_at)))
    }

    /// The keeper has stored them already.
    async fn save(&self, _: StoredCredentials) -> Result<(), AuthError> {
        Ok(())
    }

    /// Only users sign out.
    async fn clear(&self) -> Result<(), AuthError> {
        Ok(())
    }
}

impl OAuthHttpClient for Front {
    fn execute(&self, _: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(async move {
            let (status, body) = self.answer().await;
            let response = hyper::Response::builder().status(status).header("content-type", "application/json");
            Ok(response.body(body.to_string().into_bytes())?)
        })
    }
}
