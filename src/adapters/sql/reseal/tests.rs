use super::*;
use crate::adapters::host::OsEntropy;
use crate::adapters::sql::StorageUrl;
use crate::adapters::sql::connection::{self, Purpose};
use crate::adapters::vault::SealingVault;
use crate::domain::audit::{AuditEntry, Severity};
use crate::domain::import::{Item, Kept};
use crate::domain::mcp::parts::Parts;
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{CallTimeout, McpServer, McpServerName, RemoteUrl};
use crate::domain::settings::{SettingChange, StoredValue};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use crate::ports::imports::ImportStore;
use crate::ports::mcp::McpServerStore;
use crate::ports::settings::SettingsStore;
use crate::ports::webhooks::WebhookStore;
use secrecy::{ExposeSecret, SecretString};

const SECRETS: [(&str, &str); 3] = [("a", "secret of a"), ("b", ""), ("c", "ünï 🐾 \0")];

fn vault(key: u8) -> Arc<dyn Vault> {
    Arc::new(SealingVault::new(&[key; 32], Arc::new(OsEntropy)))
}

/// A database file with three secrets sealed with the key 1.
struct Fixture {
    url: StorageUrl,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self { url: StorageUrl::Sqlite(folder.path().join("test.db")), folder };
        let storage = fixture.open(1).await.unwrap();
        for (name, secret) in SECRETS {
            let webhook = Webhook {
                name: WebhookName::parse(name).unwrap(),
                description: String::new(),
                secret: WebhookSecret::from_stored(SecretString::from(secret)),
                scheme: Scheme::Any,
                session: SessionMode::Delivery,
                sync_timeout: SyncTimeout::default(),
                created: Timestamp(5),
            };
            storage.insert(&webhook, &entry()).await.unwrap();
        }
        fixture
    }

    async fn open(&self, key: u8) -> Result<Arc<SqlStorage>, StoreError> {
        SqlStorage::open(self.url.clone(), vault(key)).await
    }

    fn connection(&self) -> AnyConnection {
        connection::open(&self.url, Purpose::Write).unwrap()
    }

    fn sealed(&self) -> Vec<(String, Vec<u8>)> {
        let sealed = sealed_secrets(&mut self.connection()).unwrap();
        sealed.into_iter().map(|(row, sealed)| (row.place().1, sealed)).collect()
    }

    /// Stores `sealed` as the secret of the slot `b`.
    fn set_sealed(&self, sealed: Vec<u8>) {
        let slot = diesel::update(webhooks::table.find("b")).set(webhooks::sealed_secret.eq(sealed));
        assert_eq!(slot.execute(&mut self.connection()).unwrap(), 1);
    }

    /// Fails unless the key opens the database, and its secrets are those of [`SECRETS`].
    async fn assert_opened_by(&self, key: u8) {
        let webhooks = WebhookStore::list(&*self.open(key).await.unwrap()).await.unwrap();
        let secrets: Vec<_> = webhooks.iter().map(|webhook| (webhook.name.as_str(), webhook.secret.expose())).collect();
        assert_eq!(secrets, SECRETS);
    }

    async fn assert_refuses(&self, key: u8) {
        match self.open(key).await {
            Err(StoreError::Failed(cause)) => {
                let text = cause.to_string();
                assert!(text.contains("its secrets were sealed with another key"), "{text}");
            }
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("opened with the key {key}"),
        }
    }
}

