//! What is not done, and why; and what `--replace` and `--overwrite` do.

use super::Home;
use super::pack::{content, long_session, write_whole};
use crate::e2e::client::{eventually, plain_slot};
use crate::e2e::refusals::refused;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

/// A stopped server with a slot of that name.
pub(super) async fn with_slot(home: &Home, name: &str) {
    let server = home.serve(&[]);
    server.client(&home.place).add_slot(&plain_slot(name)).await;
    server.stop();
}

pub(super) async fn a_target_that_holds_something(from: Home, to: Home) {
    with_slot(&from, "new").await;
    with_slot(&to, "old").await;
    let (file, old) = (from.backup("new.backup"), to.backup("old.backup"));
    let key_file = from.vault_key();
    let key = ["--vault-key-file", key_file.to_str().unwrap()];
    refused(to.restore(&file, &key), &["nothing was restored", "--replace"]);
    assert_eq!(content(&to.backup("still-old.backup")), content(&old));

    to.restored(&file, &[&key[..], &["--replace"]].concat());
    assert_eq!(content(&to.backup("replaced.backup")), content(&file));
    let server = to.serve(&[]);
    let slots = server.client(&to.place).get("/api/webhooks").await.json();
    assert_eq!((slots["webhooks"].as_array().unwrap().len(), &slots["webhooks"][0]["name"]), (1, &json!("new")));
    server.stop();
}

#[tokio::test]
async fn a_target_that_holds_something_is_replaced_only_if_told() {
    a_target_that_holds_something(Home::sqlite(), Home::sqlite()).await;
}

/// What is replaced is out of the search index, too, and what comes instead gets into it.
pub(super) async fn replaced_texts_are_not_found(home: Home) {
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let slot = client.add_slot(&plain_slot("search")).await;
    for number in 0..20 {
        let body = json!({ "content": format!("nightingale {number}") });
        assert_eq!(client.deliver(&slot, "?wait=true", &body).await.status, 200);
    }
    server.stop();
    let file = home.place.path("long.backup");
    write_whole(&file, &long_session(3_000));
    home.restored(&file, &["--replace"]);
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let found = async |word: &str| {
        let found = client.get(&format!("/api/sessions/search?q={word}")).await.json();
        found["sessions"].as_array().unwrap().len()
    };
    // Neither among the first of its session nor among the last: only the index knows it.
    eventually("the index is made", async || (found("message%201500").await == 1).then_some(())).await;
    assert_eq!(found("nightingale").await, 0);
    server.stop();
}

#[tokio::test]
async fn in_sqlite_replaced_texts_are_not_found() {
    replaced_texts_are_not_found(Home::sqlite()).await;
}

#[tokio::test]
async fn secrets_without_their_key() {
    let (from, to) = (Home::sqlite(), Home::sqlite());
    with_slot(&from, "secret").await;
    let file = from.backup("secret.backup");
    let own_key = to.vault_key();
    let said = refused(to.restore(&file, &[]), &["secrets", "secret.backup", "vault.key", "--vault-key-file"]);
    assert!(said.contains(own_key.to_str().unwrap()), "{said}");
    assert!(!own_key.exists() && !to.place.data_dir().join("pawport.db").exists(), "something was made");

    let wrong = to.place.path("wrong");
    std::fs::write(&wrong, "ab".repeat(32)).unwrap();
    let with_wrong = ["--vault-key-file", wrong.to_str().unwrap()];
    refused(to.restore(&file, &with_wrong), &["--vault-key-file holds another key"]);
    refused(to.restore(&file, &[]).env("PAWPORT_VAULT_KEY_FILE", &wrong), &["the configured key", "--vault-key-file"]);
    std::fs::write(&wrong, "1234").unwrap();
    refused(to.restore(&file, &with_wrong), &["64 hexadecimal digits"]);

    // The key may be there already, as when the data directory was copied, or be configured.
    let configured = to.restore(&file, &[]).env("PAWPORT_VAULT_KEY_FILE", from.vault_key()).run();
    assert_eq!(configured.code(), Some(0), "{configured:?}");
    assert!(!own_key.exists(), "the configured key is kept elsewhere");
}

#[tokio::test]
async fn a_server_that_runs() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let file = home.backup("running.backup");
    let process = std::fs::read_to_string(home.place.data_dir().join("pawport.lock")).unwrap();
    refused(home.restore(&file, &["--replace"]), &["pawport server", &process, "stop it"]);
    refused(home.program(&["migrate"]), &["pawport server", &process, "stop it"]);
    server.stop();
    home.restored(&file, &["--replace"]);
}

#[tokio::test]
async fn a_backup_replaces_no_file_unless_told() {
    let home = Home::sqlite();
    with_slot(&home, "file").await;
    let file = home.backup("file.backup");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let name = file.to_str().unwrap();
    std::fs::write(&file, "precious").unwrap();
    refused(home.program(&["backup", name]), &[name, "--overwrite"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let said = home.program(&["backup", "--overwrite", name]).run();
    assert_eq!(said.code(), Some(0), "{said:?}");
    assert_eq!(content(&file), content(&home.backup("other.backup")));

    // It says what else is to be kept, unless that is kept elsewhere.
    let data_dir = home.place.data_dir();
    for name in ["vault.key", "access_token"] {
        assert!(said.stdout.contains(data_dir.join(name).to_str().unwrap()), "{said:?}");
    }
    let elsewhere = home.program(&["backup", "--overwrite", name]).env("PAWPORT_VAULT_KEY_FILE", home.vault_key());
    assert!(!elsewhere.run().stdout.contains("vault.key"));
    refused(home.program(&["backup", "/nowhere/file"]), &["/nowhere/file", "No such file"]);
}

#[test]
fn what_is_not_there_cannot_be_backed_up() {
    let home = Home::sqlite();
    let backup = ["backup", "file.backup"];
    refused(home.program(&backup), &["there is no database", "--data-dir"]);
    let in_memory = ["--database-url", "memory:"];
    refused(home.place.program_with_data(&[&backup[..], &in_memory].concat()), &["in memory"]);
    let to_memory = home.place.program_with_data(&[&["restore", "file.backup"], &in_memory[..]].concat());
    refused(to_memory, &["in memory", "--database-url"]);
    assert!(!home.place.data_dir().exists() && !home.place.path("file.backup").exists());
}

#[test]
fn an_empty_database_is_backed_up_and_restored() {
    let (from, to) = (Home::sqlite(), Home::sqlite());
    let migrated = from.program(&["migrate"]).run();
    assert_eq!(migrated.code(), Some(0), "{migrated:?}");
    let file = from.backup("empty.backup");
    assert_eq!(content(&file).len(), 0);
    to.restored(&file, &[]);
    to.restored(&file, &[]);
    to.serve(&[]).stop();
}

#[test]
fn on_a_terminal_there_is_a_bar() {
    let home = Home::sqlite();
    let file = home.place.path("long.backup");
    write_whole(&file, &long_session(20_000));
    let terminal =
        nix::pty::openpty(Some(&nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }), None);
    let terminal = terminal.unwrap();
    let screen = crate::e2e::binary::Output::of(std::fs::File::from(terminal.master));
    let ended = home.restore(&file, &[]).stderr(terminal.slave).env("TERM", "xterm").run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("20,000 messages"), "{ended:?}");
    screen.wait_until("there is a bar", |text| text.contains("Checking [") && text.contains("Restoring ["));
}
