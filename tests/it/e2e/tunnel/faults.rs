//! What goes wrong, and what becomes of it.

use super::*;

/// The next event about the tunnel in which it is in that state.
async fn told(stream: &mut Stream, state: &str) -> Value {
    loop {
        let event = stream.next().await.expect("an event");
        let data = &event.data["data"];
        if event.name == "tunnel_status" && data["state"] == state {
            return data.clone();
        }
    }
}

#[tokio::test]
async fn after_a_crash_there_is_another_one_under_another_name() {
    let second = "quiet-river-def456.trycloudflare.com";
    let crash = [json!(["until", "crash"]), json!(["say", "panic: runtime error"]), json!(["exit", 2])];
    let lab = Lab::new(&[up(HOST, &crash), up(second, &[])]);
    let paw = lab.serve(&[]);
    let mut stream = paw.events().await;
    paw.start().await;
    assert_eq!(told(&mut stream, "up").await["url"], url());
    let since = paw.client.get("/api/v1/events/poll").await.json()["since"].as_str().unwrap().to_owned();
    assert_eq!(paw.picture().await, url());

    lab.stand_in.go_on("crash");
    let waiting = told(&mut stream, "backing_off").await;
    assert_eq!(waiting["error"], "cloudflared exited with status 2");
    assert_eq!(waiting["lines"].as_array().unwrap().last(), Some(&json!("panic: runtime error")));
    let again = told(&mut stream, "up").await;
    assert_eq!((&again["url"], &again["restarts"]), (&json!(format!("https://{second}")), &json!(1)));
    assert_eq!(paw.picture().await, format!("https://{second}"));
    assert_eq!(paw.start().await["url"], format!("https://{second}"));

    // Whoever polls hears the same.
    let polled = paw.client.get(&format!("/api/v1/events/poll?since={since}&wait=0")).await.json();
    let states: Vec<_> =
        polled["events"].as_array().unwrap().iter().map(|event| event["data"]["state"].clone()).collect();
    assert!(states.ends_with(&[json!("up")]) && states.contains(&json!("backing_off")), "{polled}");
    let metrics: Vec<_> = lab.stand_in.runs().iter().map(|run| run.flag("--metrics").map(str::to_owned)).collect();
    assert_eq!(metrics.len(), 2);
    paw.server.stop();
    assert_eq!(lab.stand_in.alive(), [0; 0]);
}

/// With the real pace: a probe every ten seconds.
#[tokio::test]
async fn after_three_bad_probes_it_is_opened_anew() {
    let second = "quiet-river-def456.trycloudflare.com";
    let lab = Lab::new(&[up(HOST, &[json!(["until", "lost"]), json!(["ready", false])]), up(second, &[])]);
    let paw = lab.serve(&[]);
    let mut stream = paw.events().await;
    paw.start().await;
    lab.stand_in.go_on("lost");
    let began = Instant::now();
    let degraded = told(&mut stream, "degraded").await;
    assert_eq!(degraded["url"], url());
    assert_eq!(
        degraded["error"],
        "cloudflared is not connected to Cloudflare (its /ready says 503 Service Unavailable)"
    );
    told(&mut stream, "backing_off").await;
    let took = began.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(60)).contains(&took), "{took:?}");
    assert_eq!(told(&mut stream, "up").await["url"], format!("https://{second}"));
    assert_eq!(lab.stand_in.alive().len(), 1, "the first one has ended");
    paw.server.stop();
}

#[tokio::test]
async fn one_that_takes_forty_seconds_comes_up_after_its_answer() {
    let steps = json!([["wait", 40], ["listen"], ["hostname", HOST], ["ready", true]]);
    let lab = Lab::new(&[steps]);
    let paw = lab.serve(&[]);
    let began = Instant::now();
    let answer = paw.start().await;
    assert!((Duration::from_secs(30)..Duration::from_secs(40)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!((&answer["active"], &answer["url"]), (&json!(false), &Value::Null));
    assert!(
        answer["error"].as_str().unwrap().contains("still trying; look at the status again, or stop it"),
        "{answer}"
    );
    assert_eq!(paw.status().await["state"], "connecting");
    let up = paw.until("up").await;
    assert!(began.elapsed() >= Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!(up["url"], url());
    paw.server.stop();
}

#[tokio::test]
async fn one_that_ends_at_once_is_told_with_its_reason() {
    let steps = json!([["say", "ERR failed to request quick Tunnel: 429 Too Many Requests"], ["exit", 1]]);
    let lab = Lab::new(&[steps]);
    let paw = lab.serve(&[]);
    let told = "cloudflared exited with status 1 before the tunnel was up; its last words: \
                ERR failed to request quick Tunnel: 429 Too Many Requests";
    for path in ["/api/remote/start", "/api/v1/remote/start"] {
        assert_eq!(paw.post(path).await, json!({ "active": false, "url": null, "error": told }));
    }
    let status = paw.status().await;
    assert_eq!((&status["state"], &status["error"]), (&json!("failed"), &json!(told)));
    assert_eq!(lab.stand_in.runs().len(), 2);
    paw.server.stop();
}

#[tokio::test]
async fn a_flood_of_output_takes_no_memory() {
    let flood = [json!(["until", "flood"]), json!(["flood"])];
    let lab = Lab::new(&[up(HOST, &flood)]);
    let paw = lab.serve(&[]);
    paw.start().await;
    let before = paw.server.process.memory();
    lab.stand_in.go_on("flood");
    // Each number stands for twenty kilobytes.
    let written = async || {
        let lines = paw.status().await["lines"].clone();
        let last = lines.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
        last.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default()
    };
    eventually("50 MB are written", async || (written().await > 2_500).then_some(())).await;
    if let (Some(before), Some(after)) = (before, paw.server.process.memory()) {
        assert!(after < before + 16 * 1024 * 1024, "{before} {after}");
    }
    assert_eq!(paw.stop().await["active"], false);
    assert_eq!(lab.stand_in.alive(), [0; 0]);
    paw.server.stop();
}