fn entry() -> AuditEntry {
    AuditEntry {
        id: "entry".to_owned(),
        at: Timestamp(5),
        severity: Severity::Info,
        actor: String::new(),
        action: String::new(),
        target: String::new(),
        status: String::new(),
        context: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn what_was_resealed_opens_with_the_new_key_only() {
    let fixture = Fixture::new().await;
    fixture.assert_refuses(2).await;
    let before = fixture.sealed();
    let storage = fixture.open(1).await.unwrap();
    assert_eq!(storage.reseal(&vault(2), &entry()).await.unwrap(), 3);
    drop(storage);
    fixture.assert_refuses(1).await;
    fixture.assert_opened_by(2).await;
    for ((_, old), (name, new)) in before.iter().zip(fixture.sealed()) {
        assert_ne!(*old, new, "{name}");
    }
}

#[tokio::test]
async fn nothing_sealed_with_the_old_key_is_left_on_the_disk() {
    let fixture = Fixture::new().await;
    let old = fixture.sealed();
    let storage = fixture.open(1).await.unwrap();
    storage.reseal(&vault(2), &entry()).await.unwrap();
    storage.compact().await.unwrap();
    let files = std::fs::read_dir(fixture.folder.path()).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        for (name, sealed) in &old {
            let is_there = bytes.windows(sealed.len()).any(|window| window == sealed.as_slice());
            assert!(!is_there, "{name} in {}", file.display());
        }
    }
}

#[tokio::test]
async fn one_secret_that_cannot_be_opened_leaves_all_as_they_were() {
    let fixture = Fixture::new().await;
    let storage = fixture.open(1).await.unwrap();
    let sound = fixture.sealed();
    // The one before it has been sealed anew when it is its turn.
    for broken in [vec![], vec![0; 100], vault(3).seal(b"secret")] {
        fixture.set_sealed(broken);
        let before = fixture.sealed();
        match storage.reseal(&vault(2), &entry()).await {
            Err(StoreError::Corrupt { table: "webhooks", column: "sealed_secret", key, .. }) => assert_eq!(key, "b"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fixture.sealed(), before);
    }
    fixture.set_sealed(sound[1].1.clone());
    drop(storage);
    fixture.assert_opened_by(1).await;
}

#[tokio::test]
async fn a_key_that_opens_some_of_the_secrets_is_not_the_key() {
    let fixture = Fixture::new().await;
    fixture.set_sealed(vault(2).seal(b"secret"));
    fixture.assert_refuses(1).await;
    fixture.assert_refuses(2).await;
}

#[tokio::test]
async fn where_nothing_is_sealed_any_key_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture { url: StorageUrl::Sqlite(folder.path().join("test.db")), folder };
    assert_eq!(fixture.open(1).await.unwrap().reseal(&vault(2), &entry()).await.unwrap(), 0);
    fixture.open(3).await.unwrap();
}

#[tokio::test]
async fn secrets_of_kept_records_are_resealed_too() {
    let fixture = Fixture::new().await;
    let kept = |id: &str, secret: Option<&str>| {
        Item::Kept(Kept {
            kind: "test".to_owned(),
            id: id.to_owned(),
            body: "{}".to_owned(),
            secret: secret.map(SecretString::from),
            replaces: false,
        })
    };
    let storage = fixture.open(1).await.unwrap();
    let batch = vec![kept("a", Some("one")), kept("b", None), kept("c", Some("three"))];
    storage.import(batch, &entry()).await.unwrap();
    assert_eq!(storage.reseal(&vault(2), &entry()).await.unwrap(), 5);
    drop(storage);
    fixture.assert_refuses(1).await;
    let records = fixture.open(2).await.unwrap().kept("test").await.unwrap();
    let secrets: Vec<_> = records.iter().map(|kept| kept.secret.as_ref().map(ExposeSecret::expose_secret)).collect();
    assert_eq!(secrets, [Some("one"), None, Some("three")]);
}

#[tokio::test]
async fn secrets_of_mcp_servers_and_sign_ins_are_resealed_too() {
    let fixture = Fixture::new().await;
    let storage = fixture.open(1).await.unwrap();
    let url = RemoteUrl::parse("https://host.example/mcp?token=s3cret").unwrap();
    let parts = Parts { transport: "http".to_owned(), url: url.expose().to_owned(), ..Parts::default() };
    let server = McpServer {
        name: McpServerName::parse("docs").unwrap(),
        transport: parts.check().unwrap(),
        enabled: true,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: Timestamp(5),
    };
    let sign_in = SignedIn { server: server.name.clone(), url, grant: SecretString::from("the grant") };
    storage.put(&server, &entry()).await.unwrap();
    assert!(storage.set_sign_in(&sign_in, None).await.unwrap());
    assert_eq!(storage.reseal(&vault(2), &entry()).await.unwrap(), 5);
    storage.compact().await.unwrap();
    drop(storage);
    fixture.assert_refuses(1).await;
    let storage = fixture.open(2).await.unwrap();
    let found = McpServerStore::find(&*storage, &server.name).await.unwrap().unwrap();
    assert_eq!(found.transport, server.transport);
    assert_eq!(storage.sign_in(&server.name).await.unwrap().unwrap().expose_secret(), "the grant");
}

#[tokio::test]
async fn secrets_among_settings_are_resealed_too() {
    let fixture = Fixture::new().await;
    let storage = fixture.open(1).await.unwrap();
    let secret = StoredValue::Secret { text: SecretString::from("sk-x"), address: None };
    let changes = [
        SettingChange { name: "openai_api_key".to_owned(), value: Some(secret) },
        SettingChange { name: "plan_mode".to_owned(), value: Some(StoredValue::Plain(true.into())) },
    ];
    storage.merge(&changes, &entry()).await.unwrap();
    assert_eq!(storage.reseal(&vault(2), &entry()).await.unwrap(), 4);
    storage.compact().await.unwrap();
    drop(storage);
    fixture.assert_refuses(1).await;
    let all = fixture.open(2).await.unwrap().all().await.unwrap();
    assert_eq!(all.into_iter().map(|setting| setting.value).collect::<Vec<_>>(), changes.map(|it| it.value.unwrap()));
}
