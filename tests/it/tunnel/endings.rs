//! How a tunnel ends: nothing of it is left.

use super::*;

#[tokio::test]
async fn a_program_that_is_asked_to_end_ends() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let mut tunnel = lab.open().await;
    assert_eq!(lab.stand_in.alive().len(), 1);
    soon(tunnel.close()).await;
    lab.assert_nothing_left();
    // It was not killed.
    let last = lab.tail.to_vec().pop();
    assert_eq!(last.as_deref(), Some("INF Initiating graceful shutdown due to signal terminated ..."));
    tunnel.close().await;
    assert!(matches!(soon(tunnel.next()).await, TunnelNews::Ended(_)));
}

#[tokio::test]
async fn one_that_does_not_heed_that_is_killed() {
    let mut lab = Lab::new(&[up(HOST, &[json!(["ignore-term"]), json!(["say", "stubborn"])])]);
    let mut tunnel = lab.open().await;
    eventually("it is stubborn", || lab.tail.to_vec().iter().any(|line| line == "stubborn")).await;
    let began = Instant::now();
    soon(tunnel.close()).await;
    lab.assert_nothing_left();
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_it_has_started_ends_with_it() {
    let steps = [json!(["grandchild"]), json!(["say", "started"]), json!(["until", "crash"]), json!(["exit", 1])];
    for crashes in [false, true] {
        let mut lab = Lab::new(&[up(HOST, &steps)]);
        let mut tunnel = lab.open().await;
        eventually("both run", || lab.stand_in.alive().len() == 2).await;
        eventually("the other is stubborn", || lab.tail.to_vec().iter().any(|line| line == "started")).await;
        if crashes {
            lab.stand_in.go_on("crash");
            // When its end is told the other one has ended, too.
            soon(async { while !matches!(tunnel.next().await, TunnelNews::Ended(_)) {} }).await;
            lab.assert_nothing_left();
        }
        soon(tunnel.close()).await;
        lab.assert_nothing_left();
    }
}

#[tokio::test]
async fn one_that_is_dropped_is_killed() {
    for steps in [json!([]), up(HOST, &[json!(["ignore-term"]), json!(["grandchild"])])] {
        let mut lab = Lab::new(&[steps]);
        let tunnel = lab.start().await;
        eventually("it runs", || !lab.stand_in.alive().is_empty()).await;
        drop(tunnel);
        eventually("it is gone", || lab.stand_in.alive().is_empty()).await;
        lab.tasks.close();
        soon(lab.tasks.wait()).await;
        lab.assert_nothing_left();
    }
}

#[tokio::test]
async fn an_opening_can_be_ended_at_any_time() {
    for moment in [0, 20, 60, 150, 400] {
        let steps =
            json!([["wait", 0.1], ["listen"], ["wait", 0.1], ["hostname", HOST], ["wait", 0.1], ["ready", true]]);
        let mut lab = Lab::new(&[steps]);
        let mut tunnel = lab.start().await;
        let _ = tokio::time::timeout(Duration::from_millis(moment), tunnel.public()).await;
        soon(tunnel.close()).await;
        lab.assert_nothing_left();
    }
}
