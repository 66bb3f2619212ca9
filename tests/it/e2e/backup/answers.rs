//! After a restore the server answers as the one that was backed up.

use super::Home;
use super::pack::content;
use crate::e2e::client::{Client, Slot, eventually, plain_slot};
use crate::support::operations;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const APP: &str = "client_id=pocketpaw-desktop&redirect_uri=http://localhost:53682&response_type=code&scope=admin&state=x\
    &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

/// The same for both servers, so that what they say of themselves is the same.
const FLAGS: [&str; 2] = ["--public-url", "https://paw.example.org"];

/// What can be searched for.
const WORDS: [&str; 8] = ["hello", "lisbon", "ping", "σισυφοσ", "Ünï", "%25", "a", "zebra"];

/// These give a new code at each call, or take one, or do not end, or count what has happened since the start.
const LEFT_OUT: [&str; 8] = [
    "/api/qr",
    "/api/v1/qr",
    "/api/mcp/oauth/callback",
    "/api/v1/mcp/oauth/callback",
    "/api/v1/agent/status/stream",
    "/api/v1/agent/status/poll",
    "/api/v1/events/stream",
    "/api/v1/events/poll",
];

/// Members that are about this request, or about the storage.
const DIFFERENT: [(&str, &str); 8] = [
    ("/oauth/authorize/request", "form_token"),
    ("/export", "exported_at"),
    ("/readyz", "storage"),
    ("/readyz", "search"),
    ("/api/settings", "web_port"),
    ("/api/v1/settings", "web_port"),
    ("/api/remote/status", "since"),
    ("/api/v1/remote/status", "since"),
];

/// The paths with which an operation is asked for everything it has.
fn questions(path: &str, sessions: &[String]) -> Vec<String> {
    let with = |queries: &[&str]| queries.iter().map(|query| format!("{path}{query}")).collect();
    let of_each = |question: &dyn Fn(&str) -> String| sessions.iter().map(|id| question(id)).collect();
    match path {
        "/api/v1/sessions/{id}/history" => of_each(&|id| format!("/api/v1/sessions/{id}/history?limit=500")),
        "/api/v1/sessions/{id}/export" => of_each(&|id| format!("/api/v1/sessions/{id}/export?format=json")),
        "/api/memory/session" => of_each(&|id| format!("{path}?id={id}&limit=500")),
        "/api/memory/session/export" => of_each(&|id| format!("{path}?id={id}&format=md")),
        "/api/v1/oauth/authorize/request" => with(&[&format!("?{APP}")]),
        "/api/v1/mcp/tools" => with(&["?server=memory"]),
        _ if path.ends_with("/memory/long_term") => {
            with(&["", "?kind=all&limit=500", "?tag=work", "?q=LISBON", "?owner=bob"])
        }
        _ if path.ends_with("/memory/graph") => with(&["", "?q=WO", "?limit=1"]),
        _ if path.ends_with("/audit") => with(&["?limit=1000", "?limit=3"]),
        _ if path.ends_with("/search") => WORDS.iter().map(|word| format!("{path}?q={word}&limit=50")).collect(),
        "/api/sessions" | "/api/v1/sessions" | "/api/memory/sessions" => with(&["", "?limit=500", "?limit=2&offset=1"]),
        _ => with(&[""]),
    }
}

/// A page of text without the time at which it was made.
fn without_time(text: &str) -> String {
    match text.split_once("**Exported**: ") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('\n').unwrap().1),
        None => text.to_owned(),
    }
}

