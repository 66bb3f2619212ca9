//! Testing servers: nothing that is stored or connected takes notice.

use super::*;
use crate::support::Failure;
use tokio::task::JoinSet;

async fn tested(app: &TestApp, family: &str, body: Value) -> Value {
    app.token_user().post(&format!("{family}/mcp/test"), body).await.assert_status(200).json()
}

fn works() -> Value {
    json!({
        "connected": true, "error": null, "stderr": [],
        "tools": [
            { "name": "echo", "description": "Gives the text back" },
            { "name": "environment", "description": "Gives the environment" },
            { "name": "fails", "description": "Fails" },
            { "name": "hangs", "description": "" },
        ],
    })
}

fn fails(error: &str, stderr: &Value) -> Value {
    json!({ "connected": false, "error": error, "tools": [], "stderr": stderr })
}

#[tokio::test]
async fn a_test_says_what_works_and_why_not() {
    let app = TestApp::new();
    let exited = "the program exited with status 2 before it was connected; its last words: bad key *** | giving up";
    let secret = json!({ "KEY": "a-secret-of-mine" });
    for family in FAMILIES {
        for (body, answer) in [
            (program("it", "works"), works()),
            (json!({ "command": "works" }), works()),
            (json!({ "transport": "http", "url": "https://works/mcp", "name": "" }), works()),
            (with(program("it", "works"), "enabled", json!(false)), works()),
            (program("it", "missing"), fails("the command \"missing\" was not found", &json!([]))),
            (with(program("it", "exits"), "env", secret.clone()), fails(exited, &json!(["bad key ***", "giving up"]))),
            (
                json!({ "transport": "http", "url": "http://127.0.0.1:1/mcp" }),
                fails(
                    "the server cannot be reached: connection refused; check the url and whether the server runs",
                    &json!([]),
                ),
            ),
            (
                remote("it", "private"),
                fails("the server answered 401 Unauthorized: sign in, or configure a token in its headers", &json!([])),
            ),
            // Errors hold no secrets either.
            (
                with(remote("it", "refuses"), "headers", json!({ "Authorization": "Bearer a-secret-of-mine" })),
                fails("the server answered with an error: bad key ***", &json!([])),
            ),
            (
                with(program("it", "refuses"), "env", secret.clone()),
                fails("the server answered with an error: bad key ***", &json!([])),
            ),
        ] {
            assert_eq!(tested(&app, family, body.clone()).await, answer, "{body}");
        }
    }
    assert_eq!((statuses(&app).await, app.mcp.open()), (json!({}), 0));
    assert!(app.stores.mcp_servers.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_test_ends_by_itself() {
    let app = TestApp::new();
    let begun = tokio::time::Instant::now();
    let answer = tested(&app, "/api", program("it", "silent")).await;
    let error = "the program did not answer within 60 seconds; if it was downloading, try again, or raise \
         mcp_start_timeout";
    assert_eq!((answer, begun.elapsed().as_secs()), (fails(error, &json!([])), 60));
}

#[tokio::test]
async fn a_server_of_that_name_takes_no_notice() {
    let app = TestApp::new();
    let before = added(&app, with(program("it", "works"), "timeout", json!(7)), "connected").await;
    app.pass(Duration::from_secs(5));
    let mut heard = app.listen();
    for (body, is_good) in
        [(program("it", "missing"), false), (program("it", "works"), true), (remote("it", "nowhere.example"), false)]
    {
        let opened = app.mcp.open();
        assert_eq!(tested(&app, "/api", body).await["connected"], is_good);
        assert_eq!((statuses(&app).await["it"].clone(), app.mcp.open()), (before.clone(), opened));
    }
    assert!(futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut heard)).is_none());
    let stored = app.stores.mcp_servers.list().await.unwrap();
    assert_eq!(stored.iter().map(|it| it.call_timeout.as_secs()).collect::<Vec<_>>(), [7]);
    assert_eq!((app.mcp.connects(), app.mcp.open()), (4, 1));
}

