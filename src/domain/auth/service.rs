//! Checking credentials.

pub mod apps;
pub mod keys;
pub mod logins;

use super::token::{AccessToken, NewToken, TokenForm, TokenHash};
use super::{CredentialKind, Grant, Principal};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::api_key::ApiKeyId;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::domain::tunnel::exposure::Exposure;
use crate::ports::clock::Clock;
use crate::ports::credentials::{CredentialError, CredentialStore};
use crate::ports::entropy::{Entropy, random};
use crate::ports::events::EventBus;
use crate::ports::store::{StoreError, Stores};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use thiserror::Error;

/// For how long a credential that was found good is taken as good without asking the store: what is revoked in another way
/// than through this program stops working after this.
const TRUST: Duration = Duration::from_millis(500);

/// How many credentials are remembered at once. With more in use the store is asked more often, and that is all.
const REMEMBERED: usize = 4096;

/// The master token, and where it is kept.
pub struct MasterToken {
    token: AccessToken,
    /// `None` if the token is configured, so that it cannot be changed from here.
    store: Option<Arc<dyn CredentialStore>>,
}

impl MasterToken {
    /// A token that the configuration gives.
    #[must_use]
    pub fn configured(token: AccessToken) -> Self {
        Self { token, store: None }
    }

    /// The stored token; if there is none, a new one, which is stored.
    ///
    /// # Errors
    /// As the credential store's.
    pub async fn open(store: Arc<dyn CredentialStore>, entropy: &dyn Entropy) -> Result<Self, CredentialError> {
        let token = match store.load().await? {
            Some(token) => token,
            None => {
                let token = AccessToken::generate(random(entropy));
                store.replace(&token).await?;
                token
            }
        };
        Ok(Self { token, store: Some(store) })
    }
}

/// Somebody who passed, and with what: what is needed to ask again later.
#[derive(Debug, Clone)]
pub struct Proven {
    /// Who it is.
    pub principal: Principal,
    /// What they showed. `None` for what is not looked up: the status key, and nothing at all.
    hash: Option<TokenHash>,
    /// The master token under which it was good; what is made of it is made under the same.
    epoch: String,
}

/// A good credential that was found in the store a moment ago.
struct Remembered {
    principal: Principal,
    found: Timestamp,
}

/// When credentials were used, since that was last stored.
#[derive(Default)]
struct Uses {
    sessions: HashMap<String, Timestamp>,
    keys: HashMap<ApiKeyId, Timestamp>,
}

/// Why there is no new master token.
#[derive(Debug, Error)]
pub enum Regenerate {
    /// The token is configured.
    #[error(
        "the access token is set in the configuration of the server; change it there (access_token or access_token_file) and start the server again"
    )]
    Configured,
    /// The credential ends, and the master token does not.
    #[error("a credential that ends, or was got with an API key, cannot be exchanged for the access token")]
    TooShortLived,
    /// Somebody else is at it.
    #[error("the access token is being regenerated at this moment")]
    InProgress,
    /// The storage failed. The old token was put back.
    #[error(transparent)]
    Store(StoreError),
    /// The token could not be read or written, or not put back: what is kept is what counts.
    #[error(transparent)]
    Credential(CredentialError),
}

