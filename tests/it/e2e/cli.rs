//! The commands that are not the server.

use super::binary::{Ended, Place};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

const TOKEN: &str = "a-token-of-my-own-0123456789-abcdef";

#[track_caller]
fn success(ended: Ended) -> String {
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn the_version_is_printed() {
    let place = Place::new();
    let expected = format!("pawport {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(success(place.program(&["--version"]).run()), expected);
}

#[test]
fn every_command_has_a_help_that_says_what_it_does_and_shows_how() {
    let place = Place::new();
    for (command, says) in [
        (&["--help"][..], "pawport serve"),
        (&["serve", "--help"], "--shutdown-timeout"),
        (&["token", "--help"], "show"),
        (&["token", "show", "--help"], "Authorization: Bearer"),
        (&["config", "--help"], "check"),
        (&["config", "show", "--help"], "--config"),
        (&["config", "check", "--help"], "--config"),
        (&["backup", "--help"], "--overwrite"),
        (&["restore", "--help"], "--vault-key-file"),
        (&["migrate", "--help"], "--dry-run"),
        (&["openapi", "--help"], "openapi.json"),
    ] {
        let help = success(place.program(command).run());
        assert!(help.contains("Usage: pawport") && help.contains(says), "{command:?}: {help}");
    }
    assert!(!place.data_dir().exists(), "help makes no files");
}

#[test]
fn the_help_of_serve_names_every_key_with_its_variable_and_default() {
    let place = Place::new();
    let help = success(place.program(&["serve", "--help"]).run());
    for key in ["host", "port", "data-dir", "database-url", "config", "log", "log-format"] {
        let variable = format!("PAWPORT_{}", key.replace('-', "_").to_uppercase());
        assert!(help.contains(&format!("--{key} ")) && help.contains(&variable), "{key}: {help}");
    }
    for default in ["127.0.0.1", "8000", "~/.pawport", "sqlite://<data-dir>/pawport.db"] {
        assert!(help.contains(&format!("[default: {default}]")), "{default}: {help}");
    }
}

#[test]
fn without_a_command_the_help_is_an_error() {
    let ended = Place::new().program(&[]).run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("Usage: pawport"), "{ended:?}");
}

#[test]
fn openapi_prints_the_document_that_is_checked_in() {
    let printed = success(Place::new().program(&["openapi"]).run());
    let document: Value = serde_json::from_str(&printed).unwrap();
    let checked_in = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    assert_eq!(document, serde_json::from_str::<Value>(&checked_in).unwrap());
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
}

#[tokio::test]
async fn openapi_prints_what_the_server_serves() {
    let place = Place::new();
    let server = place.serve(&[]);
    let over_http = server.client(&place).get("/api/v1/openapi.json").await.json();
    server.stop();
    let printed = success(place.program(&["openapi"]).run());
    assert_eq!(over_http, serde_json::from_str::<Value>(&printed).unwrap());
}

#[test]
fn token_show_prints_the_token_of_the_data_directory_and_a_line_end() {
    let place = Place::new();
    place.serve(&[]).stop();
    assert_eq!(success(place.program_with_data(&["token", "show"]).run()), format!("{}\n", place.token()));
}

#[test]
fn token_show_works_while_the_server_runs() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(success(place.program_with_data(&["token", "show"]).run()), format!("{}\n", place.token()));
    server.stop();
}

#[test]
fn token_show_says_what_to_do_if_there_is_none_and_makes_nothing() {
    let place = Place::new();
    let ended = place.program_with_data(&["token", "show"]).run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("pawport serve") && ended.stderr.lines().count() == 1, "{ended:?}");
    assert!(!place.data_dir().exists());
}

