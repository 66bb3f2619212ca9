//! Tools: listing and calling them.

use super::*;
use crate::support::Failure;

const CALL: &str = "/api/v1/mcp/call";

async fn call(app: &TestApp, server: &str, tool: &str, arguments: Value) -> Response {
    app.token_user().post(CALL, json!({ "server": server, "tool": tool, "arguments": arguments })).await
}

/// The names of the tools that may be called.
async fn tools(app: &TestApp, server: &str) -> Vec<String> {
    let answer = app.token_user().get(&format!("/api/v1/mcp/tools?server={server}")).await.assert_status(200).json();
    let tools = answer["tools"].as_array().expect("a list");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn tools_are_listed_with_their_schemas() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    let schema = json!({ "type": "object" });
    app.token_user().get("/api/v1/mcp/tools?server=it").await.assert_json(
        200,
        &json!({
            "tools": [
                { "name": "echo", "description": "Gives the text back", "input_schema": schema },
                { "name": "environment", "description": "Gives the environment", "input_schema": schema },
                { "name": "fails", "description": "Fails", "input_schema": schema },
                { "name": "hangs", "description": "", "input_schema": schema },
            ],
        }),
    );
    // None while it is not connected.
    for (body, state) in [(program("gone", "missing"), "failed"), (remote("login", "private"), "needs_auth")] {
        let name = body["name"].as_str().unwrap().to_owned();
        added(&app, body, state).await;
        assert!(tools(&app, &name).await.is_empty(), "{name}");
    }
    let user = app.token_user();
    user.get("/api/v1/mcp/tools?server=nope").await.assert_error(404, "Server 'nope' not found");
    user.get("/api/v1/mcp/tools?server=a%20b").await.assert_error(404, "Server 'a b' not found");
    user.get("/api/v1/mcp/tools?server=").await.assert_error(404, "Server '' not found");
    user.get("/api/v1/mcp/tools").await.assert_invalid("missing", &["query", "server"], "Field required");
    user.get("/api/mcp/tools?server=it").await.assert_error(404, "Not Found");
    app.anonymous().get("/api/v1/mcp/tools?server=it").await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn a_call_gives_what_the_tool_gives() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    let text = "hello 🐾\n***";
    call(&app, "it", "echo", json!({ "text": text })).await.assert_json(
        200,
        &json!({ "content": [{ "type": "text", "text": text }], "structured_content": null, "is_error": false }),
    );
    let failed = json!({ "content": [{ "type": "text", "text": "it did not work" }], "structured_content": null, "is_error": true });
    call(&app, "it", "fails", json!({})).await.assert_json(200, &failed);
    // Arguments need not be given.
    app.token_user().post(CALL, json!({ "server": "it", "tool": "fails" })).await.assert_json(200, &failed);
    app.token_user().post("/api/mcp/call", json!({ "server": "it", "tool": "fails" })).await.assert_status(404);
    assert_eq!(
        happenings(&app).await,
        [vec!["mcp_server_added it success"], vec!["mcp_tool_called it success"; 3]].concat()
    );
    let entry = &log(&app).await[2];
    let credential = json!({ "id": "83afad953296", "kind": "master_token" });
    assert_eq!(entry["context"], json!({ "credential": credential, "tool": "echo" }));
    assert!(!entry.to_string().contains("hello"), "what was said is nobody's affair");
}

#[tokio::test]
async fn results_hold_no_secrets() {
    let app = TestApp::new();
    let secrets = json!({ "API_KEY": "a-secret-of-mine", "LONGER": "a-secret-of-mine-and-more", "DEBUG": "on" });
    let body = with(program("it", "works"), "env", secrets);
    added(&app, with(body, "args", json!(["--token", "another-secret"])), "connected").await;
    let answer = call(&app, "it", "environment", json!({})).await;
    let environment = json!({ "API_KEY": "***", "DEBUG": "on", "LONGER": "***" });
    answer.assert_json(
        200,
        &json!({
            "content": [{ "type": "text", "text": environment.to_string() }],
            "structured_content": environment, "is_error": false,
        }),
    );
    let answer = call(&app, "it", "echo", json!({ "text": "<a-secret-of-mine> <another-secret>" })).await;
    assert_eq!(answer.assert_status(200).json()["content"][0]["text"], "<***> <***>");
}

