//! Whom the server trusts while there is a tunnel, over real sockets.

use super::*;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// A request without credentials from this machine.
async fn neighbour(paw: &Paw) -> u16 {
    Client::try_send(paw.client.stranger(Method::GET, "/api/sessions")).await.unwrap().status
}

/// A request as the tunnel's program sends it.
fn through(paw: &Paw, method: Method, path: &str) -> reqwest::RequestBuilder {
    let request = paw.client.stranger(method, path).header("host", HOST);
    request.header("cf-connecting-ip", "198.51.100.4").header("x-forwarded-proto", "https")
}

#[tokio::test]
async fn from_the_first_start_to_the_last_stop() {
    let steps = [json!(["until", "address"]), json!(["listen"]), json!(["hostname", HOST]), json!(["ready", true])];
    let lab = Lab::new(&[json!(steps)]);
    let paw = lab.trusting();
    assert_eq!(neighbour(&paw).await, 200);
    let refused = Client::try_send(through(&paw, Method::GET, "/api/sessions")).await.unwrap();
    assert_eq!(refused.status, 403, "{refused:?}");
    let mut local = Stream::open(paw.client.stranger(Method::GET, "/api/v1/events/stream")).await;
    assert_eq!(local.next().await.unwrap().name, "connected");
    let stream = TcpStream::connect(paw.server.address).await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{}/ws", paw.server.address), stream).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));

    // Somebody here starts it, without a credential.
    let starting = paw.client.stranger(Method::POST, "/api/remote/start").timeout(PATIENCE).send();
    let looking = async {
        eventually("its program runs", async || (!lab.stand_in.runs().is_empty()).then_some(())).await;
        assert_eq!((neighbour(&paw).await, paw.status().await["state"].clone()), (401, json!("connecting")));
        lab.stand_in.go_on("address");
    };
    let (started, ()) = tokio::join!(starting, looking);
    let started = Answer::of(started.unwrap()).await.unwrap().json();
    assert_eq!(started, json!({ "active": true, "url": url(), "error": null }));
    assert_eq!(neighbour(&paw).await, 401);

    // What was open before has ended.
    while local.next().await.is_some() {}
    let _ = socket.send(Message::text(json!({ "action": "ping" }).to_string())).await;
    let closed = tokio::time::timeout(PATIENCE, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break None,
            }
        }
    });
    assert_eq!(closed.await.unwrap(), Some(4003));

    // It leads to the server of this test.
    let run = lab.stand_in.runs().pop().unwrap();
    assert_eq!(run.flag("--url"), Some(&*format!("http://{}", paw.server.address)));

    // A phone scans the picture and comes through the tunnel.
    assert_eq!(Client::try_send(through(&paw, Method::GET, "/api/sessions")).await.unwrap().status, 401);
    let picture = paw.client.get("/api/qr").await;
    let address = scan::picture(&picture.bytes);
    let code = address.strip_prefix(&format!("{}/?token=", url())).unwrap();
    let exchange = through(&paw, Method::POST, "/api/auth/session").header("origin", url()).bearer_auth(code);
    let session = Client::try_send(exchange).await.unwrap();
    assert!(session.header("set-cookie").contains("; Secure"), "{session:?}");
    let token = session.json()["session_token"].as_str().unwrap().to_owned();
    let asked = Client::try_send(through(&paw, Method::GET, "/api/sessions").bearer_auth(&token)).await.unwrap();
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(paw.client.audited("qr_code_redeemed").await[0]["context"]["address"], "198.51.100.4");

    assert_eq!(paw.stop().await, json!({ "active": false, "url": null }));
    assert_eq!(lab.stand_in.alive(), [0; 0]);
    assert_eq!(neighbour(&paw).await, 200);
    let refused = Client::try_send(through(&paw, Method::GET, "/api/sessions").bearer_auth(&token)).await.unwrap();
    assert_eq!(refused.status, 403, "{refused:?}");
    let noted: Vec<_> =
        [paw.client.audited("tunnel_started").await, paw.client.audited("tunnel_stopped").await].concat();
    let kinds: Vec<_> = noted.iter().map(|entry| entry["context"]["credential"]["kind"].clone()).collect();
    assert_eq!(kinds, ["loopback", "master_token"]);
    paw.server.stop();
}

