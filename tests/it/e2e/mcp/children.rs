//! No program outlives what it was started for, and neither does what it has started itself.

use super::*;
use crate::e2e::shutdown::{stopping, unfinished_request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// An odd server that refuses to end and has started two processes that refuse it, too: one that has the mark and one that
/// has not. Gives their group.
async fn defiant(paw: &Paw, lab: &Lab, name: &str) -> u32 {
    paw.connect(&lab.odd(name, &["stubborn"])).await;
    let group = paw.group(name).await;
    for tool in ["spawn", "spawn_bare"] {
        paw.say(name, tool, json!({})).await;
    }
    assert_eq!(members(group).len(), 3);
    group
}

/// Fails unless nothing of the group is alive soon.
async fn assert_ends(group: u32) {
    eventually(&format!("{:?} of the group {group} end", members(group)), async || {
        members(group).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_the_answer_comes_that_it_is_off_everything_has_ended() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let mut groups = Vec::new();
    for name in ["off", "removed", "replaced"] {
        groups.push(defiant(&paw, &lab, name).await);
    }
    let replacement = lab.odd("replaced", &["good"]);
    let off = async {
        let toggled = paw.toggle("off", false).await;
        assert_eq!(toggled, json!({ "status": "ok", "enabled": false, "connected": false }));
        assert_eq!(members(groups[0]), [0; 0]);
    };
    let removed = async {
        assert_eq!(paw.remove("removed").await.json()["status"], "ok");
        assert_eq!(members(groups[1]), [0; 0]);
    };
    let replaced = async {
        paw.add(&replacement).await;
        assert_eq!(members(groups[2]), [0; 0]);
    };
    tokio::join!(off, removed, replaced);
    paw.connected("replaced").await;
    assert_eq!(lab.alive(), [paw.group("replaced").await]);
    let status = paw.status("off").await;
    assert_eq!((&status["state"], &status["tool_count"]), (&json!("disabled"), &json!(0)));
    paw.server.stop();
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn a_test_leaves_nothing() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&["--mcp-test-timeout", "2"]);
    let [stubborn, silent, exit] = [["stubborn"], ["hang-initialize"], ["exit"]].map(|mode| lab.odd("a", &mode));
    let (good, silent, noisy) = tokio::join!(paw.test(&stubborn), paw.test(&silent), paw.test(&exit));
    assert_eq!(lab.alive(), [0; 0]);
    let (good, silent, noisy) = (good.json(), silent.json(), noisy.json());
    assert_eq!((&good["connected"], &good["error"]), (&json!(true), &json!(null)));
    assert!(silent["error"].as_str().unwrap().contains("did not answer within 2 seconds"), "{silent}");
    assert!(noisy["error"].as_str().unwrap().contains("exited with status 2"), "{noisy}");
    assert_eq!(noisy["stderr"], json!(["cannot find the key THE_KEY"]));
    assert_eq!(paw.statuses().await, json!({}));
    paw.server.stop();
}

#[tokio::test]
async fn a_test_ends_with_the_request() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let silent = lab.odd("a", &["hang-initialize"]);
    // As many as may run at a time.
    let tests = futures_util::future::join_all((0..4).map(|_| paw.test(&silent)));
    {
        let mut tests = std::pin::pin!(tests);
        eventually("all run", async || {
            let ended = tokio::time::timeout(Duration::from_millis(10), &mut tests).await;
            assert!(ended.is_err(), "a test has ended: {ended:?}");
            (lab.alive().len() == 4).then_some(())
        })
        .await;
        // Who is refused makes no room.
        for _ in 0..2 {
            let one_more = paw.test(&silent).await;
            assert!(refusal(&one_more, 503).contains("4 tests are running already"));
        }
    }
    eventually("nothing of the tests is alive", async || lab.alive().is_empty().then_some(())).await;
    assert_eq!(paw.test(&lab.odd("a", &["good"])).await.json()["connected"], true);
    assert_eq!(lab.alive(), [0; 0]);
    paw.server.stop();
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_all() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let group = defiant(&paw, &lab, "defiant").await;
    paw.connect(&lab.odd("good", &["good"])).await;
    paw.add(&lab.odd("silent", &["hang-initialize"])).await;
    paw.connect(&lab.program("real", mcp_servers::everything())).await;
    // What is being called meanwhile is finished, as every open request is.
    let body = json!({ "server": "good", "tool": "sleep", "arguments": { "seconds": 1 } });
    let hanging = Client::try_send(paw.client.request(Method::POST, "/api/v1/mcp/call").json(&body));
    let end = async {
        eventually("the call is on its way", async || {
            (!paw.client.audited("mcp_tool_called").await.is_empty()).then_some(())
        })
        .await;
        paw.server.process.signal(Signal::SIGTERM);
    };
    let (answer, ()) = tokio::join!(hanging, end);
    assert!(answer.is_ok_and(|answer| answer.status == 200), "the call was cut off");
    let ended = paw.server.process.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!((members(group), lab.alive()), (vec![], vec![]));
    assert_eq!(lab.place.data_dir().join("children").read_dir().unwrap().count(), 0, "nothing is left to be swept");
}

#[tokio::test]
async fn a_second_signal_and_the_deadline_end_all_at_once() {
    let Some(lab) = Lab::new() else { return };
    for by_signal in [true, false] {
        let paw = lab.serve(&["--shutdown-timeout", if by_signal { "300" } else { "1" }]);
        let group = defiant(&paw, &lab, "defiant").await;
        let request = unfinished_request(&paw.server);
        paw.server.process.signal(Signal::SIGTERM);
        stopping(&paw.server);
        if by_signal {
            paw.server.process.signal(Signal::SIGTERM);
        }
        let ended = paw.server.process.end();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        // By a signal that nobody refuses, which takes a moment.
        assert_ends(group).await;
        drop(request);
    }
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn what_a_killed_server_leaves_is_ended_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let group = defiant(&paw, &lab, "defiant").await;
    paw.connect(&lab.program("real", mcp_servers::everything())).await;
    let before = lab.alive();
    paw.server.kill();
    // The programs themselves go at once; nothing tells what they have started.
    eventually("the programs end", async || (!members(group).contains(&group)).then_some(())).await;
    assert_eq!(members(group).len(), 2);

    let paw = lab.serve(&[]);
    // It swept before it said that it listens.
    assert_eq!(members(group), [0; 0]);
    paw.server.process.stderr().wait_until("it says so", |log| log.contains("the last run left behind"));
    paw.connected("defiant").await;
    paw.connected("real").await;
    assert!(!lab.alive().iter().any(|pid| before.contains(pid)), "{before:?} were started by the last run");
    assert_eq!(paw.status("defiant").await["restarts"], 0);
    paw.server.stop();
    assert_eq!(lab.alive(), [0; 0]);
}

#[tokio::test]
async fn a_program_that_dies_in_a_call_is_started_again() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    paw.connect(&lab.odd("odd", &["good"])).await;
    for (restarts, how) in [(1, "was ended by signal 9 (KILL)"), (2, "exited with status 3")] {
        let group = paw.group("odd").await;
        let grandchild: u32 = paw.say("odd", "spawn_bare", json!({})).await.parse().unwrap();
        assert!(members(group).contains(&grandchild));
        let audited = paw.client.audited("mcp_tool_called").await.len();
        let calling = async {
            match restarts {
                1 => paw.call("odd", "hang", json!({})).await,
                _ => paw.call("odd", "die", json!({})).await,
            }
        };
        let killing = async {
            if restarts == 1 {
                eventually("it is being called", async || {
                    (paw.client.audited("mcp_tool_called").await.len() > audited).then_some(())
                })
                .await;
                kill(Pid::from_raw(group.try_into().unwrap()), Signal::SIGKILL).unwrap();
            }
            Instant::now()
        };
        let (answer, died) = tokio::join!(calling, killing);
        assert!(died.elapsed() < SOON, "{:?}", died.elapsed());
        // It may have died before the call reached it.
        let told = match answer.status {
            409 => refusal(&answer, 409),
            _ => refusal(&answer, 502),
        };
        assert!(told.contains(how), "{told}");
        let status = paw.until("odd", "is there again", |status| status["restarts"] == restarts).await;
        assert!(died.elapsed() >= Duration::from_millis(500), "there is a pause before: {:?}", died.elapsed());
        assert_eq!((&status["state"], &status["error"]), (&json!("connected"), &json!("")));
        assert_ends(group).await;
        assert_ne!(paw.group("odd").await, group);
    }
    paw.server.stop();
}

