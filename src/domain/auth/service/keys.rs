//! API keys: making, listing, ending and replacing them.

use super::Tokens;
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::Principal;
use crate::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName, SHOWN_CHARS};
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::token::NewToken;
use crate::domain::time::Timestamp;
use crate::ports::api_keys::ApiKeyStore;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use std::sync::Arc;
use thiserror::Error;

/// A key that somebody wants.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is to be called.
    pub name: ApiKeyName,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it is to end.
    pub expires: Option<Timestamp>,
}

/// A key that was made just now, with the text that is shown this once.
#[derive(Debug)]
pub struct MadeApiKey {
    /// The key itself.
    pub token: NewToken,
    /// The rest.
    pub key: ApiKey,
}

/// Why no key was made.
#[derive(Debug, Error)]
pub enum MakeKey {
    /// It would have ended before it began.
    #[error("expires_at must be in the future")]
    AlreadyOver,
    /// It would have rights that the one who wants it has not.
    #[error("a key cannot have scopes that the credential it is made with has not")]
    TooWide,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The API keys.
pub struct ApiKeys {
    tokens: Arc<Tokens>,
    store: Arc<dyn ApiKeyStore>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ApiKeys {
    /// Keys over a store.
    #[must_use]
    pub fn new(
        tokens: Arc<Tokens>,
        store: Arc<dyn ApiKeyStore>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { tokens, store, audit, clock, entropy }
    }

    /// All keys, revoked ones too, oldest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.store.list().await
    }

    /// Makes a key. One that is made with an API key that ends, ends no later.
    ///
    /// # Errors
    /// [`MakeKey`]
    pub async fn create(&self, principal: &Principal, new: NewApiKey) -> Result<MadeApiKey, MakeKey> {
        let now = self.clock.now();
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(MakeKey::AlreadyOver);
        }
        if !new.scopes.is_within(principal.grant.scopes) {
            return Err(MakeKey::TooWide);
        }
        let made = self.make(principal, new, now);
        let happening = Happening::success(principal, "api_key_created", made.key.id.as_str())
            .with("name", made.key.name.as_str())
            .with("scopes", made.key.scopes.names());
        self.store.insert(&made.key, &self.audit.entry(happening)).await?;
        Ok(made)
    }

    /// Ends a key at once, and the sessions that were got with it. False if there is no such key, or it was revoked before.
    ///
    /// # Errors
    /// As the store's.
    pub async fn revoke(&self, principal: &Principal, id: &ApiKeyId) -> Result<bool, StoreError> {
        let entry = self.audit.entry(Happening::success(principal, "api_key_revoked", id.as_str()));
        let revoked = self.store.revoke(id, self.clock.now(), &entry).await?;
        if revoked {
            self.tokens.forget_remembered();
        }
        Ok(revoked)
    }

    /// Ends a key as [`ApiKeys::revoke`] does and makes one with the same name, scopes and end in its place. `None` if there
    /// is no such key, it was revoked before, or has ended.
    ///
    /// # Errors
    /// [`MakeKey`]
    pub async fn rotate(&self, principal: &Principal, id: &ApiKeyId) -> Result<Option<MadeApiKey>, MakeKey> {
        let now = self.clock.now();
        let Some(old) = self.store.find(id).await?.filter(|old| old.principal(now).is_some()) else { return Ok(None) };
        if !old.scopes.is_within(principal.grant.scopes) {
            return Err(MakeKey::TooWide);
        }
        let made = self.make(principal, NewApiKey { name: old.name, scopes: old.scopes, expires: old.expires }, now);
        let happening =
            Happening::success(principal, "api_key_rotated", id.as_str()).with("successor", made.key.id.as_str());
        let rotated = self.store.rotate(id, now, &made.key, &self.audit.entry(happening)).await?;
        if rotated {
            self.tokens.forget_remembered();
        }
        Ok(rotated.then_some(made))
    }

    fn make(&self, principal: &Principal, new: NewApiKey, now: Timestamp) -> MadeApiKey {
        let token = self.tokens.random_token(NewToken::api_key);
        let expires = match (new.expires, principal.grant.ceiling()) {
            (Some(wanted), Some(ceiling)) => Some(wanted.min(ceiling)),
            (wanted, ceiling) => wanted.or(ceiling),
        };
        let key = ApiKey {
            id: ApiKeyId::generate(random(&*self.entropy)),
            hash: token.hash(),
            prefix: token.expose().chars().take(SHOWN_CHARS).collect(),
            name: new.name,
            scopes: new.scopes,
            created: now,
            last_used: None,
            expires,
            revoked: None,
        };
        MadeApiKey { token, key }
    }
}