/// What every operation that changes nothing answers.
async fn all_answers(client: &Client) -> BTreeMap<String, Value> {
    let listed = client.get("/api/v1/sessions?limit=500").await.json();
    let sessions: Vec<String> =
        listed["sessions"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let mut answers = BTreeMap::new();
    for operation in operations().iter().filter(|it| it.method == "GET" && !LEFT_OUT.contains(&it.path.as_str())) {
        for question in questions(&operation.path, &sessions) {
            assert!(!question.contains('{'), "nobody knows how to ask for {question}");
            let answer = client.get(&question).await;
            assert_eq!(answer.status, 200, "{question}: {answer:?}");
            let mut body = serde_json::from_str(&answer.text).unwrap_or_else(|_| json!(without_time(&answer.text)));
            for (path, member) in DIFFERENT {
                if let Some(members) = body.as_object_mut().filter(|_| operation.path.ends_with(path)) {
                    members.remove(member).expect("what differs is there");
                }
            }
            if operation.path.ends_with("/mcp/status") {
                // When the program started.
                for (_, status) in body.as_object_mut().expect("servers by name") {
                    status.as_object_mut().unwrap().remove("since").expect("what differs is there");
                }
            }
            if let Some(status) = body.get_mut("global") {
                status.as_object_mut().unwrap().remove("uptime_seconds").expect("what differs is there");
            }
            let headers = [answer.header("content-type"), answer.header("content-disposition")];
            answers.insert(question, json!([headers, body]));
        }
    }
    answers
}

/// What was got from the first server and must be good for the second.
struct Credentials {
    api_key: String,
    login: String,
    refresh: String,
    pairing: String,
    revoked_key: String,
    slots: Vec<Slot>,
    request_id: Value,
}

/// A delivery in the scheme of Standard Webhooks, always the same.
async fn repeatable(client: &Client, slot: &Slot) -> Value {
    let body = json!({ "content": "the same again" }).to_string();
    let mut request = client.stranger(Method::POST, &format!("/webhook/inbound/{}?wait=true", slot.name));
    for (name, value) in slot.standard_headers("msg_again", &body) {
        request = request.header(name, value);
    }
    Client::try_send(request.body(body)).await.unwrap().json()
}

/// The tokens of an app that signs in.
async fn sign_in(client: &Client) -> Value {
    let asked = client.get(&format!("/api/v1/oauth/authorize/request?{APP}")).await.json();
    let mut consent: Value =
        APP.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name, json!(value))).collect();
    consent["form_token"] = asked["form_token"].clone();
    consent["decision"] = json!("allow");
    let allowed = client.post("/api/v1/oauth/authorize/consent", &consent).await.json();
    let redirect = allowed["redirect"].as_str().unwrap();
    let code = redirect.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).unwrap();
    let exchange = json!({
        "grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": "pocketpaw-desktop",
        "redirect_uri": "http://localhost:53682",
    });
    client.post("/api/v1/oauth/token", &exchange).await.json()
}

