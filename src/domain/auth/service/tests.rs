use super::keys::{ApiKeys, MadeApiKey, NewApiKey};
use super::logins::{LoginRefused, Logins, NewLogin};
use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{ManualClock, SeededEntropy};
use crate::adapters::in_memory::{InMemoryCredentials, InMemoryStorage};
use crate::domain::auth::api_key::ApiKeyName;
use crate::domain::auth::login::{Device, Origin, SessionTtl};
use crate::domain::auth::scope::Scopes;
use crate::domain::text::PageLimit;
use async_trait::async_trait;
use secrecy::SecretString;

const MASTER: &str = "6fee2431-f6f4-4b32-be46-18eccaa43bde";
const START: Timestamp = Timestamp(1_795_408_821_000);

/// The services over an in-memory storage, with a clock that is moved by hand.
struct Fixture {
    tokens: Arc<Tokens>,
    logins: Logins,
    keys: ApiKeys,
    stores: Stores,
    clock: Arc<ManualClock>,
    exposure: Exposure,
}

impl Fixture {
    async fn new() -> Self {
        let token = AccessToken::parse(&SecretString::from(MASTER)).unwrap();
        let store = Arc::new(InMemoryCredentials::with(token));
        Self::over(MasterToken::open(store, &SeededEntropy::new(9)).await.unwrap())
    }

    fn over(master: MasterToken) -> Self {
        let stores = Stores::of(&Arc::new(InMemoryStorage::new()));
        let clock = Arc::new(ManualClock::at(START));
        let exposure = Exposure::default();
        let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let audit = Arc::new(Audit::new(Arc::clone(&stores.audit), Arc::clone(&time), Arc::clone(&entropy)));
        let tokens = Arc::new(Tokens::new(TokensParts {
            master,
            status_key: None,
            exposure: exposure.clone(),
            stores: stores.clone(),
            audit: Arc::clone(&audit),
            events: Arc::new(BroadcastEvents::default()),
            clock: Arc::clone(&time),
            entropy: Arc::clone(&entropy),
        }));
        let sessions = Arc::clone(&stores.auth_sessions);
        let ttl = SessionTtl::from_hours(24).unwrap();
        let logins = Logins::new(
            Arc::clone(&tokens),
            sessions,
            Arc::clone(&audit),
            Arc::clone(&time),
            Arc::clone(&entropy),
            ttl,
        );
        let keys = ApiKeys::new(Arc::clone(&tokens), Arc::clone(&stores.api_keys), audit, time, entropy);
        Self { tokens, logins, keys, stores, clock, exposure }
    }

    async fn log_in(&self, credential: &str) -> Result<NewLogin, LoginRefused> {
        let device = Device { label: "a phone".to_owned(), address: "203.0.113.7".to_owned() };
        self.logins.begin(credential, Origin::Exchange, device).await
    }

    async fn make_key(&self, by: &Principal, expires: Option<Timestamp>) -> MadeApiKey {
        let name = ApiKeyName::parse("ci").unwrap();
        self.keys.create(by, NewApiKey { name, scopes: Scopes::ALL, expires }).await.unwrap()
    }

    async fn principal(&self, token: &str) -> Option<Principal> {
        self.tokens.authenticate(token).await.unwrap().map(|proven| proven.principal)
    }

    async fn actions(&self) -> Vec<String> {
        let entries = self.stores.audit.recent(PageLimit::clamped(100)).await.unwrap();
        entries.into_iter().rev().map(|entry| entry.action).collect()
    }
}

fn owner() -> Principal {
    Principal::on_this_machine()
}

#[tokio::test]
async fn a_first_start_makes_a_token_and_the_next_one_finds_it() {
    let store: Arc<dyn CredentialStore> = Arc::new(InMemoryCredentials::new());
    let made = MasterToken::open(Arc::clone(&store), &SeededEntropy::new(1)).await.unwrap();
    let found = MasterToken::open(store, &SeededEntropy::new(2)).await.unwrap();
    assert_eq!(made.token.expose(), found.token.expose());
}

#[tokio::test]
async fn a_session_cannot_be_exchanged_so_none_lasts_for_ever() {
    let app = Fixture::new().await;
    let session = app.log_in(MASTER).await.unwrap();
    assert!(matches!(app.log_in(session.token.expose()).await, Err(LoginRefused::Credential)));
    app.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(app.principal(session.token.expose()).await, None);
}

#[tokio::test]
async fn a_session_of_a_key_that_was_revoked_meanwhile_is_worth_nothing() {
    let app = Fixture::new().await;
    let key = app.make_key(&owner(), None).await;
    let session = app.log_in(key.token.expose()).await.unwrap();
    let kept = session.session.clone();
    assert!(app.keys.revoke(&owner(), &key.key.id).await.unwrap());
    // As if the session had been stored just after the key was revoked.
    let entry = app.tokens.audit.entry(Happening::command("again", "session"));
    app.stores.auth_sessions.insert(&kept, &entry).await.unwrap();
    assert_eq!(app.principal(session.token.expose()).await, None);
}

#[tokio::test]
async fn what_was_revoked_elsewhere_stops_working_within_a_second() {
    let app = Fixture::new().await;
    let session = app.log_in(MASTER).await.unwrap();
    let proven = app.tokens.authenticate(session.token.expose()).await.unwrap().unwrap();
    let entry = app.tokens.audit.entry(Happening::command("elsewhere", "session"));
    assert!(app.stores.auth_sessions.revoke(&session.session.id, &entry).await.unwrap());
    app.clock.advance(TRUST);
    assert!(!app.tokens.still_holds(&proven).await.unwrap());
    assert_eq!(app.principal(session.token.expose()).await, None);
}

