//! Stores that fail when they are told to.

mod memories;

use async_trait::async_trait;
use pawport::adapters::in_memory::InMemoryCredentials;
use pawport::domain::agent::{ClaimedTurn, TurnId, TurnState};
use pawport::domain::audit::AuditEntry;
use pawport::domain::auth::api_key::{ApiKey, ApiKeyId};
use pawport::domain::auth::login::AuthSession;
use pawport::domain::auth::oauth::Ticket;
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::auth::token::{AccessToken, TokenHash};
use pawport::domain::import::{Item, Kept, Outcome};
use pawport::domain::mcp::sign_in::SignedIn;
use pawport::domain::mcp::{McpServer, McpServerName};
use pawport::domain::session::{
    Message, NewMessage, SearchHit, SearchQuery, SessionId, SessionPage, SessionSummary, SessionTitle,
};
use pawport::domain::settings::{SettingChange, StoredSetting};
use pawport::domain::text::PageLimit;
use pawport::domain::time::Timestamp;
use pawport::domain::webhook::{Webhook, WebhookName, WebhookSecret};
use pawport::ports::api_keys::ApiKeyStore;
use pawport::ports::audit::AuditLog;
use pawport::ports::auth_sessions::AuthSessionStore;
use pawport::ports::credentials::{CredentialError, CredentialStore};
use pawport::ports::imports::ImportStore;
use pawport::ports::mcp::McpServerStore;
use pawport::ports::oauth::TicketStore;
use pawport::ports::sessions::SessionStore;
use pawport::ports::settings::SettingsStore;
use pawport::ports::store::{Condition, StoreError, StoreProbe, Stores};
use pawport::ports::turns::{Enqueue, Enqueued, TurnQueue};
use pawport::ports::webhooks::WebhookStore;
use secrecy::SecretString;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What every failure has as its cause. No client may ever read it.
pub const FAULT: &str = "disk on fire at /var/lib/pawport";

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Unavailable,
    Failed,
    Corrupt,
    Conflict,
    Panic,
}

impl Failure {
    fn error(self) -> StoreError {
        match self {
            Self::Unavailable => StoreError::Unavailable(FAULT.into()),
            Self::Failed => StoreError::Failed(FAULT.into()),
            Self::Corrupt => {
                StoreError::Corrupt { table: "sessions", column: "title", key: FAULT.to_owned(), source: FAULT.into() }
            }
            Self::Conflict => StoreError::Conflict,
            Self::Panic => panic!("{FAULT}"),
        }
    }
}

/// Which call fails, and how.
enum Plan {
    Nothing,
    After { calls: u32, failure: Failure },
    Done,
}

/// Stores that pass every call on, but for one.
pub struct FailingStores {
    inner: Stores,
    plan: Mutex<Plan>,
    calls: AtomicU32,
}

impl FailingStores {
    /// Nothing fails until [`FailingStores::fail_call`].
    pub fn over(inner: Stores) -> Self {
        Self { inner, plan: Mutex::new(Plan::Nothing), calls: AtomicU32::new(0) }
    }

    /// Makes the `nth` call from now on fail, before it has changed anything.
    pub fn fail_call(&self, nth: u32, failure: Failure) {
        *self.plan() = Plan::After { calls: nth, failure };
    }

    /// Whether that call was made.
    pub fn has_failed(&self) -> bool {
        matches!(*self.plan(), Plan::Done)
    }

    /// How many calls were made.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) -> Result<&Stores, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let failure = {
            let mut plan = self.plan();
            match &mut *plan {
                Plan::After { calls: 1, failure } => {
                    let failure = *failure;
                    *plan = Plan::Done;
                    Some(failure)
                }
                Plan::After { calls, .. } => {
                    *calls -= 1;
                    None
                }
                Plan::Nothing | Plan::Done => None,
            }
        };
        failure.map_or(Ok(&self.inner), |failure| Err(failure.error()))
    }
}

#[async_trait]
impl SessionStore for FailingStores {
    async fn create(&self, id: &SessionId, now: Timestamp, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.sessions.create(id, now, entry).await
    }

    async fn append(&self, to: &SessionId, message: NewMessage) -> Result<Message, StoreError> {
        self.pass()?.sessions.append(to, message).await
    }

    async fn find(&self, id: &SessionId) -> Result<Option<SessionSummary>, StoreError> {
        self.pass()?.sessions.find(id).await
    }

