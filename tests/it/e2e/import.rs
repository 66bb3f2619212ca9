//! `pawport import`: what is taken from a PocketPaw, as the program does it.

mod bounds;
mod damage;
mod home;
mod postgres;
mod refusals;
mod resume;
mod secrets;

use super::binary::Place;
use super::client::{Client, Slot};
use home::{MACHINE, TOKEN, counts, database, import, imported, query, sample, snapshot};
use pawport::domain::auth::token::TokenHash;
use serde_json::{Value, json};

/// What the sample holds of everything.
const SAMPLE: [(&str, u64); 23] = [
    ("Sessions", 8),
    ("Messages", 20),
    ("Session aliases", 1),
    ("Memories", 4),
    ("Daily notes", 1),
    ("Webhooks", 2),
    ("MCP servers", 3),
    ("Channel settings", 32),
    ("Other settings", 145),
    ("Secrets", 2),
    ("Access token", 1),
    ("API keys", 2),
    ("Audit entries", 11),
    ("Audit reports", 1),
    ("Agents", 1),
    ("Tasks", 1),
    ("Projects", 1),
    ("Documents", 1),
    ("Messages about tasks", 1),
    ("Activities", 5),
    ("Notifications", 1),
    ("Identity texts", 5),
    ("Reminders", 1),
];

/// The bodies of the kept records of a kind, in the order in which they came.
fn kept(place: &Place, kind: &str) -> Vec<Value> {
    let bodies = query(place, &format!("SELECT body AS line FROM kept WHERE kind = '{kind}' ORDER BY key"));
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

#[test]
fn the_sample_is_taken_and_a_second_time_nothing_changes() {
    let place = Place::new();
    let home = sample(&place);
    let before = snapshot(&home);
    let first = import(&place, &home, &MACHINE);
    for (name, count) in SAMPLE {
        assert_eq!(counts(&first, name), [count, 0, 0], "{name}");
    }
    assert_eq!(counts(&first, "Tokens of apps"), [0, 0, 1]);
    assert!(first.stdout.contains("telegram_123456789_compaction.json"), "{}", first.stdout);
    let stored = database(&place);
    let second = import(&place, &home, &MACHINE);
    for (name, count) in SAMPLE {
        assert_eq!(counts(&second, name), [0, count, 0], "{name}");
    }
    assert_eq!(database(&place), stored);
    assert_eq!(snapshot(&home), before);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let place = Place::new();
    let home = sample(&place);
    let dry = import(&place, &home, &[&MACHINE[..], &["--dry-run"]].concat());
    for (name, count) in SAMPLE {
        assert_eq!(counts(&dry, name), [count, 0, 0], "{name}");
    }
    assert!(dry.stdout.contains("Nothing was written.") && !place.data_dir().exists());
    // Where there is a database it is asked.
    import(&place, &home, &MACHINE);
    std::fs::write(
        home.join("memory/sessions/websocket_new.json"),
        r#"[{"content":"new","timestamp":"2026-01-01T00:00:00"}]"#,
    )
    .unwrap();
    let stored = database(&place);
    let dry = import(&place, &home, &[&MACHINE[..], &["--dry-run"]].concat());
    assert_eq!((counts(&dry, "Sessions"), counts(&dry, "Messages")), ([1, 8, 0], [1, 20, 0]));
    assert_eq!(database(&place), stored);
}

#[tokio::test]
async fn clients_find_everything_under_the_old_ids_with_the_old_token() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &["--zone", "America/New_York"]);
    assert_eq!(place.token(), TOKEN);
    let server = place.serve(&[]);
    let client = server.client(&place);

    let listed = client.get("/api/sessions").await.json();
    assert_eq!(listed["total"], 8);
    let folder = home.join("memory/sessions");
    for file in folder.read_dir().unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let id = name.trim_end_matches(".json");
        if id.starts_with('_') || id.ends_with("_compaction") {
            continue;
        }
        let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join(&name)).unwrap()).unwrap();
        let history = client.history(id).await;
        assert_eq!(history.len(), expected.len(), "{id}");
        for (message, expected) in history.iter().zip(&expected) {
            for member in ["id", "role", "content", "metadata"] {
                assert_eq!(message[member], expected[member], "{id}");
            }
            // Five hours behind in November; times are kept to the millisecond.
            let local = expected["timestamp"].as_str().unwrap();
            let utc = local[..23].replace("T04:", "T09:") + "Z";
            assert_eq!(message["timestamp"], utc, "{id}");
        }
    }
    let titled = client.get("/api/v1/sessions/search?q=prime").await.json();
    assert_eq!(titled["sessions"][0]["id"], "websocket_1d61e8dc-1c60-424b-b841-3d77342b45ac", "{titled}");
    let prime = listed["sessions"].as_array().unwrap().iter().find(|it| it["title"] == "Prime numbers");
    assert_eq!(prime.unwrap()["message_count"], 4);

    let slot =
        Slot { name: "github-events".to_owned(), secret: "HKxbd1kb6Ydh26ZazkbL7rWIso12SS0gbjrpzIuAIeA".to_owned() };
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.json();
    assert_eq!(answer["response"], "pong");
    let slots = client.get("/api/webhooks").await.json();
    let nightly = slots["webhooks"].as_array().unwrap().iter().find(|it| it["name"] == "nightly_report");
    assert_eq!(nightly.unwrap()["sync_timeout"], 60);

    let keys = client.get("/api/v1/auth/api-keys").await.json();
    let keys: Vec<_> = keys.as_array().unwrap().iter().map(|key| (&key["id"], &key["name"], &key["revoked"])).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.contains(&(&json!("c6ca79f518021301"), &json!("ci"), &json!(false))), "{keys:?}");
    assert!(keys.contains(&(&json!("7c5df5408414dc6c"), &json!("old"), &json!(true))), "{keys:?}");
    server.stop();
}