/// The child can connect as soon as it runs: at that moment nobody here is trusted any more.
#[tokio::test]
async fn a_program_that_comes_back_at_once_is_a_stranger() {
    let lab = Lab::new(&[up(HOST, &[])]);
    let paw = lab.trusting();
    let asking = async {
        // Whatever comes before the child runs may be trusted; nothing that comes after may.
        let mut asked = 0;
        loop {
            let is_running = !lab.stand_in.runs().is_empty();
            let status = neighbour(&paw).await;
            if is_running {
                assert_eq!(status, 401);
                asked += 1;
            }
            if asked == 20 {
                return;
            }
        }
    };
    tokio::join!(paw.start(), asking);
    // Nor until it is gone: one that takes its time.
    lab.stand_in.plan(&json!({ "runs": [up(HOST, &[json!(["ignore-term"]), json!(["say", "stubborn"])])] }));
    paw.stop().await;
    paw.start().await;
    eventually("it is stubborn", async || {
        paw.status().await["lines"].as_array().unwrap().contains(&json!("stubborn")).then_some(())
    })
    .await;
    let asking = async {
        let mut asked = 0;
        loop {
            let status = neighbour(&paw).await;
            // Seen after the answer, so it was alive when that was given.
            if lab.stand_in.alive().is_empty() {
                return asked;
            }
            assert_eq!(status, 401);
            asked += 1;
        }
    };
    let (_, asked) = tokio::join!(paw.stop(), asking);
    assert!(asked > 3, "{asked}");
    assert_eq!(neighbour(&paw).await, 200);
    paw.server.stop();
}

#[tokio::test]
async fn a_tunnel_of_ones_own_has_its_name_and_keeps_its_token_to_itself() {
    const TOKEN: &str = "eyJhIjoiYWNjb3VudCIsInQiOiJ0dW5uZWwiLCJzIjoic2VjcmV0In0";
    let lab = Lab::new(&[json!([["say", format!("INF token {TOKEN}")], ["listen"], ["ready", true]])]);
    let file = lab.place.path("tunnel-token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    for by_file in [true, false] {
        let program = lab.program(&["serve", "--port", "0", "--tunnel-hostname", "paw.example.org", "--log", "debug"]);
        let program = match by_file {
            true => program.env("PAWPORT_TUNNEL_TOKEN_FILE", &file),
            false => program.env("PAWPORT_TUNNEL_TOKEN", TOKEN),
        };
        let paw = lab.started(program);
        assert_eq!(paw.start().await["url"], "https://paw.example.org");
        assert_eq!(paw.picture().await, "https://paw.example.org");
        let run = lab.stand_in.runs().pop().unwrap();
        assert_eq!(run.environment["TUNNEL_TOKEN"], TOKEN);
        assert!(!run.arguments.iter().any(|argument| argument.contains(TOKEN)), "{run:?}");
        let status = paw.status().await.to_string();
        assert!(status.contains("INF token ***") && !status.contains(TOKEN), "{status}");
        let ended = paw.server.stop();
        assert!(!format!("{ended:?}").contains(TOKEN), "{ended:?}");
    }
    let flags = ["config", "show", "--tunnel-hostname", "paw.example.org"];
    let shown = lab.program(&flags).env("PAWPORT_TUNNEL_TOKEN_FILE", &file).run();
    assert_eq!(shown.code(), Some(0), "{shown:?}");
    assert!(shown.stdout.contains("paw.example.org") && !shown.stdout.contains(TOKEN), "{shown:?}");
}