#[tokio::test]
async fn only_some_tools_may_be_called() {
    let app = TestApp::new();
    for (name, member, names, left) in [
        ("denied", "denied_tools", json!(["echo", "unknown"]), vec!["environment", "fails", "hangs"]),
        ("allowed", "allowed_tools", json!(["fails", "unknown"]), vec!["fails"]),
        ("none", "allowed_tools", json!([]), vec![]),
    ] {
        let found = added(&app, with(program(name, "works"), member, names), "connected").await;
        assert_eq!(found["tool_count"], left.len(), "{name}");
        assert_eq!(tools(&app, name).await, left);
        let refused =
            "the tool 'echo' is not allowed; the lists allowed_tools and denied_tools of its server say which are";
        call(&app, name, "echo", json!({ "text": "x" })).await.assert_error(403, refused);
    }
    let both = with(program("both", "works"), "allowed_tools", json!(["echo", "fails"]));
    added(&app, with(both, "denied_tools", json!(["echo"])), "connected").await;
    assert_eq!(tools(&app, "both").await, ["fails"]);
    call(&app, "both", "fails", json!({})).await.assert_status(200);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    for (server, tool, detail) in [
        ("nope", "echo", "Server 'nope' not found"),
        ("a b", "echo", "Server 'a b' not found"),
        ("", "echo", "Server '' not found"),
        ("it", "nope", "server 'it' has no tool 'nope'"),
        ("it", "Echo", "server 'it' has no tool 'Echo'"),
        ("it", "", "server 'it' has no tool ''"),
    ] {
        call(&app, server, tool, json!({ "text": "x" })).await.assert_error(404, detail);
    }
}

#[tokio::test]
async fn arguments_have_to_fit() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    for arguments in [json!({}), json!({ "text": 5 })] {
        let answer = call(&app, "it", "echo", arguments).await;
        answer.assert_invalid("schema", &["body", "arguments", "text"], "\"text\" is a required property");
    }
    let entries = log(&app).await.len();
    for (member, value) in [
        ("arguments", json!([])),
        ("arguments", json!("{}")),
        ("arguments", json!(null)),
        ("server", json!(5)),
        ("server", json!(null)),
        ("tool", json!(["echo"])),
    ] {
        let body = with(json!({ "server": "it", "tool": "echo" }), member, value);
        let answer = app.token_user().post(CALL, body).await;
        assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(["body", member]));
    }
    // {"text":"…"} has eleven bytes beside the text.
    let largest = "x".repeat(256 * 1024 - 11);
    let answer = call(&app, "it", "echo", json!({ "text": format!("{largest}x") })).await;
    answer.assert_invalid("too_long", &["body", "arguments"], "must have at most 256 KiB");
    assert_eq!(log(&app).await.len(), entries, "nothing was called");
    call(&app, "it", "echo", json!({ "text": largest })).await.assert_status(200);
    for body in [json!({}), json!({ "server": "it" }), json!({ "tool": "echo" })] {
        app.token_user().post(CALL, body).await.assert_status(422);
    }
    app.token_user().call(Method::POST, CALL).raw_json("{").send().await.assert_error(400, "Invalid JSON body");
    let body = json!({ "server": "it", "tool": "fails" });
    app.anonymous().post(CALL, body).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn what_is_not_connected_says_why() {
    let app = TestApp::new();
    for (body, state, why) in [
        (with(program("it", "works"), "enabled", json!(false)), "disabled", "it is switched off"),
        (program("it", "silent"), "connecting", "it is being connected; try again in a moment"),
        (program("it", "missing"), "failed", "the command \"missing\" was not found"),
        (remote("it", "private"), "needs_auth", "it wants you to sign in first"),
        (
            with(program("it", "exits"), "env", json!({ "K": "a-secret-of-mine" })),
            "backing_off",
            "the program exited with status 2 before it was connected; its last words: bad key *** | giving up",
        ),
    ] {
        added(&app, body, state).await;
        let answer = call(&app, "it", "echo", json!({ "text": "x" })).await;
        answer.assert_error(409, &format!("server 'it' is not connected: {why}"));
    }
    assert_eq!(app.mcp.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_too_long_is_stopped() {
    let app = TestApp::new();
    added(&app, with(program("it", "works"), "timeout", json!(1)), "connected").await;
    let begun = tokio::time::Instant::now();
    let answer = call(&app, "it", "hangs", json!({})).await;
    answer.assert_error(504, "the tool did not answer within 1 seconds; the server was told to stop");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    // It can be called on.
    call(&app, "it", "fails", json!({})).await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_long_keeps_no_other_waiting() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    let begun = tokio::time::Instant::now();
    let hangs = call(&app, "it", "hangs", json!({}));
    let others = async {
        for _ in 0..5 {
            call(&app, "it", "fails", json!({})).await.assert_status(200);
            statuses(&app).await;
        }
        begun.elapsed()
    };
    let (hangs, others) = tokio::join!(hangs, others);
    assert_eq!((hangs.status().as_u16(), others, begun.elapsed().as_secs()), (504, Duration::ZERO, 30));
}

#[tokio::test]
async fn a_name_that_is_none_fills_no_log() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    call(&app, "it", &"t".repeat(100_000), json!({})).await.assert_status(404);
    assert_eq!(log(&app).await[0]["context"]["tool"], "t".repeat(256));
    let answer = call(&app, &"s".repeat(100_000), "echo", json!({})).await;
    answer.assert_error(404, &format!("Server '{}' not found", "s".repeat(100)));
}

#[tokio::test]
async fn a_call_that_cannot_be_written_down_is_not_made() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    app.fail_call(1, Failure::Unavailable);
    call(&app, "it", "echo", json!({ "text": "x" })).await.assert_status(503);
    assert!(app.has_failed());
    assert_eq!(log(&app).await.len(), 1);
}
