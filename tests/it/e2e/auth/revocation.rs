//! What is ended, ends at once, with everything that it holds open, and nothing else.

use crate::e2e::binary::Place;
use crate::e2e::client::{Client, Stream};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

const STREAM: &str = "/api/v1/agent/status/stream";

/// Opens a stream and sees that it is one.
async fn watch(client: &Client) -> Stream {
    opened(client.status_stream().await).await
}

async fn opened(mut stream: Stream) -> Stream {
    assert_eq!(stream.response.status(), 200);
    assert_eq!(stream.next().await.unwrap().name, "status");
    stream
}

async fn assert_ends(what: &str, mut stream: Stream) {
    let end = async { while stream.next().await.is_some() {} };
    timeout(Duration::from_secs(1), end).await.unwrap_or_else(|_| panic!("{what}: the stream goes on"));
}

/// Waits for longer than it takes until an open stream looks after its credential.
async fn assert_goes_on(what: &str, stream: &mut Stream) {
    let next = timeout(Duration::from_millis(700), stream.next()).await;
    assert!(next.is_err(), "{what}: {next:?}");
}

async fn assert_ended(what: &str, client: &Client, stream: Stream) {
    assert_ends(what, stream).await;
    assert_eq!(client.me().await, None, "{what}");
    let again = client.status_stream().await;
    assert_eq!(again.response.status(), 401, "{what}");
}

#[tokio::test]
async fn a_revoked_session_loses_its_streams_at_once_and_others_do_not() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let [lost, kept] = [owner.exchange().await, owner.exchange().await];
    let by_cookie = owner.stranger(Method::GET, STREAM).header("cookie", format!("pocketpaw_session={}", lost.token()));
    let by_query = owner.stranger(Method::GET, &format!("{STREAM}?token={}", lost.token()));
    let streams = [watch(&lost).await, opened(Stream::open(by_cookie).await).await];
    let by_query = opened(Stream::open(by_query).await).await;
    let mut others = [watch(&kept).await, watch(&owner).await];

    let id = lost.me().await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/auth/sessions/{id}");
    assert_eq!(owner.delete(&path).await.status, 200);
    for stream in streams {
        assert_ended("revoked", &lost, stream).await;
    }
    assert_ends("revoked, with the token in the query", by_query).await;
    for stream in &mut others {
        assert_goes_on("another credential", stream).await;
    }
    assert_eq!(owner.delete(&path).await.status, 404);
    assert_eq!(owner.audited("session_revoked").await[0]["target"], id);
    server.stop();
}

#[tokio::test]
async fn who_logs_out_loses_open_streams() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    for with_cookie in [false, true] {
        let [session, other] = [owner.exchange().await, owner.exchange().await];
        let (stream, mut unrelated) = (watch(&session).await, watch(&other).await);
        let request = match with_cookie {
            false => session.request(Method::POST, "/api/auth/logout"),
            true => {
                let cookie = format!("pocketpaw_session={}", session.token());
                owner.stranger(Method::POST, "/api/v1/auth/logout").header("cookie", cookie)
            }
        };
        let answer = Client::try_send(request).await.unwrap();
        assert_eq!((answer.status, answer.cookie()), (200, Some("")));
        assert_ended("logged out", &session, stream).await;
        assert_goes_on("another session", &mut unrelated).await;
    }
    server.stop();
}

#[tokio::test]
async fn a_key_that_is_revoked_or_replaced_takes_its_sessions_along() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let (kept, _) = owner.api_key(&["sessions"]).await;
    let mut unrelated = watch(&kept).await;
    for rotated in [false, true] {
        let (key, id) = owner.api_key(&["sessions"]).await;
        let session = key.exchange().await;
        let streams = [watch(&key).await, watch(&session).await];
        let path = format!("/api/v1/auth/api-keys/{id}");
        let answer = match rotated {
            false => owner.delete(&path).await,
            true => owner.post(&format!("{path}/rotate"), &json!({})).await,
        };
        let answer = answer.json();
        let [of_key, of_session] = streams;
        assert_ended("the key", &key, of_key).await;
        assert_ended("its session", &session, of_session).await;
        assert_goes_on("another key", &mut unrelated).await;
        if rotated {
            let successor = owner.with(answer["key"].as_str().unwrap());
            assert_eq!(successor.get("/api/sessions").await.status, 200);
            assert_eq!(successor.get("/api/webhooks").await.status, 403, "no more rights than before");
        }
    }
    server.stop();
}

#[tokio::test]
async fn a_new_access_token_ends_the_streams_of_the_old_one_and_of_its_sessions() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    let (key, _) = owner.api_key(&["chat"]).await;
    let session = owner.exchange().await;
    let [of_owner, of_session] = [watch(&owner).await, watch(&session).await];
    let mut of_key = watch(&key).await;
    assert_eq!(owner.post("/api/token/regenerate", &json!({})).await.status, 200);
    assert_ended("the old token", &owner, of_owner).await;
    assert_ended("a session", &session, of_session).await;
    assert_goes_on("a key", &mut of_key).await;
    server.stop();
}

#[tokio::test]
async fn a_key_that_ends_by_itself_ends_its_streams() {
    let place = Place::new();
    let server = place.serve(&[]);
    let owner = server.client(&place);
    // The server says what time it is there.
    let made = owner.api_key(&["chat"]).await.1;
    let keys = owner.get("/api/v1/auth/api-keys").await.json();
    let made = keys.as_array().unwrap().iter().find(|key| key["id"] == made).unwrap();
    let now: Timestamp = made["created_at"].as_str().unwrap().parse().unwrap();
    let until = now.checked_add(SignedDuration::from_secs(2)).unwrap().to_string();
    let body = json!({ "name": "short", "scopes": ["chat"], "expires_at": until });
    let answer = owner.post("/api/v1/auth/api-keys", &body).await.json();
    let key = owner.with(answer["key"].as_str().unwrap());
    let session = key.exchange().await;
    let streams = [watch(&key).await, watch(&session).await];
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (client, stream) in [&key, &session].into_iter().zip(streams) {
        assert_ended("after its end", client, stream).await;
    }
    server.stop();
}
