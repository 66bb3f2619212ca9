//! Native apps: the owner's consent, and what an app gets with it. See [`crate::domain::auth::oauth`].

use super::Tokens;
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::login::{AuthSession, Device, Origin};
use crate::domain::auth::oauth::{
    ACCESS_LIFETIME, ALL_BUT_ADMIN, AuthorizationRequest, CODE_LIFETIME, DESKTOP_CLIENT, ExchangeRejected,
    REFRESH_LIFETIME, Ticket, TicketKind,
};
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::token::{NewToken, TokenHash};
use crate::domain::auth::{CredentialKind, Grant, Principal};
use crate::domain::id;
use crate::ports::auth_sessions::AuthSessionStore;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::oauth::TicketStore;
use crate::ports::store::StoreError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// What an app gets. Both tokens are shown this once.
#[derive(Debug)]
pub struct AppTokens {
    /// Opens what the owner allowed, for [`ACCESS_LIFETIME`].
    pub access: NewToken,
    /// Gets the next pair, once.
    pub refresh: NewToken,
    /// What was allowed.
    pub scopes: Scopes,
    /// How long the access token is good: [`ACCESS_LIFETIME`], or less if the consent ends before.
    pub lasts: Duration,
}

/// Why there are no tokens.
#[derive(Debug, Error)]
pub enum ExchangeRefused {
    /// What was shown gets none.
    #[error(transparent)]
    Rejected(#[from] ExchangeRejected),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a consent does not count.
#[derive(Debug, Error)]
pub enum ConsentRefused {
    /// It was not given on the page that this server showed to this person for this request.
    #[error("the page is out of date; start signing in from the app again")]
    Form,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The native apps.
pub struct Apps {
    tokens: Arc<Tokens>,
    store: Arc<dyn TicketStore>,
    sessions: Arc<dyn AuthSessionStore>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Binds a page to a person and a request, for as long as the program runs.
    form_key: [u8; 32],
}

impl Apps {
    /// Apps over a store.
    #[must_use]
    pub fn new(
        tokens: Arc<Tokens>,
        store: Arc<dyn TicketStore>,
        sessions: Arc<dyn AuthSessionStore>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let form_key = random(&*entropy);
        Self { tokens, store, sessions, audit, clock, entropy, form_key }
    }

    /// What has to come back with the consent of `principal` to `request`: nobody else can make it, and it is good for
    /// nothing else.
    #[must_use]
    pub fn form_token(&self, principal: &Principal, request: &AuthorizationRequest) -> String {
        URL_SAFE_NO_PAD.encode(self.form_mac(principal, request).finalize().into_bytes())
    }

    #[expect(clippy::expect_used, reason = "a key of any length will do")]
    fn form_mac(&self, principal: &Principal, request: &AuthorizationRequest) -> Hmac<Sha256> {
        let bound = json!([
            principal.kind.as_str(),
            principal.id,
            request.redirect_uri.as_str(),
            request.scopes.names(),
            request.challenge.as_str(),
            request.state,
        ]);
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.form_key).expect("any length");
        mac.update(bound.to_string().as_bytes());
        mac
    }

    fn check_form(
        &self,
        principal: &Principal,
        request: &AuthorizationRequest,
        form_token: &str,
    ) -> Result<(), ConsentRefused> {
        let shown = URL_SAFE_NO_PAD.decode(form_token).map_err(|_| ConsentRefused::Form)?;
        self.form_mac(principal, request).verify_slice(&shown).map_err(|_| ConsentRefused::Form)
    }

    /// What `principal` can allow: what the app wants, without `admin` unless `with_admin`, and no more than they have.
    #[must_use]
    pub fn allowed(principal: &Principal, request: &AuthorizationRequest, with_admin: bool) -> Scopes {
        let wanted = if with_admin { request.scopes } else { request.scopes.within(ALL_BUT_ADMIN) };
        wanted.within(principal.grant.scopes)
    }

    /// Takes the consent of `principal`. Gives the code for the app.
    ///
    /// # Errors
    /// [`ConsentRefused`]
    pub async fn allow(
        &self,
        principal: &Principal,
        request: AuthorizationRequest,
        form_token: &str,
        with_admin: bool,
    ) -> Result<NewToken, ConsentRefused> {
        self.check_form(principal, &request, form_token)?;
        let now = self.clock.now();
        let scopes = Self::allowed(principal, &request, with_admin);
        let code = self.tokens.random_token(NewToken::app_code);
        // The consent of the owner lasts longer than the session it was given in; that of a key ends with the key.
        let until = principal.grant.ceiling();
        let ticket = Ticket {
            hash: code.hash(),
            kind: TicketKind::Code { redirect_uri: request.redirect_uri, challenge: request.challenge },
            family: id::time_ordered(now, random(&*self.entropy)).to_string(),
            client: DESKTOP_CLIENT.to_owned(),
            epoch: self.tokens.epoch(),
            grant: Grant { scopes, until, api_key: principal.grant.api_key.clone() },
            expires: now.plus(CODE_LIFETIME),
            spent: false,
        };
        let happening = Happening::success(principal, "app_allowed", DESKTOP_CLIENT).with("scopes", scopes.names());
        self.store.insert(&ticket, &self.audit.entry(happening)).await?;
        Ok(code)
    }

    /// Notes that `principal` does not want the app.
    ///
    /// # Errors
    /// [`ConsentRefused`]
    pub async fn deny(
        &self,
        principal: &Principal,
        request: &AuthorizationRequest,
        form_token: &str,
    ) -> Result<(), ConsentRefused> {
        self.check_form(principal, request, form_token)?;
        self.audit.record(Happening::denied(principal, "app_denied", DESKTOP_CLIENT)).await?;
        Ok(())
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`ExchangeRefused`]. A code that is shown a second time ends everything that descends from it.
    pub async fn exchange_code(
        &self,
        client: &str,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        device: Device,
    ) -> Result<AppTokens, ExchangeRefused> {
        let ticket = self.find(code).await?;
        let Some((ticket, TicketKind::Code { redirect_uri: sent_to, challenge })) =
            ticket.map(|ticket| (ticket.clone(), ticket.kind))
        else {
            return self.refuse(ExchangeRejected::InvalidCode, &device).await;
        };
        let rejected = if ticket.client != client {
            Some(ExchangeRejected::ClientMismatch)
        } else if sent_to.as_str() != redirect_uri {
            Some(ExchangeRejected::RedirectUriMismatch)
        } else if !challenge.is_met_by(verifier) {
            Some(ExchangeRejected::InvalidCodeVerifier)
        } else {
            None
        };
        match rejected {
            Some(rejected) => self.refuse(rejected, &device).await,
            None => {
                self.exchange(ticket, device, ExchangeRejected::CodeExpired, ExchangeRejected::CodeAlreadyUsed).await
            }
        }
    }

    /// Exchanges a refresh token for the next tokens.
    ///
    /// # Errors
    /// [`ExchangeRefused`]. A refresh token that is shown a second time ends everything that descends from the consent.
    pub async fn refresh(&self, client: &str, token: &str, device: Device) -> Result<AppTokens, ExchangeRefused> {
        const REJECTED: ExchangeRejected = ExchangeRejected::InvalidRefreshToken;
        let ticket = self.find(token).await?.filter(|it| it.kind == TicketKind::Refresh && it.client == client);
        match ticket {
            Some(ticket) => self.exchange(ticket, device, REJECTED, REJECTED).await,
            None => self.refuse(REJECTED, &device).await,
        }
    }

    async fn find(&self, token: &str) -> Result<Option<Ticket>, StoreError> {
        let ticket = self.store.find(&TokenHash::of(token.trim())).await?;
        Ok(ticket.filter(|ticket| ticket.epoch == self.tokens.epoch()))
    }

    async fn exchange(
        &self,
        ticket: Ticket,
        device: Device,
        when_expired: ExchangeRejected,
        when_spent: ExchangeRejected,
    ) -> Result<AppTokens, ExchangeRefused> {
        let now = self.clock.now();
        if ticket.spent {
            return self.end_replayed(&ticket, &device, when_spent).await;
        }
        if ticket.expires <= now || ticket.grant.has_ended(now) || !self.tokens.key_still_holds(&ticket.grant).await? {
            return self.refuse(when_expired, &device).await;
        }
        let access = self.tokens.random_token(NewToken::app_access);
        let refresh = self.tokens.random_token(NewToken::app_refresh);
        let grant = ticket.grant.clone();
        let expires = grant.until_at_most(now.plus(ACCESS_LIFETIME)).until.unwrap_or(now);
        let session = AuthSession {
            id: id::time_ordered(now, random(&*self.entropy)).to_string(),
            hash: access.hash(),
            epoch: ticket.epoch.clone(),
            origin: Origin::App,
            family: Some(ticket.family.clone()),
            grant: grant.clone(),
            device: device.clone(),
            created: now,
            last_used: now,
            expires,
        };
        let successor = Ticket {
            hash: refresh.hash(),
            kind: TicketKind::Refresh,
            expires: now.plus(REFRESH_LIFETIME),
            spent: false,
            ..ticket.clone()
        };
        let app = Principal { kind: CredentialKind::App, id: session.id.clone(), grant };
        let happening = Happening::success(&app, "app_token_issued", &ticket.client)
            .with("address", device.address.as_str())
            .with("family", ticket.family.as_str());
        let entry = self.audit.entry(happening);
        // Another request may have exchanged it since.
        if !self.store.exchange(&ticket.hash, &session, &successor, &entry).await? {
            return self.end_replayed(&ticket, &device, when_spent).await;
        }
        self.tokens.forget_remembered();
        Ok(AppTokens { access, refresh, scopes: session.grant.scopes, lasts: expires.since(now) })
    }

    /// One of the two who showed the ticket is a thief, and nobody can tell which.
    async fn end_replayed<T>(
        &self,
        ticket: &Ticket,
        device: &Device,
        rejected: ExchangeRejected,
    ) -> Result<T, ExchangeRefused> {
        let happening = Happening::refused("api_client", "app_ticket_replayed", &ticket.client)
            .with("address", device.address.as_str())
            .with("family", ticket.family.as_str());
        self.store.end_family(&ticket.family, &self.audit.entry(happening)).await?;
        self.tokens.forget_remembered();
        Err(rejected.into())
    }

    async fn refuse<T>(&self, rejected: ExchangeRejected, device: &Device) -> Result<T, ExchangeRefused> {
        let happening =
            Happening::refused("api_client", "app_token_refused", &device.address).with("reason", rejected.to_string());
        self.audit.record_refusal(&device.address, happening).await;
        Err(rejected.into())
    }

    /// Ends the consent that an access or refresh token descends from, and everything got with it. False if it is none.
    ///
    /// # Errors
    /// As the store's.
    pub async fn revoke(&self, token: &str) -> Result<bool, StoreError> {
        let hash = TokenHash::of(token.trim());
        let family = match self.store.find(&hash).await? {
            Some(ticket) => Some(ticket.family),
            None => self.sessions.find_by_hash(&hash).await?.and_then(|session| session.family),
        };
        let Some(family) = family else { return Ok(false) };
        let app = Principal::without_grant(CredentialKind::App, &hash.fingerprint());
        let entry =
            self.audit.entry(Happening::success(&app, "app_revoked", DESKTOP_CLIENT).with("family", family.as_str()));
        let ended = self.store.end_family(&family, &entry).await?;
        self.tokens.forget_remembered();
        Ok(ended)
    }

    /// Drops what has ended. Gives how many tickets those were.
    ///
    /// # Errors
    /// As the store's.
    pub async fn forget_ended(&self) -> Result<u64, StoreError> {
        self.store.forget_ended(self.clock.now()).await
    }
}
