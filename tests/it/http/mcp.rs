//! MCP servers: what a client sees of them, state by state. `FakeMcp` says what a command or host does.

mod add;
mod call;
mod events;
mod presets;
mod sign_in;
mod test;
mod toggle;

use crate::support::{Response, TestApp, soon};
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

/// When every app starts, as it is written.
const START: &str = "2026-11-23T04:40:21.000Z";

/// A server that is a program.
fn program(name: &str, command: &str) -> Value {
    json!({ "name": name, "transport": "stdio", "command": command })
}

/// A server that is an address.
fn remote(name: &str, host: &str) -> Value {
    json!({ "name": name, "transport": "http", "url": format!("https://{host}/mcp") })
}

/// `body` with another member.
fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

async fn add(app: &TestApp, body: Value) {
    app.token_user().post("/api/mcp/add", body).await.assert_json(200, &json!({ "status": "ok" }));
}

async fn statuses(app: &TestApp) -> Value {
    app.token_user().get("/api/mcp/status").await.assert_status(200).json()
}

/// The status of a server once it is in that state.
async fn settled(app: &TestApp, name: &str, state: &str) -> Value {
    let mut heard = app.listen();
    loop {
        let status = statuses(app).await[name].clone();
        if status["state"] == state {
            return status;
        }
        let next = tokio::time::timeout(Duration::from_secs(90), futures_util::StreamExt::next(&mut heard)).await;
        next.unwrap_or_else(|_| panic!("it does not become {state}: {status}")).expect("the bus");
    }
}

/// Adds a server and waits until it is in that state.
async fn added(app: &TestApp, body: Value, state: &str) -> Value {
    let name = body["name"].as_str().expect("a name").to_owned();
    add(app, body).await;
    settled(app, &name, state).await
}

/// The audit log, newest first.
async fn log(app: &TestApp) -> Vec<Value> {
    let log = app.token_user().get("/api/audit?limit=1000").await.assert_status(200).json();
    log.as_array().expect("a list").clone()
}

/// Action, target and status of every entry, oldest first.
async fn happenings(app: &TestApp) -> Vec<String> {
    let log = log(app).await;
    let text = |entry: &Value, member: &str| entry[member].as_str().expect("a text").to_owned();
    log.iter().rev().map(|it| format!("{} {} {}", text(it, "action"), text(it, "target"), text(it, "status"))).collect()
}

/// Fails unless the answer says this in both places where clients look.
#[track_caller]
fn assert_both(answer: &Response, status: u16, text: &str) {
    answer.assert_json(status, &json!({ "detail": text, "error": text }));
}

/// What the status says of a server that has just been added, with other members.
fn status(state: &str, changes: &Value) -> Value {
    let mut status = json!({
        "connected": state == "connected", "connecting": state == "connecting", "tool_count": 0, "error": "",
        "transport": "stdio", "enabled": state != "disabled", "state": state, "since": START, "restarts": 0,
        "retry_at": null, "auth_url": null, "stderr": [],
    });
    for (member, value) in changes.as_object().expect("members") {
        status[member] = value.clone();
    }
    status
}

#[tokio::test]
async fn nothing_is_there_yet() {
    let app = TestApp::new();
    for family in FAMILIES {
        app.token_user().get(&format!("{family}/mcp/status")).await.assert_json(200, &json!({}));
    }
}

