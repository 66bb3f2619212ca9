//! What is known of credentials after a restart.

use crate::e2e::binary::Place;
use crate::e2e::client::Client;
use crate::support::scan::code_in;
use serde_json::{Value, json};

#[tokio::test]
async fn credentials_and_their_ends_outlive_the_server() {
    for killed in [false, true] {
        let place = Place::new();
        let server = place.serve(&[]);
        let owner = server.client(&place);
        let (key, _) = owner.api_key(&["sessions", "chat"]).await;
        let (lost_key, id) = owner.api_key(&["sessions"]).await;
        let lost_session = owner.exchange().await;
        let by_lost_key = lost_key.exchange().await;
        let session = key.exchange().await;
        let pairing = async || {
            let pairing = owner.post("/api/v1/auth/pairing", &json!({})).await.json();
            code_in(pairing["url"].as_str().unwrap()).to_owned()
        };
        let [code, used_code] = [pairing().await, pairing().await];
        let by_code = owner.with(&used_code).exchange().await;
        let me = lost_session.me().await.unwrap();
        let path = format!("/api/v1/auth/sessions/{}", me["id"].as_str().unwrap());
        assert_eq!(owner.delete(&path).await.status, 200);
        assert_eq!(owner.delete(&format!("/api/v1/auth/api-keys/{id}")).await.status, 200);
        let before = session.me().await.unwrap();
        if killed {
            server.kill();
        } else {
            server.stop();
        }

        let server = place.serve(&[]);
        let to = |token: &str| Client::new(server.address, token);
        assert_eq!(to(session.token()).me().await.unwrap(), before, "with its scopes and its end");
        for good in [&key, &by_code] {
            assert!(to(good.token()).me().await.is_some());
        }
        for ended in [&lost_session, &lost_key, &by_lost_key] {
            assert_eq!(to(ended.token()).me().await, None);
        }
        assert_eq!(to(&used_code).post("/api/auth/session", &json!({})).await.status, 401, "used up");
        assert_eq!(to(&code).post("/api/auth/session", &json!({})).await.status, 200, "still within its minute");
        server.stop();
    }
}

#[tokio::test]
async fn when_a_credential_was_used_last_is_kept_at_an_end_in_order() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let (key, _) = owner.api_key(&["sessions"]).await;
    let _unused = owner.api_key(&["sessions"]).await;
    let session = owner.exchange().await;
    let used = async |client: &Client| {
        let keys = client.get("/api/v1/auth/api-keys").await.json();
        let sessions = client.get("/api/v1/auth/sessions").await.json();
        let [key, unused] = [&keys[0], &keys[1]].map(|key| key["last_used_at"].clone());
        [key, unused, sessions[0]["last_used_at"].clone()]
    };
    let [.., at_login] = used(&owner).await;
    // So that a later time is one that differs, however times are rounded.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(key.me().await.is_some() && session.me().await.is_some());
    server.stop();

    let server = place.serve(&[]);
    let [of_key, of_unused, of_session] = used(&server.client(&place)).await;
    assert!(of_key.is_string(), "{of_key}");
    assert_eq!(of_unused, Value::Null);
    assert!(of_session.as_str().unwrap() > at_login.as_str().unwrap(), "{of_session} after {at_login}");
    server.stop();
}

#[tokio::test]
async fn another_token_in_the_file_ends_sessions_and_codes() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let (key, _) = owner.api_key(&["sessions"]).await;
    let sessions = [owner.exchange().await, key.exchange().await];
    let pairing = owner.post("/api/v1/auth/pairing", &json!({})).await.json();
    let code = code_in(pairing["url"].as_str().unwrap());
    server.stop();
    let token = "a-token-of-my-own-0123456789-abcdef";
    std::fs::write(place.data_dir().join("access_token"), token).unwrap();

    let server = place.serve(&[]);
    let to = |token: &str| Client::new(server.address, token);
    assert!(to(token).me().await.is_some());
    assert_eq!(to(owner.token()).me().await, None);
    for session in &sessions {
        assert_eq!(to(session.token()).me().await, None);
    }
    assert_eq!(to(code).post("/api/auth/session", &json!({})).await.status, 401);
    assert_eq!(to(key.token()).get("/api/sessions").await.status, 200, "keys do not hang on the token");
    assert_eq!(to(token).get("/api/v1/auth/sessions").await.json(), json!([]));
    server.stop();
}
