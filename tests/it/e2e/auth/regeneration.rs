//! A new access token in place of one that others know.

use crate::e2e::binary::Place;
use crate::e2e::client::Client;
use crate::support::scan::code_in;
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

const REGENERATE: &str = "/api/v1/token/regenerate";

/// What `pawport token show` prints.
#[track_caller]
fn shown(place: &Place) -> String {
    let ended = place.program_with_data(&["token", "show"]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    ended.stdout.trim().to_owned()
}

#[tokio::test]
async fn a_new_token_ends_what_was_got_with_the_old_one_and_leaves_api_keys() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let old = server.client(&place);
    let (key, _) = old.api_key(&["sessions"]).await;
    let sessions = [old.exchange().await, key.exchange().await];
    let pairing = old.post("/api/v1/auth/pairing", &json!({})).await.json();
    let code = code_in(pairing["url"].as_str().unwrap());
    let answer = sessions[0].post(REGENERATE, &json!({})).await.json();
    let new = answer["token"].as_str().unwrap();

    assert_ne!(new, old.token());
    for restarted in [false, true] {
        if restarted {
            server.stop();
            server = place.serve(&[]);
        }
        assert_eq!((place.token().as_str(), shown(&place).as_str()), (new, new));
        let to = |token: &str| Client::new(server.address, token);
        assert_eq!(to(new).me().await.unwrap()["kind"], "master_token");
        assert_eq!(to(key.token()).get("/api/sessions").await.status, 200, "API keys stay");
        for ended in [old.token(), sessions[0].token(), sessions[1].token()] {
            assert_eq!(to(ended).me().await, None, "after a restart: {restarted}");
        }
        for lost in [code, old.token(), sessions[0].token()] {
            assert_eq!(to(lost).post("/api/auth/session", &json!({})).await.status, 401);
        }
        assert_eq!(to(new).get("/api/v1/auth/sessions").await.json(), json!([]));
        assert_eq!(to(new).audited("token_regenerated").await.len(), 1);
    }
    server.stop();
}

#[tokio::test]
async fn a_configured_token_is_changed_where_it_is_configured() {
    let place = Place::new();
    let token = "a-token-of-my-own-0123456789-abcdef";
    let file = place.path("token");
    std::fs::write(&file, token).unwrap();
    for (name, value) in [("PAWPORT_ACCESS_TOKEN", token), ("PAWPORT_ACCESS_TOKEN_FILE", file.to_str().unwrap())] {
        let server = place.program_with_data(&["serve", "--port", "0"]).env(name, value).start();
        let owner = Client::new(server.address, token);
        let session = owner.exchange().await;
        for path in [REGENERATE, "/api/token/regenerate"] {
            let answer = owner.post(path, &json!({})).await;
            assert_eq!(answer.status, 409, "{answer:?}");
            assert!(answer.text.contains("access_token"), "it says where: {answer:?}");
        }
        assert!(owner.me().await.is_some() && session.me().await.is_some(), "nothing was changed");
        server.stop();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), token);
    assert!(!place.data_dir().join("access_token").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_new_tokens_at_the_same_time_the_one_in_the_file_is_good() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut lost = HashSet::new();
    for _ in 0..10 {
        let owner = server.client(&place);
        let body = json!({});
        let answers = tokio::join!(owner.post(REGENERATE, &body), owner.post(REGENERATE, &body));
        let answers = [answers.0, answers.1];
        lost.insert(owner.token().to_owned());
        assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
        for answer in answers {
            // Too late with the old token, at the same time, or one after the other.
            assert!([200, 401, 409].contains(&answer.status), "{answer:?}");
            if answer.status == 200 {
                lost.insert(answer.json()["token"].as_str().unwrap().to_owned());
            }
        }
        let kept = place.token();
        assert!(lost.remove(&kept), "the token in the file is one that was given");
        assert!(owner.with(&kept).me().await.is_some());
        for token in &lost {
            assert_eq!(owner.with(token).me().await, None, "one good token is left");
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_leaves_the_token_in_the_file() {
    let place = Place::new();
    for delay in 0..6 {
        let server = place.serve(&[]);
        let owner = server.client(&place);
        let session = owner.exchange().await;
        let body = json!({});
        let (_, ()) =
            tokio::join!(Client::try_send(owner.request(reqwest::Method::POST, REGENERATE).json(&body)), async {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                server.kill();
            });
        let server = place.serve(&[]);
        let to = |token: &str| Client::new(server.address, token);
        assert_eq!(to(&place.token()).me().await.unwrap()["kind"], "master_token");
        if place.token() != owner.token() {
            assert_eq!(to(owner.token()).me().await, None);
            assert_eq!(to(session.token()).me().await, None);
        }
        server.stop();
    }
}