    async fn recent(&self, limit: PageLimit, offset: u64) -> Result<SessionPage, StoreError> {
        self.pass()?.sessions.recent(limit, offset).await
    }

    async fn history(&self, id: &SessionId, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        self.pass()?.sessions.history(id, limit).await
    }

    async fn messages(&self, id: &SessionId, after: u64, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        self.pass()?.sessions.messages(id, after, limit).await
    }

    async fn search(&self, query: &SearchQuery, limit: PageLimit) -> Result<Vec<SearchHit>, StoreError> {
        self.pass()?.sessions.search(query, limit).await
    }

    async fn set_title(&self, id: &SessionId, title: &SessionTitle, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.sessions.set_title(id, title, entry).await
    }

    async fn remove(&self, id: &SessionId, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.sessions.remove(id, entry).await
    }
}

#[async_trait]
impl WebhookStore for FailingStores {
    async fn insert(&self, webhook: &Webhook, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.webhooks.insert(webhook, entry).await
    }

    async fn find(&self, name: &WebhookName) -> Result<Option<Webhook>, StoreError> {
        self.pass()?.webhooks.find(name).await
    }

    async fn list(&self) -> Result<Vec<Webhook>, StoreError> {
        self.pass()?.webhooks.list().await
    }

    async fn set_secret(
        &self,
        name: &WebhookName,
        secret: &WebhookSecret,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.pass()?.webhooks.set_secret(name, secret, entry).await
    }

    async fn remove(&self, name: &WebhookName, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.webhooks.remove(name, entry).await
    }
}

#[async_trait]
impl TurnQueue for FailingStores {
    async fn enqueue(&self, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        self.pass()?.turns.enqueue(enqueue).await
    }

    async fn ready(&self) {
        self.inner.turns.ready().await;
    }

    async fn claim(
        &self,
        limit: usize,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedTurn>, StoreError> {
        self.pass()?.turns.claim(limit, now, lease_until).await
    }

    async fn extend(&self, turns: &[TurnId], lease_until: Timestamp) -> Result<(), StoreError> {
        self.pass()?.turns.extend(turns, lease_until).await
    }

    async fn checkpoint(&self, turn: &TurnId, progress: &str) -> Result<bool, StoreError> {
        self.pass()?.turns.checkpoint(turn, progress).await
    }

    async fn finish(&self, turn: &TurnId, answer: NewMessage) -> Result<bool, StoreError> {
        self.pass()?.turns.finish(turn, answer).await
    }

    async fn state(&self, turn: &TurnId) -> Result<Option<TurnState>, StoreError> {
        self.pass()?.turns.state(turn).await
    }

    async fn release_all(&self) -> Result<u64, StoreError> {
        self.pass()?.turns.release_all().await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.pass()?.turns.forget(before).await
    }
}

#[async_trait]
impl AuthSessionStore for FailingStores {
    async fn insert(&self, session: &AuthSession, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.auth_sessions.insert(session, entry).await
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<AuthSession>, StoreError> {
        self.pass()?.auth_sessions.find_by_hash(hash).await
    }

    async fn list(&self, epoch: &str, now: Timestamp, limit: PageLimit) -> Result<Vec<AuthSession>, StoreError> {
        self.pass()?.auth_sessions.list(epoch, now, limit).await
    }

    async fn revoke(&self, id: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.auth_sessions.revoke(id, entry).await
    }

    async fn touch(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        self.pass()?.auth_sessions.touch(uses).await
    }

    async fn insert_pairing(&self, pairing: &Pairing, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.auth_sessions.insert_pairing(pairing, entry).await
    }

    async fn find_pairing(&self, hash: &TokenHash) -> Result<Option<Pairing>, StoreError> {
        self.pass()?.auth_sessions.find_pairing(hash).await
    }

    async fn redeem(&self, hash: &TokenHash, session: &AuthSession, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.auth_sessions.redeem(hash, session, entry).await
    }

    async fn end_all(&self, entry: &AuditEntry) -> Result<u64, StoreError> {
        self.pass()?.auth_sessions.end_all(entry).await
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.pass()?.auth_sessions.forget_ended(now).await
    }
}

#[async_trait]
impl ApiKeyStore for FailingStores {
    async fn insert(&self, key: &ApiKey, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.api_keys.insert(key, entry).await
    }

    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.pass()?.api_keys.find(id).await
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<ApiKey>, StoreError> {
        self.pass()?.api_keys.find_by_hash(hash).await
    }

