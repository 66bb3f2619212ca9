//! Being reached from elsewhere. The runtime's clock is paused.

mod entrance;
mod poll;

use crate::http::auth::log;
use crate::support::{Failure, TestApp, soon};
use axum::http::Method;
use pawport::adapters::fake::FakeTunnels;
use pawport::domain::tunnel::{OpenError, Unusable};
use pawport::ports::tunnel::TunnelNews;
use serde_json::{Value, json};
use std::time::Duration;

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

const FIRST: &str = "https://tunnel-1.example.net";

async fn status(app: &TestApp) -> Value {
    app.token_user().get("/api/remote/status").await.assert_status(200).json()
}

/// Waits until it is in that state.
async fn until(app: &TestApp, state: &str) -> Value {
    soon(async {
        loop {
            let status = status(app).await;
            if status["state"] == state {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

async fn start(app: &TestApp, family: &str) -> Value {
    app.token_user().call(Method::POST, &format!("{family}/remote/start")).send().await.assert_status(200).json()
}

async fn stop(app: &TestApp, family: &str) -> Value {
    app.token_user().call(Method::POST, &format!("{family}/remote/stop")).send().await.assert_status(200).json()
}

fn missing() -> Unusable {
    Unusable::NotInstalled { program: "faketunnel", how_to_install: "Install it with: get it".to_owned() }
}

fn exited(tunnels: &FakeTunnels, times: usize) {
    let how = "exited with status 1".to_owned();
    let exited = OpenError::Exited { program: "faketunnel", how, last_lines: vec!["429".to_owned()] };
    tunnels.fail((0..times).map(|_| exited.clone()));
}

/// Who did what, oldest first.
async fn happenings(app: &TestApp) -> Vec<String> {
    let entries = log(app).await;
    let text = |entry: &Value, member: &str| entry[member].as_str().expect("a text").to_owned();
    entries
        .iter()
        .rev()
        .map(|entry| ["actor", "action", "target", "status"].map(|member| text(entry, member)).join(" "))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn without_a_tunnel_there_is_no_address() {
    let app = TestApp::new();
    for family in FAMILIES {
        let status = app.token_user().get(&format!("{family}/remote/status")).await.assert_status(200).json();
        insta::allow_duplicates!(insta::assert_json_snapshot!(status, @r#"
        {
          "active": false,
          "error": null,
          "installed": true,
          "lines": [],
          "program": {
            "name": "faketunnel",
            "path": "/opt/faketunnel",
            "problem": null,
            "version": "1.2.3"
          },
          "restarts": 0,
          "retry_at": null,
          "since": "2026-11-23T04:40:21.000Z",
          "state": "down",
          "url": null
        }
        "#));
        assert_eq!(stop(&app, family).await, json!({ "active": false, "url": null }));
    }
    assert!(happenings(&app).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_started_and_stopped() {
    for family in FAMILIES {
        let app = TestApp::new();
        let started = json!({ "active": true, "url": FIRST, "error": null });
        assert_eq!(start(&app, family).await, started);
        app.pass(Duration::from_secs(5));
        // The same again: there is one.
        assert_eq!(start(&app, family).await, started);
        let status = app.token_user().get(&format!("{family}/remote/status")).await.assert_status(200).json();
        insta::allow_duplicates!(insta::assert_json_snapshot!(status, @r#"
        {
          "active": true,
          "error": null,
          "installed": true,
          "lines": [
            "tunnel 1 says ***"
          ],
          "program": {
            "name": "faketunnel",
            "path": "/opt/faketunnel",
            "problem": null,
            "version": "1.2.3"
          },
          "restarts": 0,
          "retry_at": null,
          "since": "2026-11-23T04:40:21.000Z",
          "state": "up",
          "url": "https://tunnel-1.example.net"
        }
        "#));
        assert_eq!(stop(&app, family).await, json!({ "active": false, "url": null }));
        // When the answer comes it has ended.
        assert_eq!((app.tunnels().started(), app.tunnels().running()), (1, 0));
        let after = self::status(&app).await;
        assert_eq!((&after["state"], &after["since"]), (&json!("down"), &json!("2026-11-23T04:40:26.000Z")));
        assert_eq!(
            happenings(&app).await,
            ["dashboard_user tunnel_started faketunnel success", "dashboard_user tunnel_stopped faketunnel success"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn many_starts_at_once_are_one_tunnel() {
    let app = TestApp::new();
    let starts = (0..10).map(|number| start(&app, FAMILIES[number % 2]));
    for answer in futures_util::future::join_all(starts).await {
        assert_eq!(answer["url"], FIRST);
    }
    assert_eq!((app.tunnels().started(), app.tunnels().running()), (1, 1));
    // And in any order with stops there is one at the most.
    let calls = (0..19).map(async |number| match number % 3 {
        0 => stop(&app, "/api").await,
        _ => start(&app, "/api").await,
    });
    futures_util::future::join_all(calls).await;
    // The last of them was a stop.
    assert_eq!((app.tunnels().running(), &status(&app).await["state"]), (0, &json!("down")));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_answered_last_is_the_truth() {
    let app = TestApp::new();
    start(&app, "/api").await;
    app.tunnels().let_close(false);
    let letting_go = async {
        until(&app, "stopping").await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        app.tunnels().let_close(true);
    };
    let (.., started, last) = tokio::join!(letting_go, stop(&app, "/api"), start(&app, "/api"), stop(&app, "/api/v1"));
    assert_eq!((&started["active"], &last["active"]), (&json!(false), &json!(false)));
    assert_eq!(started["error"], "the tunnel was stopped meanwhile");
    assert_eq!((app.tunnels().running(), &status(&app).await["state"]), (0, &json!("down")));
    let mut noted = happenings(&app).await;
    noted.sort();
    assert_eq!(
        noted,
        [
            "dashboard_user tunnel_started faketunnel error",
            "dashboard_user tunnel_started faketunnel success",
            "dashboard_user tunnel_stopped faketunnel success",
            // The second one ended what had not begun.
            "dashboard_user tunnel_stopped faketunnel success"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn without_its_program_the_answer_says_how_to_install_it() {
    let app = TestApp::new();
    app.tunnels().miss(Some(missing()));
    let told = "faketunnel is not installed. Install it with: get it";
    for family in FAMILIES {
        assert_eq!(start(&app, family).await, json!({ "active": false, "url": null, "error": told }));
        let status = app.token_user().get(&format!("{family}/remote/status")).await.assert_status(200).json();
        assert_eq!((&status["installed"], &status["state"]), (&json!(false), &json!("down")));
        let program = json!({ "name": "faketunnel", "path": null, "version": null, "problem": told });
        assert_eq!(status["program"], program);
    }
    let noted = log(&app).await;
    assert_eq!((&noted[0]["status"], &noted[0]["context"]["reason"]), (&json!("error"), &json!(told)));
    assert_eq!(app.tunnels().started(), 0);
    app.tunnels().miss(None);
    assert_eq!(start(&app, "/api").await["active"], true);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_can_be_tried_again() {
    let app = TestApp::new();
    exited(app.tunnels(), 2);
    let told = "faketunnel exited with status 1 before the tunnel was up; its last words: 429";
    for family in FAMILIES {
        assert_eq!(start(&app, family).await, json!({ "active": false, "url": null, "error": told }));
        let status = status(&app).await;
        assert_eq!((&status["state"], &status["error"]), (&json!("failed"), &json!(told)));
    }
    assert_eq!(start(&app, "/api").await["url"], "https://tunnel-3.example.net");
    assert_eq!(status(&app).await["error"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_long_is_looked_at_later() {
    let app = TestApp::new();
    app.tunnels().let_open(false);
    let began = tokio::time::Instant::now();
    let answer = start(&app, "/api").await;
    assert_eq!(
        (began.elapsed(), &answer["active"], &answer["url"]),
        (Duration::from_secs(30), &json!(false), &Value::Null)
    );
    let told = answer["error"].as_str().expect("a reason");
    assert!(told.contains("still trying; look at the status again, or stop it"), "{told}");
    assert_eq!(status(&app).await["state"], "connecting");
    app.tunnels().let_open(true);
    assert_eq!(until(&app, "up").await["url"], FIRST);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_is_not_opened() {
    let app = TestApp::new();
    for family in FAMILIES {
        app.fail_call(1, Failure::Unavailable);
        app.token_user().call(Method::POST, &format!("{family}/remote/start")).send().await.assert_status(503);
        assert!(app.has_failed());
        assert_eq!((app.tunnels().started(), &status(&app).await["state"]), (0, &json!("down")));
    }
}

#[tokio::test(start_paused = true)]
async fn it_can_be_closed_whatever_the_storage_does() {
    let app = TestApp::new();
    start(&app, "/api").await;
    app.fail_call(1, Failure::Unavailable);
    app.token_user().call(Method::POST, "/api/remote/stop").send().await.assert_status(503);
    assert!(app.has_failed());
    assert_eq!((app.tunnels().running(), &status(&app).await["state"]), (0, &json!("down")));
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_gets_what_was_asked_for() {
    let app = TestApp::new();
    app.tunnels().let_open(false);
    let user = app.token_user();
    let gone = tokio::time::timeout(Duration::from_secs(1), user.call(Method::POST, "/api/remote/start").send()).await;
    assert!(gone.is_err());
    app.tunnels().let_open(true);
    until(&app, "up").await;
    app.tunnels().let_close(false);
    let gone = tokio::time::timeout(Duration::from_secs(1), user.call(Method::POST, "/api/remote/stop").send()).await;
    assert!(gone.is_err());
    assert_eq!(status(&app).await["state"], "stopping");
    app.tunnels().let_close(true);
    until(&app, "down").await;
    soon(async {
        while happenings(&app).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_shown_until_it_is_up_again() {
    let app = TestApp::new();
    start(&app, "/api").await;
    app.tunnels().tell(TunnelNews::Unhealthy("it is not connected".to_owned()));
    let degraded = until(&app, "degraded").await;
    assert_eq!((&degraded["url"], &degraded["error"]), (&json!(FIRST), &json!("it is not connected")));
    app.tunnels().tell(TunnelNews::Ended("was ended by signal 9 (KILL)".to_owned()));
    let waiting = until(&app, "backing_off").await;
    assert_eq!((&waiting["active"], &waiting["url"]), (&json!(false), &Value::Null));
    assert_eq!(waiting["error"], "faketunnel was ended by signal 9 (KILL)");
    assert!(waiting["retry_at"].as_str().is_some_and(|at| at.starts_with("2026-11-23T04:40:2")), "{waiting}");
    let again = until(&app, "up").await;
    assert_eq!((&again["url"], &again["restarts"]), (&json!("https://tunnel-2.example.net"), &json!(1)));
    assert_eq!(again["lines"], json!(["tunnel 1 says ***", "tunnel 2 says ***"]));
}
