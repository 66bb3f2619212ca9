//! How often somebody may ask, with the limits as they are unless they are changed.

use crate::e2e::binary::{Place, Server};
use crate::e2e::client::{Answer, Client};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// A server with these limits as they are by default, and the others off.
fn limited(place: &Place, tiers: &[&str]) -> Server {
    let program = place.program_with_data(&["serve", "--port", "0"]);
    let unset =
        |program: crate::e2e::binary::Program, tier: &&str| program.without_env(&format!("PAWPORT_RATE_LIMIT_{tier}"));
    tiers.iter().fold(program, unset).start()
}

/// Asks until it is too much. Gives the answers before, and that one. What is refilled while this machine is busy may be
/// used too: `per_second`.
async fn exhaust(burst: u32, per_second: f64, ask: impl AsyncFn() -> Answer) -> (Vec<Answer>, Answer) {
    let began = Instant::now();
    let mut answers = Vec::new();
    loop {
        let answer = ask().await;
        if answer.status == 429 {
            assert!(answers.len() >= burst as usize, "{} of {burst}", answers.len());
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=5).contains(&wait), "{answer:?}");
            assert_eq!(answer.header("x-ratelimit-remaining"), "0");
            return (answers, answer);
        }
        answers.push(answer);
        let allowed = f64::from(burst) + began.elapsed().as_secs_f64() * per_second + 1.0;
        assert!(f64::from(u32::try_from(answers.len()).unwrap()) <= allowed, "{} are too many", answers.len());
    }
}

async fn log_in(client: &Client, token: &str) -> Answer {
    let request = client.stranger(Method::POST, "/api/auth/login").json(&json!({ "token": token }));
    Client::try_send(request).await.unwrap()
}

#[tokio::test]
async fn a_client_sees_how_much_it_may_ask_and_is_told_when_to_come_back() {
    let place = Place::new();
    let server = limited(&place, &["API"]);
    let owner = server.client(&place);
    let first = owner.get("/api/sessions").await;
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, "30"));
    assert_eq!((first.header("x-ratelimit-remaining"), first.header("x-ratelimit-reset")), ("29", "1"));
    let (answers, refused) = exhaust(29, 10.0, async || owner.get("/api/sessions").await).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    // Everybody has a limit of their own.
    assert_eq!(owner.exchange().await.get("/api/sessions").await.status, 200);
    let wait = refused.header("retry-after").parse().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(owner.get("/api/sessions").await.status, 200);
    server.stop();
}

#[tokio::test]
async fn who_guesses_is_stopped_and_noted_and_the_owner_is_not() {
    let place = Place::new();
    let server = limited(&place, &["AUTH"]);
    let owner = server.client(&place);
    let session = owner.exchange().await;
    let (wrong, _) = exhaust(4, 1.0, async || log_in(&owner, "wrong-0123456789-abcdefghijklmnopqrs").await).await;
    assert!(wrong.iter().all(|answer| answer.status == 401));
    let blocked = owner.audited("brute_force_blocked").await;
    assert_eq!((&blocked[0]["target"], &blocked[0]["severity"]), (&json!("127.0.0.1"), &json!("alert")));
    assert_eq!(owner.audited("login_failed").await.len(), wrong.len());
    // Whoever has a good credential is known by it and not by the address.
    for known in [&owner, &session] {
        assert_eq!(known.get("/api/sessions").await.status, 200);
    }
    server.stop();
}

#[tokio::test]
async fn wrong_tokens_and_wrong_webhook_secrets_are_guesses_too() {
    let place = Place::new();
    let wrong = "wrong-0123456789-abcdefghijklmnopqrs";
    for webhook in [false, true] {
        let server = limited(&place, &["AUTH"]);
        let stranger = Client::new(server.address, wrong);
        let (answers, _) = exhaust(5, 1.0, async || match webhook {
            false => stranger.get("/api/sessions").await,
            true => {
                let request = stranger.stranger(Method::POST, "/webhook/inbound/x").header("x-webhook-secret", wrong);
                Client::try_send(request.json(&json!({ "content": "guess" }))).await.unwrap()
            }
        })
        .await;
        let expected = if webhook { 403 } else { 401 };
        assert!(answers.iter().all(|answer| answer.status == expected));
        assert_eq!(server.client(&place).get("/api/sessions").await.status, 200);
        server.stop();
    }
}

#[tokio::test]
async fn a_key_and_what_was_got_with_it_share_a_limit() {
    let place = Place::new();
    let server = limited(&place, &["KEY"]);
    let owner = server.client(&place);
    let (key, _) = owner.api_key(&["sessions"]).await;
    let session = key.exchange().await;
    let (_, refused) = exhaust(60, 1.0, async || key.get("/api/sessions").await).await;
    assert!(refused.text.contains("API key rate limit exceeded"), "{refused:?}");
    assert_eq!(session.get("/api/sessions").await.status, 429);
    let (other, _) = owner.api_key(&["sessions"]).await;
    assert_eq!(other.get("/api/sessions").await.status, 200);
    server.stop();
}

/// Twenty entries a minute are little only if each of them is.
#[tokio::test]
async fn what_strangers_ask_for_takes_little_room_in_the_audit_log() {
    let place = Place::new();
    let server = place.serve(&[]);
    let path = format!("/api/{}", "y".repeat(50_000));
    assert_eq!(Client::new(server.address, "wrong").get(&path).await.status, 401);
    let noted = server.client(&place).audited("credential_refused").await;
    let length = noted[0]["target"].as_str().unwrap().len();
    assert!(length <= 2_000, "{length} bytes");
    server.stop();
}

#[tokio::test]
async fn streams_are_not_opened_too_quickly() {
    let place = Place::new();
    let server = limited(&place, &["WS"]);
    let owner = server.client(&place);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 30 {
        statuses.push(owner.status_stream().await.response.status().as_u16());
    }
    assert!(statuses.len() > 5 && statuses[..5] == [200; 5] && statuses.last() == Some(&429), "{statuses:?}");
    assert_eq!(owner.get("/api/v1/agent/status").await.status, 200);
    server.stop();
}