#[test]
fn token_show_prints_the_configured_token() {
    let place = Place::new();
    let expected = format!("{TOKEN}\n");
    let by_variable = place.program_with_data(&["token", "show"]).env("PAWPORT_ACCESS_TOKEN", TOKEN);
    assert_eq!(success(by_variable.run()), expected);

    let file = place.path("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let by_file = place.program_with_data(&["token", "show"]).env("PAWPORT_ACCESS_TOKEN_FILE", &file);
    assert_eq!(success(by_file.run()), expected);

    let config = place.path("pawport.toml");
    std::fs::write(&config, format!("access_token = \"{TOKEN}\"\n")).unwrap();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    let by_toml = place.program_with_data(&["token", "show", "--config", config.to_str().unwrap()]);
    assert_eq!(success(by_toml.run()), expected);
}

#[test]
fn config_show_says_where_each_value_came_from_and_shows_no_secret() {
    let place = Place::new();
    let config = place.path("pawport.toml");
    std::fs::write(&config, "log = \"debug\"\nlog_format = \"json\"\nport = 1\nhost = \"::1\"\n").unwrap();
    let program = place.program_with_data(&["config", "show", "--port", "9000", "--config", config.to_str().unwrap()]);
    let program = program.env("PAWPORT_ACCESS_TOKEN", TOKEN).env("PAWPORT_PORT", "2").env("PAWPORT_HOST", "127.0.0.1");
    let (status_key, vault_key) = ("status-key-of-ada", "c0ffee11".repeat(8));
    let program = program.env("PAWPORT_STATUS_KEY", status_key).env("PAWPORT_VAULT_KEY", &vault_key);
    let program = program.without_env("PAWPORT_RATE_LIMIT_AUTH");
    let table = success(program.run());

    for secret in [TOKEN, status_key, &vault_key] {
        assert!(!table.contains(secret), "{table}");
    }
    let file = config.display();
    for (key, value, source) in [
        ("port", "9000", "--port".to_owned()),
        ("host", "127.0.0.1", "environment variable PAWPORT_HOST".to_owned()),
        ("log", "debug", format!("config file {file} line 1")),
        ("log_format", "json", format!("config file {file} line 2")),
        ("access_token", "[set]", "environment variable PAWPORT_ACCESS_TOKEN".to_owned()),
        ("status_key", "[set]", "environment variable PAWPORT_STATUS_KEY".to_owned()),
        ("vault_key", "[set]", "environment variable PAWPORT_VAULT_KEY".to_owned()),
        ("rate_limit_auth", "1/5", "default".to_owned()),
        ("shutdown_timeout", "10", "default".to_owned()),
    ] {
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        let columns: Vec<_> = row.split_whitespace().collect();
        assert_eq!(columns[1], value, "{row}");
        assert!(row.ends_with(&source), "{row}");
    }
    assert!(!place.data_dir().exists(), "showing makes nothing");
}

#[test]
fn config_check_accepts_what_serve_would() {
    let place = Place::new();
    let said = success(place.program_with_data(&["config", "check", "--port", "0"]).run());
    assert!(said.contains("valid"), "{said}");
    assert!(!place.data_dir().exists(), "checking makes nothing");
}

#[test]
fn config_check_refuses_what_serve_would_with_the_same_words() {
    let place = Place::new();
    let [checked, served] = [&["config", "check", "--port", "65536"][..], &["serve", "--port", "65536"]]
        .map(|words| place.program(words).run());
    assert_eq!((checked.code(), served.code()), (Some(1), Some(1)));
    assert_eq!(checked.stderr, served.stderr);
    assert!(checked.stderr.contains("port") && checked.stderr.contains("65535"), "{checked:?}");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let place = Place::new();
    for words in [&["openapi"][..], &["config", "show"], &["--help"], &["--version"], &["serve", "--help"]] {
        // Nobody holds the reading end any more when the program writes.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = place.program(words).stdout(writer).run();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    // Every write to it fails as if the disk were full. There is no such device elsewhere.
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let ended = Place::new().program(&["openapi"]).stdout(full).run();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("standard output") && !ended.stderr.contains("panicked"), "{ended:?}");
}
