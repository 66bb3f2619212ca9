//! Secrets stay where they belong: not in what the program writes, and not in the clear in the database.

mod hunt;

use super::binary::{Place, Server};
use super::client::{Answer, Client, Slot};
use crate::support::scan::code_in;
use hunt::Secrets;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Secrets that are kept elsewhere. They look random, so that they are found only where they really are.
const TOKEN: &str = "a-token-of-my-own-7b1c55d0e94f4f0a";
const STATUS_KEY: &str = "status-key-3e9d21f8c6";
const VAULT_KEYS: [&str; 2] = [
    "8d1f0c5e7a93b2466f10d9e8c7b5a4930217fe6dc8ba49575c3e21d0f4a69b78",
    "4a7e93d05b1c68f2e0d7c4b9a8361f5e2b90cd8f7e6a5134d2c1b0f9e8a7d635",
];

/// What nobody has, sent as if it were a credential: what is mistyped is nearly a secret.
const WRONG: [&str; 4] = [
    "wrong-token-52c0b7f1a9e84d63",
    "pp_wrongKeyQ0fWb3mYk8sZt5vXn2cLr7dHj4gUp9aEiT6oBqSx1",
    "ppair_wrongCodeV8hRm2kXc5tZp9wLs4nYb7gDf1jQa6uEi3oTq0Bx2vN",
    "1795495221:5be1c09d7a3f48e26c90d1f7b83a5e4c2d60f9a8b7e1c3054f6a9d8e7c2b1a30",
];

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

/// Everything in the folder and those in it, byte by byte.
pub(super) fn content_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match path.is_dir() {
        true => content_of(&path),
        false => vec![(path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())],
    };
    paths.flat_map(read).collect()
}

/// A server that says everything it can.
#[track_caller]
fn talkative(place: &Place, elsewhere: bool, format: &str) -> Server {
    let program = place.program_with_data(&["serve", "--port", "0", "--log-format", format]);
    let program = program.env("PAWPORT_LOG", "trace").env("PAWPORT_STATUS_KEY", STATUS_KEY);
    if elsewhere {
        program.env("PAWPORT_ACCESS_TOKEN", TOKEN).env("PAWPORT_VAULT_KEY", VAULT_KEYS[0]).start()
    } else {
        program.start()
    }
}

/// A request that shows a credential. First the ways that are looked at, then ways that are not.
fn show(request: &impl Fn(&str) -> RequestBuilder, path: &str, way: usize, secret: &str) -> Option<RequestBuilder> {
    let plain = || request(path);
    Some(match way {
        0 => plain().bearer_auth(secret),
        1 => plain().header("cookie", format!("pocketpaw_session={secret}")),
        2 => plain().header("x-status-key", secret).header("x-webhook-secret", secret),
        3 => request(&format!("{path}?token={secret}&key={secret}")),
        WAYS => plain().header("authorization", secret).header("cookie", format!("theme=dark; token={secret}")),
        5 => plain().basic_auth("owner", Some(secret)).header("proxy-authorization", format!("Bearer {secret}")),
        6 => plain().header("x-api-key", secret).header("referer", format!("http://localhost/?token={secret}")),
        7 => request(&format!("{path}?access_token={secret}")),
        _ => return None,
    })
}

/// So many ways are looked at.
const WAYS: usize = 4;

/// Sends it, and takes note of the secrets in the answer. A stream is left at once.
async fn send(request: RequestBuilder, secrets: &mut Secrets) -> Option<Answer> {
    let response = request.send().await.unwrap();
    if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
        return None;
    }
    let answer = Answer::of(response).await.unwrap();
    secrets.learn(&answer);
    Some(answer)
}

/// Calls every operation of the API with every one of `credentials`, shown in every way there is.
async fn call_everything(client: &Client, credentials: &[&str], secrets: &mut Secrets) {
    let document = client.get("/api/v1/openapi.json").await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // These end all that is to be shown; they come last.
        let ends = path.ends_with("/regenerate") || path.ends_with("/logout");
        let path = path.replace("{id}", "unknown").replace("{name}", "unknown");
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for credential in credentials.iter().copied().filter(|it| !ends || WRONG.contains(it)) {
                let body = json!({ "name": "unknown", "title": "A title", "token": credential });
                let ask = |path: &str| match method {
                    Method::POST | Method::PUT => client.stranger(method.clone(), path).json(&body),
                    _ => client.stranger(method.clone(), path),
                };
                for way in 0.. {
                    let Some(request) = show(&ask, &path, way, credential) else { break };
                    // One credential is enough to see that the other ways are not looked at.
                    if way < WAYS || credential == credentials[0] {
                        send(request, secrets).await;
                    }
                }
            }
        }
    }
}

