//! Adding servers, and what is refused.

use super::*;
use crate::support::Failure;

#[tokio::test]
async fn a_server_is_added_at_once_and_connected_in_the_background() {
    for family in FAMILIES {
        let app = TestApp::new();
        let path = format!("{family}/mcp/add");
        // It never answers, and nobody waits for it.
        let answer = app.token_user().post(&path, program("slow", "silent")).await;
        answer.assert_json(200, &json!({ "status": "ok" }));
        assert_eq!(statuses(&app).await["slow"], status("connecting", &json!({})));
        app.token_user().post(&path, program("broken", "missing")).await.assert_status(200);
        settled(&app, "broken", "failed").await;
        app.token_user().post(&path, program(" spaces\n", " works ")).await.assert_status(200);
        settled(&app, "spaces", "connected").await;
    }
}

#[tokio::test]
async fn members_have_defaults() {
    let app = TestApp::new();
    let null = json!({
        "name": "b", "command": "works", "transport": null, "args": null, "url": null, "env": null, "headers": null,
        "enabled": null, "timeout": null, "allowed_tools": null, "denied_tools": null, "registry_ref": null,
    });
    // What a form sends that has fields for both kinds.
    let empty = json!({
        "name": "c", "command": "works", "transport": "stdio", "args": [], "url": "", "env": {}, "headers": {},
        "registry_ref": "", "unknown": [1],
    });
    for body in [json!({ "name": "a", "command": "works" }), null, empty] {
        let name = body["name"].as_str().unwrap().to_owned();
        let found = added(&app, body, "connected").await;
        assert_eq!(found, status("connected", &json!({ "tool_count": 4 })), "{name}");
    }
    let stored = app.stores.mcp_servers.list().await.unwrap();
    assert!(stored.iter().all(|it| it.call_timeout.as_secs() == 30 && it.tools.allowed.is_none()), "{stored:?}");
    let form = json!({
        "name": "d", "transport": "http", "command": "", "args": [], "env": {}, "url": " https://works/mcp ",
    });
    added(&app, form, "connected").await;
}

