//! The program on a PostgreSQL server: that nothing acknowledged is lost when one of the two ends, and what is said when the
//! server is away, is locked or refuses.

use super::binary::{Place, Server};
use super::client::{Client, eventually, plain_slot};
use super::restart::{assert_each_is_answered_once, deliver, deliver_through_kills};
use crate::support::postgres::{self, Cluster, Database};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many deliveries each of the fifty senders sends: 2,000 in all.
const EACH: usize = 40;

/// Ends every connection but the one that says so, as a cut in the network would.
const CUT_OFF: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_is_answered_once_although_the_server_is_killed() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let place = Place::with_database(database.url());
    let settings = json!({ "name": "load", "scheme": "standard" });
    let (server, _, acknowledged) = deliver_through_kills(&place, &settings, EACH).await;
    assert_each_is_answered_once(&server.client(&place), &acknowledged).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_is_answered_once_although_the_database_is_restarted() {
    if !postgres::is_available() {
        return;
    }
    let mut cluster = Cluster::start("plain");
    let database = cluster.database();
    let place = Place::with_database(database.url());
    let restart = |count: usize, server: Server| {
        let how = match count {
            400 | 1_500 => "fast",
            900 => "immediate",
            _ => return server,
        };
        cluster.stop(how);
        std::thread::sleep(Duration::from_millis(300));
        cluster.start_again();
        server
    };
    let settings = json!({ "name": "load", "scheme": "standard" });
    let (mut server, _, acknowledged) = deliver(&place, &settings, EACH, restart).await;
    assert!(server.process.is_running());
    assert_each_is_answered_once(&server.client(&place), &acknowledged).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_requests_are_told_to_come_again() {
    if !postgres::is_available() {
        return;
    }
    let mut cluster = Cluster::start("plain");
    let database = cluster.database();
    let place = Place::with_database(database.url());
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("load")).await;
    let ready = client.get("/readyz").await;
    assert_eq!(ready.json(), json!({ "status": "ok", "storage": "postgresql", "search": "pg_trgm" }));

    cluster.stop("fast");
    let began = Instant::now();
    let refused = client.deliver(&slot, "", &json!({ "content": "while it is away" })).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert!(began.elapsed() < Duration::from_secs(15), "an answer came only after {:?}", began.elapsed());
    for path in ["/api/v1/sessions", "/api/v1/audit", "/api/webhooks", "/readyz"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{path}: {answer:?}");
    }
    assert_eq!(client.get("/healthz").await.status, 200);

    cluster.start_again();
    eventually("it is ready again", async || (client.get("/readyz").await.status == 200).then_some(())).await;
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_while_the_database_is_away_says_so() {
    if !postgres::is_available() {
        return;
    }
    let place = Place::with_database("postgres://somebody:hunter2@127.0.0.1:1/nothing");
    let ended = place.program_with_data(&["serve", "--port", "0"]).run();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("postgres://somebody:***@127.0.0.1:1/nothing"), "{ended:?}");
    assert!(ended.stderr.contains("Connection refused"), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_is_refused_until_the_first_has_ended() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let (first, second) = (Place::with_database(database.url()), Place::with_database(database.url()));
    let vault_key = "11".repeat(32);
    let start =
        |place: &Place| place.program_with_data(&["serve", "--port", "0"]).env("PAWPORT_VAULT_KEY", vault_key.clone());
    let server = start(&first).start();
    let refused = start(&second).run();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("another pawport uses this database"), "{refused:?}");

    // Killed, it cannot say goodbye; the database notices by itself.
    server.kill();
    let server = start(&second).start();
    let client = server.client(&second);
    assert_eq!(client.get("/readyz").await.status, 200);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_database_was_taken_over_writes_nothing_more() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let place = Place::with_database(database.url());
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("load")).await;

    // As after a cut in the network, with a second server that was quicker to come back.
    let other = Place::with_database(database.url());
    let key = std::fs::read_to_string(place.data_dir().join("vault.key")).unwrap();
    let start_other = other.program_with_data(&["serve", "--port", "0"]).env("PAWPORT_VAULT_KEY", key.trim());
    server.process.signal(Signal::SIGSTOP);
    database.run(CUT_OFF);
    let second = start_other.start();
    server.process.signal(Signal::SIGCONT);
    let refused = client.deliver(&slot, "", &json!({ "content": "too late" })).await;
    assert_eq!(refused.status, 503, "{refused:?}");

    // When that one has gone, everything is as before.
    second.stop();
    eventually("it can write again", async || {
        let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
        (answer.status == 200).then(|| assert_eq!(answer.json()["response"], "pong"))
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_does_not_write_with_an_old_key() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let (place, other) = (Place::with_database(database.url()), Place::with_database(database.url()));
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("before")).await;

    // Meanwhile the key is replaced from elsewhere.
    server.process.signal(Signal::SIGSTOP);
    database.run(CUT_OFF);
    std::fs::create_dir_all(other.data_dir()).unwrap();
    std::fs::copy(place.data_dir().join("vault.key"), other.data_dir().join("vault.key")).unwrap();
    let rotated = other.program_with_data(&["secrets", "rotate-key"]).run();
    assert_eq!(rotated.code(), Some(0), "{rotated:?}");
    server.process.signal(Signal::SIGCONT);
    let refused = client.post("/api/webhooks/add", &plain_slot("after")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    server.process.stderr().wait_until("it says why", |text| text.contains("sealed with another key"));
    server.kill();

    let server = other.serve(&[]);
    let client = server.client(&other);
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong");
    assert_eq!(client.get("/api/webhooks").await.json()["webhooks"].as_array().unwrap().len(), 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_the_database_is_shown_nowhere() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::without_extensions();
    assert!(database.url().contains(":plain@"), "{}", database.url());
    let url = database.url().replace(":plain@", ":hunter2@");
    database.run(&format!("ALTER ROLE {} PASSWORD 'hunter2'", database.role()));
    let place = Place::with_database(&url);
    let server = place.program_with_data(&["serve", "--port", "0", "--log", "trace"]).start();
    let client = Client::new(server.address, &place.token());
    assert_eq!(client.get("/readyz").await.json()["search"], "trigram arrays");
    let shown = place.program_with_data(&["config", "show"]).run();
    assert!(shown.stdout.contains(":***@127.0.0.1"), "{shown:?}");
    let ended = server.stop();
    for text in [&shown.stdout, &shown.stderr, &ended.stdout, &ended.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let wrong = Place::with_database(&url.replace("hunter2", "hunter3"));
    let refused = wrong.program_with_data(&["serve", "--port", "0"]).run();
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("password authentication failed"), "{refused:?}");
    assert!(!refused.stderr.contains("hunter3"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_is_encrypted_when_the_url_asks_for_it() {
    if !postgres::is_available() {
        return;
    }
    let cluster = Cluster::start("tls");
    let database = cluster.database();
    let certificate = cluster.certificate();
    let started = |query: &str| {
        let place = Place::with_database(&format!("{}?{query}", database.url()));
        place.program_with_data(&["serve", "--port", "0"]).spawn()
    };
    let process = started(&format!("sslmode=verify-full&sslrootcert={}", certificate.display()));
    process.stdout().wait_until("it listens", |text| text.contains("listening"));
    assert_eq!(
        database.asked("SELECT count(*) || ' of ' || count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'pawport'"),
        // The one that writes, and the one that the MCP servers were read with.
        "2 of 2"
    );
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code(), Some(0));

    // Another authority's certificate, and a server that has none.
    let refused = started("sslmode=verify-full&sslrootcert=/dev/null").end();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    let plain = Database::fresh();
    let place = Place::with_database(&format!("{}?sslmode=require", plain.url()));
    let refused = place.program_with_data(&["serve", "--port", "0"]).run();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("server does not support SSL"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_the_secrets_is_replaced() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let place = Place::with_database(database.url());
    let server = place.serve(&[]);
    let slot = server.client(&place).add_slot(&plain_slot("load")).await;
    let running = place.program_with_data(&["secrets", "rotate-key"]).run();
    assert_eq!(running.code(), Some(1), "{running:?}");
    server.stop();

    let sealed = || database.asked("SELECT encode(sealed_secret, 'hex') FROM webhooks");
    let (key, before) = (std::fs::read(place.data_dir().join("vault.key")).unwrap(), sealed());
    let rotated = place.program_with_data(&["secrets", "rotate-key"]).run();
    assert_eq!(rotated.code(), Some(0), "{rotated:?}");
    assert_ne!(std::fs::read(place.data_dir().join("vault.key")).unwrap(), key);
    assert_ne!(sealed(), before);
    let server = place.serve(&[]);
    let answer = server.client(&place).deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong");
    server.stop();
}
