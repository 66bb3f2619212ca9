//! Signs of life, the version, and the pages for people.

use crate::support::{FAULT, Failure, TestApp};
use axum::http::Method;
use serde_json::json;

#[tokio::test]
async fn a_live_server_says_so_to_everybody() {
    let app = TestApp::new();
    let ready = json!({ "status": "ok", "storage": "memory", "search": "scan" });
    for (path, expected) in [("/healthz", &json!({ "status": "ok" })), ("/readyz", &ready)] {
        app.anonymous().get(path).await.assert_json(200, expected);
        app.token_user().get(path).await.assert_json(200, expected);
        let head = app.anonymous().call(Method::HEAD, path).send().await;
        assert_eq!((head.status().as_u16(), head.bytes()), (200, &b""[..]));
    }
}

#[tokio::test]
async fn a_server_without_its_storage_is_alive_and_not_ready() {
    for (failure, reason) in [
        (Failure::Unavailable, "the storage cannot be reached at the moment: "),
        (Failure::Failed, "the storage failed: "),
    ] {
        let app = TestApp::new();
        app.fail_call(1, failure);
        app.anonymous().get("/healthz").await.assert_json(200, &json!({ "status": "ok" }));
        assert!(!app.has_failed(), "whether the process is alive is no question for the storage");

        let answer = app.anonymous().get("/readyz").await;
        answer.assert_error(503, &format!("{reason}{FAULT}"));
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(app.anonymous().get("/readyz").await.status(), 200);
    }
}

#[tokio::test]
async fn both_families_tell_the_same_version() {
    let app = TestApp::new();
    for family in ["/api", "/api/v1"] {
        let answer = app.token_user().get(&format!("{family}/version")).await;
        let version = env!("CARGO_PKG_VERSION");
        answer.assert_json(
            200,
            &json!({
                "version": version,
                "current": version,
                "latest": version,
                "update_available": false,
                "python": null,
                "agent_backend": "builtin",
            }),
        );
    }
}

#[tokio::test]
async fn the_first_page_says_what_this_is() {
    let app = TestApp::new();
    let page = app.anonymous().get("/").await;
    page.assert_status(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text().contains("pawport token show"));
    assert_loads_nothing_from_elsewhere(page.text());
    assert_eq!(page.header("cache-control"), "no-store", "the address may have a code in it");
    for file in ["pawport.js", "pawport.css", "pawport.svg"] {
        assert!(page.text().contains(&format!("\"/static/{file}\"")), "{file}");
        app.anonymous().get(&format!("/static/{file}")).await.assert_status(200);
    }
    app.anonymous().get("/index.html").await.assert_status(401);
}

#[tokio::test]
async fn the_docs_page_is_complete_without_the_network() {
    let app = TestApp::new();
    let user = app.token_user();
    let moved = user.get("/api/v1/docs").await;
    assert!(moved.status().is_redirection(), "{moved:?}");
    assert_eq!(moved.header("location"), "/api/v1/docs/");
    let page = user.get("/api/v1/docs/").await;
    page.assert_status(200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert_loads_nothing_from_elsewhere(page.text());
    let mut assets = 0;
    for name in ["src=\"", "href=\""].iter().flat_map(|attribute| page.text().split(attribute).skip(1)) {
        let name = name.split('"').next().unwrap().trim_start_matches("./");
        user.get(&format!("/api/v1/docs/{name}")).await.assert_status(200);
        assets += 1;
    }
    assert!(assets >= 3, "scripts and styles: {}", page.text());
    let settings = user.get("/api/v1/docs/swagger-initializer.js").await;
    assert!(settings.text().contains("\"/api/v1/openapi.json\""), "{}", settings.text());
    user.get("/api/v1/docs/nothing.js").await.assert_status(404);
}

#[track_caller]
fn assert_loads_nothing_from_elsewhere(page: &str) {
    for attribute in ["src=", "href=", "action=", "url("] {
        for value in page.split(attribute).skip(1) {
            let value = value.trim_start_matches(['"', '\'']);
            assert!(!value.starts_with("http") && !value.starts_with("//"), "{attribute}{value:.80}");
        }
    }
}
