use super::*;
use crate::adapters::fake::FixedVault;
use crate::adapters::sql::StorageUrl;
use crate::adapters::sql::connection::{self, Purpose};
use crate::adapters::sql::schema::kept;
use crate::domain::memory::words::of_question;
use crate::ports::imports::ImportStore;
use serde_json::json;
use std::sync::Arc;

async fn open(url: &StorageUrl) -> Arc<SqlStorage> {
    SqlStorage::open(url.clone(), Arc::new(FixedVault::new())).await.unwrap()
}

fn keep(url: &StorageUrl, id: &str, body: &str) {
    let mut connection = connection::open(url, Purpose::Write).unwrap();
    let row = (kept::kind.eq("memory"), kept::id.eq(id), kept::body.eq(body));
    diesel::insert_into(kept::table).values(row).execute(&mut connection).unwrap();
}

/// What earlier versions kept, as `docs/import.md` described it then.
fn body(content: &str, owner: Option<&str>, scope: &str) -> String {
    let body = json!({
        "scope": scope, "owner": owner, "header": "Memory", "content": content, "tags": ["a", "b"], "date": null,
        "created": 1_795_408_800_000_i64, "legacy_id": format!("old {content}"), "source": "memory/MEMORY.md",
    });
    body.to_string()
}

#[tokio::test]
async fn what_an_import_kept_is_moved_when_the_database_opens() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("test.db"));
    drop(open(&url).await);
    keep(&url, "1", &body("Works from Lisbon", Some("default"), "long_term"));
    keep(&url, "2", &body("It rained", None, "daily"));
    keep(&url, "3", &body("password: hunter2", Some("default"), "long_term"));
    keep(&url, "4", "{}");
    keep(&url, "5", &body("x", Some("default"), "unheard_of"));
    for _ in 0..2 {
        let storage = open(&url).await;
        let left: Vec<String> = storage.kept("memory").await.unwrap().into_iter().map(|kept| kept.id).collect();
        assert_eq!(left, ["3", "4", "5"]);
        let id = MemoryId::parse("old Works from Lisbon").unwrap();
        let memory = storage.find(&id).await.unwrap().unwrap();
        assert_eq!((memory.id.as_str(), memory.owner, memory.kind), ("1", Owner::me(), MemoryKind::LongTerm));
        assert_eq!((memory.tags.as_slice().len(), memory.created), (2, Timestamp(1_795_408_800_000)));
        assert_eq!(memory.source, Source::by(Author::Import));
        let hits = storage.search(&of_question("rain"), &Owners::SeenBy(Owner::me()), PageLimit::clamped(5)).await;
        assert_eq!(hits.unwrap()[0].id.as_str(), "2", "a daily note is for everybody");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("test.db"));
    drop(open(&url).await);
    keep(&url, "1", &body("Works from Lisbon", Some("default"), "long_term"));
    drop(open(&url).await);
    let mut connection = connection::open(&url, Purpose::Write).unwrap();
    diesel::update(memories::table).set(memories::tags.eq("no JSON")).execute(&mut connection).unwrap();
    drop(connection);
    let error = open(&url).await.find(&MemoryId::parse("1").unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "the storage holds a value that cannot be read: memories.tags of 1");
}
