//! Starts that cannot succeed: one line that says what is wrong and what to do, a failing exit status, nothing else.

use super::binary::{Place, Program};
use super::client::{Client, plain_slot};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use std::net::TcpListener;
use std::path::Path;

/// Runs a program that must fail, and checks that its only line holds all of `parts`.
#[track_caller]
pub(super) fn refused(program: Program, parts: &[&str]) -> String {
    let process = program.spawn();
    // One that starts after all would go on for ever.
    assert_eq!(process.stdout().wait_for_end_or(|text| text.contains('\n')), "", "it is not refused");
    let ended = process.end();
    let stderr = &ended.stderr;
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.starts_with("pawport: ") && stderr.ends_with('\n'), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "without {part:?}: {stderr}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "Os {", "Error(", "Some("] {
        assert!(!stderr.contains(noise), "{noise}: {stderr}");
    }
    ended.stderr
}

/// A server that must not start.
pub(super) fn serve(place: &Place, flags: &[&str]) -> Program {
    place.program_with_data(&[&["serve", "--port", "0"], flags].concat())
}

/// The program with a data directory of which nothing good can come.
fn serve_in(place: &Place, data_dir: &Path) -> Program {
    place.program(&["serve", "--port", "0", "--data-dir", data_dir.to_str().unwrap()])
}

#[test]
fn a_port_in_use() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let program = place.program_with_data(&["serve", "--port", &port]);
    refused(program, &[&format!("127.0.0.1:{port}"), "in use", "--port"]);
}

#[test]
fn an_address_that_this_machine_does_not_have() {
    let place = Place::new();
    // Reserved for documentation (RFC 5737): nobody has it.
    refused(serve(&place, &["--host", "192.0.2.1"]), &["192.0.2.1", "--host"]);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory() {
    let place = Place::new();
    let first = place.serve(&[]);
    let data_dir = place.data_dir();
    let said = refused(serve(&place, &[]), &["another", data_dir.to_str().unwrap(), "--data-dir"]);
    assert!(said.contains("process"), "{said}");
    assert_eq!(first.client(&place).get("/readyz").await.status, 200, "the first one is not disturbed");
    first.stop();
    place.serve(&[]).stop();
}

#[test]
fn a_killed_server_does_not_keep_its_data_directory() {
    let place = Place::new();
    place.serve(&[]).kill();
    place.serve(&[]).stop();
}

#[test]
fn a_data_directory_that_is_a_file() {
    let place = Place::new();
    let file = place.path("file");
    std::fs::write(&file, "mine").unwrap();
    refused(serve_in(&place, &file), &[file.to_str().unwrap(), "--data-dir"]);
    refused(serve_in(&place, &file.join("below/it")), &[file.to_str().unwrap(), "--data-dir"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
#[cfg(target_os = "linux")]
fn a_data_directory_that_cannot_be_written() {
    // Not even the superuser can make files here, and tests often run as superuser.
    let place = Place::new();
    for data_dir in ["/proc", "/proc/pawport", "/sys/kernel", "/sys/kernel/pawport"] {
        refused(serve_in(&place, Path::new(data_dir)), &[data_dir, "--data-dir"]);
    }
}

#[test]
fn a_home_that_is_not_set() {
    let place = Place::new();
    refused(place.program(&["serve"]).without_env("HOME"), &["data_dir", "HOME", "--data-dir"]);
}

#[test]
fn bad_values_of_flags() {
    let place = Place::new();
    for (flag, value, allowed) in [
        ("port", "65536", "0 to 65535"),
        ("port", "http", "0 to 65535"),
        ("port", "-1", "0 to 65535"),
        ("host", "localhost", "IP address"),
        ("public-url", "paw.example.org", "https://"),
        ("database-url", "mysql://localhost/paw", "sqlite://"),
        ("database-url", "sqlite:///nowhere/at/all/paw.db", "/nowhere/at/all"),
        ("max-concurrent", "0", "1 to 100"),
        ("queue-capacity", "0", "1 to 1000000"),
        ("shutdown-timeout", "301", "1 to 300"),
        ("log", "pawport=loud", "trace"),
        ("log-format", "xml", "text or json"),
    ] {
        let source = format!("--{flag}");
        // So that a server that starts after all does not meet another one.
        let port = if flag == "port" { &[][..] } else { &["--port", "0"] };
        let program = place.program_with_data(&[&["serve", &source, value], port].concat());
        refused(program, &[&flag.replace('-', "_"), &source, value, allowed]);
    }
    assert!(!place.data_dir().exists(), "nothing is made before everything is known to be good");
}

#[test]
fn a_level_that_is_none() {
    // Taken for the name of a module, it would switch everything off.
    let place = Place::new();
    for level in ["loud", "inof", "loud,pawport=info"] {
        refused(serve(&place, &["--log", level]), &["log", "--log", level, "trace"]);
    }
}

#[test]
fn bad_values_of_variables() {
    let place = Place::new();
    for (name, key, value, allowed) in [
        ("PAWPORT_PORT", "port", "x", "0 to 65535"),
        ("PAWPORT_HOST", "host", "*", "IP address"),
        ("PAWPORT_LOG_FORMAT", "log_format", "xml", "text or json"),
    ] {
        let program = place.program_with_data(&["serve"]).env(name, value);
        refused(program, &[key, &format!("environment variable {name}"), value, allowed]);
    }
}

#[test]
fn bad_values_in_the_file() {
    let place = Place::new();
    let file = place.path("pawport.toml");
    for (content, parts) in [
        ("host = \"::1\"\nport = 65536\n", &["port", "65536", "line 2", "0 to 65535"][..]),
        ("port = true\n", &["port", "line 1"]),
        ("prot = 1\n", &["prot", "line 1", "did you mean port", "data_dir"]),
        ("[server]\nport = 1\n", &["server", "line 1"]),
        ("port = \n", &["line 1", "TOML"]),
        ("port = 1\nport = 2\n", &["line 2", "duplicate key"]),
    ] {
        std::fs::write(&file, content).unwrap();
        let program = place.program_with_data(&["serve", "--config", file.to_str().unwrap()]);
        refused(program, &[&[file.to_str().unwrap()], parts].concat());
    }
}

#[test]
fn a_configuration_file_that_is_not_there() {
    let place = Place::new();
    refused(serve(&place, &["--config", "nowhere.toml"]), &["nowhere.toml", "--config", "No such file"]);
}

#[test]
fn an_unknown_variable() {
    let place = Place::new();
    let program = place.program_with_data(&["serve"]).env("PAWPORT_PROT", "1");
    refused(program, &["PAWPORT_PROT", "did you mean PAWPORT_PORT", "PAWPORT_DATA_DIR"]);
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let ended = Place::new().program(&["serve", "--prot", "1"]).run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("--prot") && ended.stderr.contains("--port"), "{ended:?}");
}

#[test]
fn a_token_that_is_no_token_and_is_not_repeated() {
    let place = Place::new();
    let short = "my-short-secret";
    let by_variable = place.program_with_data(&["serve"]).env("PAWPORT_ACCESS_TOKEN", short);
    let said = refused(by_variable, &["access_token", "environment variable PAWPORT_ACCESS_TOKEN", "32 to 256"]);
    assert!(!said.contains(short), "{said}");

    let file = place.path("token");
    std::fs::write(&file, short).unwrap();
    let by_file = place.program_with_data(&["serve"]).env("PAWPORT_ACCESS_TOKEN_FILE", &file);
    let said = refused(by_file, &["access_token_file", file.to_str().unwrap(), "32 to 256"]);
    assert!(!said.contains(short), "{said}");

    let missing = place.program_with_data(&["serve"]).env("PAWPORT_ACCESS_TOKEN_FILE", "/nowhere/token");
    refused(missing, &["access_token_file", "/nowhere/token", "No such file"]);
}

#[test]
fn a_token_given_twice() {
    let place = Place::new();
    let program = place.program_with_data(&["serve"]).env("PAWPORT_ACCESS_TOKEN", "x".repeat(32));
    let program = program.env("PAWPORT_ACCESS_TOKEN_FILE", "/nowhere/token");
    refused(program, &["both", "PAWPORT_ACCESS_TOKEN", "PAWPORT_ACCESS_TOKEN_FILE", "keep one"]);
}

#[test]
fn a_database_of_a_newer_version() {
    let place = Place::new();
    place.serve(&[]).stop();
    let database = place.data_dir().join("pawport.db");
    let mut connection = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";
    connection.batch_execute(newer).unwrap();
    drop(connection);
    refused(serve(&place, &[]), &[database.to_str().unwrap(), "9999", "newer", "pawport"]);
}

#[test]
fn a_database_that_is_none() {
    let place = Place::new();
    place.serve(&[]).stop();
    let database = place.data_dir().join("pawport.db");
    let content = "This is not a database. ".repeat(1_000);
    std::fs::write(&database, &content).unwrap();
    refused(serve(&place, &[]), &[database.to_str().unwrap(), "not a database"]);
    assert_eq!(std::fs::read_to_string(&database).unwrap(), content, "what it was can still be saved");
}

#[test]
fn a_database_that_is_a_folder() {
    let place = Place::new();
    place.serve(&["--database-url", "memory:"]).stop();
    let database = place.data_dir().join("pawport.db");
    std::fs::create_dir(&database).unwrap();
    refused(serve(&place, &[]), &[database.to_str().unwrap()]);
}

#[test]
fn a_damaged_key() {
    let place = Place::new();
    place.serve(&[]).stop();
    let key = place.data_dir().join("vault.key");
    for damage in [&b""[..], b"damaged", b"\xff\xfe", &[b'0'; 63]] {
        std::fs::write(&key, damage).unwrap();
        refused(serve(&place, &[]), &[key.to_str().unwrap(), "backup"]);
        assert_eq!(std::fs::read(&key).unwrap(), damage, "it is not replaced: what it sealed would be lost");
    }
}

#[tokio::test]
async fn a_key_that_has_gone_although_there_are_secrets() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.client(&place).add_slot(&plain_slot("sealed")).await;
    server.stop();
    let key = place.data_dir().join("vault.key");
    std::fs::remove_file(&key).unwrap();
    refused(serve(&place, &[]), &[key.to_str().unwrap(), "backup"]);
    assert!(!key.exists(), "a new key would hide what is wrong");
}

#[tokio::test]
async fn a_key_of_another_installation() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.client(&place).add_slot(&plain_slot("sealed")).await;
    server.stop();
    let key = place.data_dir().join("vault.key");
    std::fs::write(&key, "00".repeat(32)).unwrap();
    refused(serve(&place, &[]), &[key.to_str().unwrap(), "backup"]);
}

#[test]
fn a_damaged_token_file() {
    let place = Place::new();
    place.serve(&[]).stop();
    let token = place.data_dir().join("access_token");
    for damage in [&b""[..], b"damaged", b"\xff\xfe"] {
        std::fs::write(&token, damage).unwrap();
        refused(serve(&place, &[]), &[token.to_str().unwrap(), "remove the file"]);
        refused(place.program_with_data(&["token", "show"]), &[token.to_str().unwrap(), "remove the file"]);
    }
}

#[tokio::test]
async fn a_removed_token_file_gives_a_new_token() {
    let place = Place::new();
    place.serve(&[]).stop();
    let old = place.token();
    std::fs::remove_file(place.data_dir().join("access_token")).unwrap();
    let server = place.serve(&[]);
    assert_ne!(place.token(), old);
    assert_eq!(Client::new(server.address, &old).get("/api/version").await.status, 401);
    assert_eq!(server.client(&place).get("/api/version").await.status, 200);
    server.stop();
}