#[tokio::test]
async fn a_program_that_dies_again_and_again_is_started_ever_less_often() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let count = lab.place.path("starts");
    paw.add(&lab.odd("flaky", &["flaky", count.to_str().unwrap()])).await;
    let waiting = paw.until("flaky", "waits", |status| status["state"] == "backing_off").await;
    assert!(waiting["retry_at"].as_str().unwrap().ends_with('Z'), "{waiting}");
    assert!(waiting["error"].as_str().unwrap().contains("exited with status 1"), "{waiting}");
    assert!(waiting["stderr"][0].as_str().unwrap().starts_with("start "), "{waiting}");
    paw.connected("flaky").await;
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "3");
    // Somebody who switches it on while it waits need not wait: the pause after two more failures is two seconds or so.
    paw.add(&lab.odd("broken", &["exit"])).await;
    let waiting = paw.until("broken", "waits", |status| status["state"] == "backing_off").await;
    let retry_at = waiting["retry_at"].clone();
    paw.toggle("broken", true).await;
    let again = paw.until("broken", "was tried", |status| status["retry_at"] != retry_at).await;
    assert_eq!(again["enabled"], true);
    let toggled = paw.toggle("broken", false).await;
    assert_eq!(toggled["enabled"], false);
    assert_eq!(paw.status("broken").await["state"], "disabled");
    paw.server.stop();
    assert_eq!(lab.alive(), [0; 0]);
}
