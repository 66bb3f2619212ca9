use super::*;
use crate::adapters::host::OsEntropy;
use crate::adapters::sql::SqlStorage;
use crate::adapters::vault::SealingVault;
use crate::domain::audit::{AuditEntry, Severity};
use crate::domain::import::{Item, Outcome};
use crate::domain::mcp::parts::Parts;
use crate::domain::mcp::sign_in::SignedIn;
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{CallTimeout, McpServer, McpServerName, RemoteUrl};
use crate::domain::time::Timestamp;
use crate::ports::imports::ImportStore;
use crate::ports::mcp::McpServerStore;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// What is made again, or about to go: see `archive.rs`.
const LEFT_OUT: [&str; 6] =
    ["removed_sessions", "search_progress", "memory_terms", "memory_tags", "vector_spaces", "memory_vectors"];

#[test]
fn every_table_is_archived_or_left_out_on_purpose() {
    let schema = include_str!("../schema.rs");
    let names = schema.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(") {")?.split_once(" ("));
    let mut expected: Vec<&str> = names.map(|(name, _)| name).filter(|name| !LEFT_OUT.contains(name)).collect();
    let mut archived: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    assert!(expected.len() >= 10, "the search for tables is broken: {expected:?}");
    expected.sort_unstable();
    archived.sort_unstable();
    assert_eq!(archived, expected);
}

fn vault(key: u8) -> Arc<dyn Vault> {
    Arc::new(SealingVault::new(&[key; 32], Arc::new(OsEntropy)))
}

#[tokio::test]
async fn mcp_servers_and_sign_ins_are_restored_under_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| StorageUrl::Sqlite(folder.path().join(name));
    let (old, new) = (vault(1), vault(2));
    let parts = Parts { transport: "http".to_owned(), url: "https://a.b/?k=v".to_owned(), ..Parts::default() };
    let server = McpServer {
        name: McpServerName::parse("docs").unwrap(),
        transport: parts.check().unwrap(),
        enabled: true,
        call_timeout: CallTimeout::from_secs(7).unwrap(),
        tools: ToolFilter { allowed: None, denied: ["x".to_owned()].into() },
        preset: Some("docs".to_owned()),
        created: Timestamp(5),
    };
    let address = RemoteUrl::parse("https://a.b/?k=v").unwrap();
    let sign_in = SignedIn { server: server.name.clone(), url: address, grant: SecretString::from("the grant") };
    let storage = SqlStorage::open(url("from.db"), Arc::clone(&old)).await.unwrap();
    let batch = vec![Item::McpServer(server.clone()), Item::McpSignIn(sign_in)];
    let entry = AuditEntry {
        id: "entry".to_owned(),
        at: Timestamp(5),
        severity: Severity::Info,
        actor: String::new(),
        action: String::new(),
        target: String::new(),
        status: String::new(),
        context: serde_json::Map::new(),
    };
    assert_eq!(storage.import(batch, &entry).await.unwrap(), [Outcome::Imported; 2]);
    assert!(storage.set_enabled(&server.name, true, &AuditEntry { id: "on".to_owned(), ..entry }).await.unwrap());
    let before = format!("{:?}", storage.list().await.unwrap());
    drop(storage);

    let mut records = Vec::new();
    let mut sink = |record: Record| {
        records.push(record);
        Ok(())
    };
    assert_eq!(SqlArchive::to_read(url("from.db")).dump(&mut sink).unwrap(), 2, "secrets");
    let mut to = SqlArchive::to_fill(url("to.db"));
    for record in &records {
        to.check(record, &*old).unwrap();
        let is_sealed = record.table.starts_with("mcp_");
        assert_eq!(to.check(record, &*new).is_err(), is_sealed, "{}", record.table);
    }
    let vaults = Vaults { origin: &*old, own: &*new };
    to.fill(&mut records.into_iter().map(Ok), vaults, false).unwrap();
    drop(to);
    let storage = SqlStorage::open(url("to.db"), new).await.unwrap();
    assert_eq!(format!("{:?}", storage.list().await.unwrap()), before);
    assert_eq!(storage.find(&server.name).await.unwrap().unwrap().transport, server.transport);
    assert_eq!(storage.sign_in(&server.name).await.unwrap().unwrap().expose_secret(), "the grant");
}
