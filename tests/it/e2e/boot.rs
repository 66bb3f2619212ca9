//! The start: what a server says, what it makes, and who may read that.

use super::binary::{Output, PATIENCE, Place};
use super::client::{Client, eventually, plain_slot};
use nix::pty::openpty;
use serde_json::json;
use std::fs::{File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

const TOKEN: &str = "a-token-of-my-own-0123456789-abcdef";

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

/// Adds a slot, has a delivery answered, and reads the session: something of everything that is stored.
async fn use_it(client: &Client) {
    let slot = client.add_slot(&plain_slot("boot")).await;
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.json();
    assert_eq!(answer["response"], "pong");
    assert_eq!(client.get("/api/sessions").await.json()["total"], 1);
}

#[test]
fn a_program_that_waits_reads_the_address_and_nothing_else() {
    let place = Place::new();
    let server = place.serve(&[]);
    let address = server.address;
    assert_ne!(address.port(), 0);
    let ended = server.stop();
    assert_eq!(ended.stdout, format!("listening on http://{address}\n"));
    assert!(ended.stderr.contains("stopped"), "the log is on standard error: {ended:?}");
}

#[tokio::test]
async fn once_the_line_is_there_requests_are_served() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    assert_eq!(client.get("/readyz").await.json()["status"], "ok");
    assert_eq!(client.get("/healthz").await.json()["status"], "ok");
    assert_eq!(client.get("/api/version").await.json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(Client::new(server.address, "another").get("/api/version").await.status, 401);
    assert_eq!(Client::new(server.address, "another").get("/api/unknown").await.status, 401);
    server.stop();
}

#[test]
fn a_person_at_a_terminal_is_told_how_to_go_on() {
    let place = Place::new();
    let terminal = openpty(None, None).unwrap();
    let screen = Output::of(File::from(terminal.master));
    let server = place.program_with_data(&["serve", "--port", "0"]).stdout(terminal.slave).spawn();
    let text = screen.wait_until("the token is explained", |text| text.contains("token show"));
    let text = text.replace("\r\n", "\n");

    let first = text.lines().next().unwrap();
    let url = first.strip_prefix("listening on ").unwrap();
    url.strip_prefix("http://").unwrap().parse::<SocketAddr>().unwrap();
    assert!(text.lines().skip(1).any(|line| line.contains(&format!("{url}/"))), "the dashboard's address: {text}");
    assert!(!text.contains(&place.token()), "{text}");
    server.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn the_command_that_shows_the_token_works_as_it_is_printed() {
    let place = Place::new();
    let terminal = openpty(None, None).unwrap();
    let screen = Output::of(File::from(terminal.master));
    let server = place.program_with_data(&["serve", "--port", "0"]).stdout(terminal.slave).spawn();
    let text = screen.wait_until("the token is explained", |text| {
        text.split_once("pawport token show").is_some_and(|(_, rest)| rest.contains('\n'))
    });
    let (_, rest) = text.split_once("pawport token show").unwrap();
    let flags: Vec<_> = rest.lines().next().unwrap().split_whitespace().collect();
    let shown = place.program(&[&["token", "show"], &flags[..]].concat()).run();
    assert_eq!(shown.stdout, format!("{}\n", place.token()), "{shown:?}");
    drop(server);
}

#[tokio::test]
async fn nobody_else_can_read_what_is_kept() {
    let place = Place::new();
    let server = place.program_after("umask 000", &["serve", "--port", "0"]).start();
    use_it(&server.client(&place)).await;

    let data_dir = place.data_dir();
    assert_eq!(mode(&data_dir), 0o700);
    let mut names = Vec::new();
    for entry in data_dir.read_dir().unwrap() {
        let entry = entry.unwrap();
        let expected = if entry.path().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry.path()), expected, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    for name in ["pawport.db", "pawport.db-wal", "pawport.db-shm", "access_token", "vault.key"] {
        assert!(names.iter().any(|file| file == name), "{name} is not among {names:?}");
    }
    server.stop();
}

#[tokio::test]
async fn a_database_elsewhere_is_private_too() {
    let place = Place::new();
    let folder = place.path("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite://{}/paw.db", folder.display());
    let server = place.program_after("umask 000", &["serve", "--port", "0", "--database-url", &url]).start();
    use_it(&server.client(&place)).await;
    let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    // The database with its log and index, and its lock.
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    server.stop();
}

#[tokio::test]
async fn what_others_could_read_is_made_private_at_the_start() {
    let place = Place::new();
    let server = place.serve(&[]);
    use_it(&server.client(&place)).await;
    server.stop();
    let files = ["pawport.db", "access_token", "vault.key"].map(|name| place.data_dir().join(name));
    for file in &files {
        std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::set_permissions(place.data_dir(), Permissions::from_mode(0o755)).unwrap();

    let server = place.serve(&[]);
    assert_eq!(mode(&place.data_dir()), 0o700);
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!(server.client(&place).get("/api/sessions").await.json()["total"], 1);
    server.stop();
}

#[tokio::test]
async fn a_database_in_memory_is_forgotten_and_leaves_no_file() {
    let place = Place::new();
    let server = place.serve(&["--database-url", "memory:"]);
    use_it(&server.client(&place)).await;
    let ended = server.stop();
    assert!(ended.stderr.contains("memory"), "it says that nothing is kept: {ended:?}");
    assert!(!place.data_dir().join("pawport.db").exists());

    let server = place.serve(&["--database-url", "memory:"]);
    assert_eq!(server.client(&place).get("/api/sessions").await.json()["total"], 0);
    server.stop();
}

#[tokio::test]
async fn the_token_stays_the_same_over_restarts() {
    let place = Place::new();
    place.serve(&[]).stop();
    let first = place.token();
    let server = place.serve(&[]);
    assert_eq!(place.token(), first);
    assert_eq!(Client::new(server.address, &first).get("/api/version").await.status, 200);
    server.stop();
}

#[tokio::test]
async fn the_token_can_be_fixed_by_variable_and_by_file() {
    let place = Place::new();
    let file = place.path("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    for (name, value) in [("PAWPORT_ACCESS_TOKEN", Path::new(TOKEN)), ("PAWPORT_ACCESS_TOKEN_FILE", &file)] {
        let server = place.program_with_data(&["serve", "--port", "0"]).env(name, value).start();
        assert_eq!(Client::new(server.address, TOKEN).get("/api/version").await.status, 200, "{name}");
        assert!(!place.data_dir().join("access_token").exists(), "a fixed token is not written down");
        server.stop();
    }
}

#[test]
fn every_log_line_in_json_is_an_object() {
    let place = Place::new();
    let log = place.serve(&["--log-format", "json", "--log", "debug"]).stop().stderr;
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_server_whose_reader_has_gone_serves_on() {
    let place = Place::new();
    let port = free_port();
    let [stdout, stderr] = [(); 2].map(|()| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    });
    let program = place.program_with_data(&["serve", "--log", "trace", "--port", &port.to_string()]);
    let server = program.env("PAWPORT_ACCESS_TOKEN", TOKEN).stdout(stdout).stderr(stderr).spawn();
    // It cannot say when it is ready, so it is asked.
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], port)), TOKEN);
    eventually("the server is ready", async || {
        let answer = Client::try_send(client.request(reqwest::Method::GET, "/readyz")).await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    use_it(&client).await;
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0));
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_server_is_ready_soon() {
    // The aim is 100 ms; this catches what is far from it, such as a wait of some seconds, on a machine that is busy.
    let place = Place::new();
    let began = Instant::now();
    let server = place.serve(&[]);
    assert!(began.elapsed() < PATIENCE / 10, "{:?}", began.elapsed());
    server.stop();
}

#[test]
fn who_lets_strangers_in_is_told_what_that_means() {
    let place = Place::new();
    for (host, expected) in [("127.0.0.1", 0), ("127.0.0.2", 0), ("::1", 0), ("0.0.0.0", 1), ("::", 1)] {
        let log = place.serve(&["--host", host]).stop().stderr;
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("other machines can reach")).collect();
        assert_eq!(warnings.len(), expected, "{host}: {log}");
        for part in ["WARN", "credential", "not encrypted", "docs/security.md"] {
            assert!(warnings.iter().all(|line| line.contains(part)), "{part}: {log}");
        }
    }
    let log = place.serve(&["--trusted-proxies", "0.0.0.0/0"]).stop().stderr;
    assert!(log.contains("trusted_proxies names every address"), "{log}");
}