/// What [`Tokens`] works with.
pub struct TokensParts {
    /// The master token.
    pub master: MasterToken,
    /// What opens the agent's status, if there is such a key.
    pub status_key: Option<TokenHash>,
    /// Whether being on this machine proves anything.
    pub exposure: Exposure,
    /// Where credentials are.
    pub stores: Stores,
    /// Says who did what.
    pub audit: Arc<Audit>,
    /// Is told when credentials may have been revoked.
    pub events: Arc<dyn EventBus>,
    /// Says when something ends.
    pub clock: Arc<dyn Clock>,
    /// Makes secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// Knows which credentials are good.
pub struct Tokens {
    master: RwLock<TokenHash>,
    keeper: Option<Arc<dyn CredentialStore>>,
    status_key: Option<TokenHash>,
    exposure: Exposure,
    stores: Stores,
    audit: Arc<Audit>,
    events: Arc<dyn EventBus>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    remembered: Mutex<HashMap<TokenHash, Remembered>>,
    uses: Mutex<Uses>,
    regenerating: AtomicBool,
}

impl Tokens {
    /// Credentials over stores.
    #[must_use]
    pub fn new(parts: TokensParts) -> Self {
        let TokensParts { master, status_key, exposure, stores, audit, events, clock, entropy } = parts;
        Self {
            master: RwLock::new(master.token.hash()),
            keeper: master.store,
            status_key,
            exposure,
            stores,
            audit,
            events,
            clock,
            entropy,
            remembered: Mutex::default(),
            uses: Mutex::default(),
            regenerating: AtomicBool::new(false),
        }
    }

    /// Who shows `token`: the master token, or the token of a session or API key that has not ended.
    ///
    /// # Errors
    /// As the store's. A text that can be no token never reaches it.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Proven>, StoreError> {
        let hash = TokenHash::of(token);
        // Asked first: if there is another one before we are done, what is made of this is worth nothing.
        let epoch = self.epoch();
        let principal = match TokenForm::of(token) {
            _ if self.master().matches(&hash) => Some(self.owner()),
            form @ (TokenForm::Session | TokenForm::ApiKey) => self.look_up(form, &hash).await?,
            TokenForm::Pairing | TokenForm::Other => None,
        };
        Ok(principal.map(|principal| Proven { principal, hash: Some(hash), epoch }))
    }

    /// Who shows `key` as the status key.
    #[must_use]
    pub fn authenticate_status_key(&self, key: &str) -> Option<Proven> {
        let is_it = self.status_key.as_ref()?.matches(&TokenHash::of(key));
        let principal = Principal::without_grant(CredentialKind::StatusKey, "status_key");
        is_it.then(|| Proven { principal, hash: None, epoch: self.epoch() })
    }

    /// Somebody on this machine, whom nothing needs to be asked of.
    #[must_use]
    pub fn on_this_machine(&self) -> Proven {
        Proven { principal: Principal::on_this_machine(), hash: None, epoch: self.epoch() }
    }

