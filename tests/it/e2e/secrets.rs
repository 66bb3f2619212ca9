//! Secrets stay where they belong: not in what the program writes, and not in the clear in the database.

use super::binary::Place;
use super::client::{Client, Slot};
use reqwest::Method;
use serde_json::json;
use std::path::Path;

/// Uses the API in every way that a secret can come in.
async fn use_every_secret(client: &Client, slots: &[Slot]) {
    for path in ["/api/webhooks", "/api/sessions", "/api/audit", "/api/v1/agent/status", "/api/unknown", "/readyz"] {
        let _ = client.get(path).await;
    }
    for slot in slots {
        let path = format!("/webhook/inbound/{}?wait=true", slot.name);
        let body = json!({ "content": "/ping" }).to_string();
        let mut request = client.request(Method::POST, &path).header("x-webhook-secret", &slot.secret);
        if slot.secret.starts_with("whsec_") {
            for (name, value) in slot.standard_headers("msg_1", &body) {
                request = request.header(name, value);
            }
        }
        let answer = Client::try_send(request.body(body)).await.unwrap();
        assert_eq!(answer.json()["response"], "pong");
    }
    // Wrong requests are logged differently from good ones.
    let _ = client.post("/api/webhooks/add", &json!({ "name": slots[0].name })).await;
    let _ = client.post("/api/webhooks/remove", &json!({ "name": "unknown" })).await;
    let _ = client.deliver(&slots[0], "?wait=perhaps", &json!({})).await;
    let _ = client.deliver(&slots[0], "", &json!([])).await;
}

/// Everything in the folder, byte by byte.
fn content_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(file).unwrap())).collect()
}

fn holds(content: &[u8], secret: &str) -> bool {
    content.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[tokio::test]
async fn no_secret_is_logged_or_stored_in_the_clear() {
    let place = Place::new();
    let mut logs = String::new();
    let mut secrets = Vec::new();
    for format in ["text", "json"] {
        let server = place.serve(&["--log", "trace", "--log-format", format]);
        let client = server.client(&place);
        let mut slots = Vec::new();
        for scheme in ["any", "standard"] {
            slots.push(client.add_slot(&json!({ "name": format!("{format}-{scheme}"), "scheme": scheme })).await);
        }
        use_every_secret(&client, &slots).await;
        secrets.extend(slots.iter().map(|slot| slot.secret.clone()));
        // The old one still counts: it may be in use elsewhere.
        let renewed = client.post("/api/webhooks/regenerate-secret", &json!({ "name": slots[0].name })).await;
        secrets.push(renewed.json()["secret"].as_str().unwrap().to_owned());

        // While it runs, the newest pages are in the write-ahead log.
        let running = content_of(&place.data_dir());
        let ended = server.stop();
        for (name, content) in running.into_iter().chain(content_of(&place.data_dir())) {
            for secret in &secrets {
                assert!(!holds(&content, secret), "{name} holds a webhook's secret");
            }
            let is_its_file = name == "access_token";
            assert_eq!(holds(&content, &place.token()), is_its_file, "{name} and the access token");
        }
        logs.push_str(&ended.stdout);
        logs.push_str(&ended.stderr);
    }
    assert!(logs.contains("TRACE") && logs.contains("/webhook/inbound/"), "it was logged in full: {logs}");
    assert!(!logs.contains(&place.token()), "the access token is in the log");
    for secret in &secrets {
        assert!(!logs.contains(secret), "a webhook's secret is in the log");
        assert!(!logs.contains(secret.trim_start_matches("whsec_")), "a webhook's secret is in the log");
    }
}

#[tokio::test]
async fn a_fixed_token_is_not_logged_either() {
    let place = Place::new();
    let token = "a-token-of-my-own-0123456789-abcdef";
    let program = place.program_with_data(&["serve", "--port", "0", "--log", "trace"]);
    let server = program.env("PAWPORT_ACCESS_TOKEN", token).start();
    let client = Client::new(server.address, token);
    assert_eq!(client.get("/api/version").await.status, 200);
    // The log of a request comes before its answer, but not the log of the connection.
    server.process.stderr().wait_until("the request is logged", |log| log.contains("/api/version"));
    let ended = server.stop();
    assert!(!ended.stderr.contains(token) && !ended.stdout.contains(token));
    for (name, content) in content_of(&place.data_dir()) {
        assert!(!holds(&content, token), "{name} holds the access token");
    }
}

#[tokio::test]
async fn what_clients_say_is_not_logged() {
    let place = Place::new();
    let server = place.serve(&["--log", "trace"]);
    let client = server.client(&place);
    let slot = client.add_slot(&json!({ "name": "quiet", "description": "inner-circle" })).await;
    let said =
        client.deliver(&slot, "?wait=true", &json!({ "content": "confidential-words", "sender": "whistler" })).await;
    assert!(said.json()["response"].as_str().unwrap().contains("confidential-words"));
    let found = client.get("/api/sessions/search?q=confidential-words").await;
    assert_eq!(found.json()["sessions"].as_array().unwrap().len(), 1);
    let log = server.stop().stderr;
    for private in ["confidential-words", "inner-circle", "whistler"] {
        assert!(!log.contains(private), "{private} is in the log: {log}");
    }
}

#[tokio::test]
async fn the_audit_log_names_credentials_and_holds_none() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&json!({ "name": "audited" })).await;
    use_every_secret(&client, std::slice::from_ref(&slot)).await;
    let renewed = client.post("/api/webhooks/regenerate-secret", &json!({ "name": "audited" })).await.json();
    let audit = client.get("/api/v1/audit?limit=1000").await;
    for secret in [&place.token(), &slot.secret, renewed["secret"].as_str().unwrap()] {
        assert!(!audit.text.contains(secret), "{}", audit.text);
    }
    let credentials: Vec<_> =
        audit.json().as_array().unwrap().iter().map(|entry| entry["context"].to_string()).collect();
    for kind in ["master_token", "webhook_secret"] {
        assert!(credentials.iter().any(|context| context.contains(kind)), "{credentials:?}");
    }
    server.stop();
}