#[tokio::test]
async fn bounds_are_inclusive() {
    let app = TestApp::new();
    let variables: Value =
        (0..128).map(|number| (format!("V{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let headers: Value =
        (0..32).map(|number| (format!("X-{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for (member, value) in [
        ("name", json!("n".repeat(64))),
        ("name", json!("0-._")),
        ("timeout", json!(1)),
        ("timeout", json!(600)),
        ("args", json!(vec!["a"; 128])),
        ("args", json!(["a".repeat(8192)])),
        ("args", json!(["", "two\nlines", "🐾"])),
        ("env", json!({ "k".repeat(256): "v", "with.dot": "", "ÜNÏ": "v".repeat(32_768) })),
        ("env", variables),
        ("allowed_tools", json!([])),
        ("denied_tools", json!(["t".repeat(256)])),
        ("command", json!(format!("/{}", "c".repeat(4095)))),
        ("registry_ref", json!("io.github.x")),
    ] {
        add(&app, with(with(program("it", "works"), "enabled", json!(false)), member, value)).await;
    }
    let url = format!("https://works/{}", "u".repeat(2048 - "https://works/".len()));
    for (member, value) in [
        ("url", json!(url)),
        ("url", json!("http://127.0.0.1:1/mcp?key=v")),
        ("url", json!("http://[::1]/")),
        ("headers", headers),
        ("headers", json!({ "h".repeat(128): "v", "Authorization": "Bearer\tx" })),
    ] {
        add(&app, with(with(remote("far", "works"), "enabled", json!(false)), member, value)).await;
    }
}

/// Every refusal: which member, its value, where the error is, of which kind.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn refused() -> Vec<(Value, Vec<String>, &'static str)> {
    let many: Value =
        (0..129).map(|number| (format!("V{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let headers: Value =
        (0..33).map(|number| (format!("X-{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let long_name = "k".repeat(257);
    let far = || remote("it", "works");
    let near = || program("it", "works");
    let mut table = Vec::new();
    let mut row = |base: Value, member: &str, value: Value, below: &[&str], kind: &'static str| {
        let place = ["body", member].iter().chain(below).map(|part| (*part).to_owned()).collect();
        table.push((with(base, member, value), place, kind));
    };
    for name in
        ["bad name!", "a/b", "../a", "a\0b", "ünï", "<script>", ".a", "-a", "_a", "a'b", "a\nb", &"n".repeat(65)]
    {
        row(near(), "name", json!(name), &[], "value_error");
    }
    for transport in ["carrier-pigeon", "STDIO", "", "websocket", "https"] {
        row(near(), "transport", json!(transport), &[], "enum");
    }
    for command in [json!(null), json!(""), json!(" \n")] {
        row(near(), "command", command, &[], "missing");
    }
    row(near(), "command", json!("a\0b"), &[], "value_error");
    row(near(), "command", json!("a\nb"), &[], "value_error");
    row(near(), "command", json!("c".repeat(4097)), &[], "too_long");
    row(near(), "args", json!(vec!["a"; 129]), &[], "too_long");
    row(near(), "args", json!(vec!["a"; 10_000]), &[], "too_long");
    row(near(), "args", json!(["a".repeat(8193)]), &[], "too_long");
    row(near(), "args", json!(["a\0b"]), &[], "value_error");
    row(near(), "env", json!({ "A=B": "v" }), &["A=B"], "value_error");
    row(near(), "env", json!({ "": "v" }), &[""], "value_error");
    row(near(), "env", json!({ "A\0": "v" }), &["A\0"], "value_error");
    row(near(), "env", json!({ &*long_name: "v" }), &[&long_name], "too_long");
    row(near(), "env", json!({ "A": "a\0b" }), &["A"], "value_error");
    row(near(), "env", json!({ "A": "v".repeat(32_769) }), &["A"], "too_long");
    row(near(), "env", many, &[], "too_long");
    row(near(), "headers", json!({ "X-Key": "v" }), &[], "value_error");
    row(far(), "env", json!({ "A": "v" }), &[], "value_error");
    for url in [json!(null), json!(""), json!("  ")] {
        row(far(), "url", url, &[], "missing");
    }
    for url in [
        "file:///etc/passwd",
        "ftp://works/mcp",
        "works",
        "//works/mcp",
        "javascript:alert(1)",
        "https://",
        "https://works/mcp#part",
        "https://user:password@works/mcp",
        "https://user@works/mcp",
        "https://:password@works/mcp",
    ] {
        row(far(), "url", json!(url), &[], "value_error");
    }
    row(far(), "url", json!(format!("https://works/{}", "u".repeat(2048))), &[], "too_long");
    for name in
        ["bad name", "bad:name", "", "X\r\nY", "ünï", "Host", "content-length", "Mcp-Session-Id", &"h".repeat(129)]
    {
        row(far(), "headers", json!({ name: "v" }), &[name], "value_error");
    }
    row(far(), "headers", json!({ "X": "a\r\nY: b" }), &["X"], "value_error");
    row(far(), "headers", json!({ "X": "ünï" }), &["X"], "value_error");
    row(far(), "headers", json!({ "X": "v".repeat(32_769) }), &["X"], "too_long");
    row(far(), "headers", headers, &[], "too_long");
    for timeout in [json!(0), json!(-1), json!(601), json!(i64::MAX), json!(i64::MIN)] {
        row(near(), "timeout", timeout, &[], "out_of_range");
    }
    for member in ["allowed_tools", "denied_tools"] {
        row(near(), member, json!(["a\0b"]), &[], "value_error");
        row(near(), member, json!(["t".repeat(257)]), &[], "too_long");
        row(
            near(),
            member,
            json!((0..1001).collect::<Vec<_>>().iter().map(ToString::to_string).collect::<Vec<_>>()),
            &[],
            "too_long",
        );
    }
    row(near(), "registry_ref", json!("a b"), &[], "value_error");
    row(near(), "registry_ref", json!("r".repeat(65)), &[], "value_error");
    // Another type.
    for (member, value) in [
        ("name", json!(5)),
        ("transport", json!(["stdio"])),
        ("command", json!(["works"])),
        ("args", json!("works")),
        ("args", json!({ "0": "a" })),
        ("url", json!(5)),
        ("env", json!("A=b")),
        ("env", json!([["A", "b"]])),
        ("headers", json!([])),
        ("enabled", json!("yes")),
        ("enabled", json!(1)),
        ("timeout", json!("30")),
        ("timeout", json!(30.5)),
        ("timeout", json!(1e300)),
        ("allowed_tools", json!("echo")),
        ("denied_tools", json!({})),
        ("registry_ref", json!(5)),
    ] {
        row(near(), member, value, &[], "type_error");
    }
    row(near(), "env", json!({ "A": 5 }), &["A"], "type_error");
    row(far(), "headers", json!({ "X-Key": null }), &["X-Key"], "type_error");
    table
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_leaves_nothing() {
    let app = TestApp::new();
    for (body, place, kind) in refused() {
        for action in ["add", "test"] {
            for family in FAMILIES {
                let answer = app.token_user().post(&format!("{family}/mcp/{action}"), body.clone()).await;
                let error = answer.assert_status(422).json()["detail"][0].clone();
                assert_eq!((&error["loc"], &error["type"]), (&json!(place), &json!(kind)), "{action} {error}");
            }
        }
    }
    for (elements, place) in [(json!(["a", 5]), "args"), (json!([null]), "args")] {
        let answer = app.token_user().post("/api/mcp/add", with(program("it", "works"), place, elements)).await;
        let error = answer.assert_status(422).json()["detail"][0].clone();
        assert!(error["loc"][1].as_str().unwrap().starts_with(place), "{error}");
    }
    assert_eq!((statuses(&app).await, log(&app).await), (json!({}), Vec::new()));
    assert!(app.stores.mcp_servers.list().await.unwrap().is_empty());
    assert_eq!(app.mcp.connects(), 0);
}

/// What is said to clients has what was sent in it only where it is a name.
#[tokio::test]
async fn refusals_hold_no_secrets() {
    let app = TestApp::new();
    for body in [
        with(program("it", "works"), "env", json!({ "A": "a-secret-of-mine\0" })),
        with(program("it", "works"), "args", json!(["--token=a-secret-of-mine\0"])),
        with(remote("it", "works"), "headers", json!({ "X": "a-secret-of-mine\n" })),
        with(remote("it", "works"), "url", json!("https://me:a-secret-of-mine@works/")),
        with(remote("it", "works"), "url", json!("https://works/?key=a-secret-of-mine#x")),
        with(remote("it", "works"), "env", json!({ "A": "a-secret-of-mine" })),
        with(program("it", "works"), "headers", json!({ "A": "a-secret-of-mine" })),
        with(with(program("it", "works"), "env", json!({ "A": "a-secret-of-mine" })), "timeout", json!(0)),
    ] {
        let answer = app.token_user().post("/api/mcp/add", body).await;
        assert!(!answer.assert_status(422).text().contains("a-secret-of-mine"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_name_is_needed() {
    let app = TestApp::new();
    for family in FAMILIES {
        let path = format!("{family}/mcp/add");
        for body in [
            json!({ "transport": "stdio" }),
            json!({}),
            json!({ "name": null, "command": "works" }),
            json!({ "name": "", "command": "works" }),
            json!({ "name": " \n", "command": "works" }),
        ] {
            app.token_user().post(&path, body).await.assert_error(400, "Server name is required");
        }
        app.token_user().call(Method::POST, &path).raw_json("{").send().await.assert_error(400, "Invalid JSON body");
        app.token_user().post(&path, json!([])).await.assert_status(422);
        app.anonymous().post(&path, program("it", "works")).await.assert_error(401, "Unauthorized");
    }
    assert_eq!((statuses(&app).await, log(&app).await), (json!({}), Vec::new()));
}

#[tokio::test]
async fn a_server_of_the_same_name_takes_the_place_of_the_old_one() {
    let app = TestApp::new();
    added(&app, program("it", "works"), "connected").await;
    added(&app, program("other", "works"), "connected").await;
    app.pass(Duration::from_secs(5));
    let changed = with(with(program("it", "loses"), "denied_tools", json!(["hangs"])), "env", json!({ "K": "v" }));
    let found = added(&app, changed, "connected").await;
    assert_eq!((&found["tool_count"], &found["since"]), (&json!(3), &json!("2026-11-23T04:40:26.000Z")));
    // The old connection is closed, and the other server took no notice.
    assert_eq!((app.mcp.open(), app.mcp.connects()), (2, 3));
    assert_eq!(statuses(&app).await["other"]["since"], START);
    // It keeps its place: what comes first was added first.
    let stored = app.stores.mcp_servers.list().await.unwrap();
    assert_eq!(stored.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["it", "other"]);

    added(&app, with(program("it", "works"), "enabled", json!(false)), "disabled").await;
    assert_eq!(app.mcp.open(), 1);
    let log = log(&app).await;
    assert_eq!((&log[0]["action"], &log[0]["context"]["enabled"]), (&json!("mcp_server_replaced"), &json!(false)));
    assert_eq!(
        happenings(&app).await,
        [
            "mcp_server_added it success",
            "mcp_server_added other success",
            "mcp_server_replaced it success",
            "mcp_server_replaced it success",
        ]
    );
}

#[tokio::test]
async fn there_is_room_for_200() {
    let app = TestApp::new();
    for number in 0..200 {
        add(&app, with(program(&format!("s{number}"), "works"), "enabled", json!(false))).await;
    }
    let before = log(&app).await;
    let full = "there are 200 MCP servers already; remove one first";
    for family in FAMILIES {
        app.token_user().post(&format!("{family}/mcp/add"), program("more", "works")).await.assert_error(409, full);
        let install = json!({ "preset_id": "memory" });
        app.token_user().post(&format!("{family}/mcp/presets/install"), install).await.assert_error(409, full);
    }
    assert_eq!((log(&app).await, app.mcp.connects()), (before, 0));
    // One that is there can be replaced.
    added(&app, program("s7", "works"), "connected").await;
    app.token_user().post("/api/mcp/remove", json!({ "name": "s8" })).await.assert_status(200);
    add(&app, program("more", "works")).await;
}

#[tokio::test]
async fn an_entry_says_what_is_run_and_no_secrets() {
    let app = TestApp::new();
    let near = json!({
        "name": "near", "command": "works", "env": { "API_KEY": "a-secret-of-mine", "DEBUG": "1" },
        "args": ["-y", "pkg", "--token=a-secret-of-mine", "--api-key", "a-secret-of-mine", "/srv"],
    });
    let far = json!({
        "name": "far", "transport": "sse", "url": "https://works/mcp?key=a-secret-of-mine",
        "headers": { "Authorization": "Bearer a-secret-of-mine", "X-Team": "a-secret-of-mine" }, "enabled": false,
    });
    added(&app, near, "connected").await;
    add(&app, far).await;
    let log = log(&app).await;
    let credential = json!({ "id": "83afad953296", "kind": "master_token" });
    assert_eq!(
        log[1]["context"],
        json!({
            "credential": credential, "transport": "stdio", "enabled": true, "command": "works",
            "args": ["-y", "pkg", "--token=***", "--api-key", "***", "/srv"], "env": ["API_KEY", "DEBUG"],
        })
    );
    assert_eq!(
        log[0]["context"],
        json!({
            "credential": credential, "transport": "sse", "enabled": false, "url": "https://works/mcp",
            "headers": ["authorization", "x-team"],
        })
    );
    for path in ["/api/audit", "/api/mcp/status", "/api/v1/mcp/tools?server=near", "/api/mcp/presets"] {
        let answer = app.token_user().get(path).await;
        assert!(!answer.assert_status(200).text().contains("a-secret-of-mine"), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_connected() {
    let app = TestApp::new();
    let kept = added(&app, program("kept", "works"), "connected").await;
    let entries = log(&app).await;
    for nth in [1, 2] {
        for body in [program("it", "works"), program("kept", "loses")] {
            app.fail_call(nth, Failure::Unavailable);
            app.token_user().post("/api/mcp/add", body).await.assert_status(503);
            assert!(app.has_failed());
        }
    }
    assert_eq!(statuses(&app).await, json!({ "kept": kept }));
    assert_eq!((log(&app).await, app.mcp.connects(), app.mcp.open()), (entries, 1, 1));
}