/// Makes something of everything that can be stored.
async fn fill(client: &Client) -> Credentials {
    let standard = json!({ "name": "standard", "scheme": "standard", "session": "slot", "sync_timeout": 77 });
    let slots = vec![
        client.add_slot(&plain_slot("plain")).await,
        client.add_slot(&standard).await,
        client.add_slot(&json!({ "name": "described", "description": "What ünï is \"for\"" })).await,
    ];
    let long = "zebra ".repeat(40_000);
    for content in ["/ping", "hello Ünïcode 🐾", "ΣΊΣΥΦΟΣ 100% a_b\n\ttab \u{1} 'quotes' \"double\" \\", &long]
    {
        let answer = client.deliver(&slots[0], "?wait=true", &json!({ "content": content, "x": [1, null] })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let request_id = repeatable(client, &slots[1]).await["request_id"].clone();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(client.post("/api/v1/sessions", &json!({})).await.json()["id"].as_str().unwrap().to_owned());
    }
    let renamed = json!({ "title": "Ein schöner Titel" });
    assert_eq!(client.post(&format!("/api/v1/sessions/{}/title", made[0]), &renamed).await.status, 200);
    assert_eq!(client.delete(&format!("/api/v1/sessions/{}", made[1])).await.status, 200);
    let listed = client.get("/api/v1/sessions/search?q=ping").await.json();
    let with_messages = listed["sessions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.delete(&format!("/api/v1/sessions/{with_messages}")).await.status, 200);

    let off = json!({ "name": "memory", "command": "npx", "env": { "KEY": "a secret" }, "enabled": false });
    assert_eq!(client.post("/api/v1/mcp/add", &off).await.status, 200);

    for (content, owner) in
        [("Works from Lisbon 🐾", "default"), ("Bob's zebra, in Lisbon", "bob"), ("gone hello", "default")]
    {
        let memory = json!({ "content": content, "tags": ["work", "Ünï \"x\""], "owner": owner });
        let added = client.post("/api/v1/memory/long_term", &memory).await;
        assert_eq!(added.status, 200, "{added:?}");
        if content.starts_with("gone") {
            let path = format!("/api/v1/memory/long_term/{}", added.json()["id"].as_str().unwrap());
            assert_eq!(client.delete(&path).await.status, 200);
        }
    }

    let (api_key, _) = client.api_key(&["sessions", "memory"]).await;
    let (revoked, id) = client.api_key(&["admin"]).await;
    assert_eq!(client.delete(&format!("/api/v1/auth/api-keys/{id}")).await.status, 200);
    assert_eq!(api_key.get("/api/v1/audit").await.status, 403);
    let pairing = client.post("/api/v1/auth/pairing", &json!({})).await.json();
    let pairing = pairing["url"].as_str().unwrap().rsplit(['=', '#', '/']).next().unwrap().to_owned();
    Credentials {
        api_key: api_key.token().to_owned(),
        login: client.exchange().await.token().to_owned(),
        refresh: sign_in(client).await["refresh_token"].as_str().unwrap().to_owned(),
        pairing,
        revoked_key: revoked.token().to_owned(),
        slots,
        request_id,
    }
}

/// Uses everything that was made before.
async fn assert_good(client: &Client, credentials: &Credentials) {
    let of_key = client.with(&credentials.api_key);
    assert_eq!(of_key.get("/api/v1/sessions").await.status, 200);
    assert_eq!(of_key.get("/api/v1/audit").await.status, 403);
    assert_eq!(client.with(&credentials.revoked_key).me().await, None);
    assert!(client.with(&credentials.login).me().await.is_some());
    let cookie = format!("pocketpaw_session={}", credentials.login);
    let by_cookie = client.stranger(Method::GET, "/api/v1/sessions").header("cookie", cookie);
    assert_eq!(Client::try_send(by_cookie).await.unwrap().status, 200);
    let refresh = json!({
        "grant_type": "refresh_token", "refresh_token": credentials.refresh, "client_id": "pocketpaw-desktop",
    });
    let refreshed = client.post("/api/v1/oauth/token", &refresh).await.json();
    assert!(client.with(refreshed["access_token"].as_str().unwrap()).me().await.is_some());
    let paired = client.post("/api/auth/login", &json!({ "token": credentials.pairing })).await;
    assert_eq!(paired.status, 200, "{paired:?}");

    let answer = client.deliver(&credentials.slots[0], "?wait=true", &json!({ "content": "/ping" })).await.json();
    assert_eq!(answer["response"], "pong");
    assert_eq!(repeatable(client, &credentials.slots[1]).await["request_id"], credentials.request_id);
    // A key that was given before would be refused by the database.
    let made = client.post("/api/v1/sessions", &json!({})).await.json();
    assert!(made["id"].is_string(), "{made}");
}

pub(super) async fn answers_stay_the_same(from: Home, to: Home) {
    let server = from.serve(&FLAGS);
    let credentials = fill(&server.client(&from.place)).await;
    // What is written down now and then is written at the end.
    server.stop();
    let server = from.serve(&FLAGS);
    let before = all_answers(&server.client(&from.place)).await;
    let file = from.backup("quiet.backup");
    server.stop();

    to.take_keys_of(&from);
    let said = to.restored(&file, &[]);
    assert!(said.contains("3 webhooks"), "{said}");
    assert_eq!(content(&to.backup("again.backup")), content(&file));
    let server = to.serve(&FLAGS);
    let client = server.client(&to.place);
    let after = all_answers(&client).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (question, answer) in &before {
        assert_eq!(after[question], *answer, "{question}");
    }
    assert!(before.len() > 50, "only {} questions were asked", before.len());
    // Again, once the search index is made.
    eventually("the index is made", async || {
        let answers = all_answers(&client).await;
        (answers == before).then_some(())
    })
    .await;
    assert_good(&client, &credentials).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_sqlite_every_answer_stays_the_same() {
    answers_stay_the_same(Home::sqlite(), Home::sqlite()).await;
}

/// Secrets are sealed with the key of the new place, whose file is made as at a first start.
pub(super) async fn secrets_move_to_another_key(from: Home, to: Home) {
    let server = from.serve(&[]);
    let slot = server.client(&from.place).add_slot(&plain_slot("moves")).await;
    server.stop();
    let file = from.backup("moves.backup");
    assert!(!super::pack::lines(&file).concat().contains(&slot.secret), "the secret is in the clear");
    to.restored(&file, &["--vault-key-file", from.vault_key().to_str().unwrap()]);
    let [old, new] = [&from, &to].map(|home| std::fs::read_to_string(home.vault_key()).unwrap());
    assert_ne!(old, new);
    let server = to.serve(&[]);
    let answer = server.client(&to.place).deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong");
    server.stop();
}

#[tokio::test]
async fn from_sqlite_to_sqlite_secrets_move_to_another_key() {
    secrets_move_to_another_key(Home::sqlite(), Home::sqlite()).await;
}
