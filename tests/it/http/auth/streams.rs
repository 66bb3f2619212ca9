//! A stream that is open ends with the credential that opened it. The runtime's clock is paused.

use super::{Key, key, key_until, me, revoke, rotate, session, text};
use crate::support::{MASTER_TOKEN, START, Stream, TestApp};
use axum::http::Method;
use pawport::domain::auth::token::TokenHash;
use pawport::domain::time::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

const STREAM: &str = "/api/v1/agent/status/stream";

async fn follow(app: &TestApp, token: &str) -> Stream {
    begun(app.user_with(token).open(STREAM).await).await
}

async fn begun(mut stream: Stream) -> Stream {
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.expect("a first frame").starts_with("event: status\n"));
    stream
}

/// Fails unless the stream ends within a second.
async fn assert_ends(what: &str, mut stream: Stream) {
    let begun = Instant::now();
    assert_eq!(stream.next().await, None, "{what}");
    assert!(begun.elapsed() <= Duration::from_secs(1), "{what}: after {:?}", begun.elapsed());
}

/// Fails if the stream ends within 15 seconds.
async fn assert_stays(what: &str, mut stream: Stream) {
    assert_eq!(stream.next().await.as_deref(), Some(":\n\n"), "{what}");
}

/// What becomes of a stream in which of three hands, after something was done to the first.
async fn hold<F: Future<Output = ()>>(what: &str, tokens: [&str; 3], app: &TestApp, done: F) {
    let [ended, other, master] = tokens;
    let streams = [follow(app, ended).await, follow(app, other).await, follow(app, master).await];
    tokio::time::sleep(Duration::from_secs(2)).await;
    done.await;
    let [ended, other, master] = streams;
    assert_ends(what, ended).await;
    assert_stays(what, other).await;
    assert_stays(what, master).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_session() {
    let app = TestApp::new();
    let (ended, other) = (session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await);
    let id = text(&me(&app, &ended).await["id"]);
    let delete = async { drop(app.token_user().delete(&format!("/api/v1/auth/sessions/{id}")).await) };
    hold("revoked", [&ended, &other, MASTER_TOKEN], &app, delete).await;
    let ended = session(&app, MASTER_TOKEN).await;
    let log_out = async { drop(app.user_with(&ended).call(Method::POST, "/api/auth/logout").send().await) };
    hold("logged out", [&ended, &other, MASTER_TOKEN], &app, log_out).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_key() {
    let app = TestApp::new();
    let other = key(&app, &[]).await;
    for is_session in [false, true] {
        for is_rotated in [false, true] {
            let ended = key(&app, &[]).await;
            let token = if is_session { session(&app, &ended.token).await } else { ended.token.clone() };
            let end = async {
                match is_rotated {
                    true => drop::<Key>(rotate(&app, &ended).await),
                    false => revoke(&app, &ended).await,
                }
            };
            hold("revoked or rotated", [&token, &other.token, MASTER_TOKEN], &app, end).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_its_time_is_over() {
    let app = TestApp::new();
    let ended = key_until(&app, &[], Timestamp(START.0 + 3_600_000)).await;
    let of_ended = session(&app, &ended.token).await;
    let other = session(&app, MASTER_TOKEN).await;
    let second = follow(&app, &of_ended).await;
    let pass = async { app.pass(Duration::from_secs(3600)) };
    hold("expired", [&ended.token, &other, MASTER_TOKEN], &app, pass).await;
    assert_ends("expired with its key", second).await;
    let pass = async { app.pass(Duration::from_secs(23 * 3600)) };
    let key = key(&app, &[]).await;
    hold("expired after a day", [&other, &key.token, MASTER_TOKEN], &app, pass).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_access_token_unless_an_api_key_opened_it() {
    let app = TestApp::told(|settings| settings.status_key = Some(TokenHash::of("status")));
    let key = key(&app, &[]).await;
    let (of_owner, of_key) = (session(&app, MASTER_TOKEN).await, session(&app, &key.token).await);
    let mut ending = Vec::new();
    for token in [MASTER_TOKEN, &of_owner, &of_key] {
        ending.push((token, follow(&app, token).await));
    }
    let in_url = app.anonymous().open(&format!("{STREAM}?token={MASTER_TOKEN}")).await;
    ending.push(("in the query", begun(in_url).await));
    let by_status_key = app.anonymous().call(Method::GET, STREAM).header("x-status-key", "status").open().await;
    let from_here = app.anonymous().call(Method::GET, STREAM).from_here().open().await;
    let staying = [follow(&app, &key.token).await, begun(by_status_key).await, begun(from_here).await];
    app.token_user().call(Method::POST, "/api/token/regenerate").send().await.assert_status(200);
    for (what, stream) in ending {
        assert_ends(what, stream).await;
    }
    for stream in staying {
        assert_stays("an API key, the status key, nothing", stream).await;
    }
}

/// Whoever cannot be checked is not believed.
#[tokio::test(start_paused = true)]
async fn it_ends_when_the_storage_does_not_say_whether_its_credential_is_good() {
    let app = TestApp::new();
    let session = session(&app, MASTER_TOKEN).await;
    let stream = follow(&app, &session).await;
    app.pass(Duration::from_secs(1));
    app.fail_call(1, crate::support::Failure::Unavailable);
    assert_ends("unknown", stream).await;
}