#[tokio::test]
async fn a_name_alone_means_the_stored_server() {
    let app = TestApp::new();
    let secret = json!({ "KEY": "a-secret-of-mine" });
    for body in [
        with(program("good", "works"), "enabled", json!(false)),
        with(with(program("bad", "exits"), "env", secret), "enabled", json!(false)),
        with(remote("far", "works"), "enabled", json!(false)),
    ] {
        add(&app, body).await;
    }
    let before = statuses(&app).await;
    for family in FAMILIES {
        assert_eq!(tested(&app, family, json!({ "name": "good" })).await, works());
        // Members without a value say nothing.
        let form = json!({ "name": " far ", "command": "", "url": " ", "args": [], "env": {} });
        assert_eq!(tested(&app, family, form).await, works());
        // With its secrets, which are masked.
        let bad = tested(&app, family, json!({ "name": "bad" })).await;
        assert_eq!((&bad["connected"], &bad["stderr"]), (&json!(false), &json!(["bad key ***", "giving up"])));
        let path = format!("{family}/mcp/test");
        app.token_user().post(&path, json!({ "name": "nope" })).await.assert_error(404, "Server 'nope' not found");
        app.token_user().post(&path, json!({ "name": "a b" })).await.assert_status(422);
        // Nothing is said of a program or an address.
        for body in [json!({}), json!({ "name": "" })] {
            let answer = app.token_user().post(&path, body).await;
            assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(["body", "command"]));
        }
    }
    assert_eq!((statuses(&app).await, app.mcp.open()), (before, 0));
}

/// A stored server is tested with its sign-in; another under its name is not.
#[tokio::test]
async fn only_the_stored_server_is_tested_with_its_sign_in() {
    let app = TestApp::new();
    sign_in::signed_in(&app, "it", "code").await;
    assert_eq!(tested(&app, "/api", json!({ "name": "it" })).await["connected"], true);
    assert_eq!(tested(&app, "/api", remote("it", "private")).await["connected"], false);
}

#[tokio::test]
async fn every_test_leaves_an_entry_without_secrets() {
    let app = TestApp::new();
    let body =
        json!({ "command": "missing", "args": ["--token", "a-secret-of-mine"], "env": { "K": "a-secret-of-mine" } });
    tested(&app, "/api", body).await;
    add(&app, with(remote("far", "works"), "enabled", json!(false))).await;
    tested(&app, "/api/v1", json!({ "name": "far" })).await;
    assert_eq!(
        happenings(&app).await,
        ["mcp_server_tested test success", "mcp_server_added far success", "mcp_server_tested far success"]
    );
    let log = log(&app).await;
    let credential = json!({ "id": "83afad953296", "kind": "master_token" });
    assert_eq!(
        log[2]["context"],
        json!({
            "credential": credential, "transport": "stdio", "enabled": true, "command": "missing",
            "args": ["--token", "***"], "env": ["K"],
        })
    );
    assert_eq!(log[0]["context"]["url"], "https://works/mcp");
    // What cannot be written down is not run.
    let tried = app.mcp.connects();
    for (nth, body) in [(1, program("it", "works")), (1, json!({ "name": "far" })), (2, json!({ "name": "far" }))] {
        app.fail_call(nth, Failure::Unavailable);
        app.token_user().post("/api/mcp/test", body).await.assert_status(503);
        assert!(app.has_failed());
    }
    assert_eq!(app.mcp.connects(), tried);
}

#[tokio::test]
async fn four_run_at_a_time() {
    let app = TestApp::new();
    let mut running = JoinSet::new();
    for _ in 0..4 {
        let user = app.token_user();
        running.spawn(async move { user.post("/api/mcp/test", program("it", "silent")).await.status() });
    }
    soon(async {
        while app.mcp.connects() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let busy = "4 tests are running already; try again when one has ended";
    add(&app, with(program("it", "works"), "enabled", json!(false))).await;
    let entries = log(&app).await;
    for family in FAMILIES {
        for body in [program("it", "works"), json!({ "name": "it" })] {
            app.token_user().post(&format!("{family}/mcp/test"), body).await.assert_error(503, busy);
        }
    }
    assert_eq!((log(&app).await, app.mcp.connects()), (entries, 4));
    // Whoever goes away makes room.
    running.shutdown().await;
    assert_eq!(tested(&app, "/api", program("it", "works")).await, works());
}
