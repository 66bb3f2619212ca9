//! Signing in to remote servers, and out.

use super::*;
use crate::support::Failure;

/// Adds a server that wants a sign-in, and gives the state that its address has.
async fn begun(app: &TestApp, name: &str) -> String {
    let status = added(app, remote(name, "private"), "needs_auth").await;
    let url = status["auth_url"].as_str().expect("an address").to_owned();
    url.split_once("?state=").expect("a state").1.to_owned()
}

/// Adds a server and signs in to it.
pub(super) async fn signed_in(app: &TestApp, name: &str, code: &str) {
    let state = begun(app, name).await;
    app.anonymous().get(&format!("/api/mcp/oauth/callback?code={code}&state={state}")).await.assert_status(200);
    settled(app, name, "connected").await;
}

/// Fails unless the answer is a page that says this, and nothing of what came with the address.
#[track_caller]
fn assert_page(answer: &Response, status: u16, title: &str, text: &str) {
    assert_eq!(answer.status().as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    for part in [format!("<h2 id=\"title\">{title}</h2>"), format!("<p>{text}</p>")] {
        assert!(answer.text().contains(&part), "no {part:?} in {}", answer.text());
    }
    // Only what is good closes itself.
    assert_eq!(answer.text().contains("close.js"), status == 200);
}

#[tokio::test]
async fn whoever_signed_in_is_connected() {
    for family in FAMILIES {
        let app = TestApp::new();
        let state = begun(&app, "it").await;
        // The browser comes without credentials.
        let path = format!("{family}/mcp/oauth/callback?code=the-code&state={state}&iss=https://auth.example");
        let answer = app.anonymous().get(&path).await;
        assert_page(&answer, 200, "Signed in", "You are signed in to it. You can close this window.");
        let found = settled(&app, "it", "connected").await;
        assert_eq!(found, status("connected", &json!({ "transport": "http", "tool_count": 4 })));
        let entry = log(&app).await[0].clone();
        let entry = [&entry["action"], &entry["target"], &entry["actor"], &entry["context"]["credential"]["kind"]];
        assert_eq!(entry, ["mcp_signed_in", "it", "dashboard_user", "mcp_sign_in"]);

        // A second time it is worth nothing.
        let entries = log(&app).await;
        assert_page(
            &app.anonymous().get(&path).await,
            400,
            "Not signed in",
            "OAuth flow expired or not found. Begin again from the list of MCP servers.",
        );
        assert_eq!((log(&app).await, app.mcp.open(), app.mcp.connects()), (entries, 1, 2));
        for path in ["/api/audit", "/api/mcp/status"] {
            let answer = app.token_user().get(path).await;
            assert!(!answer.text().contains("the-code") && !answer.text().contains("grant for"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_refused() {
    let app = TestApp::new();
    let state = begun(&app, "it").await;
    let before = (statuses(&app).await, log(&app).await);
    let unknown = "OAuth flow expired or not found. Begin again from the list of MCP servers.";
    let missing = "Missing code or state parameter.";
    for family in FAMILIES {
        for (query, text) in [
            ("", missing),
            ("?code=a", missing),
            (&*format!("?state={state}"), missing),
            (&*format!("?code=&state={state}"), missing),
            ("?code=a&state=", missing),
            ("?error=access_denied", missing),
            ("?code=a&state=b", unknown),
            ("?code=a&state=%3Cscript%3E", unknown),
            ("?error=access_denied&state=b", unknown),
            (&*format!("?code=a&state={}", state.to_uppercase()), unknown),
        ] {
            let answer = app.anonymous().get(&format!("{family}/mcp/oauth/callback{query}")).await;
            assert_page(&answer, 400, "Not signed in", text);
        }
    }
    assert_eq!((statuses(&app).await, log(&app).await), before);
    // The sign-in that was begun is still good.
    app.anonymous().get(&format!("/api/mcp/oauth/callback?code=a&state={state}")).await.assert_status(200);
}

#[tokio::test]
async fn a_refusal_is_shown_as_text_and_another_try_is_offered() {
    let long = "x".repeat(400);
    for (query, shown) in [
        ("error=access_denied", "access_denied"),
        (
            "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E%20%26%20%22you%22%20%27no%27",
            "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;you&quot; &#39;no&#39;",
        ),
        ("error=server_error&code=a&error_description={script}{title}", "{script}{title}"),
        (&*format!("error={long}"), &long[..300]),
    ] {
        let app = TestApp::new();
        let state = begun(&app, "it").await;
        let call = format!("/api/mcp/oauth/callback?{query}&state={state}").replace(['{', '}'], "_");
        let answer = app.anonymous().get(&call).await;
        let shown = shown.replace(['{', '}'], "_");
        assert_page(&answer, 400, "Not signed in", &format!("it: the sign-in was refused: {shown}."));
        assert!(!answer.text().contains("<script>"), "{}", answer.text());
        // The old address is used up; the server offers a new one.
        soon(async {
            while app.mcp.connects() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        settled(&app, "it", "needs_auth").await;
        assert_eq!(happenings(&app).await, ["mcp_server_added it success"]);
        app.anonymous().get(&format!("/api/mcp/oauth/callback?code=a&state={state}")).await.assert_status(200);
        settled(&app, "it", "connected").await;
    }
}

#[tokio::test]
async fn what_changed_meanwhile_is_not_signed_in_to() {
    // Removed, and put elsewhere.
    for (path, body) in [
        ("/api/mcp/remove", json!({ "name": "it" })),
        ("/api/mcp/add", json!({ "name": "it", "transport": "http", "url": "https://works/mcp", "enabled": false })),
    ] {
        let app = TestApp::new();
        let state = begun(&app, "it").await;
        app.token_user().post(path, body).await.assert_status(200);
        let answer = app.anonymous().get(&format!("/api/mcp/oauth/callback?code=a&state={state}")).await;
        assert_page(
            &answer,
            400,
            "Not signed in",
            "OAuth flow expired or not found. Begin again from the list of MCP servers.",
        );
        // Nobody will use these tokens.
        assert_eq!((app.mcp.revoked(), app.mcp.open()), (vec!["grant for a".to_owned()], 0));
        let happenings = happenings(&app).await;
        assert!(!happenings.iter().any(|it| it.contains("signed_in")), "{happenings:?}");
    }
}

#[tokio::test]
async fn signing_out_gives_back_what_signing_in_gave() {
    let app = TestApp::new();
    signed_in(&app, "it", "first").await;
    let user = app.token_user();
    let path = "/api/v1/mcp/oauth/revoke";
    user.post(path, json!({ "name": " it " })).await.assert_json(200, &json!({ "status": "ok", "signed_out": true }));
    let found = settled(&app, "it", "needs_auth").await;
    assert_eq!(found["auth_url"], "https://auth.example/authorize?state=state-of-it");
    assert_eq!((app.mcp.revoked(), app.mcp.open()), (vec!["grant for first".to_owned()], 0));
    let name = pawport::domain::mcp::McpServerName::parse("it").unwrap();
    assert!(app.stores.mcp_servers.sign_in(&name).await.unwrap().is_none());
    assert_eq!(happenings(&app).await[2..], ["mcp_signed_out it success"]);

    // There is nothing any more.
    let entries = log(&app).await;
    user.post(path, json!({ "name": "it" })).await.assert_json(200, &json!({ "status": "ok", "signed_out": false }));
    add(&app, with(program("near", "works"), "enabled", json!(false))).await;
    user.post(path, json!({ "name": "near" })).await.assert_json(200, &json!({ "status": "ok", "signed_out": false }));
    assert_eq!((log(&app).await.len(), app.mcp.revoked().len()), (entries.len() + 1, 1));
    user.post("/api/mcp/oauth/revoke", json!({ "name": "it" })).await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn who_cannot_be_signed_out_stays_signed_in() {
    let app = TestApp::new();
    signed_in(&app, "it", "first").await;
    let before = (statuses(&app).await, log(&app).await);
    for (path, calls) in [("/api/v1/mcp/oauth/revoke", 3), ("/api/mcp/remove", 3)] {
        for nth in 1..=calls {
            app.fail_call(nth, Failure::Unavailable);
            app.token_user().post(path, json!({ "name": "it" })).await.assert_status(503);
            assert!(app.has_failed(), "{path} {nth}");
        }
    }
    assert_eq!((statuses(&app).await, log(&app).await), before);
    assert_eq!((app.mcp.revoked(), app.mcp.open()), (Vec::new(), 1));
}

#[tokio::test]
async fn who_cannot_be_stored_is_not_signed_in() {
    let app = TestApp::new();
    let state = begun(&app, "it").await;
    app.fail_call(1, Failure::Unavailable);
    app.anonymous().get(&format!("/api/mcp/oauth/callback?code=a&state={state}")).await.assert_status(503);
    assert!(app.has_failed());
    assert_eq!((statuses(&app).await["it"]["state"].clone(), app.mcp.open()), (json!("needs_auth"), 0));
    assert_eq!(happenings(&app).await, ["mcp_server_added it success"]);
}

#[tokio::test]
async fn removing_a_server_signs_out_of_it() {
    let app = TestApp::new();
    signed_in(&app, "it", "first").await;
    app.token_user().post("/api/mcp/remove", json!({ "name": "it" })).await.assert_status(200);
    assert_eq!((app.mcp.revoked(), app.mcp.open()), (vec!["grant for first".to_owned()], 0));
    // Whoever adds it again has to sign in again.
    begun(&app, "it").await;
}

/// What was got for one address is never sent to another.
#[tokio::test]
async fn another_address_wants_another_sign_in() {
    let app = TestApp::new();
    signed_in(&app, "it", "first").await;
    let name = pawport::domain::mcp::McpServerName::parse("it").unwrap();
    added(&app, with(remote("it", "private"), "timeout", json!(9)), "connected").await;
    assert!(app.stores.mcp_servers.sign_in(&name).await.unwrap().is_some());
    add(&app, with(remote("it", "private"), "url", json!("https://private/other"))).await;
    assert!(app.stores.mcp_servers.sign_in(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn authorization_servers_may_know_the_client() {
    let app = TestApp::new();
    app.anonymous().get("/api/v1/mcp/oauth/client.json").await.assert_json(
        200,
        &json!({
            "client_id": "https://paw.example.org/api/v1/mcp/oauth/client.json",
            "client_name": "Pawport",
            "redirect_uris": ["https://paw.example.org/api/mcp/oauth/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "web",
        }),
    );
}