#[tokio::test]
async fn every_state_has_its_members() {
    let app = TestApp::new();
    let unreachable = "the server cannot be reached: connection refused; check the url and whether the server runs";
    let exited = "the program exited with status 2 before it was connected; its last words: bad key *** | giving up";
    for (body, state, changes) in [
        (with(program("off", "works"), "enabled", json!(false)), "disabled", json!({})),
        (program("waits", "silent"), "connecting", json!({})),
        (program("good", "works"), "connected", json!({ "tool_count": 4 })),
        (remote("far", "works"), "connected", json!({ "tool_count": 4, "transport": "http" })),
        (
            with(remote("plain", "works"), "transport", json!("sse")),
            "connected",
            json!({ "tool_count": 4, "transport": "sse" }),
        ),
        (
            with(remote("new", "works"), "transport", json!("streamable-http")),
            "connected",
            json!({ "tool_count": 4, "transport": "streamable-http" }),
        ),
        (program("gone", "missing"), "failed", json!({ "error": "the command \"missing\" was not found" })),
        (
            with(remote("token", "private"), "headers", json!({ "Authorization": "Bearer outdated-token" })),
            "failed",
            json!({
                "error": "the server answered 401 Unauthorized: sign in, or configure a token in its headers",
                "transport": "http",
            }),
        ),
        (
            remote("login", "private"),
            "needs_auth",
            json!({
                "error": "it wants you to sign in", "transport": "http",
                "auth_url": "https://auth.example/authorize?state=state-of-login",
            }),
        ),
        (
            with(program("preset", "works"), "registry_ref", json!("io.example.preset")),
            "connected",
            json!({ "tool_count": 4, "registry_ref": "io.example.preset" }),
        ),
    ] {
        let found = added(&app, body, state).await;
        assert_eq!(found, status(state, &changes));
    }
    for (body, changes) in [
        (remote("nowhere", "nowhere.example"), json!({ "error": unreachable, "transport": "http" })),
        (
            with(program("ends", "exits"), "env", json!({ "KEY": "a-secret-of-mine" })),
            json!({ "error": exited, "stderr": ["bad key ***", "giving up"] }),
        ),
    ] {
        let mut found = added(&app, body, "backing_off").await;
        let retry_at = found["retry_at"].take();
        // Between half a second and one.
        let retry_at = retry_at.as_str().expect("when");
        assert!(("2026-11-23T04:40:21.500Z"..="2026-11-23T04:40:22.000Z").contains(&retry_at), "{retry_at}");
        assert_eq!(found, status("backing_off", &changes));
    }
    // The other prefix says the same.
    assert_eq!(app.token_user().get("/api/v1/mcp/status").await.json(), statuses(&app).await);
    assert_eq!(statuses(&app).await.as_object().map(serde_json::Map::len), Some(12));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_after_a_pause() {
    let app = TestApp::new();
    let first = added(&app, program("it", "loses"), "connected").await;
    assert_eq!((&first["restarts"], app.mcp.connects()), (&json!(0), 1));
    for restart in 1..=3 {
        app.pass(Duration::from_secs(100));
        app.mcp.lose();
        let waiting = settled(&app, "it", "backing_off").await;
        assert_eq!(waiting["error"], "the program was ended by signal 9");
        assert_eq!((&waiting["tool_count"], &waiting["connected"], app.mcp.open()), (&json!(0), &json!(false), 0));
        assert!(waiting["retry_at"].as_str() > waiting["since"].as_str(), "{waiting}");
        let begun = tokio::time::Instant::now();
        let again = settled(&app, "it", "connected").await;
        let pause = begun.elapsed();
        assert!((Duration::from_millis(490)..=Duration::from_millis(1010)).contains(&pause), "{pause:?}");
        assert_eq!((&again["error"], &again["retry_at"]), (&json!(""), &Value::Null));
        assert_eq!((&again["restarts"], &again["tool_count"]), (&json!(restart), &json!(4)));
        assert_eq!((app.mcp.open(), app.mcp.connects()), (1, restart + 1));
    }
    // Nobody did this.
    assert_eq!(happenings(&app).await, ["mcp_server_added it success"]);
}

#[tokio::test(start_paused = true)]
async fn after_many_failures_somebody_has_to_look() {
    let app = TestApp::new();
    let failed = added(&app, program("it", "exits"), "backing_off").await;
    assert_eq!(failed["stderr"], json!(["giving up"]));
    let begun = tokio::time::Instant::now();
    let failed = settled(&app, "it", "failed").await;
    assert_eq!((app.mcp.connects(), failed["retry_at"].clone()), (10, Value::Null));
    assert!(begun.elapsed() > Duration::from_secs(60));
    assert_eq!(failed["stderr"], json!(vec!["giving up"; 10]));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(app.mcp.connects(), 10);
    // Who asks gets another try.
    let answer = app.token_user().post("/api/mcp/toggle", json!({ "name": "it", "enabled": true })).await;
    answer.assert_status(200);
    settled(&app, "it", "backing_off").await;
    assert_eq!(app.mcp.connects(), 11);
}

#[tokio::test]
async fn removing_ends_a_server() {
    for family in FAMILIES {
        let app = TestApp::new();
        let path = format!("{family}/mcp/remove");
        for (body, state) in [
            (program("it", "works"), "connected"),
            (program("it", "silent"), "connecting"),
            (program("it", "missing"), "failed"),
            (with(program("it", "works"), "enabled", json!(false)), "disabled"),
        ] {
            added(&app, body, state).await;
            app.token_user().post(&path, json!({ "name": " it " })).await.assert_json(200, &json!({ "status": "ok" }));
            assert_eq!((statuses(&app).await, app.mcp.open()), (json!({}), 0));
            assert!(app.stores.mcp_servers.list().await.unwrap().is_empty());
            let gone = app.token_user().post(&path, json!({ "name": "it" })).await;
            assert_both(&gone, 404, "Server 'it' not found");
        }
        assert_eq!(happenings(&app).await, ["mcp_server_added it success", "mcp_server_removed it success"].repeat(4));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_a_name_is_needed() {
    let app = TestApp::new();
    add(&app, program("it", "works")).await;
    let before = (settled(&app, "it", "connected").await, log(&app).await);
    let long = "n".repeat(300);
    let routes = ["/api/mcp/remove", "/api/v1/mcp/remove", "/api/mcp/toggle", "/api/v1/mcp/toggle"];
    for path in routes.into_iter().chain(["/api/v1/mcp/oauth/revoke"]) {
        for (name, shown) in [
            ("nope", "nope"),
            (" nope\n", "nope"),
            ("IT", "IT"),
            ("a b", "a b"),
            ("<b>", "<b>"),
            (&*long, &long[..100]),
        ] {
            let answer = app.token_user().post(path, json!({ "name": name })).await;
            assert_both(&answer, 404, &format!("Server '{shown}' not found"));
        }
        for body in [json!({}), json!({ "name": null }), json!({ "name": "" }), json!({ "name": " \n" })] {
            app.token_user().post(path, body).await.assert_error(400, "Server name is required");
        }
        for name in [json!(5), json!(["it"]), json!({})] {
            let answer = app.token_user().post(path, json!({ "name": name })).await;
            assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(["body", "name"]));
        }
        let call = app.token_user().call(Method::POST, path).raw_json("{");
        call.send().await.assert_error(400, "Invalid JSON body");
        app.anonymous().post(path, json!({ "name": "it" })).await.assert_error(401, "Unauthorized");
    }
    assert_eq!((settled(&app, "it", "connected").await, log(&app).await), before);
}

/// What is encrypted with a key that is lost can still be removed.
#[tokio::test]
async fn a_server_that_cannot_be_read_can_be_removed() {
    for nth in [1, 2] {
        let app = TestApp::new();
        added(&app, remote("it", "works"), "connected").await;
        app.fail_call(nth, crate::support::Failure::Corrupt);
        app.token_user().post("/api/mcp/remove", json!({ "name": "it" })).await.assert_status(200);
        assert!(app.has_failed());
        assert_eq!((statuses(&app).await, app.mcp.open()), (json!({}), 0));
    }
}

#[tokio::test]
async fn who_lacks_the_scope_changes_and_learns_nothing() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    let key = crate::http::auth::key(&app, &["sessions"]).await;
    let before = (statuses(&app).await, app.mcp.connects());
    let user = app.user_with(&key.token);
    for family in FAMILIES {
        for (action, body) in [
            ("add", program("mine", "works")),
            ("remove", json!({ "name": "it" })),
            ("toggle", json!({ "name": "it" })),
            ("test", json!({ "command": "works" })),
            ("presets/install", json!({ "preset_id": "memory" })),
        ] {
            user.post(&format!("{family}/mcp/{action}"), body).await.assert_status(403);
        }
        user.get(&format!("{family}/mcp/status")).await.assert_status(403);
        user.get(&format!("{family}/mcp/presets")).await.assert_status(403);
    }
    user.get("/api/v1/mcp/tools?server=it").await.assert_status(403);
    let body = json!({ "server": "it", "tool": "echo", "arguments": { "text": "x" } });
    user.post("/api/v1/mcp/call", body).await.assert_status(403);
    user.post("/api/v1/mcp/oauth/revoke", json!({ "name": "it" })).await.assert_status(403);
    assert_eq!((statuses(&app).await, app.mcp.connects()), before);
    let happenings = happenings(&app).await;
    let of_servers: Vec<_> = happenings.iter().filter(|it| it.starts_with("mcp_")).collect();
    assert_eq!(of_servers, ["mcp_server_added it success"]);
}
