//! Clients that do what they should not.

use super::*;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn what_is_no_json_is_answered_until_it_is_too_much() {
    let (served, _) = served([]).await;
    let (mut client, _) = Client::greeted(&served).await;
    let bad = ["", "not json", "{", "[]", "5", "null", "\"x\"", "{\"action\":\"ping\"} x"];
    for text in bad.into_iter().chain(std::iter::repeat_n("{", 11)) {
        client.send_text(text.to_owned()).await;
        assert_eq!(client.next().await["type"], "error", "{text}");
    }
    // One good message, and the count begins anew.
    assert_eq!(client.ask(json!({ "action": 5 })).await["content"], "A message needs an action.");
    for _ in 0..20 {
        client.send_text("[".repeat(1_000)).await;
    }
    assert_eq!(client.closed().await.0, 1008);
    let (mut other, _) = Client::greeted(&served).await;
    assert_eq!(other.ask(json!({ "action": "get_skills" })).await["type"], "skills");
}

#[tokio::test]
async fn what_is_too_large_or_no_text_ends_it() {
    let (served, _) = served([]).await;
    let padded = |length: usize| format!("{{\"action\":\"ping\",\"x\":\"{}\"}}", "x".repeat(length));
    let (mut client, _) = Client::greeted(&served).await;
    client.send_text(padded(256 * 1024 - 100)).await;
    assert_eq!(client.ask(json!({ "action": "get_skills" })).await["type"], "skills");
    client.send_text(padded(256 * 1024)).await;
    assert_eq!(client.closed().await, (1009, "A message may have at most 256 KiB".to_owned()));

    let (mut client, _) = Client::greeted(&served).await;
    // More than is read: the connection ends, whether or not the reason arrives.
    let _ = client.socket.send(Message::text(padded(8 * 1024 * 1024))).await;
    let ended = async { while let Some(Ok(_)) = client.socket.next().await {} };
    soon(ended).await;

    let (mut client, _) = Client::greeted(&served).await;
    client.socket.send(Message::binary(vec![1, 2, 3])).await.expect("sent");
    assert_eq!(client.closed().await.0, 1003);
}

#[tokio::test]
async fn who_sends_too_much_is_shown_out() {
    let (served, _) = served([]).await;
    let (mut client, _) = Client::greeted(&served).await;
    for _ in 0..55 {
        client.send(json!({ "action": "ping" })).await;
    }
    assert_eq!(client.ask(json!({ "action": "get_skills" })).await["type"], "skills", "a burst is allowed");
    for _ in 0..100 {
        let _ = client.socket.send(Message::text("{}")).await;
    }
    assert_eq!(client.closed().await, (1008, "Too many messages".to_owned()));
}

#[tokio::test]
async fn one_credential_does_not_take_all_sockets() {
    let (served, _) = served([]).await;
    let mut clients = Vec::new();
    for _ in 0..208 {
        clients.push(Client::greeted(&served).await.0);
    }
    let path = format!("/ws?token={MASTER_TOKEN}");
    for _ in 0..300 {
        let mut refused = Client::open(served.address, &path, &[]).await.expect("a socket that is closed at once");
        assert_eq!(refused.closed().await, (4029, "Too many WebSockets are open".to_owned()));
    }
    let session = served.token_user().call(axum::http::Method::POST, "/api/auth/session").send().await.json();
    let other = format!("/ws?token={}", session["session_token"].as_str().expect("a token"));
    let mut other = Client::open(served.address, &other, &[]).await.expect("a socket");
    assert_eq!(other.next().await["type"], "connection_info");
    assert_eq!(clients[100].ask(json!({ "action": "get_skills" })).await["type"], "skills");
    // Who goes makes room.
    clients.truncate(200);
    let again = async {
        loop {
            let mut client = Client::open(served.address, &path, &[]).await.expect("a socket");
            if let Some(Ok(Message::Text(_))) = client.socket.next().await {
                return;
            }
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn who_does_not_read_is_dropped_and_holds_nobody_up() {
    let (served, _) = served([]).await;
    let (mut deaf, id) = Client::greeted(&served).await;
    let path = format!("/ws?token={MASTER_TOKEN}");
    let mut other = Client::open(served.address, &path, &[]).await.expect("a socket");
    other.next().await;
    for _ in 0..400 {
        served.publish(piece(&id, "x".repeat(100_000)));
        tokio::task::yield_now().await;
    }
    assert_eq!(other.ask(json!({ "action": "get_skills" })).await["type"], "skills");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(other.ask(json!({ "action": "get_skills" })).await["type"], "skills");
    // What was under way arrives; then it is over, without all of what was said.
    let mut heard = 0;
    let ended = async {
        while let Some(Ok(_)) = deaf.socket.next().await {
            heard += 1;
        }
    };
    timeout(Duration::from_secs(10), ended).await.expect("an end");
    assert!(heard < 400, "{heard}");
}

#[tokio::test]
async fn who_breaks_the_protocol_is_cut_off() {
    use tokio::io::AsyncWriteExt;
    let (served, _) = served([]).await;
    // An unmasked frame, a reserved opcode, a control frame that is too long, text that is no UTF-8.
    let long = [&b"\x89\xfe\x00\x80"[..], &[0; 4 + 128]].concat();
    let frames: [&[u8]; 4] = [b"\x81\x02{}", b"\x83\x80\0\0\0\0", &long, b"\x81\x81\0\0\0\0\xff"];
    for frame in frames {
        let (mut client, _) = Client::greeted(&served).await;
        client.socket.get_mut().write_all(frame).await.expect("sent");
        let ended = async { while let Some(Ok(_)) = client.socket.next().await {} };
        soon(ended).await;
    }
    let (mut client, _) = Client::greeted(&served).await;
    client.socket.close(None).await.expect("closed");
    let answered = async { while let Some(Ok(_)) = client.socket.next().await {} };
    soon(answered).await;
}