    /// Whether what somebody showed before is still good; being on this machine is not while there is a tunnel. Worth asking
    /// after every [`Event::CredentialsChanged`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn still_holds(&self, proven: &Proven) -> Result<bool, StoreError> {
        match (&proven.hash, proven.principal.kind) {
            // It may have been opened since.
            (None, CredentialKind::Loopback) => Ok(!self.exposure.is_open()),
            (None, _) => Ok(true),
            (Some(hash), CredentialKind::MasterToken) => Ok(self.master().matches(hash)),
            (Some(hash), CredentialKind::Session | CredentialKind::App) => {
                Ok(self.look_up(TokenForm::Session, hash).await?.is_some())
            }
            (Some(hash), _) => Ok(self.look_up(TokenForm::ApiKey, hash).await?.is_some()),
        }
    }

    /// Makes a new master token. All sessions and pairing codes end; API keys stay.
    ///
    /// # Errors
    /// [`Regenerate`]
    pub async fn regenerate(&self, principal: &Principal) -> Result<NewMaster, Regenerate> {
        let keeper = self.keeper.as_ref().ok_or(Regenerate::Configured)?;
        if principal.grant.ceiling().is_some() {
            return Err(Regenerate::TooShortLived);
        }
        if self.regenerating.swap(true, Ordering::SeqCst) {
            return Err(Regenerate::InProgress);
        }
        let _done = Finally(|| self.regenerating.store(false, Ordering::SeqCst));
        let old = keeper.load().await.map_err(Regenerate::Credential)?;
        let token = AccessToken::generate(random(&*self.entropy));
        keeper.replace(&token).await.map_err(Regenerate::Credential)?;
        // At once: whoever asked may go away before the rest is done, and what is kept must be what counts.
        let before = self.set_master(token.hash());
        let happening = Happening::success(principal, "token_regenerated", &token.hash().fingerprint());
        if let Err(error) = self.stores.auth_sessions.end_all(&self.audit.entry(happening)).await {
            // Back to what was: the new token was shown to nobody.
            if let Some(old) = old {
                keeper.replace(&old).await.map_err(Regenerate::Credential)?;
                self.set_master(before);
            }
            return Err(Regenerate::Store(error));
        }
        self.forget_remembered();
        Ok(NewMaster(token))
    }

    /// What was made under the old one is worth nothing from here on. Gives the old one.
    fn set_master(&self, hash: TokenHash) -> TokenHash {
        let before = std::mem::replace(&mut *self.master.write().unwrap_or_else(PoisonError::into_inner), hash);
        lock(&self.remembered).clear();
        before
    }

    /// Stores when credentials were last used. To be called now and then, and at the end.
    ///
    /// # Errors
    /// As the store's; what was not stored is forgotten.
    pub async fn store_uses(&self) -> Result<(), StoreError> {
        let Uses { sessions, keys } = std::mem::take(&mut *lock(&self.uses));
        if !sessions.is_empty() {
            self.stores.auth_sessions.touch(&sessions.into_iter().collect::<Vec<_>>()).await?;
        }
        if !keys.is_empty() {
            self.stores.api_keys.touch(&keys.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Names the master token: what was made under another one is worth nothing.
    fn epoch(&self) -> String {
        self.master().fingerprint()
    }

    fn master(&self) -> TokenHash {
        *self.master.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self) -> Principal {
        Principal { kind: CredentialKind::MasterToken, id: self.epoch(), grant: Grant::OWNER }
    }

    async fn look_up(&self, form: TokenForm, hash: &TokenHash) -> Result<Option<Principal>, StoreError> {
        let now = self.clock.now();
        if let Some(known) = lock(&self.remembered).get(hash) {
            let is_fresh = known.found <= now && now.since(known.found) < TRUST;
            if is_fresh && !known.principal.grant.has_ended(now) {
                return Ok(Some(known.principal.clone()));
            }
        }
        let principal = if form == TokenForm::ApiKey {
            self.stores.api_keys.find_by_hash(hash).await?.and_then(|key| key.principal(now))
        } else {
            let session = self.stores.auth_sessions.find_by_hash(hash).await?;
            match session.and_then(|session| session.principal(&self.epoch(), now)) {
                Some(principal) if self.key_still_holds(&principal.grant).await? => Some(principal),
                _ => None,
            }
        };
        if let Some(principal) = &principal {
            self.remember(*hash, principal.clone(), now);
        }
        Ok(principal)
    }

    /// Revoking a key removes what was got with it; what was being made at that moment is not among that.
    async fn key_still_holds(&self, grant: &Grant) -> Result<bool, StoreError> {
        let Some(key) = &grant.api_key else { return Ok(true) };
        let key = self.stores.api_keys.find(key).await?;
        Ok(key.is_some_and(|key| key.principal(self.clock.now()).is_some()))
    }

    fn remember(&self, hash: TokenHash, principal: Principal, now: Timestamp) {
        {
            let mut uses = lock(&self.uses);
            match (principal.kind, &principal.grant.api_key) {
                (CredentialKind::ApiKey, Some(key)) => drop(uses.keys.insert(key.clone(), now)),
                _ => drop(uses.sessions.insert(principal.id.clone(), now)),
            }
        }
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, Remembered { principal, found: now });
    }

    /// Asks the store again for every credential, and lets those who hold a connection open do the same.
    fn forget_remembered(&self) {
        lock(&self.remembered).clear();
        self.events.publish(Event::CredentialsChanged);
    }

    fn random_token(&self, make: impl FnOnce([u8; 32]) -> NewToken) -> NewToken {
        make(random(&*self.entropy))
    }
}

/// The master token that was made just now, for the one answer that shows it.
#[derive(Debug)]
pub struct NewMaster(AccessToken);

impl NewMaster {
    /// The token.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Runs something when it is dropped.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
