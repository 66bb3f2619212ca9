//! How a tunnel comes up, or does not.

use super::*;
use std::net::TcpListener;

#[tokio::test]
async fn the_address_is_what_its_metrics_tell() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let mut tunnel = lab.start().await;
    assert_eq!(soon(tunnel.public()).await.unwrap().as_str(), format!("https://{HOST}"));
    // Asked again it is the same.
    assert_eq!(soon(tunnel.public()).await.unwrap().host(), HOST);
    let run = lab.run();
    let metrics = run.flag("--metrics").unwrap().to_owned();
    let wanted = ["tunnel", "--config", "/dev/null", "--no-autoupdate", "--grace-period", "3s", "--metrics", &metrics];
    assert_eq!(run.arguments, [&wanted[..], &["--url", "http://127.0.0.1:8123"]].concat());
    let address: SocketAddr = metrics.parse().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    // Nothing of our environment but what every child gets. The shell and Python add some of their own.
    let own = ["PATH", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"];
    let others: Vec<_> = run.environment.keys().filter(|name| !own.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
    tunnel.close().await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn each_tunnel_has_a_metrics_address_of_its_own() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(lab.open().await);
    }
    let mut addresses: Vec<_> =
        lab.stand_in.runs().iter().map(|run| run.flag("--metrics").unwrap().to_owned()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 3);
    for mut tunnel in tunnels {
        tunnel.close().await;
    }
    lab.assert_nothing_left();
}

#[tokio::test]
async fn a_tunnel_is_up_when_it_is_connected() {
    let steps = [json!(["listen"]), json!(["hostname", HOST]), json!(["until", "connected"]), json!(["ready", true])];
    let mut lab = Lab::new(&[json!(steps)]);
    let mut tunnel = lab.start().await;
    eventually("it runs", || !lab.stand_in.runs().is_empty()).await;
    let not_yet = tokio::time::timeout(Duration::from_millis(500), tunnel.public()).await;
    assert!(not_yet.is_err(), "{not_yet:?}");
    lab.stand_in.go_on("connected");
    assert_eq!(soon(tunnel.public()).await.unwrap().host(), HOST);
    tunnel.close().await;
}

