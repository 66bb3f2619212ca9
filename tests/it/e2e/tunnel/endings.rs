//! However it ends, nothing is left.

use super::*;
use crate::e2e::shutdown::{stopping, unfinished_request};
use nix::sys::signal::Signal;

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_the_tunnel() {
    for steps in [vec![], vec![json!(["grandchild"])], vec![json!(["ignore-term"]), json!(["grandchild"])]] {
        let lab = Lab::new(&[up(HOST, &[&steps[..], &[json!(["say", "done"])]].concat())]);
        let paw = lab.serve(&["--shutdown-timeout", "20"]);
        paw.start().await;
        eventually("all run", async || {
            paw.status().await["lines"].as_array().unwrap().contains(&json!("done")).then_some(())
        })
        .await;
        paw.server.stop();
        assert_eq!(lab.stand_in.alive(), [0; 0], "{steps:?}");
        assert_eq!(lab.place.data_dir().join("children").read_dir().unwrap().count(), 0, "nothing is left to be swept");
    }
}

#[tokio::test]
async fn a_server_that_stops_while_it_starts_one_leaves_none() {
    let lab = Lab::new(&[json!([])]);
    let paw = lab.serve(&["--shutdown-timeout", "20"]);
    let signalled = async {
        eventually("its program runs", async || (!lab.stand_in.alive().is_empty()).then_some(())).await;
        paw.server.process.signal(Signal::SIGTERM);
        Instant::now()
    };
    let (answer, began) = tokio::join!(paw.start(), signalled);
    // Nobody has to wait for the half minute that it may take.
    assert_eq!(answer["active"], false);
    assert!(answer["error"].as_str().unwrap().contains("stopp"), "{answer}");
    let ended = paw.server.process.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(lab.stand_in.alive(), [0; 0]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let lab = Lab::new(&[up(HOST, &[json!(["ignore-term"]), json!(["grandchild"])])]);
    let paw = lab.serve(&["--shutdown-timeout", "300"]);
    paw.start().await;
    eventually("both run", async || (lab.stand_in.alive().len() == 2).then_some(())).await;
    let request = unfinished_request(&paw.server);
    paw.server.process.signal(Signal::SIGTERM);
    stopping(&paw.server);
    paw.server.process.signal(Signal::SIGTERM);
    let ended = paw.server.process.end();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    // By a signal that nobody refuses, which takes a moment.
    eventually("both are gone", async || lab.stand_in.alive().is_empty().then_some(())).await;
    drop(request);
}

#[tokio::test]
async fn a_killed_server_leaves_no_tunnel() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let lab = Lab::new(&[up(HOST, &[json!(["ignore-term"]), json!(["grandchild"])]), up(HOST, &[])]);
    let paw = lab.serve(&[]);
    paw.start().await;
    eventually("both run", async || (lab.stand_in.alive().len() == 2).then_some(())).await;
    let program = lab.stand_in.runs().pop().unwrap().pid;
    paw.server.kill();
    // The program itself goes at once, so nobody comes through it; nothing tells what it has started.
    eventually("it is gone", async || (!lab.stand_in.alive().contains(&program)).then_some(())).await;
    let paw = lab.serve(&[]);
    // It swept before it said that it listens.
    assert_eq!(lab.stand_in.alive(), [0; 0]);
    // A tunnel that somebody started is not started again by itself.
    assert_eq!(paw.status().await["state"], "down");
    paw.server.stop();
}

/// The same as in `tests/it/tunnel/cycles.rs`, with everything that the real program has, and fewer times.
#[tokio::test]
async fn many_tunnels_leave_nothing_in_the_server() {
    let lab = Lab::new(&[up(HOST, &[])]);
    let paw = lab.serve(&[]);
    let cycle = async || {
        assert_eq!(paw.start().await["url"], url());
        assert_eq!(paw.stop().await["active"], false);
        assert_eq!(lab.stand_in.alive(), [0; 0]);
    };
    for _ in 0..20 {
        cycle().await;
    }
    let before = paw.server.process.open_files();
    for _ in 0..80 {
        cycle().await;
    }
    eventually("its files are closed", async || (paw.server.process.open_files() <= before).then_some(())).await;
    assert_eq!(lab.place.data_dir().join("children").read_dir().unwrap().count(), 0);
    paw.server.stop();
}