#[tokio::test]
async fn the_audit_log_begins_with_the_old_one() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &[]);
    let server = place.serve(&[]);
    let client = server.client(&place);
    let entries = client.get("/api/v1/audit?limit=1000").await.json();
    let entries = entries.as_array().unwrap();
    let logs =
        ["audit-20261123T044038Z.jsonl", "audit.jsonl"].map(|log| std::fs::read_to_string(home.join(log)).unwrap());
    let expected: Vec<Value> = logs.concat().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let oldest_first: Vec<&Value> = entries.iter().rev().take(expected.len()).collect();
    for (entry, expected) in oldest_first.into_iter().zip(&expected) {
        for member in ["id", "severity", "actor", "action", "target", "status", "context"] {
            assert_eq!(entry[member], expected[member]);
        }
        assert_eq!(entry["timestamp"].as_str().unwrap()[..23], expected["timestamp"].as_str().unwrap()[..23]);
    }
    let imported = client.audited("data_imported").await;
    assert_eq!(imported.len(), 1);
    assert_eq!(
        (&imported[0]["actor"], &imported[0]["context"]["imported"]["messages"]),
        (&json!("operator"), &json!(20))
    );
    server.stop();
}

#[tokio::test]
async fn an_old_api_key_opens_what_it_opened() {
    let place = Place::new();
    let home = sample(&place);
    let key = "pp_0123456789abcdefghijABCDEFGHIJ0123456789_-w";
    assert_eq!(key.len(), 46);
    let record = |id: &str, key: &str, expires: Value| {
        json!({ "id": id, "name": id, "key_hash": hex::encode(TokenHash::of(key).0), "prefix": &key[..12],
            "scopes": ["sessions"], "created_at": "2026-01-01T00:00:00+00:00", "last_used_at": null,
            "expires_at": expires, "revoked": false })
    };
    let other = key.replace("pp_0", "pp_1");
    let keys = json!([record("good", key, Value::Null), record("unsure", &other, json!("2999-01-01T00:00:00"))]);
    std::fs::write(home.join("api_keys.json"), keys.to_string()).unwrap();
    let ended = import(&place, &home, &[]);
    assert_eq!(counts(&ended, "API keys"), [2, 0, 0]);
    assert!(ended.stdout.contains("it is revoked"), "{}", ended.stdout);
    let server = place.serve(&[]);
    let program = Client::new(server.address, key);
    assert_eq!(program.get("/api/sessions").await.json()["total"], 8);
    assert_eq!(program.get("/api/webhooks").await.status, 403);
    assert_eq!(program.with(&other).get("/api/sessions").await.status, 401);
    server.stop();
}

