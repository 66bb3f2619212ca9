//! Keeps what signing in gave: reads it, and renews it.
//!
//! Authorization servers give a new refresh token with each renewal, and take the old one no more; some end the whole sign-in
//! when it comes a second time. So of one server's tokens only one renewal runs at a time, it runs on although nobody waits
//! for it any more, and its result is not lost if the storage cannot take it at once.

use super::discovery::discover;
use super::grant::{Client, Grant, Tokens};
use super::words::{answered, cleaned};
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::{McpServerName, RemoteUrl};
use crate::ports::clock::Clock;
use crate::ports::mcp::McpServerStore;
use crate::ports::store::StoreError;
use rmcp::transport::auth::{
    AuthError, CredentialStore, InMemoryCredentialStore, OAuthTokenResponse, StoredCredentials,
};
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use tracing::{info, warn};

/// How long to wait before a storage that failed is asked again.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// Why there are no fresh tokens.
#[derive(Debug)]
pub(super) enum NotRenewed {
    /// The user has to sign in again.
    SignInAgain,
    /// It may work later.
    Later(String),
}

pub(super) struct Keeper {
    store: Arc<dyn McpServerStore>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    limit: Duration,
    /// Who renews the tokens of a server.
    turns: Mutex<HashMap<McpServerName, Arc<tokio::sync::Mutex<()>>>>,
    /// What the storage did not take yet.
    unsaved: Mutex<HashMap<McpServerName, Unsaved>>,
}

#[derive(Clone)]
struct Unsaved {
    /// The access token of what is stored in its place.
    replaces: SecretString,
    signed_in: SignedIn,
}

impl Keeper {
    pub fn new(store: Arc<dyn McpServerStore>, clock: Arc<dyn Clock>, tasks: TaskTracker, limit: Duration) -> Self {
        Self { store, clock, tasks, limit, turns: Mutex::default(), unsaved: Mutex::default() }
    }

    /// Whether tokens should be renewed before they are used again.
    pub fn is_over(&self, tokens: &Tokens) -> bool {
        tokens.is_over(self.clock.now())
    }

    /// What is stored for a server, if it belongs to that address.
    pub async fn grant(&self, name: &McpServerName, url: &RemoteUrl) -> Result<Option<Grant>, StoreError> {
        let Some(text) = self.store.sign_in(name).await? else { return Ok(None) };
        let Ok(mut grant) = Grant::parse(text.expose_secret()) else {
            warn!(server = name.as_str(), "the stored sign-in cannot be read; sign in again");
            return Ok(Some(Grant::empty(url)));
        };
        if grant.url.is_none() {
            // Nobody knows for which address it was made, but the storage does: it takes it back for that one only.
            grant.url = Some(url.expose().to_owned());
            if !self.store.set_sign_in(&signed_in(name, url, &grant), None).await? {
                return Ok(None);
            }
        }
        if !grant.is_for(url) {
            return Ok(None);
        }
        Ok(Some(self.newest(name, grant).await))
    }

    /// The grant that the storage did not take, if it was to replace this one.
    async fn newest(&self, name: &McpServerName, grant: Grant) -> Grant {
        let Some(unsaved) = self.unsaved().get(name).cloned() else { return grant };
        let is_replaced = grant.access_token() == Some(unsaved.replaces.expose_secret());
        let newest = Grant::parse(unsaved.signed_in.grant.expose_secret()).ok().filter(|_| is_replaced);
        if newest.is_none() || self.store.set_sign_in(&unsaved.signed_in, None).await.is_ok() {
            self.unsaved().remove(name);
        }
        newest.unwrap_or(grant)
    }

    /// Renews the tokens of a server, unless that was done since `used` was current. The result has tokens.
    pub async fn renew(
        self: &Arc<Self>,
        name: &McpServerName,
        url: &RemoteUrl,
        used: &str,
    ) -> Result<Tokens, NotRenewed> {
        let (keeper, name, url) = (self.clone(), name.clone(), url.clone());
        let used = SecretString::from(used);
        let renewal = self.tasks.spawn(async move { keeper.renew_alone(&name, &url, used.expose_secret()).await });
        renewal.await.unwrap_or_else(|_| Err(NotRenewed::Later("it was stopped".to_owned())))
    }