    async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.pass()?.api_keys.list().await
    }

    async fn revoke(&self, id: &ApiKeyId, at: Timestamp, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.api_keys.revoke(id, at, entry).await
    }

    async fn rotate(
        &self,
        id: &ApiKeyId,
        at: Timestamp,
        successor: &ApiKey,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.pass()?.api_keys.rotate(id, at, successor, entry).await
    }

    async fn touch(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        self.pass()?.api_keys.touch(uses).await
    }
}

#[async_trait]
impl TicketStore for FailingStores {
    async fn insert(&self, ticket: &Ticket, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.tickets.insert(ticket, entry).await
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Ticket>, StoreError> {
        self.pass()?.tickets.find(hash).await
    }

    async fn exchange(
        &self,
        hash: &TokenHash,
        session: &AuthSession,
        successor: &Ticket,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.pass()?.tickets.exchange(hash, session, successor, entry).await
    }

    async fn end_family(&self, family: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.tickets.end_family(family, entry).await
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.pass()?.tickets.forget_ended(now).await
    }
}

#[async_trait]
impl McpServerStore for FailingStores {
    async fn put(&self, server: &McpServer, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.mcp_servers.put(server, entry).await
    }

    async fn find(&self, name: &McpServerName) -> Result<Option<McpServer>, StoreError> {
        self.pass()?.mcp_servers.find(name).await
    }

    async fn list(&self) -> Result<Vec<McpServer>, StoreError> {
        self.pass()?.mcp_servers.list().await
    }

    async fn set_enabled(&self, name: &McpServerName, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.mcp_servers.set_enabled(name, enabled, entry).await
    }

    async fn remove(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.mcp_servers.remove(name, entry).await
    }

    async fn sign_in(&self, name: &McpServerName) -> Result<Option<SecretString>, StoreError> {
        self.pass()?.mcp_servers.sign_in(name).await
    }

    async fn set_sign_in(&self, signed_in: &SignedIn, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        self.pass()?.mcp_servers.set_sign_in(signed_in, entry).await
    }

    async fn remove_sign_in(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.mcp_servers.remove_sign_in(name, entry).await
    }
}

#[async_trait]
impl AuditLog for FailingStores {
    async fn record(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.audit.record(entry).await
    }

    async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError> {
        self.pass()?.audit.recent(limit).await
    }
}

#[async_trait]
impl SettingsStore for FailingStores {
    async fn all(&self) -> Result<Vec<StoredSetting>, StoreError> {
        self.pass()?.settings.all().await
    }

    async fn merge(&self, changes: &[SettingChange], entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.settings.merge(changes, entry).await
    }
}

#[async_trait]
impl ImportStore for FailingStores {
    async fn import(&self, batch: Vec<Item>, entry: &AuditEntry) -> Result<Vec<Outcome>, StoreError> {
        self.pass()?.imports.import(batch, entry).await
    }

    async fn preview(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, StoreError> {
        self.pass()?.imports.preview(batch).await
    }

    async fn message_ids(&self, session: &SessionId) -> Result<HashSet<String>, StoreError> {
        self.pass()?.imports.message_ids(session).await
    }

    async fn kept(&self, kind: &str) -> Result<Vec<Kept>, StoreError> {
        self.pass()?.imports.kept(kind).await
    }
}

#[async_trait]
impl StoreProbe for FailingStores {
    async fn check(&self) -> Result<Condition, StoreError> {
        self.pass()?.probe.check().await
    }
}

/// Keeps the master token, unless it is told to fail.
pub struct FailingCredentials {
    inner: InMemoryCredentials,
    fails: AtomicBool,
}

impl FailingCredentials {
    /// `token` is kept already.
    pub fn over(token: AccessToken) -> Self {
        Self { inner: InMemoryCredentials::with(token), fails: AtomicBool::new(false) }
    }

    /// Whether to fail from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

#[async_trait]
impl CredentialStore for FailingCredentials {
    async fn load(&self) -> Result<Option<AccessToken>, CredentialError> {
        self.inner.load().await
    }

    async fn replace(&self, token: &AccessToken) -> Result<(), CredentialError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(CredentialError(FAULT.to_owned()));
        }
        self.inner.replace(token).await
    }
}
