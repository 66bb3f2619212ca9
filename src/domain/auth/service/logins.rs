//! Login sessions: getting one with another credential, listing them, ending them.

use super::{Proven, Tokens};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::login::{AuthSession, Device, Origin, SessionTtl};
use crate::domain::auth::pairing::{LIFETIME, Pairing};
use crate::domain::auth::token::{NewToken, TokenForm, TokenHash};
use crate::domain::auth::{CredentialKind, Grant, Principal};
use crate::domain::id;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::auth_sessions::AuthSessionStore;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use std::sync::Arc;
use thiserror::Error;

/// A session that was begun just now, with the token that is shown this once.
#[derive(Debug)]
pub struct NewLogin {
    /// What opens it.
    pub token: NewToken,
    /// The rest.
    pub session: AuthSession,
}

/// Why no session was begun.
#[derive(Debug, Error)]
pub enum LoginRefused {
    /// What was shown is no credential, has ended, or gets no session: a session token does not.
    #[error("not a credential that a session can be got with")]
    Credential,
    /// The store failed. A pairing code was not used up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The login sessions.
pub struct Logins {
    tokens: Arc<Tokens>,
    store: Arc<dyn AuthSessionStore>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ttl: SessionTtl,
}

impl Logins {
    /// Sessions that last for `ttl`, or less if what they were got with does.
    #[must_use]
    pub fn new(
        tokens: Arc<Tokens>,
        store: Arc<dyn AuthSessionStore>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        ttl: SessionTtl,
    ) -> Self {
        Self { tokens, store, audit, clock, entropy, ttl }
    }

    /// Begins a session for whoever shows the master token, an API key, or a pairing code, which is used up by that. The
    /// session opens no more and lasts no longer than what it was got with.
    ///
    /// `origin` is how they came; a pairing code makes it [`Origin::Pairing`].
    ///
    /// # Errors
    /// [`LoginRefused`]
    pub async fn begin(&self, credential: &str, origin: Origin, device: Device) -> Result<NewLogin, LoginRefused> {
        let credential = credential.trim();
        let is_code = TokenForm::of(credential) == TokenForm::Pairing;
        let origin = if is_code { Origin::Pairing } else { origin };
        let begun = match origin {
            Origin::Pairing => self.redeem(credential, device.clone()).await,
            Origin::Login | Origin::Exchange | Origin::App => self.exchange(credential, origin, device.clone()).await,
        };
        if let Err(LoginRefused::Credential) = &begun {
            self.note_refusal(origin, &device).await;
        }
        begun
    }

    /// Notes that somebody tried to get in who did not, or not so that it could be read.
    pub async fn note_refusal(&self, origin: Origin, device: &Device) {
        let action = match origin {
            Origin::Exchange | Origin::App => "session_token_refused",
            Origin::Login => "login_failed",
            Origin::Pairing => "qr_code_refused",
        };
        let happening = Happening::refused("dashboard_user", action, &device.address);
        self.audit.record_refusal(&device.address, happening).await;
    }

    async fn exchange(&self, credential: &str, origin: Origin, device: Device) -> Result<NewLogin, LoginRefused> {
        let proven = self.tokens.authenticate(credential).await?.ok_or(LoginRefused::Credential)?;
        let source = proven.principal;
        let family = match source.kind {
            CredentialKind::MasterToken | CredentialKind::ApiKey => None,
            // What an app gets with its token ends with the app's consent.
            CredentialKind::App => {
                let session = self.store.find_by_hash(&TokenHash::of(credential)).await?;
                Some(session.and_then(|session| session.family).ok_or(LoginRefused::Credential)?)
            }
            // A session that could be exchanged for another one would never end.
            _ => return Err(LoginRefused::Credential),
        };
        let action = if origin == Origin::Login { "login_success" } else { "session_token_issued" };
        let mut login = self.make(source.grant.clone(), proven.epoch, origin, device);
        login.session.family = family;
        let happening = Happening::success(&source, action, &login.session.id)
            .with("address", login.session.device.address.as_str())
            .with("device", login.session.device.label.as_str());
        self.store.insert(&login.session, &self.audit.entry(happening)).await?;
        Ok(login)
    }

