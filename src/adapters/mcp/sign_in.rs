//! Signing in to remote servers: OAuth 2.1 as the MCP specification wants it, over what `rmcp` has of it.
//! <https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization>
//!
//! What `rmcp` logs at debug level has codes and tokens in it, so nothing of a sign-in is logged from there.

mod discovery;
mod front;
mod grant;
mod keeper;
mod open;
mod revocation;
mod words;

use super::SignIns;
use crate::domain::mcp::connect::ConnectError;
use crate::domain::mcp::sign_in::{Callback, SignInError, SignedIn};
use crate::domain::mcp::{McpServer, McpServerName, RemoteUrl};
use crate::domain::text;
use crate::ports::clock::Clock;
use crate::ports::mcp::{McpAuthorizer, McpServerStore};
use async_trait::async_trait;
use discovery::{Discovered, discover};
use front::Front;
use grant::{Client, Grant, Tokens};
use keeper::{Keeper, NotRenewed};
use open::{Open, OpenSignIns, Registrations};
use rmcp::transport::auth::{AuthClient, AuthError};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use url::Url;
use words::{answered, cleaned, unusable};

/// How long the authorization server may take for one step of a sign-in, all its answers together.
const LIMIT: Duration = Duration::from_secs(20);

/// How long it may take to hear that tokens are not needed any more. Whoever removes a server waits for it.
const REVOCATION_LIMIT: Duration = Duration::from_secs(5);

/// The longest challenge that is read, in characters.
const CHALLENGE: usize = 4096;

/// Signs users in, and keeps what that gave fresh.
pub struct OAuthSignIns {
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    redirect_uri: String,
    client_document: Option<String>,
    limit: Duration,
    open: Mutex<OpenSignIns>,
    registrations: Mutex<Registrations>,
}

impl OAuthSignIns {
    /// The browser comes back to `redirect_uri`. At `client_document` is what describes us; it is used only if that is an
    /// `https` address, since authorization servers take no other. Tokens are renewed on `tasks`: once the authorization
    /// server was asked, its answer is stored, whoever has stopped waiting for it.
    #[must_use]
    pub fn new(
        store: Arc<dyn McpServerStore>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        redirect_uri: String,
        client_document: String,
    ) -> Self {
        Self {
            keeper: Arc::new(Keeper::new(store, clock.clone(), tasks, LIMIT)),
            clock,
            redirect_uri,
            client_document: Some(client_document).filter(|address| is_document(address)),
            limit: LIMIT,
            open: Mutex::default(),
            registrations: Mutex::default(),
        }
    }

