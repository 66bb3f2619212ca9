//! The tunnel from the terminal.

use super::*;
use crate::e2e::binary::Ended;
use crate::e2e::binary::Output;
use nix::pty::{Winsize, openpty};
use std::fs::File;

#[track_caller]
fn success(ended: &Ended) -> &str {
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    &ended.stdout
}

#[track_caller]
fn failure(ended: &Ended) -> &str {
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    &ended.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_started_shown_and_stopped() {
    let lab = Lab::new(&[up(HOST, &[json!(["say", "INF connected"])])]);
    let paw = lab.serve(&[]);
    let path = lab.stand_in.program().display().to_string();
    let status = lab.program(&["tunnel", "status"]).run();
    let shown = success(&status);
    assert!(
        shown.starts_with("down since 20") && shown.contains(&format!("cloudflared 2026.1.2 at {path}")),
        "{shown}"
    );

    let started = lab.program(&["tunnel", "start"]).run();
    let shown = success(&started);
    assert!(shown.starts_with(&format!("public at {}\n", url())), "{shown}");
    assert!(shown.contains("pawport pair") && shown.contains("pawport tunnel stop"), "{shown}");
    assert_eq!(success(&lab.program(&["tunnel", "start"]).run()), shown, "it is there already");

    eventually("it has written", async || {
        let status = lab.program(&["tunnel", "status"]).run();
        let shown = success(&status);
        assert!(shown.starts_with("up since 20") && shown.contains(&format!("url      {}", url())), "{shown}");
        shown.contains("INF connected").then_some(())
    })
    .await;
    let report = lab.program(&["doctor"]).run();
    assert!(
        report.stdout.contains(&format!("open at {}; made by cloudflared 2026.1.2 at {path}", url())),
        "{report:?}"
    );
    let paired = lab.program(&["pair"]).run();
    assert!(scan::terminal(success(&paired)).starts_with(&format!("{}/?token=", url())), "{paired:?}");

    for _ in 0..2 {
        assert_eq!(success(&lab.program(&["tunnel", "stop"]).run()), "there is no tunnel any more\n");
    }
    assert_eq!((lab.stand_in.alive(), paw.status().await["state"].clone()), (vec![], json!("down")));
    assert_eq!(lab.stand_in.runs().len(), 1);
    paw.server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_what_to_do() {
    let lab = Lab::new(&[json!([["say", "ERR no network"], ["exit", 1]])]);
    for command in ["start", "stop", "status"] {
        let ended = lab.program(&["tunnel", command]).run();
        assert!(failure(&ended).contains("start one with pawport serve"), "{ended:?}");
    }
    let paw = lab.serve(&[]);
    let ended = lab.program(&["tunnel", "start"]).run();
    assert!(failure(&ended).contains("exited with status 1") && ended.stderr.contains("ERR no network"), "{ended:?}");
    let shown = lab.program(&["tunnel", "status"]).run();
    assert!(success(&shown).starts_with("failed since 20") && shown.stdout.contains("\nerror    "), "{shown:?}");
    paw.server.stop();

    // Not installed: nothing is called cloudflared where this server looks.
    let nowhere = lab.place.path("no-programs");
    std::fs::create_dir(&nowhere).unwrap();
    let server = lab.place.program_with_data(&["serve", "--port", "0"]).env("PATH", &nowhere).start();
    let ended = lab.program(&["tunnel", "start"]).run();
    let told = failure(&ended);
    assert!(told.contains("cloudflared is not installed") && told.contains("PAWPORT_CLOUDFLARED"), "{told}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_starts_with_it_and_says_where() {
    let lab = Lab::new(&[up(HOST, &[])]);
    for (flag, variable) in [("--tunnel", None), ("--tunnel=true", None), ("--log=info", Some("true"))] {
        let mut program = lab.program(&["serve", "--port", "0", flag]);
        if let Some(value) = variable {
            program = program.env("PAWPORT_TUNNEL", value);
        }
        let paw = lab.started(program);
        let wanted = format!("public at {}\n", url());
        let written = paw.server.process.stdout().wait_until("it says where", |text| text.contains(&wanted));
        // A code in a log could be used by whoever reads that.
        assert!(written.ends_with(&wanted) && !written.contains("token="), "{written}");
        assert_eq!(paw.status().await["state"], "up");
        let noted = paw.client.audited("tunnel_started").await;
        assert_eq!(
            (&noted[0]["status"], &noted[0]["context"]["credential"]["kind"]),
            (&json!("success"), &json!("loopback"))
        );
        paw.server.stop();
        assert_eq!(lab.stand_in.alive(), [0; 0]);
    }
    let paw = lab.serve(&["--tunnel=false"]);
    assert_eq!(paw.status().await["state"], "down");
    paw.server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_serve_shows_a_code_for_a_phone() {
    let lab = Lab::new(&[up(HOST, &[])]);
    let size = Winsize { ws_row: 60, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).unwrap();
    let screen = Output::of(File::from(terminal.master));
    let program = lab.program(&["serve", "--port", "0", "--tunnel"]).stdout(File::from(terminal.slave));
    let process = program.spawn();
    let address = format!("{}/?token=", url());
    let shown = screen.wait_until("a code is shown", |text| text.contains(&address) && text.ends_with("\r\n\r\n"));
    let shown = shown.replace('\r', "");
    assert!(shown.contains(&format!("public at {}\n", url())), "{shown}");
    let line = shown.lines().find(|line| line.starts_with(&address)).unwrap();
    assert_eq!(scan::terminal(&shown), line);
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_runs_without_a_tunnel_that_cannot_be_opened() {
    let lab = Lab::new(&[json!([["exit", 1]]), json!([["exit", 1]]), up(HOST, &[])]);
    // It fails, and is tried again by itself.
    let paw = lab.serve(&["--tunnel"]);
    paw.until("up").await;
    assert_eq!(lab.stand_in.runs().len(), 3);
    paw.server.stop();
    // It is not there.
    let missing = lab.place.path("missing");
    let program = lab.place.program_with_data(&["serve", "--port", "0", "--tunnel"]);
    let paw = lab.started(program.env("PAWPORT_CLOUDFLARED", &missing));
    let log = paw.server.process.stderr().wait_until("it says so", |log| log.contains("the tunnel is not opened"));
    assert!(log.contains("it is not there, or is no program; see PAWPORT_CLOUDFLARED"), "{log}");
    assert_eq!(paw.status().await["installed"], false);
    paw.server.stop();
}

#[test]
fn half_a_tunnel_of_ones_own_is_refused_before_anything_starts() {
    let place = Place::new();
    for (variable, value, told) in [
        ("PAWPORT_TUNNEL_TOKEN", "secret-token", "without the public hostname of that tunnel: give --tunnel-hostname"),
        (
            "PAWPORT_TUNNEL_HOSTNAME",
            "paw.example.org",
            "without the token of that tunnel: give PAWPORT_TUNNEL_TOKEN_FILE",
        ),
        ("PAWPORT_TUNNEL_HOSTNAME", "https://paw.example.org", "a name such as paw.example.org, without https://"),
        ("PAWPORT_TUNNEL", "maybe", "true or false"),
    ] {
        let ended = place.program_with_data(&["serve", "--port", "0"]).env(variable, value).run();
        assert!(failure(&ended).contains(told) && !ended.stderr.contains("secret-token"), "{ended:?}");
    }
    let ended = place.program_with_data(&["serve", "--tunnel-token", "x"]).run();
    assert_eq!(ended.code(), Some(2), "a token is never on the command line: {ended:?}");
}
