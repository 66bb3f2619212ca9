//! Switching servers on and off.

use super::*;
use crate::support::Failure;

async fn toggle(app: &TestApp, family: &str, body: Value) -> Value {
    app.token_user().post(&format!("{family}/mcp/toggle"), body).await.assert_status(200).json()
}

fn toggled(enabled: bool, connected: bool) -> Value {
    json!({ "status": "ok", "enabled": enabled, "connected": connected })
}

#[tokio::test]
async fn without_enabled_it_becomes_the_other() {
    for family in FAMILIES {
        let app = TestApp::new();
        added(&app, program("it", "works"), "connected").await;
        assert_eq!(toggle(&app, family, json!({ "name": " it\n" })).await, toggled(false, false));
        // When the answer comes it has ended.
        assert_eq!(app.mcp.open(), 0);
        assert_eq!(statuses(&app).await["it"], status("disabled", &json!({})));
        assert!(!app.stores.mcp_servers.list().await.unwrap()[0].enabled);
        let answer = toggle(&app, family, json!({ "name": "it", "enabled": null })).await;
        assert_eq!((&answer["status"], &answer["enabled"]), (&json!("ok"), &json!(true)));
        assert_eq!(settled(&app, "it", "connected").await["restarts"], 0);
        assert!(app.stores.mcp_servers.list().await.unwrap()[0].enabled);
        assert_eq!((app.mcp.open(), app.mcp.connects()), (1, 2));
        assert_eq!(
            happenings(&app).await,
            ["mcp_server_added it success", "mcp_server_disabled it success", "mcp_server_enabled it success"]
        );
    }
}

#[tokio::test]
async fn enabled_says_what_it_becomes_however_often() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    for family in FAMILIES {
        for _ in 0..2 {
            let answer = toggle(&app, family, json!({ "name": "it", "enabled": true })).await;
            assert_eq!(answer, toggled(true, true));
        }
    }
    // It was connected all the while, and nothing happened.
    assert_eq!((app.mcp.connects(), log(&app).await.len()), (1, 1));
    for family in FAMILIES {
        for _ in 0..2 {
            let answer = toggle(&app, family, json!({ "name": "it", "enabled": false })).await;
            assert_eq!(answer, toggled(false, false));
        }
    }
    assert_eq!((app.mcp.connects(), app.mcp.open(), log(&app).await.len()), (1, 0, 2));
    for enabled in [json!("yes"), json!(1), json!([])] {
        let answer = app.token_user().post("/api/mcp/toggle", json!({ "name": "it", "enabled": enabled })).await;
        assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(["body", "enabled"]));
    }
}

#[tokio::test]
async fn what_does_not_work_can_be_switched_off() {
    for (body, state) in [
        (program("it", "missing"), "failed"),
        (program("it", "exits"), "backing_off"),
        (program("it", "silent"), "connecting"),
        (remote("it", "private"), "needs_auth"),
    ] {
        let app = TestApp::new();
        let transport = body["transport"].clone();
        added(&app, body, state).await;
        assert_eq!(toggle(&app, "/api", json!({ "name": "it" })).await, toggled(false, false), "{state}");
        let off = statuses(&app).await["it"].clone();
        assert_eq!(off, status("disabled", &json!({ "transport": transport })), "{state}");
        let tried = app.mcp.connects();
        assert_eq!(toggle(&app, "/api", json!({ "name": "it" })).await["enabled"], true);
        settled(&app, "it", state).await;
        tokio::task::yield_now().await;
        assert_eq!(app.mcp.connects(), tried + 1, "{state}");
    }
}

#[tokio::test]
async fn enabling_what_failed_tries_again() {
    let app = TestApp::new();
    added(&app, program("it", "missing"), "failed").await;
    app.pass(Duration::from_secs(9));
    let mut heard = app.listen();
    assert_eq!(toggle(&app, "/api", json!({ "name": "it", "enabled": true })).await["enabled"], true);
    for _ in 0..2 {
        // It is connecting, and then failed.
        soon(futures_util::StreamExt::next(&mut heard)).await.expect("the bus");
    }
    let failed = settled(&app, "it", "failed").await;
    assert_eq!((&failed["since"], app.mcp.connects()), (&json!("2026-11-23T04:40:30.000Z"), 2));
    assert_eq!(happenings(&app).await, ["mcp_server_added it success"]);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_switched() {
    let app = TestApp::new();
    let on = added(&app, program("on", "works"), "connected").await;
    let off = added(&app, with(program("off", "works"), "enabled", json!(false)), "disabled").await;
    let entries = log(&app).await;
    for nth in [1, 2] {
        for name in ["on", "off"] {
            app.fail_call(nth, Failure::Unavailable);
            app.token_user().post("/api/mcp/toggle", json!({ "name": name })).await.assert_status(503);
            assert!(app.has_failed());
        }
    }
    assert_eq!(statuses(&app).await, json!({ "on": on, "off": off }));
    assert_eq!((log(&app).await, app.mcp.connects(), app.mcp.open()), (entries, 1, 1));
}

/// Whoever switches at the same time takes turns: what is stored and what runs agree in the end.
#[tokio::test]
async fn many_at_once_leave_what_is_stored() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    let user = app.token_user();
    let calls = (0..7).map(|_| user.post("/api/mcp/toggle", json!({ "name": "it" })));
    for answer in futures_util::future::join_all(calls).await {
        answer.assert_status(200);
    }
    assert!(!app.stores.mcp_servers.list().await.unwrap()[0].enabled);
    assert_eq!((statuses(&app).await["it"]["state"].clone(), app.mcp.open()), (json!("disabled"), 0));
    assert_eq!(log(&app).await.len(), 8);
}