#[tokio::test]
async fn what_was_revoked_here_stops_working_at_once() {
    let app = Fixture::new().await;
    let session = app.log_in(MASTER).await.unwrap();
    let proven = app.tokens.authenticate(session.token.expose()).await.unwrap().unwrap();
    assert!(app.tokens.still_holds(&proven).await.unwrap());
    assert!(app.logins.revoke(&owner(), &session.session.id).await.unwrap());
    assert!(!app.tokens.still_holds(&proven).await.unwrap());
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nobody_trusted_for_longer() {
    let app = Fixture::new().await;
    let session = app.log_in(MASTER).await.unwrap();
    assert!(app.principal(session.token.expose()).await.is_some());
    let entry = app.tokens.audit.entry(Happening::command("elsewhere", "session"));
    app.stores.auth_sessions.revoke(&session.session.id, &entry).await.unwrap();
    app.clock.set(Timestamp(START.0 - 1));
    assert_eq!(app.principal(session.token.expose()).await, None);
}

#[tokio::test]
async fn uses_are_stored_when_they_are_asked_for_and_not_with_each_request() {
    let app = Fixture::new().await;
    let session = app.log_in(MASTER).await.unwrap();
    app.clock.advance(Duration::from_secs(60));
    for _ in 0..10 {
        app.principal(session.token.expose()).await.unwrap();
    }
    let last_used = async || app.logins.list(PageLimit::clamped(1)).await.unwrap()[0].last_used;
    assert_eq!(last_used().await, START);
    app.tokens.store_uses().await.unwrap();
    assert_eq!(last_used().await, START.plus(Duration::from_secs(60)));
}

#[tokio::test]
async fn what_a_key_makes_ends_with_the_key_and_what_the_owner_makes_need_not_end() {
    let app = Fixture::new().await;
    let end = START.plus(Duration::from_secs(3600));
    let short = app.make_key(&owner(), Some(end)).await;
    let by_key = app.principal(short.token.expose()).await.unwrap();
    assert_eq!(app.make_key(&by_key, None).await.key.expires, Some(end));
    let in_a_session = app.log_in(MASTER).await.unwrap();
    let by_owner = app.principal(in_a_session.token.expose()).await.unwrap();
    assert_eq!(app.make_key(&by_owner, None).await.key.expires, None);
    let lasting = app.make_key(&owner(), None).await;
    let rotated = app.keys.rotate(&by_key, &lasting.key.id).await.unwrap().unwrap();
    assert_eq!(rotated.key.expires, Some(end));
    assert!(matches!(app.tokens.regenerate(&by_key).await, Err(Regenerate::TooShortLived)));
}

/// A place for the master token that cannot be written.
struct ReadOnly(AccessToken);

#[async_trait]
impl CredentialStore for ReadOnly {
    async fn load(&self) -> Result<Option<AccessToken>, CredentialError> {
        Ok(Some(self.0.clone()))
    }

    async fn replace(&self, _token: &AccessToken) -> Result<(), CredentialError> {
        Err(CredentialError("the disk is read-only".to_owned()))
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_not_used() {
    let token = AccessToken::parse(&SecretString::from(MASTER)).unwrap();
    let master = MasterToken::open(Arc::new(ReadOnly(token)), &SeededEntropy::new(9)).await.unwrap();
    let app = Fixture::over(master);
    assert!(matches!(app.tokens.regenerate(&owner()).await, Err(Regenerate::Credential(_))));
    assert!(app.principal(MASTER).await.is_some());
    assert_eq!(app.actions().await, [""; 0]);
    // It can be tried again.
    assert!(matches!(app.tokens.regenerate(&owner()).await, Err(Regenerate::Credential(_))));
}

#[tokio::test]
async fn a_new_master_token_ends_everything_but_api_keys() {
    let app = Fixture::new().await;
    let key = app.make_key(&owner(), None).await;
    let session = app.log_in(MASTER).await.unwrap();
    let code = app.logins.pair(&app.tokens.on_this_machine()).await.unwrap();
    let token = app.tokens.regenerate(&owner()).await.unwrap();
    assert_eq!(app.principal(MASTER).await, None);
    assert_eq!(app.principal(session.token.expose()).await, None);
    assert!(app.log_in(code.expose()).await.is_err());
    assert!(app.principal(token.expose()).await.is_some());
    assert!(app.principal(key.token.expose()).await.is_some());
    let actions = app.actions().await;
    assert_eq!(
        actions,
        ["api_key_created", "session_token_issued", "qr_code_generated", "token_regenerated", "qr_code_refused"]
    );
}

#[tokio::test]
async fn a_configured_token_is_not_replaced() {
    let token = AccessToken::parse(&SecretString::from(MASTER)).unwrap();
    let app = Fixture::over(MasterToken::configured(token));
    assert!(matches!(app.tokens.regenerate(&owner()).await, Err(Regenerate::Configured)));
}

#[tokio::test]
async fn being_on_this_machine_proves_nothing_while_there_is_a_tunnel() {
    let app = Fixture::new().await;
    let here = app.tokens.on_this_machine();
    let owner = app.tokens.authenticate(MASTER).await.unwrap().unwrap();
    assert!(app.tokens.still_holds(&here).await.unwrap());
    app.exposure.open();
    assert!(!app.tokens.still_holds(&here).await.unwrap());
    assert!(app.tokens.still_holds(&owner).await.unwrap());
    app.exposure.close();
    assert!(app.tokens.still_holds(&here).await.unwrap());
}