#[tokio::test]
async fn memories_are_listed_and_found_under_their_old_ids_too() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &[&MACHINE[..], &["--home-was", "/home/ana/.pocketpaw"]].concat());
    assert!(kept(&place, "memory").is_empty());
    let server = place.serve(&[]);
    let client = server.client(&place);
    let listed = client.get("/api/v1/memory/long_term?kind=all").await.json();
    let mut listed = listed.as_array().unwrap().clone();
    listed.sort_by_key(|it| it["content"].as_str().map(str::to_owned));
    let shown: Vec<_> = listed.iter().map(|it| (&it["content"], &it["owner"], &it["tags"])).collect();
    let (default, user, everybody) = (json!("default"), json!("36986f1f4abd2117"), json!("shared"));
    assert_eq!(
        shown,
        [
            (&json!("Likes short answers."), &user, &json!(["style"])),
            (
                &json!("Prefers Python over JavaScript for backend work."),
                &default,
                &json!(["preference", "programming"])
            ),
            (&json!("Stand-up moved to Thursday."), &everybody, &json!(["meeting"])),
            (&json!("The main project uses PostgreSQL."), &default, &json!(["project"])),
            (&json!("Works from Lisbon; no meetings before 10:00."), &default, &json!([])),
        ]
    );
    assert_eq!((&listed[2]["kind"], &listed[2]["timestamp"]), (&json!("daily"), &json!("2026-11-23T04:40:00.000Z")));
    assert_eq!((&listed[0]["kind"], &listed[0]["author"]), (&json!("long_term"), &json!("import")));
    let found = client.get("/api/v1/memory/search?q=when+is+a+meeting&owner=default").await.json();
    assert_eq!(found.as_array().unwrap().len(), 2, "those of the owner, and those of everybody: {found}");
    let old = "/api/memory/long_term/a0502a39-4542-5c8e-9d66-b9add068f0fe";
    assert_eq!(client.delete(old).await.status, 200);
    assert_eq!(client.get("/api/v1/memory/search?q=Lisbon").await.json(), json!([]));
    server.stop();
}

#[test]
fn what_has_no_place_yet_is_kept_as_documented() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &[&MACHINE[..], &["--home-was", "/home/ana/.pocketpaw"]].concat());

    let alias = json!({ "from": "telegram:123456789", "to": "telegram:123456789:ab12cd34" });
    assert_eq!(kept(&place, "session_alias"), [alias]);
    assert!(kept(&place, "mcp_server").is_empty());
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(home.join(name)).unwrap()).unwrap() };
    assert_eq!(kept(&place, "audit_report"), [read("audit_reports/2026-11-23.json")]);
    for (kind, file) in [
        ("agent", "agents"),
        ("task", "tasks"),
        ("project", "projects"),
        ("document", "documents"),
        ("message", "messages"),
        ("activity", "activities"),
        ("notification", "notifications"),
    ] {
        let records = Value::Array(kept(&place, &format!("mission_control.{kind}")));
        assert_eq!(records, read(&format!("mission_control/{file}.json")), "{kind}");
    }
    let guilds = "SELECT body AS line FROM kept WHERE kind = 'channel_setting' AND id = 'discord_allowed_guild_ids'";
    let guilds: Value = serde_json::from_str(&query(&place, guilds)[0]).unwrap();
    assert_eq!(guilds, json!({ "channel": "discord", "name": "discord_allowed_guild_ids", "value": [111_222_333] }));
    assert_eq!(kept(&place, "reminder"), [read("reminders.json")["reminders"][0].clone()]);
    assert_eq!(kept(&place, "identity").len(), 5);
}

