use super::*;
use crate::adapters::fake::FixedVault;
use crate::adapters::sql::StorageUrl;
use crate::adapters::sql::connection::{self, Purpose};
use crate::adapters::sql::schema::kept;
use crate::ports::imports::ImportStore;
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

/// A database file of the schema before there were MCP servers, with what imports kept.
struct Earlier {
    url: StorageUrl,
    _folder: tempfile::TempDir,
}

impl Earlier {
    async fn with(records: &[(&str, &str, Value, Option<Value>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let earlier = Self { url: StorageUrl::Sqlite(folder.path().join("test.db")), _folder: folder };
        drop(earlier.open().await);
        let mut connection = connection::open(&earlier.url, Purpose::Write).unwrap();
        connection.batch_execute("DROP TABLE mcp_servers; DROP TABLE mcp_sign_ins").unwrap();
        connection.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version = '0004'").unwrap();
        earlier.keep(records);
        earlier
    }

    fn keep(&self, records: &[(&str, &str, Value, Option<Value>)]) {
        let mut connection = connection::open(&self.url, Purpose::Write).unwrap();
        for (kind, id, body, secret) in records {
            let sealed = secret.as_ref().map(|secret| FixedVault::new().seal(secret.to_string().as_bytes()));
            let names = (kept::kind.eq(*kind), kept::id.eq(*id));
            let row = (names, kept::body.eq(body.to_string()), kept::sealed_secret.eq(sealed));
            diesel::insert_into(kept::table).values(row).execute(&mut connection).unwrap();
        }
    }

    async fn open(&self) -> Arc<SqlStorage> {
        SqlStorage::open(self.url.clone(), Arc::new(FixedVault::new())).await.unwrap()
    }
}

fn body(name: &str, transport: &str, command: &str, timeout: &Value) -> Value {
    json!({
        "name": name, "transport": transport, "command": command, "enabled": false, "timeout": timeout,
        "registry_ref": "", "oauth": false, "was_enabled": true,
    })
}

async fn ids(storage: &SqlStorage, kind: &str) -> Vec<String> {
    storage.kept(kind).await.unwrap().into_iter().map(|kept| kept.id).collect()
}

/// Name, time limit and parts of all servers, which must be off.
async fn servers(storage: &SqlStorage) -> Vec<(String, u16, String)> {
    let list = storage.list().await.unwrap();
    assert!(list.iter().all(|server| !server.enabled && server.preset.is_none()));
    assert!(list.iter().all(|server| server.tools == ToolFilter::default()));
    let shown = |server: McpServer| {
        let Parts { transport, command, arguments, environment, url, headers } = Parts::of(&server.transport);
        let parts = format!("{transport} {command} {arguments:?} {environment:?} {url} {headers:?}");
        (server.name.as_str().to_owned(), server.call_timeout.as_secs(), parts)
    };
    list.into_iter().map(shown).collect()
}

async fn grant(storage: &SqlStorage, server: &str) -> Option<String> {
    let grant = storage.sign_in(&McpServerName::parse(server).unwrap()).await.unwrap();
    grant.map(|grant| grant.expose_secret().to_owned())
}

#[tokio::test]
async fn what_was_kept_is_moved_and_what_cannot_be_used_stays() {
    let plain = &json!(30);
    let tokens = json!({ "tokens": { "access_token": "t" }, "client_info": {} });
    let many: Vec<String> = vec![String::new(); 129];
    let long = "x".repeat(65);
    let server = |name: &'static str, body, secret| ("mcp_server", name, body, secret);
    let sign_in = |name: &'static str| ("mcp_sign_in", name, json!({ "server": name }), Some(tokens.clone()));
    let records = [
        server(
            "z",
            body("z", "stdio", "npx", plain),
            Some(json!({ "args": ["-y", "p"], "env": { "A": "b", "": "" } })),
        ),
        server(
            "b",
            body("b", "stdio", "npx", plain),
            Some(json!({ "args": ["-y", "p"], "env": { "A": "b" }, "x": 1 })),
        ),
        server("a", body("a", "stdio", "c", &json!(1.5)), None),
        server(
            "my docs",
            body("my docs", "streamable-http", "", &json!(9_000)),
            Some(json!({ "url": "https://a.b/mcp?k=v", "headers": { "X-Key": "v" } })),
        ),
        server("no-command", body("", "stdio", "", plain), None),
        server("no-url", body("", "http", "", plain), None),
        server("bad-url", body("", "sse", "", plain), Some(json!({ "url": "ftp://a.b" }))),
        server("many", body("", "stdio", "c", plain), Some(json!({ "args": many }))),
        server("numbers", body("", "stdio", "c", plain), Some(json!({ "args": [1] }))),
        server("unknown", body("", "websocket", "c", plain), None),
        ("mcp_server", &long, body("", "stdio", "c", plain), None),
        server("odd", json!([]), None),
        sign_in("my docs"),
        sign_in("a"),
        sign_in("nobody"),
        ("memory", "a", json!({}), None),
    ];
    let earlier = Earlier::with(&records).await;
    let stay = ["z", "no-command", "no-url", "bad-url", "many", "numbers", "unknown", &long, "odd"];
    // A second time there is nothing to do.
    for _ in 0..2 {
        let storage = earlier.open().await;
        let expected = [
            ("b", 30, r#"stdio npx ["-y", "p"] {"A": "b"}  {}"#),
            ("a", 2, r"stdio c [] {}  {}"),
            ("my-docs", 600, r#"streamable-http  [] {} https://a.b/mcp?k=v {"x-key": "v"}"#),
        ];
        let expected = expected.map(|(name, timeout, parts)| (name.to_owned(), timeout, parts.to_owned()));
        assert_eq!(servers(&storage).await, expected);
        assert_eq!(ids(&storage, "mcp_server").await, stay);
        assert_eq!(ids(&storage, "mcp_sign_in").await, ["a", "nobody"]);
        assert_eq!(ids(&storage, "memory").await, ["a"]);
        assert_eq!(grant(&storage, "my-docs").await, Some(tokens.to_string()));
        assert_eq!(grant(&storage, "a").await, None);
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_replaced() {
    let url = |path: &str| Some(json!({ "url": format!("https://a.b/{path}") }));
    let remote = |name: &str| body(name, "http", "", &json!(30));
    let tokens = |name: &'static str, token: &str| {
        ("mcp_sign_in", name, json!({}), Some(json!({ "tokens": { "access_token": token } })))
    };
    let first = [("mcp_server", "a", remote("a"), url("one")), tokens("a", "first")];
    let earlier = Earlier::with(&first).await;
    drop(earlier.open().await);
    // As the restored backup of an earlier version has it.
    earlier.keep(&first);
    let storage = earlier.open().await;
    assert!(ids(&storage, "mcp_server").await.is_empty() && ids(&storage, "mcp_sign_in").await.is_empty());
    drop(storage);
    earlier.keep(&[("mcp_server", "a", remote("a"), url("two")), tokens("a", "second")]);
    let storage = earlier.open().await;
    assert_eq!(servers(&storage).await[0].2, "http  [] {} https://a.b/one {}");
    assert!(grant(&storage, "a").await.unwrap().contains("first"));
    assert_eq!(
        (ids(&storage, "mcp_server").await, ids(&storage, "mcp_sign_in").await),
        (vec!["a".into()], vec!["a".into()])
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_without_its_secrets() {
    let earlier = Earlier::with(&[]).await;
    let storage = earlier.open().await;
    let good =
        r#"{"transport":"stdio","command":"c","timeout":30,"preset":null,"allowed_tools":null,"denied_tools":[]}"#;
    for (column, body, secret) in [
        ("body", "{", "{}"),
        ("body", &*good.replace("stdio", "pigeon"), "{}"),
        ("body", &*good.replace("\"c\"", "\"\""), "{}"),
        ("body", &*good.replace("30", "601"), "{}"),
        ("sealed_secret", good, r#"{"args":"s3cret"}"#),
        ("sealed_secret", good, r#"{"env":{"s3cret=":""}}"#),
        ("sealed_secret", &*good.replace("stdio", "http"), r#"{"url":"ftp://s3cret"}"#),
    ] {
        let mut connection = connection::open(&earlier.url, Purpose::Write).unwrap();
        diesel::delete(mcp_servers::table).execute(&mut connection).unwrap();
        let sealed_secret = FixedVault::new().seal(secret.as_bytes());
        let row = Row { name: "a".to_owned(), enabled: true, created: 5, body: body.to_owned(), sealed_secret };
        diesel::insert_into(mcp_servers::table).values(&row).execute(&mut connection).unwrap();
        assert!(storage.list().await.unwrap().is_empty(), "it keeps no other from being read");
        let error = storage.find(&McpServerName::parse("a").unwrap()).await.unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        match error {
            StoreError::Corrupt { table: "mcp_servers", column: found, key, .. } => {
                assert_eq!((found, key.as_str()), (column, "a"), "{body} {secret}");
            }
            other => panic!("{other:?}"),
        }
    }
}
