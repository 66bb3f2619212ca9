//! Who is let in, and who is shown out.

use super::*;
use std::time::Duration;

async fn refused(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    Client::open(address, path, headers).await.expect("a socket that is closed at once").closed().await
}

fn status(error: &Error) -> u16 {
    match error {
        Error::Http(answer) => answer.status().as_u16(),
        other => panic!("no answer: {other}"),
    }
}

#[tokio::test]
async fn a_credential_opens_it_wherever_it_is_and_whoever_has_none_is_told_so() {
    let (served, _) = served([]).await;
    let session = served.token_user().call(axum::http::Method::POST, "/api/auth/session").send().await.json();
    let session = session["session_token"].as_str().expect("a token").to_owned();
    let (bearer, cookie) = (format!("Bearer {MASTER_TOKEN}"), format!("pocketpaw_session={session}"));
    let query = format!("?token={session}");
    let protocols = format!("pawport, {MASTER_TOKEN}");
    for path in ["/ws", "/v1/ws", "/api/v1/ws"] {
        let own = format!("http://{}", served.address);
        for (query, headers) in [
            (&*query, vec![]),
            ("", vec![("authorization", &*bearer)]),
            ("", vec![("cookie", &*cookie)]),
            ("", vec![("sec-websocket-protocol", MASTER_TOKEN)]),
            ("", vec![("sec-websocket-protocol", &*protocols)]),
            ("", vec![("cookie", &*cookie), ("origin", &*own)]),
            ("", vec![("cookie", &*cookie), ("origin", "tauri://localhost")]),
        ] {
            let mut client = Client::open(served.address, &format!("{path}{query}"), &headers).await.expect("a socket");
            let offered = headers.iter().find(|(name, _)| name.contains("protocol")).map(|(_, offered)| *offered);
            let chosen = client.headers.get("sec-websocket-protocol").map(|chosen| chosen.to_str().expect("a text"));
            assert_eq!(chosen, offered.map(|offered| offered.split(',').next().expect("one")));
            assert_eq!(client.next().await["type"], "connection_info");
        }
        let unauthorized = (4003, "Unauthorized".to_owned());
        for (query, headers) in [
            ("", vec![]),
            ("?token=bad", vec![]),
            ("", vec![("authorization", "Bearer bad")]),
            ("", vec![("sec-websocket-protocol", "bad")]),
        ] {
            assert_eq!(refused(served.address, &format!("{path}{query}"), &headers).await, unauthorized);
        }
    }
    // Who wants no socket gets an answer like everybody else.
    served.user_with("bad").get("/ws").await.assert_error(401, "Unauthorized");
    served.token_user().get("/ws").await.assert_error(400, "This is a WebSocket: it wants an upgrade");
    let nowhere = Client::open(served.address, "/nowhere", &[("authorization", &*bearer)]).await;
    assert_eq!(status(&nowhere.err().expect("no socket")), 404);
}

#[tokio::test]
async fn a_page_of_others_is_refused_before_anything_else() {
    let (served, _) = served_told([], |settings| settings.policy.localhost_auth_bypass = true).await;
    let bearer = format!("Bearer {MASTER_TOKEN}");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        for headers in [vec![("origin", origin)], vec![("origin", origin), ("authorization", &*bearer)]] {
            let refused = Client::open(served.address, "/ws", &headers).await;
            assert_eq!(status(&refused.err().expect("no socket")), 403, "{origin}");
        }
    }
    let mut local = Client::open(served.address, "/ws", &[]).await.expect("a socket");
    assert_eq!(local.next().await["type"], "connection_info");
    let proxied = refused(served.address, "/ws", &[("x-forwarded-for", "203.0.113.7")]).await;
    assert_eq!(proxied.0, 4003);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let (served, _) = served([Script::answer("hello")]).await;
    let user = served.token_user();
    let key = async |scopes: Value| {
        let made = user.post("/api/v1/auth/api-keys", json!({ "name": "k", "scopes": scopes })).await.json();
        made["key"].as_str().expect("a key").to_owned()
    };
    let without = format!("Bearer {}", key(json!(["sessions"])).await);
    let closed = refused(served.address, "/ws", &[("authorization", &*without)]).await;
    assert_eq!(closed, (4003, "This needs a credential with the scope chat".to_owned()));

    let with = format!("Bearer {}", key(json!(["chat"])).await);
    let mut client = Client::open(served.address, "/ws", &[("authorization", &*with)]).await.expect("a socket");
    client.next().await;
    for (action, scope) in [
        (json!({ "action": "get_settings" }), "settings:read"),
        (json!({ "action": "settings" }), "settings:write"),
        (json!({ "action": "save_api_key" }), "settings:write"),
        (json!({ "action": "tool", "tool": "status" }), "admin"),
        (json!({ "action": "tool", "tool": "panic" }), "admin"),
        (json!({ "action": "browse" }), "admin"),
        (json!({ "action": "switch_session", "session_id": "websocket_a" }), "sessions"),
    ] {
        let refusal = format!("This needs a credential with the scope {scope}.");
        assert_eq!(client.ask(action.clone()).await, json!({ "type": "error", "content": refusal }), "{action}");
    }
    assert_eq!(client.next().await["type"], "session_history");
    client.send(json!({ "action": "chat", "message": "hi" })).await;
    client.until("stream_end").await;
}

#[tokio::test]
async fn it_ends_with_its_credential_and_with_the_server() {
    let (mut served, _) = served([]).await;
    let user = served.token_user();
    let made = user.post("/api/v1/auth/api-keys", json!({ "name": "k", "scopes": ["chat"] })).await.json();
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let mut ending = Client::open(served.address, "/ws", &[("authorization", &*bearer)]).await.expect("a socket");
    let (mut staying, _) = Client::greeted(&served).await;
    let path = format!("/api/v1/auth/api-keys/{}", made["id"].as_str().expect("an id"));
    user.delete(&path).await.assert_status(200);
    let revoked = tokio::time::timeout(Duration::from_secs(1), ending.closed()).await.expect("at once");
    assert_eq!(revoked, (4003, "The credential is no longer good".to_owned()));
    assert_eq!(staying.ask(json!({ "action": "get_skills" })).await["type"], "skills");
    served.stop.cancel();
    assert_eq!(staying.closed().await, (1001, "The server stops".to_owned()));
    drop(staying);
    soon(served.running.join_next()).await.expect("an end").expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn who_may_is_told_where_to_sign_in() {
    let (served, _) = served([]).await;
    let user = served.token_user();
    let made = user.post("/api/v1/auth/api-keys", json!({ "name": "k", "scopes": ["chat"] })).await.json();
    let bearer = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let mut other = Client::open(served.address, "/ws", &[("authorization", &*bearer)]).await.expect("a socket");
    other.next().await;
    let (mut owner, _) = Client::greeted(&served).await;
    let private = json!({ "name": "it", "transport": "http", "url": "https://private/mcp" });
    user.post("/api/mcp/add", private).await.assert_status(200);
    let url = "https://auth.example/authorize?state=state-of-it";
    assert_eq!(owner.next().await, json!({ "type": "mcp_oauth_redirect", "url": url, "server": "it" }));
    assert_eq!(other.ask(json!({ "action": "get_skills" })).await["type"], "skills");
}
