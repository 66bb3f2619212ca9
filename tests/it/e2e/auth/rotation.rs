//! Another key for the secrets in the database.

use crate::e2e::binary::{PATIENCE, Place};
use crate::e2e::client::{Client, Slot, plain_slot};
use crate::e2e::refusals::{refused, serve};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

const ROTATE: [&str; 2] = ["secrets", "rotate-key"];

/// Makes slots of both schemes.
async fn with_slots(place: &Place) -> Vec<Slot> {
    let server = place.serve(&[]);
    let client = server.client(place);
    let standard = client.add_slot(&json!({ "name": "standard", "scheme": "standard" })).await;
    let slots = vec![client.add_slot(&plain_slot("plain")).await, standard];
    server.stop();
    slots
}

/// Starts a server and sees that the secrets of the slots are what they were.
async fn assert_taken(place: &Place, slots: &[Slot], key: Option<&PathBuf>) {
    let program = serve(place, &[]);
    let server = match key {
        Some(key) => program.env("PAWPORT_VAULT_KEY_FILE", key).start(),
        None => program.start(),
    };
    let client = server.client(place);
    for slot in slots {
        let body = json!({ "content": "/ping" }).to_string();
        let path = format!("/webhook/inbound/{}?wait=true", slot.name);
        let mut request = client.stranger(Method::POST, &path).header("x-webhook-secret", &slot.secret);
        if slot.name == "standard" {
            request = client.stranger(Method::POST, &path);
            let id = format!("msg_{}", server.address.port());
            for (name, value) in slot.standard_headers(&id, &body) {
                request = request.header(name, value);
            }
        }
        let answer = Client::try_send(request.body(body)).await.unwrap();
        assert_eq!(answer.json()["response"], "pong", "{}", slot.name);
    }
    server.stop();
}

/// Rotates the key, which must work, and gives what is said of it.
#[track_caller]
fn rotate(place: &Place) -> String {
    let ended = place.program_with_data(&ROTATE).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout
}

fn key_file(place: &Place) -> PathBuf {
    place.data_dir().join("vault.key")
}

/// Where the new key is until it has taken the place of the old one.
fn next_key_file(place: &Place) -> PathBuf {
    place.data_dir().join("vault.key.new")
}

fn key(place: &Place) -> String {
    std::fs::read_to_string(key_file(place)).unwrap()
}

#[tokio::test]
async fn with_a_new_key_all_secrets_are_what_they_were() {
    let place = Place::new();
    let slots = with_slots(&place).await;
    let old = key(&place);
    let said = rotate(&place);
    let new = key(&place);
    assert_ne!(new, old);
    assert!(said.contains("2 secrets") && said.contains(key_file(&place).to_str().unwrap()), "{said}");
    assert!(!said.contains(&new) && !said.contains(&old), "{said}");
    assert!(!next_key_file(&place).exists());
    assert_taken(&place, &slots, None).await;

    std::fs::write(key_file(&place), &old).unwrap();
    refused(serve(&place, &[]), &[key_file(&place).to_str().unwrap(), "backup"]);
    std::fs::write(key_file(&place), &new).unwrap();
    let server = place.serve(&[]);
    let audited = server.client(&place).audited("vault_key_rotated").await;
    assert_eq!((audited.len(), &audited[0]["actor"]), (1, &json!("operator")));
    server.stop();
}

