//! Many servers, half of them broken: nobody waits for them.

use super::*;
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const GOOD: usize = 25;

/// How long the start may take, on a machine that is busy with other tests and starts many programs. What it really takes
/// is measured by `cargo bench --bench mcp`.
const START: Duration = Duration::from_secs(5);

/// Servers that will never work, each with the state that it gets into. `url` answers 404, `nobody` is where nobody is.
fn broken(lab: &Lab, url: &str, nobody: &str) -> Vec<(Value, &'static [&'static str])> {
    let mut servers = Vec::new();
    let mut add = |mut settings: Value, states: &'static [&'static str]| {
        settings["name"] = json!(format!("broken-{}", servers.len()));
        servers.push((settings, states));
    };
    let again: &'static [&'static str] = &["connecting", "backing_off"];
    for _ in 0..3 {
        for mode in [&["hang-initialize"][..], &["hang-tools"], &["slow", "600"]] {
            add(lab.odd("", mode), &["connecting"]);
        }
        add(lab.odd("", &["exit"]), again);
        add(lab.program("", ("no-such-program".to_owned(), Vec::new())), &["failed"]);
        for transport in ["http", "streamable-http"] {
            add(json!({ "transport": transport, "url": url }), &["failed"]);
        }
    }
    add(lab.odd("", &["version"]), &["failed"]);
    add(lab.odd("", &["not-mcp"]), &["connecting", "backing_off", "failed"]);
    for transport in ["http", "sse"] {
        add(json!({ "transport": transport, "url": nobody }), again);
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_broken_ones() {
    let Some(lab) = Lab::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let mut servers = JoinSet::new();
    servers.spawn(async move { axum::serve(listener, Router::new()).await.unwrap() });
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let broken = broken(&lab, &url, &format!("http://{nobody}/mcp"));
    assert_eq!(broken.len(), 25);

    let paw = lab.serve(&[]);
    let names: Vec<String> = (0..GOOD).map(|number| format!("good-{number}")).collect();
    for (name, (broken, _)) in names.iter().zip(&broken) {
        paw.add(broken).await;
        paw.add(&lab.odd(name, &["good"])).await;
    }
    paw.server.stop();
    assert_eq!(lab.alive(), [0; 0]);

    let began = Instant::now();
    let paw = lab.serve(&[]);
    let listening = began.elapsed();
    assert!(listening < START, "it listens after {listening:?}");
    assert_eq!(paw.statuses().await.as_object().unwrap().len(), 2 * GOOD);
    for name in &names {
        paw.connected(name).await;
        assert_eq!(paw.say(name, "echo", json!({ "text": name })).await, *name);
    }
    for (settings, states) in &broken {
        let name = settings["name"].as_str().unwrap();
        let status = paw.until(name, "is where it ends", |status| states.iter().any(|it| status["state"] == *it)).await;
        assert_eq!((&status["connected"], &status["tool_count"]), (&json!(false), &json!(0)), "{settings}");
        let is_told = !status["error"].as_str().unwrap().is_empty() || status["connecting"] == true;
        assert!(is_told, "{settings}: {status}");
    }
    // Nor does the end.
    paw.server.stop();
    assert_eq!(lab.alive(), [0; 0]);
}