#[tokio::test]
async fn the_address_may_be_in_the_log_only() {
    let boxed = json!(["box", format!("https://{HOST}")]);
    let on_stdout = json!(["print", format!("your url is: https://{HOST}")]);
    let json_line = json!({ "level": "info", "message": format!("|  https://{HOST}  |") }).to_string();
    let split = [
        json!(["say", "2026-01-20T09:56:36Z INF |  https://steep-mountain- |"]),
        json!(["say", "2026-01-20T09:56:36Z INF |  abc123.trycloudflare.com |"]),
    ];
    let in_pieces = [
        json!(["write", "2026-01-20T09:56:36Z INF |  https://steep-mou"]),
        json!(["wait", 0.05]),
        json!(["write", "ntain-abc123.trycloudf"]),
        json!(["wait", 0.05]),
        json!(["say", "lare.com  |"]),
    ];
    let metrics = [json!(["listen"]), json!(["ready", true])];
    for told in [&[boxed][..], &[on_stdout], &[json!(["say", json_line])], &split, &in_pieces] {
        // Metrics that know no address; and none at all.
        for metrics in [&metrics[..], &[]] {
            let steps: Vec<_> = metrics.iter().chain(told).cloned().collect();
            let mut lab = Lab::new(&[json!(steps)]);
            let mut tunnel = lab.open().await;
            tunnel.close().await;
            lab.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn the_address_of_the_metrics_wins() {
    let steps = [
        json!(["box", "https://old-name.trycloudflare.com"]),
        json!(["wait", 0.3]),
        json!(["listen"]),
        json!(["hostname", HOST]),
        json!(["ready", true]),
    ];
    let mut lab = Lab::new(&[json!(steps)]);
    lab.open().await.close().await;
}

#[tokio::test]
async fn other_names_are_not_taken_for_its_address() {
    let names = ["paw.example.org", "api.trycloudflare.com", "trycloudflare.com", "a_b.trycloudflare.com", "", "x\" y"];
    for name in names {
        let steps = [
            json!(["listen"]),
            json!(["ready", true]),
            json!(["hostname", name]),
            json!(["say", "failed to request quick Tunnel: Post \"https://api.trycloudflare.com/tunnel\": EOF"]),
        ];
        let mut lab = Lab::new(&[json!(steps)]);
        let mut tunnel = lab.start_at(Pace { opening: Duration::from_millis(1500), ..PACE }).await;
        let error = soon(tunnel.public()).await.unwrap_err();
        assert!(matches!(error, OpenError::TimedOut { .. }), "{name}: {error}");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn a_program_that_tells_no_address_is_not_waited_for_for_ever() {
    let mut lab = Lab::new(&[json!([["say", "INF Requesting new quick Tunnel on trycloudflare.com..."]])]);
    let mut tunnel = lab.start_at(Pace { opening: Duration::from_secs(1), ..PACE }).await;
    let error = soon(tunnel.public()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cloudflared gave no public address within 1 seconds; its last words: \
         INF Requesting new quick Tunnel on trycloudflare.com..."
    );
    // It may do so yet, and runs until it is ended.
    assert_eq!(lab.stand_in.alive().len(), 1);
    tunnel.close().await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn one_that_never_connects_is_not_up() {
    let steps = json!([["listen"], ["hostname", HOST], ["ready", false]]);
    let mut lab = Lab::new(&[steps]);
    let mut tunnel = lab.start_at(Pace { opening: Duration::from_secs(1), ..PACE }).await;
    let error = soon(tunnel.public()).await.unwrap_err().to_string();
    assert!(error.starts_with("cloudflared did not connect to Cloudflare within 1 seconds"), "{error}");
    tunnel.close().await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn how_it_ended_and_its_last_words_are_told() {
    let words = json!(["say", "ERR failed to request quick Tunnel: 429 Too Many Requests"]);
    let heard = "; its last words: ERR failed to request quick Tunnel: 429 Too Many Requests";
    for (end, how) in [
        (json!(["exit", 1]), "exited with status 1"),
        (json!(["exit", 0]), "exited with status 0"),
        (json!(["exit", 255]), "exited with status 255"),
        (json!(["signal", 9]), "was ended by signal 9 (KILL)"),
        (json!(["signal", 11]), "was ended by signal 11 (SEGV)"),
    ] {
        let mut lab = Lab::new(&[json!([words, end])]);
        let error = lab.failure().await;
        assert_eq!(error.to_string(), format!("cloudflared {how} before the tunnel was up{heard}"));
        assert!(error.may_pass());
        lab.assert_nothing_left();
    }
    // Between its address and its connection, too.
    let mut lab = Lab::new(&[json!([["listen"], ["hostname", HOST], ["wait", 0.3], ["exit", 3]])]);
    let error = lab.failure().await.to_string();
    assert!(error.starts_with("cloudflared exited with status 3 before"), "{error}");
}

#[tokio::test]
async fn a_named_tunnel_has_its_token_in_its_environment_and_nowhere_else() {
    let steps = json!([["say", format!("INF connecting with {TOKEN}")], ["listen"], ["ready", true]]);
    let mut lab = Lab::new(&[steps]);
    let mut tunnel = lab.start_kind(named(), PACE).await;
    assert_eq!(soon(tunnel.public()).await.unwrap().as_str(), "https://paw.example.org");
    let run = lab.run();
    assert_eq!(run.environment.get("TUNNEL_TOKEN").map(String::as_str), Some(TOKEN));
    assert_eq!(run.arguments.last().map(String::as_str), Some("run"));
    assert!(!run.arguments.iter().any(|argument| argument.contains(TOKEN) || argument == "--url"), "{run:?}");
    let shown = std::fs::read(format!("/proc/{}/cmdline", run.pid)).unwrap();
    assert!(!String::from_utf8_lossy(&shown).contains(TOKEN));
    assert!(lab.tail.to_vec().contains(&"INF connecting with ***".to_owned()), "{:?}", lab.tail.to_vec());
    tunnel.close().await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn a_named_tunnel_is_up_when_it_says_that_it_is_connected() {
    // What is not known is not taken for good, as nothing else tells that it is there.
    for steps in [json!([]), json!([["listen"]]), json!([["listen"], ["ready", "close"]])] {
        let mut lab = Lab::new(&[steps]);
        let mut tunnel = lab.start_kind(named(), Pace { opening: Duration::from_secs(1), ..PACE }).await;
        let error = soon(tunnel.public()).await.unwrap_err().to_string();
        assert!(error.starts_with("cloudflared did not connect to Cloudflare within 1 seconds"), "{error}");
        tunnel.close().await;
        lab.assert_nothing_left();
    }
    let mut lab = Lab::new(&[json!([["say", "Provided Tunnel token is not valid."], ["exit", 255]])]);
    let mut tunnel = lab.start_kind(named(), PACE).await;
    let error = soon(tunnel.public()).await.unwrap_err().to_string();
    assert!(error.ends_with("its last words: Provided Tunnel token is not valid."), "{error}");
}

/// What is written at the address of the metrics by somebody else is read with care.
#[tokio::test]
async fn strange_answers_at_the_metrics_address_are_no_address() {
    let mut lab = Lab::new(&[json!([])]);
    let mut tunnel = lab.start_at(Pace { opening: Duration::from_secs(2), ..PACE }).await;
    eventually("it runs", || !lab.stand_in.runs().is_empty()).await;
    let address = lab.run().flag("--metrics").unwrap().to_owned();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        // More than anybody wants to read.
        for connection in listener.incoming().flatten() {
            use std::io::Write;
            let mut connection = connection;
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"hostname\":\"");
            while connection.write_all(&[b'a'; 4096]).is_ok() {}
        }
    });
    let error = soon(tunnel.public()).await.unwrap_err().to_string();
    assert!(error.starts_with("cloudflared gave no public address within 2 seconds"), "{error}");
    tunnel.close().await;
}
