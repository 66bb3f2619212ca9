use super::*;
use crate::adapters::fake::FixedVault;
use crate::adapters::sql::StorageUrl;
use crate::adapters::sql::connection::{self, Purpose};
use crate::adapters::sql::schema::kept;
use crate::ports::imports::ImportStore;
use serde_json::{Value, json};

async fn open(url: &StorageUrl) -> Arc<SqlStorage> {
    SqlStorage::open(url.clone(), Arc::new(FixedVault::new())).await.unwrap()
}

fn keep(url: &StorageUrl, kind: &str, id: &str, value: &Value) {
    let mut connection = connection::open(url, Purpose::Write).unwrap();
    let text = json!({ "value": value }).to_string();
    let (body, sealed) = match kind {
        "secret" => (json!({ "name": id }).to_string(), Some(FixedVault::new().seal(text.as_bytes()))),
        _ => (text, None),
    };
    let row = (kept::kind.eq(kind), kept::id.eq(id), kept::body.eq(body), kept::sealed_secret.eq(sealed));
    diesel::insert_into(kept::table).values(row).execute(&mut connection).unwrap();
}

async fn ids(storage: &SqlStorage, kind: &str) -> Vec<String> {
    storage.kept(kind).await.unwrap().into_iter().map(|kept| kept.id).collect()
}

#[tokio::test]
async fn what_an_import_kept_is_moved_when_the_database_opens() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("test.db"));
    let storage = open(&url).await;
    let entry = AuditEntry {
        id: "e".to_owned(),
        at: crate::domain::time::Timestamp(1),
        severity: crate::domain::audit::Severity::Info,
        actor: String::new(),
        action: "settings_changed".to_owned(),
        target: String::new(),
        status: String::new(),
        context: serde_json::Map::new(),
    };
    let mine = StoredValue::Plain(json!("mine"));
    storage.merge(&[SettingChange { name: "stt_model".to_owned(), value: Some(mine.clone()) }], &entry).await.unwrap();
    drop(storage);
    keep(&url, "setting", "plan_mode", &json!(true));
    keep(&url, "setting", "stt_model", &json!("theirs"));
    keep(&url, "setting", "budget_reset_day", &json!(99));
    keep(&url, "setting", "web_port", &json!(8888));
    keep(&url, "setting", "agent_backend", &json!("claude_agent_sdk"));
    keep(&url, "setting", "sound_enabled", &json!(true));
    keep(&url, "setting", "openai_compatible_base_url", &json!("http://a/v1"));
    keep(&url, "secret", "openai_compatible_api_key", &json!("key-of-a"));
    keep(&url, "secret", "status_api_key", &json!("s"));
    for _ in 0..2 {
        let storage = open(&url).await;
        let all = storage.all().await.unwrap();
        let expected = [
            (
                "openai_compatible_api_key",
                StoredValue::Secret { text: "key-of-a".into(), address: Some("http://a/v1".to_owned()) },
            ),
            ("openai_compatible_base_url", StoredValue::Plain(json!("http://a/v1"))),
            ("plan_mode", StoredValue::Plain(json!(true))),
            ("stt_model", mine.clone()),
        ];
        assert_eq!(all, expected.map(|(name, value)| StoredSetting { name: name.to_owned(), value }));
        let stays = ["stt_model", "budget_reset_day", "web_port", "agent_backend", "sound_enabled"];
        assert_eq!(ids(&storage, "setting").await, stays);
        assert_eq!(ids(&storage, "secret").await, ["status_api_key"]);
    }
}

#[tokio::test]
async fn a_damaged_row_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("test.db"));
    let storage = open(&url).await;
    let mut connection = connection::open(&url, Purpose::Write).unwrap();
    for (name, body) in [("a", "{"), ("b", "5")] {
        let row = Row { name: name.to_owned(), body: body.to_owned(), sealed_secret: None };
        diesel::insert_into(settings::table).values(&row).execute(&mut connection).unwrap();
    }
    let all = storage.all().await.unwrap();
    assert_eq!(all, [StoredSetting { name: "b".to_owned(), value: StoredValue::Plain(json!(5)) }]);
}