    /// The same with another time limit for each step of a sign-in.
    #[must_use]
    pub fn limited_to(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// A client that sends the tokens of a server and renews them when needed. `None` if nobody is signed in to it.
    ///
    /// # Errors
    /// `Unauthorized` if the tokens are not taken any more; `Lost` if they cannot be read, or renewed at the moment.
    pub async fn client(
        &self,
        server: &McpServer,
        http: reqwest::Client,
    ) -> Result<Option<AuthClient<reqwest::Client>>, ConnectError> {
        let Some(url) = server.transport.url() else { return Ok(None) };
        let grant = self.keeper.grant(&server.name, url).await;
        let Some(grant) = grant.map_err(|error| ConnectError::Lost(format!("its sign-in: {error}")))? else {
            return Ok(None);
        };
        let Some(tokens) = grant.tokens else {
            return Err(ConnectError::Unauthorized { challenge: None });
        };
        if tokens.is_over(self.clock.now()) {
            let renewed = self.keeper.renew(&server.name, url, &tokens.access_token).await;
            renewed.map_err(|error| match error {
                NotRenewed::SignInAgain => ConnectError::Unauthorized { challenge: None },
                NotRenewed::Later(why) => ConnectError::Lost(format!("its sign-in cannot be renewed: {why}")),
            })?;
        }
        let front = Front::new(self.keeper.clone(), server.name.clone(), url.clone());
        let manager = front.into_manager().await;
        let manager = manager.map_err(|_| ConnectError::Lost("its sign-in cannot be used".to_owned()))?;
        Ok(Some(AuthClient::new(http, manager)))
    }

    /// Finds the authorization server, becomes its client, and makes the address where the user goes on.
    async fn prepare(
        &self,
        server: &McpServerName,
        url: &RemoteUrl,
        challenge: Option<String>,
    ) -> Result<(Open, String), SignInError> {
        let mut discovered = discover(url, challenge.as_deref()).await?;
        discovered.demand_s256()?;
        let scopes = discovered.manager.select_initial_scopes(&[]).await;
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let client = self.become_client(server, url, &mut discovered, &scopes).await?;
        let address = discovered.manager.get_authorization_url(&scopes).await;
        let address = address.map_err(|_| unusable("its metadata names an address that is none"))?;
        let open = Open { url: url.clone(), challenge, client, discovered };
        Ok((open, address))
    }

    /// In the order that the specification wants: as who it knows us, by our document, or by registering.
    async fn become_client(
        &self,
        server: &McpServerName,
        url: &RemoteUrl,
        discovered: &mut Discovered,
        scopes: &[&str],
    ) -> Result<Client, SignInError> {
        let redirect_uri = &self.redirect_uri;
        let document = self.client_document.as_ref().filter(|_| discovered.takes_documents());
        let known = match document {
            Some(address) => Some(Client {
                id: address.clone(),
                secret: None,
                redirect_uri: Some(redirect_uri.clone()),
                secret_in_body: false,
            }),
            None => self.known(server, url, &discovered.issuer).await,
        };
        if let Some(client) = known {
            discovered.become_client(&client, redirect_uri)?;
            return Ok(client);
        }
        let client = discovered.register(redirect_uri, scopes).await?;
        self.registrations().put(url, &discovered.issuer, client.clone());
        Ok(client)
    }

    /// As who the authorization server knows us: from a sign-in that is stored, or one that nobody ended.
    async fn known(&self, server: &McpServerName, url: &RemoteUrl, issuer: &str) -> Option<Client> {
        // A storage that cannot be read costs one more registration, and what comes of that cannot be stored either.
        let stored = self.keeper.grant(server, url).await.ok().flatten();
        let stored = stored.filter(|grant| grant.issuer.as_deref() == Some(issuer)).and_then(|grant| grant.client);
        // A document's address was enough for it once, and is not now.
        let stored = stored.filter(|client| Some(&client.id) != self.client_document.as_ref());
        let registrations = self.registrations();
        let is_good = |client: &Client| {
            client.redirect_uri.as_deref() == Some(&self.redirect_uri) && !registrations.is_refused(client)
        };
        stored.filter(is_good).or_else(|| registrations.find(url, issuer).filter(is_good))
    }

    /// Exchanges the code for tokens.
    async fn exchange(
        &self,
        server: &McpServerName,
        open: Open,
        state: &str,
        code: &str,
        issuer: Option<&str>,
    ) -> Result<Grant, SignInError> {
        let manager = &open.discovered.manager;
        let response = manager.exchange_code_for_token_with_issuer(code, state, issuer).await;
        let response = response.map_err(|error| match error {
            AuthError::TokenExchangeFailed(words) => self.refused(server, &open.client, &words, code),
            AuthError::AuthorizationServerMismatch { .. } | AuthError::AuthorizationServerMissingIssuer { .. } => {
                stranger()
            }
            _ => unusable("the sign-in could not be ended"),
        })?;
        let scopes = manager.get_current_scopes().await;
        let tokens = Tokens::received(&response, scopes, self.clock.now())
            .map_err(|_| unusable("its tokens are of a kind that MCP does not know"))?;
        Ok(Grant {
            url: Some(open.url.expose().to_owned()),
            issuer: Some(open.discovered.issuer),
            challenge: open.challenge,
            revocation_endpoint: open.discovered.revocation_endpoint,
            client: Some(open.client),
            tokens: Some(tokens),
        })
    }

    /// Why there are no tokens for a code.
    fn refused(&self, server: &McpServerName, client: &Client, words: &str, code: &str) -> SignInError {
        let Some((name, answer)) = answered(words) else {
            return unusable("it gave no tokens that can be read");
        };
        if matches!(name, "invalid_client" | "unauthorized_client") {
            // It has forgotten us, so the next sign-in registers anew.
            self.registrations().refuse(client);
        }
        let secrets = [code, client.secret.as_deref().unwrap_or_default()];
        denied(server, &cleaned(answer, &secrets))
    }

    fn open(&self) -> MutexGuard<'_, OpenSignIns> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registrations(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl McpAuthorizer for OAuthSignIns {
    async fn begin(&self, server: &McpServer, challenge: Option<&str>) -> Result<String, SignInError> {
        let url = server.transport.url().ok_or_else(|| unusable("a program has none"))?;
        let challenge = challenge.map(|challenge| text::head(challenge, CHALLENGE).to_owned());
        let prepared = self.prepare(&server.name, url, challenge).with_subscriber(NoSubscriber::default());
        let (open, address) = timeout(self.limit, prepared).await.map_err(|_| late(self.limit))??;
        let state = state_of(&address).ok_or_else(|| unusable("its metadata names an address that is none"))?;
        self.open().put(&state, server.name.clone(), self.clock.now(), open);
        Ok(address)
    }

    async fn finish(&self, callback: Callback) -> Result<SignedIn, SignInError> {
        let state = callback.state.expose_secret();
        let (server, open) = self.open().take(state, self.clock.now()).ok_or(SignInError::UnknownState)?;
        // Whether it is a yes or a no: an answer in the name of another may be meant to take a code or token astray.
        match callback.issuer.as_deref() {
            Some(issuer) if issuer != open.discovered.issuer => return Err(stranger()),
            None if open.discovered.names_itself() => return Err(stranger()),
            _ => {}
        }
        let code = match &callback.outcome {
            Ok(code) => code.expose_secret(),
            Err(words) => return Err(denied(&server, &cleaned(words, &[state]))),
        };
        let url = open.url.clone();
        let exchanged = self.exchange(&server, open, state, code, callback.issuer.as_deref());
        let exchanged = timeout(self.limit, exchanged.with_subscriber(NoSubscriber::default())).await;
        let grant = exchanged.map_err(|_| late(self.limit))??.to_text();
        Ok(SignedIn { server, url, grant })
    }

    async fn revoke(&self, url: &RemoteUrl, grant: &SecretString) -> Result<(), SignInError> {
        let grant = Grant::parse(grant.expose_secret()).map_err(|_| unusable("what is stored of it cannot be read"))?;
        let revoked = revocation::revoke(url, &grant).with_subscriber(NoSubscriber::default());
        timeout(REVOCATION_LIMIT, revoked).await.map_err(|_| late(REVOCATION_LIMIT))?
    }
}

#[async_trait]
impl SignIns for OAuthSignIns {
    async fn client(
        &self,
        server: &McpServer,
        http: reqwest::Client,
    ) -> Result<Option<AuthClient<reqwest::Client>>, ConnectError> {
        Self::client(self, server, http).await
    }
}

/// The state in an address for users. The library adds it after what the endpoint had in its query.
fn state_of(address: &str) -> Option<String> {
    let address = Url::parse(address).ok()?;
    address.query_pairs().filter(|(name, _)| name == "state").last().map(|(_, state)| state.into_owned())
}

/// Whether authorization servers take it for a client's document: `https`, and a path.
fn is_document(address: &str) -> bool {
    Url::parse(address).is_ok_and(|address| address.scheme() == "https" && address.path() != "/")
}

fn denied(server: &McpServerName, reason: &str) -> SignInError {
    let reason = if reason.is_empty() { "no reason was given" } else { reason };
    SignInError::Denied { server: server.as_str().to_owned(), reason: reason.to_owned() }
}

fn stranger() -> SignInError {
    unusable("the answer does not come from the authorization server that was asked")
}

fn late(limit: Duration) -> SignInError {
    unusable(format!("it did not answer within {} seconds", limit.as_secs()))
}
