//! How it is known how a tunnel is.

use super::*;
use pawport::domain::output::{LINE_BYTES, LINES};

/// The next news that is no repetition of this.
async fn news_but(tunnel: &mut Box<dyn OpenTunnel>, known: &TunnelNews) -> TunnelNews {
    soon(async {
        loop {
            let news = tunnel.next().await;
            if news != *known {
                return news;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_tunnel_that_is_connected_is_healthy() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let mut tunnel = lab.open().await;
    for _ in 0..5 {
        assert_eq!(soon(tunnel.next()).await, TunnelNews::Healthy);
    }
    tunnel.close().await;
}

#[tokio::test]
async fn it_is_asked_once_in_a_while() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let mut tunnel = lab.start_at(Pace { probes: Duration::from_millis(700), ..PACE }).await;
    soon(tunnel.public()).await.unwrap();
    let began = Instant::now();
    assert_eq!(soon(tunnel.next()).await, TunnelNews::Healthy);
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    tunnel.close().await;
}

#[tokio::test]
async fn whatever_is_wrong_is_told() {
    for (ready, told) in [
        (json!(false), "cloudflared is not connected to Cloudflare (its /ready says 503 Service Unavailable)"),
        (json!("close"), "cloudflared does not say how it is: nothing answers at its metrics address"),
        (json!("hang"), "cloudflared does not say how it is within 2 seconds"),
    ] {
        let steps =
            [json!(["until", "bad"]), json!(["ready", ready]), json!(["until", "good"]), json!(["ready", true])];
        let mut lab = Lab::new(&[up(HOST, &steps)]);
        let mut tunnel = lab.open().await;
        lab.stand_in.go_on("bad");
        let unhealthy = news_but(&mut tunnel, &TunnelNews::Healthy).await;
        assert_eq!(unhealthy, TunnelNews::Unhealthy(told.to_owned()));
        lab.stand_in.go_on("good");
        assert_eq!(news_but(&mut tunnel, &unhealthy).await, TunnelNews::Healthy);
        tunnel.close().await;
        lab.assert_nothing_left();
    }
}

#[tokio::test]
async fn its_end_is_told_at_once() {
    for (end, how) in [
        (json!(["exit", 0]), "exited with status 0"),
        (json!(["exit", 1]), "exited with status 1"),
        (json!(["signal", 9]), "was ended by signal 9 (KILL)"),
    ] {
        let mut lab = Lab::new(&[up(HOST, &[json!(["until", "crash"]), end])]);
        // Nobody waits for the next probe.
        let mut tunnel = lab.start_at(Pace { probes: Duration::from_secs(3600), ..PACE }).await;
        soon(tunnel.public()).await.unwrap();
        lab.stand_in.go_on("crash");
        assert_eq!(soon(tunnel.next()).await, TunnelNews::Ended(how.to_owned()));
        assert_eq!(soon(tunnel.next()).await, TunnelNews::Ended(how.to_owned()), "asked again");
        tunnel.close().await;
        lab.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_it_writes_is_read_for_ever_and_kept_in_bounds() {
    // Before its address and after it, 20 MB each time; a program that nobody reads stops at 64 KB.
    let steps =
        [json!(["flood", 1000]), json!(["box", format!("https://{HOST}")]), json!(["listen"]), json!(["ready", true])];
    let then = [json!(["flood", 1000]), json!(["say", "done"]), json!(["until", "more"]), json!(["flood"])];
    let steps: Vec<_> = steps.iter().chain(&then).cloned().collect();
    let mut lab = Lab::new(&[json!(steps)]);
    let mut tunnel = lab.open().await;
    // Between the calls, too.
    eventually("it has written all", || lab.tail.to_vec().iter().any(|line| line == "done")).await;
    let lines = lab.tail.to_vec();
    assert!(lines.len() <= LINES && lines.iter().all(|line| line.len() <= LINE_BYTES), "{lines:?}");
    assert_eq!(soon(tunnel.next()).await, TunnelNews::Healthy);
    lab.stand_in.go_on("more");
    eventually("it writes again", || lab.tail.to_vec().iter().all(|line| line != "done")).await;
    // It writes for ever, and ends all the same.
    soon(tunnel.close()).await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn what_it_writes_cannot_paint_a_terminal() {
    let words = ["\u{1b}[2J\u{1b}[31mred\u{7}", "ünïcödé", "\u{0}nul", "carriage\rreturn"];
    let steps: Vec<_> = words.iter().map(|text| json!(["say", text])).chain([json!(["exit", 1])]).collect();
    let mut lab = Lab::new(&[json!(steps)]);
    lab.failure().await;
    assert_eq!(lab.tail.to_vec(), ["[2J[31mred", "ünïcödé", "nul", "carriagereturn"]);
}

/// What was taken as it is, because nothing could be learned of it, is not ended for that.
#[tokio::test]
async fn a_tunnel_whose_metrics_never_answered_is_held_until_they_do() {
    let steps = [
        json!(["box", format!("https://{HOST}")]),
        json!(["until", "metrics"]),
        json!(["listen"]),
        json!(["until", "good"]),
        json!(["ready", true]),
        json!(["until", "silent"]),
        json!(["ready", "close"]),
        json!(["until", "crash"]),
        json!(["exit", 1]),
    ];
    let mut lab = Lab::new(&[json!(steps)]);
    let mut tunnel = lab.open().await;
    for _ in 0..5 {
        assert_eq!(soon(tunnel.next()).await, TunnelNews::Healthy);
    }
    // From now on it can be asked.
    lab.stand_in.go_on("metrics");
    let bad = news_but(&mut tunnel, &TunnelNews::Healthy).await;
    assert!(matches!(&bad, TunnelNews::Unhealthy(told) if told.contains("503")), "{bad:?}");
    lab.stand_in.go_on("good");
    assert_eq!(news_but(&mut tunnel, &bad).await, TunnelNews::Healthy);
    lab.stand_in.go_on("silent");
    let bad = news_but(&mut tunnel, &TunnelNews::Healthy).await;
    assert!(matches!(&bad, TunnelNews::Unhealthy(told) if told.contains("nothing answers")), "{bad:?}");
    lab.stand_in.go_on("crash");
    assert_eq!(news_but(&mut tunnel, &bad).await, TunnelNews::Ended("exited with status 1".to_owned()));
    tunnel.close().await;
    lab.assert_nothing_left();
}

#[tokio::test]
async fn what_it_wrote_last_is_known_when_its_end_is() {
    for _ in 0..10 {
        let crash = [json!(["until", "crash"]), json!(["flood", 50]), json!(["say", "last words"]), json!(["exit", 2])];
        let mut lab = Lab::new(&[up(HOST, &crash)]);
        let mut tunnel = lab.open().await;
        lab.stand_in.go_on("crash");
        news_but(&mut tunnel, &TunnelNews::Healthy).await;
        // Nobody knows which of the two streams was read last.
        assert!(lab.tail.to_vec().iter().any(|line| line == "last words"), "{:?}", lab.tail.to_vec());
        // Asked again, it is the same.
        assert!(matches!(soon(tunnel.public()).await, Err(OpenError::Exited { .. })));
        assert!(matches!(soon(tunnel.next()).await, TunnelNews::Ended(_)));
        tunnel.close().await;
    }
}