/// What [`call_everything`] cannot know how to do right, and what is wrong in a way that is noted.
async fn use_it(client: &Client, secrets: &mut Secrets) -> Vec<String> {
    let (key, id) = client.api_key(&["admin"]).await;
    let session = key.exchange().await;
    secrets.add(key.token());
    secrets.add(session.token());
    let rotated = client.post(&format!("/api/v1/auth/api-keys/{id}/rotate"), &json!({})).await;
    secrets.learn(&rotated);
    let successor = rotated.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(client.delete(&format!("/api/v1/auth/api-keys/{successor}")).await.status, 200);

    let mut unused = Vec::new();
    for path in ["/api/auth/session", "/api/auth/login"] {
        let pairing = client.post("/api/v1/auth/pairing", &json!({})).await;
        secrets.learn(&pairing);
        let code = code_in(pairing.json()["url"].as_str().unwrap()).to_owned();
        for _ in 0..2 {
            let redeemed = client.with(&code).post(path, &json!({ "token": code })).await;
            secrets.learn(&redeemed);
        }
        let session = client.exchange().await;
        secrets.add(session.token());
        unused.push(session.token().to_owned());
    }
    for body in [json!({ "token": [client.token()] }), json!([client.token()]), json!(client.token())] {
        assert_eq!(client.post("/api/auth/login", &body).await.status, 422);
    }
    let broken = client.stranger(Method::POST, "/api/auth/login").header("content-type", "application/json");
    let broken = broken.body(format!("{{\"token\":\"{}", client.token()));
    assert_eq!(Client::try_send(broken).await.unwrap().status, 400);
    let ended = client.exchange().await;
    secrets.add(ended.token());
    let me = ended.me().await.unwrap();
    let path = format!("/api/v1/auth/sessions/{}", me["id"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.status, 200);
    unused
}

/// Uses the API with webhooks, before and after a restart. Gives what was written to the streams.
async fn run(place: &Place, elsewhere: bool, secrets: &mut Secrets) -> String {
    let mut logs = String::new();
    for format in ["text", "json"] {
        let server = talkative(place, elsewhere, format);
        let token = if elsewhere { TOKEN.to_owned() } else { place.token() };
        let client = Client::new(server.address, &token);
        secrets.add(&token);
        let mut slots = Vec::new();
        for scheme in ["any", "standard"] {
            slots.push(client.add_slot(&json!({ "name": format!("{format}-{scheme}"), "scheme": scheme })).await);
        }
        use_every_secret(&client, &slots).await;
        for slot in &slots {
            secrets.add(&slot.secret);
        }
        // The old one still counts: it may be in use elsewhere.
        let renewed = client.post("/api/webhooks/regenerate-secret", &json!({ "name": slots[0].name })).await;
        secrets.learn(&renewed);
        let sessions = use_it(&client, secrets).await;
        let (key, _) = client.api_key(&["sessions"]).await;
        secrets.add(key.token());
        let good = [&token, &sessions[0], key.token(), STATUS_KEY, &slots[0].secret];
        let all = [&good[..], &WRONG].concat();
        // Once in full: what is looked at does not depend on where it is kept, or on the look of the log.
        let shown = if format == "text" && !elsewhere { &all[..] } else { &all[..2] };
        call_everything(&client, shown, secrets).await;
        for path in ["/api/auth/logout", "/api/v1/token/regenerate"] {
            secrets.learn(&client.with(&sessions[1]).post(path, &json!({})).await);
            secrets.learn(&client.post(path, &json!({})).await);
        }
        // While it runs, the newest pages are in the write-ahead log.
        assert_kept_nowhere(place, secrets);
        let ended = server.stop();
        assert_kept_nowhere(place, secrets);
        logs.push_str(&ended.stdout);
        logs.push_str(&ended.stderr);
    }
    logs
}

/// Sees that no file holds a secret, but the two that are there for one.
#[track_caller]
fn assert_kept_nowhere(place: &Place, secrets: &Secrets) {
    for (name, content) in content_of(&place.data_dir()) {
        let is_its_file = ["access_token", "vault.key"].contains(&name.as_str());
        match is_its_file {
            true => assert!([36, 64].contains(&content.len()), "{name} holds one secret and nothing else"),
            false => secrets.assert_absent(&name, &content),
        }
    }
}

#[tokio::test]
async fn whatever_is_done_with_the_api_no_secret_is_logged_or_kept() {
    let place = Place::new();
    let mut secrets = Secrets::default();
    WRONG.iter().chain([&STATUS_KEY]).for_each(|secret| secrets.add(secret));
    let logs = run(&place, false, &mut secrets).await;
    let key = || std::fs::read_to_string(place.data_dir().join("vault.key")).unwrap();
    secrets.add(&key());
    let rotated = place.program_with_data(&["secrets", "rotate-key"]).env("PAWPORT_LOG", "trace").run();
    secrets.add(&key());
    assert_kept_nowhere(&place, &secrets);
    let shown = place.program_with_data(&["config", "show"]).env("PAWPORT_STATUS_KEY", STATUS_KEY).run();
    let said = [logs, format!("{rotated:?}"), format!("{shown:?}")].concat();
    assert!(said.contains("TRACE") && said.contains("/webhook/inbound/"));
    secrets.assert_absent("what the program wrote", said.as_bytes());
}

#[tokio::test]
async fn secrets_that_are_kept_elsewhere_stay_there() {
    let place = Place::new();
    let mut secrets = Secrets::default();
    WRONG.iter().chain([&STATUS_KEY, &TOKEN]).chain(&VAULT_KEYS).for_each(|secret| secrets.add(secret));
    let logs = run(&place, true, &mut secrets).await;
    let new_key: PathBuf = place.path("new-key");
    std::fs::write(&new_key, VAULT_KEYS[1]).unwrap();
    let rotate = ["secrets", "rotate-key", "--new-key-file", new_key.to_str().unwrap()];
    let rotated = place.program_with_data(&rotate).env("PAWPORT_VAULT_KEY", VAULT_KEYS[0]).run();
    assert_eq!(rotated.code(), Some(0), "{rotated:?}");
    let shown = place.program_with_data(&["config", "show"]).env("PAWPORT_ACCESS_TOKEN", TOKEN);
    let shown = shown.env("PAWPORT_VAULT_KEY", VAULT_KEYS[1]).run();
    let said = [logs, format!("{rotated:?}"), format!("{shown:?}")].concat();
    secrets.assert_absent("what the program wrote", said.as_bytes());
    for (name, content) in content_of(&place.data_dir()) {
        assert!(!["access_token", "vault.key"].contains(&name.as_str()));
        secrets.assert_absent(&name, &content);
    }
}

/// A person who pastes a token into the wrong place, and a program that was told the wrong address.
#[tokio::test]
async fn a_token_in_the_path_is_neither_logged_nor_kept() {
    let place = Place::new();
    let server = talkative(&place, false, "text");
    let client = server.client(&place);
    let slot = client.add_slot(&json!({ "name": "a-slot" })).await;
    let session = client.exchange().await;
    let (key, _) = client.api_key(&["chat"]).await;
    let mut secrets = Secrets::default();
    for secret in [client.token(), session.token(), key.token(), &slot.secret] {
        secrets.add(secret);
        for path in ["/", "/api/", "/api/sessions/", "/api/v1/sessions/", "/api/v1/auth/sessions/", "/webhook/inbound/"]
        {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let path = format!("{path}{secret}");
                for request in
                    [client.stranger(method.clone(), &path), client.with("wrong").request(method.clone(), &path)]
                {
                    let _ = Client::try_send(request).await.unwrap();
                }
            }
            // Whoever may do all but this is noted, too.
            let _ = key.delete(&format!("{path}{secret}")).await;
        }
    }
    let ended = server.stop();
    assert_kept_nowhere(&place, &secrets);
    secrets.assert_absent("the log", ended.stderr.as_bytes());
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