#[test]
fn mcp_servers_are_taken_switched_off_and_their_secrets_are_apart() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &[]);
    let servers = "SELECT name || ' ' || enabled AS line FROM mcp_servers ORDER BY created, name";
    assert_eq!(query(&place, servers), ["filesystem 0", "issues 0", "remote-docs 0"]);
    let bodies = query(&place, "SELECT body AS line FROM mcp_servers ORDER BY created, name");
    let bodies: Vec<Value> = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    assert!(bodies.iter().all(|server| server.get("env").is_none() && server.get("url").is_none()), "{bodies:?}");
    assert!(bodies.iter().all(|server| server.get("args").is_none() && server["timeout"] == 30), "{bodies:?}");
    let reached: Vec<_> = bodies.iter().map(|server| (&server["transport"], &server["command"])).collect();
    let (program, remote) = (json!("stdio"), json!("streamable-http"));
    assert_eq!(reached, [(&program, &json!("npx")), (&program, &json!("issue-server")), (&remote, &json!(""))]);
    // What was changed there meanwhile does not change what is here.
    let file = home.join("mcp_servers.json");
    let changed = std::fs::read_to_string(&file).unwrap().replace("\"issue-server\"", "\"another\"");
    std::fs::write(&file, changed).unwrap();
    let stored = database(&place);
    let again = import(&place, &home, &[]);
    assert_eq!(counts(&again, "MCP servers"), [0, 2, 1]);
    assert!(again.stdout.contains("there is another one of that name here"), "{}", again.stdout);
    assert_eq!(database(&place), stored);
}

#[test]
fn a_copy_elsewhere_holds_the_same() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &MACHINE);
    let stored = imported(&place);
    let moved = place.path("moved");
    std::fs::rename(&home, &moved).unwrap();
    let again = import(&place, &moved, &MACHINE);
    assert_eq!(counts(&again, "Memories"), [0, 4, 0]);
    assert_eq!(imported(&place), stored);
}

#[test]
fn what_was_said_since_is_added() {
    let place = Place::new();
    let home = sample(&place);
    import(&place, &home, &MACHINE);
    let file = home.join("memory/sessions/telegram_123456789.json");
    let mut session: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    session.push(json!({ "id": "new", "role": "user", "content": "since", "timestamp": "2026-12-01T00:00:00" }));
    std::fs::write(&file, Value::Array(session).to_string()).unwrap();
    let ended = import(&place, &home, &MACHINE);
    assert_eq!((counts(&ended, "Sessions"), counts(&ended, "Messages")), ([0, 8, 0], [1, 20, 0]));
    let texts = "SELECT content AS line FROM messages JOIN sessions ON sessions.key = session_key WHERE sessions.id = 'telegram_123456789' ORDER BY number";
    assert_eq!(query(&place, texts), ["Remind me about the invoices", "I will remind you at nine.", "since"]);
}

#[test]
fn local_times_are_those_of_the_zone_that_is_named() {
    let at = |zone: &str, local: &str| {
        let place = Place::new();
        let home = place.path("pocketpaw");
        std::fs::create_dir_all(home.join("memory/sessions")).unwrap();
        let session = json!([{ "content": "x", "timestamp": local }]).to_string();
        std::fs::write(home.join("memory/sessions/websocket_a.json"), session).unwrap();
        import(&place, &home, &["--zone", zone]);
        query(&place, "SELECT strftime('%Y-%m-%dT%H:%M', sent / 1000, 'unixepoch') AS line FROM messages").remove(0)
    };
    assert_eq!(at("Europe/Lisbon", "2026-01-15T12:00:00"), "2026-01-15T12:00");
    assert_eq!(at("Europe/Lisbon", "2026-07-15T12:00:00"), "2026-07-15T11:00");
    // This hour came twice; it is taken as the first.
    assert_eq!(at("Europe/Lisbon", "2026-10-25T01:30:00"), "2026-10-25T00:30");
    assert_eq!(at("Asia/Kolkata", "2026-07-15T12:00:00+02:00"), "2026-07-15T10:00");
}