#[tokio::test]
async fn while_a_server_runs_the_key_stays() {
    let place = Place::new();
    let slots = with_slots(&place).await;
    let old = key(&place);
    let server = place.serve(&[]);
    let process = std::fs::read_to_string(place.data_dir().join("pawport.lock")).unwrap();
    let said = refused(place.program_with_data(&ROTATE), &["pawport server", &process, "stop it"]);
    assert!(said.contains(place.data_dir().to_str().unwrap()), "{said}");
    assert_eq!(key(&place), old);
    let delivered = server.client(&place).deliver(&slots[0], "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(delivered.json()["response"], "pong", "the server is not disturbed");
    server.stop();
    assert_taken(&place, &slots, None).await;
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_is_replaced_by_one_that_is_too() {
    let place = Place::new();
    let slots = with_slots(&place).await;
    let files = ["1", "2"].map(|digit| {
        let file = place.path(&format!("key-{digit}"));
        std::fs::write(&file, format!("{}\n", digit.repeat(64))).unwrap();
        file
    });
    let [first, second] = &files;
    let rotate_to =
        |file: &PathBuf| place.program_with_data(&["secrets", "rotate-key", "--new-key-file", file.to_str().unwrap()]);
    let moved = rotate_to(first).run();
    assert!(moved.code() == Some(0) && moved.stdout.contains("PAWPORT_VAULT_KEY_FILE"), "{moved:?}");
    assert!(!key_file(&place).exists(), "the key that opens nothing any more is gone");
    assert_taken(&place, &slots, Some(first)).await;

    // Without a word of where the new one is to come from, or by somebody who does not have the old one.
    let with_first = place.program_with_data(&ROTATE).env("PAWPORT_VAULT_KEY_FILE", first);
    refused(with_first, &["--new-key-file", "64 hexadecimal digits"]);
    refused(rotate_to(second), &["cannot be used"]);
    refused(rotate_to(&place.path("nowhere")), &["nowhere", "No such file"]);
    std::fs::write(place.path("short"), "1234").unwrap();
    refused(rotate_to(&place.path("short")), &["short", "64 hexadecimal digits"]);

    let rotated = rotate_to(second).env("PAWPORT_VAULT_KEY_FILE", first).run();
    assert_eq!(rotated.code(), Some(0), "{rotated:?}");
    assert_taken(&place, &slots, Some(second)).await;
    let data_dir = place.data_dir();
    for program in [serve(&place, &[]).env("PAWPORT_VAULT_KEY_FILE", first), serve(&place, &[])] {
        refused(program, &[data_dir.to_str().unwrap(), "key", "cannot be used"]);
    }
    refused(
        serve(&place, &[]).env("PAWPORT_VAULT_KEY", "1".repeat(64)),
        &["the configured key (vault_key or vault_key_file)", "another key"],
    );
    assert!(!key_file(&place).exists(), "none is made up");
}

#[tokio::test]
async fn killed_at_any_moment_the_next_start_opens() {
    let place = Place::new();
    let mut slots = with_slots(&place).await;
    let server = place.serve(&[]);
    for number in 0..30 {
        slots.push(server.client(&place).add_slot(&plain_slot(&format!("more-{number}"))).await);
    }
    server.stop();
    let began = Instant::now();
    rotate(&place);
    let whole = began.elapsed();
    for tenths in [1, 9, 2, 8, 3, 7, 4, 6, 5, 10, 11] {
        let process = place.program_with_data(&ROTATE).spawn();
        std::thread::sleep((whole * tenths / 10).min(PATIENCE));
        process.signal(Signal::SIGKILL);
        process.end();
        assert_taken(&place, &slots[..3], None).await;
        assert!(!next_key_file(&place).exists(), "it is decided which of the two it is");
    }
    rotate(&place);
    assert_taken(&place, &slots, None).await;
}

/// Puts things back as a rotation leaves them that is cut short, after or before it has reached the database. Gives both
/// keys, the one that opens the database first.
fn cut_short(place: &Place, reached: bool) -> [String; 2] {
    let old = key(place);
    let mut new = "ab".repeat(32);
    if reached {
        rotate(place);
        new = key(place);
        std::fs::write(key_file(place), &old).unwrap();
    }
    // With the mode of the other.
    std::fs::copy(key_file(place), next_key_file(place)).unwrap();
    std::fs::write(next_key_file(place), &new).unwrap();
    if reached { [new, old] } else { [old, new] }
}

#[tokio::test]
async fn a_rotation_that_was_cut_short_is_finished_or_forgotten() {
    for reached in [false, true] {
        for by_command in [false, true] {
            let place = Place::new();
            let slots = with_slots(&place).await;
            let [right, wrong] = cut_short(&place, reached);
            if by_command {
                rotate(&place);
                assert!(![&right, &wrong].contains(&&key(&place)), "a third one");
                assert!(!next_key_file(&place).exists());
            }
            assert_taken(&place, &slots, None).await;
            if !by_command {
                assert_eq!(key(&place), right, "reached: {reached}");
            }
            assert!(!next_key_file(&place).exists());
        }
    }
}

/// The key that the database belongs to must not be thrown away because the database could not be opened for some other
/// reason.
#[tokio::test]
async fn a_start_that_fails_for_another_reason_does_not_lose_the_new_key() {
    let place = Place::new();
    let slots = with_slots(&place).await;
    let [right, _] = cut_short(&place, true);
    let database = place.data_dir().join("pawport.db");
    let change = |sql: &str| {
        let mut connection = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
        connection.batch_execute(sql).unwrap();
    };
    // As after the rotation with a newer program, for instance.
    change("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    refused(serve(&place, &[]), &["9999", "newer"]);
    change("DELETE FROM __diesel_schema_migrations WHERE version = '9999'");
    let kept = [key_file(&place), next_key_file(&place)].map(|file| std::fs::read_to_string(file).unwrap_or_default());
    assert!(kept.contains(&right), "the only key that opens the secrets is gone");
    assert_taken(&place, &slots, None).await;
}

#[test]
fn what_has_no_secrets_has_no_key_to_replace() {
    let place = Place::new();
    let in_memory = place.program_with_data(&["secrets", "rotate-key", "--database-url", "memory:"]);
    refused(in_memory, &["in memory"]);
    assert!(!place.data_dir().exists());
}