    async fn renew_alone(&self, name: &McpServerName, url: &RemoteUrl, used: &str) -> Result<Tokens, NotRenewed> {
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        let grant = self.grant(name, url).await.map_err(|error| NotRenewed::Later(error.to_string()))?;
        let Some(grant) = grant else { return Err(NotRenewed::SignInAgain) };
        let Some(tokens) = grant.tokens.clone() else { return Err(NotRenewed::SignInAgain) };
        if tokens.access_token != used && !self.is_over(&tokens) {
            return Ok(tokens);
        }
        let (Some(client), Some(_)) = (grant.client.clone(), &tokens.refresh_token) else {
            return Err(NotRenewed::SignInAgain);
        };
        let asked = self.ask(url, &grant, &client, &tokens).with_subscriber(NoSubscriber::default());
        let answer = match timeout(self.limit, asked).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failed(format!("no answer within {} seconds", self.limit.as_secs())),
        };
        match answer {
            Answer::Renewed(renewed) => {
                info!(server = name.as_str(), "renewed the sign-in");
                let renewed_tokens = renewed.tokens.clone().ok_or(NotRenewed::SignInAgain)?;
                self.replace(name, url, &tokens.access_token, &renewed).await;
                Ok(renewed_tokens)
            }
            Answer::Ended(rest) => {
                warn!(server = name.as_str(), "the authorization server has ended the sign-in; sign in again");
                self.replace(name, url, &tokens.access_token, &rest).await;
                Err(NotRenewed::SignInAgain)
            }
            Answer::Elsewhere => {
                warn!(server = name.as_str(), "the server has another authorization server now; sign in again");
                Err(NotRenewed::SignInAgain)
            }
            Answer::Failed(why) => {
                warn!(server = name.as_str(), why, "the sign-in could not be renewed");
                Err(NotRenewed::Later(why))
            }
        }
    }

    /// Asks the authorization server for new tokens.
    async fn ask(&self, url: &RemoteUrl, grant: &Grant, client: &Client, tokens: &Tokens) -> Answer {
        let mut discovered = match discover(url, grant.challenge.as_deref()).await {
            Ok(discovered) => discovered,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        // The refresh token goes to nobody but the one who gave it. Of an imported one that is whom the server names.
        if grant.issuer.as_ref().is_some_and(|issuer| *issuer != discovered.issuer) {
            return Answer::Elsewhere;
        }
        let redirect_uri = client.redirect_uri.as_deref().unwrap_or(url.expose());
        if let Err(error) = discovered.become_client(client, redirect_uri) {
            return Answer::Failed(error.to_string());
        }
        let stored = StoredCredentials::new(client.id.clone(), tokens.to_response(), tokens.scopes.clone(), None);
        let store = InMemoryCredentialStore::new();
        // In memory, so it cannot fail.
        let _ = store.save(stored).await;
        discovered.manager.set_credential_store(store);
        match discovered.manager.refresh_token().await {
            Ok(response) => {
                let rest = Grant {
                    issuer: Some(discovered.issuer),
                    revocation_endpoint: discovered.revocation_endpoint,
                    ..grant.clone()
                };
                self.renewed(rest, &response, tokens)
            }
            Err(AuthError::TokenRefreshRejected(_)) => Answer::Ended(grant.clone().without_tokens()),
            Err(AuthError::TokenRefreshFailed(words)) => match answered(&words) {
                // It has forgotten us, and never takes a token from us again.
                Some(("invalid_client" | "unauthorized_client", _)) => {
                    Answer::Ended(Grant { client: None, ..grant.clone().without_tokens() })
                }
                Some((_, answer)) => Answer::Failed(cleaned(answer, &grant.secrets())),
                None => Answer::Failed("the authorization server gave no answer that can be read".to_owned()),
            },
            Err(_) => Answer::Failed("the authorization server could not be asked".to_owned()),
        }
    }

    fn renewed(&self, grant: Grant, response: &OAuthTokenResponse, old: &Tokens) -> Answer {
        match Tokens::received(response, old.scopes.clone(), self.clock.now()) {
            Ok(tokens) => Answer::Renewed(Grant { tokens: Some(tokens), ..grant }),
            Err(_) => Answer::Failed("the new tokens are of a kind that MCP does not know".to_owned()),
        }
    }

    /// Stores a grant in the place of the one with that access token, unless somebody signed in anew or out meanwhile.
    async fn replace(&self, name: &McpServerName, url: &RemoteUrl, access_token: &str, grant: &Grant) {
        let signed_in = signed_in(name, url, grant);
        // What is in memory only is the newer form of what is stored.
        let unsaved = self.unsaved().get(name).map(|unsaved| unsaved.replaces.clone());
        let replaces = unsaved.unwrap_or_else(|| SecretString::from(access_token));
        for pause in PAUSES {
            if self.try_replace(&replaces, &signed_in).await.is_ok() {
                return;
            }
            sleep(pause).await;
        }
        if let Err(error) = self.try_replace(&replaces, &signed_in).await {
            warn!(server = name.as_str(), %error, "the renewed sign-in could not be stored; it is kept in memory");
            self.unsaved().insert(name.clone(), Unsaved { replaces, signed_in });
        }
    }

    async fn try_replace(&self, replaces: &SecretString, signed_in: &SignedIn) -> Result<(), StoreError> {
        let stored = self.store.sign_in(&signed_in.server).await?;
        let stored = stored.and_then(|text| Grant::parse(text.expose_secret()).ok());
        if stored.as_ref().and_then(Grant::access_token) == Some(replaces.expose_secret()) {
            self.store.set_sign_in(signed_in, None).await?;
        }
        self.unsaved().remove(&signed_in.server);
        Ok(())
    }

    fn turn(&self, name: &McpServerName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of servers that are gone would pile up.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(name.clone()).or_default().clone()
    }

    fn unsaved(&self) -> MutexGuard<'_, HashMap<McpServerName, Unsaved>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of asking for new tokens.
enum Answer {
    Renewed(Grant),
    /// There will be no more, ever; this is what is left.
    Ended(Grant),
    /// The server trusts somebody else now.
    Elsewhere,
    Failed(String),
}

fn signed_in(name: &McpServerName, url: &RemoteUrl, grant: &Grant) -> SignedIn {
    SignedIn { server: name.clone(), url: url.clone(), grant: grant.to_text() }
}