    async fn redeem(&self, code: &str, device: Device) -> Result<NewLogin, LoginRefused> {
        let hash = TokenHash::of(code);
        let pairing = self.store.find_pairing(&hash).await?;
        let pairing = pairing.filter(|it| it.is_good(&self.tokens.epoch(), self.clock.now()));
        let pairing = pairing.ok_or(LoginRefused::Credential)?;
        let login = self.make(pairing.grant, pairing.epoch, Origin::Pairing, device);
        let code = Principal::without_grant(CredentialKind::Pairing, &hash.fingerprint());
        let happening = Happening::success(&code, "qr_code_redeemed", &login.session.id)
            .with("address", login.session.device.address.as_str())
            .with("device", login.session.device.label.as_str());
        // Another request may have redeemed it since.
        match self.store.redeem(&hash, &login.session, &self.audit.entry(happening)).await? {
            true => Ok(login),
            false => Err(LoginRefused::Credential),
        }
    }

    fn make(&self, grant: Grant, epoch: String, origin: Origin, device: Device) -> NewLogin {
        let now = self.clock.now();
        let at_most = now.plus(self.ttl.duration());
        let expires = grant.until_at_most(at_most).until.unwrap_or(at_most);
        let token = self.tokens.random_token(|random| NewToken::session(expires, random));
        let session = AuthSession {
            id: id::time_ordered(now, random(&*self.entropy)).to_string(),
            hash: token.hash(),
            epoch,
            origin,
            family: None,
            grant,
            device,
            created: now,
            last_used: now,
            expires,
        };
        NewLogin { token, session }
    }

    /// Makes a code that gets whoever redeems it within [`LIFETIME`] a session with at most the rights of `maker`.
    ///
    /// # Errors
    /// As the store's.
    pub async fn pair(&self, maker: &Proven) -> Result<NewToken, StoreError> {
        let code = self.tokens.random_token(NewToken::pairing);
        let pairing = Pairing {
            hash: code.hash(),
            epoch: maker.epoch.clone(),
            grant: maker.principal.grant.clone(),
            expires: self.clock.now().plus(LIFETIME),
        };
        let happening = Happening::success(&maker.principal, "qr_code_generated", &pairing.hash.fingerprint());
        self.store.insert_pairing(&pairing, &self.audit.entry(happening)).await?;
        Ok(code)
    }

    /// The newest sessions that have not ended, newest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn list(&self, limit: PageLimit) -> Result<Vec<AuthSession>, StoreError> {
        self.store.list(&self.tokens.epoch(), self.clock.now(), limit).await
    }

    /// Ends a session at once. False if there is none of that id.
    ///
    /// # Errors
    /// As the store's.
    pub async fn revoke(&self, principal: &Principal, id: &str) -> Result<bool, StoreError> {
        self.end(id, Happening::success(principal, "session_revoked", id)).await
    }

    /// Ends the session of that token, if it is one.
    ///
    /// # Errors
    /// As the store's.
    pub async fn log_out(&self, token: &str) -> Result<(), StoreError> {
        if TokenForm::of(token) != TokenForm::Session {
            return Ok(());
        }
        let Some(proven) = self.tokens.authenticate(token).await? else { return Ok(()) };
        let id = proven.principal.id.clone();
        self.end(&id, Happening::success(&proven.principal, "logout", &id)).await?;
        Ok(())
    }

    async fn end(&self, id: &str, happening: Happening) -> Result<bool, StoreError> {
        let ended = self.store.revoke(id, &self.audit.entry(happening)).await?;
        if ended {
            self.tokens.forget_remembered();
        }
        Ok(ended)
    }

    /// Drops what has ended. Gives how many sessions and codes those were.
    ///
    /// # Errors
    /// As the store's.
    pub async fn forget_ended(&self) -> Result<u64, StoreError> {
        self.store.forget_ended(self.clock.now()).await
    }

    /// How many whole hours a session lasts from now on, rounded up: what clients are told.
    #[must_use]
    pub fn hours_left(&self, session: &AuthSession) -> u64 {
        hours_until(session.expires, self.clock.now())
    }
}

fn hours_until(end: Timestamp, now: Timestamp) -> u64 {
    end.since(now).as_secs().div_ceil(3600)
}
