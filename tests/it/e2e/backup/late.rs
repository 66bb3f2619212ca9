//! A restore that fails when all of it is written, on a PostgreSQL server, where not everything is undone by a rollback.

use super::Home;
use super::pack::{content, header, write_whole};
use super::refused::with_slot;
use crate::e2e::client::plain_slot;
use crate::e2e::refusals::refused;
use crate::support::postgres;
use serde_json::json;

/// Fails when the index is made again, which is the last step.
const NO_INDEX: &str = "
    CREATE FUNCTION no_index() RETURNS event_trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'no index today'; END $$;
    CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION no_index();";

/// Ends the connection while the transaction is committed.
const LOST_AT_COMMIT: &str = "
    CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON webhooks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION lose();";

#[tokio::test]
async fn in_postgres_a_restore_that_fails_late_leaves_a_server_that_works() {
    if !postgres::is_available() {
        return;
    }
    let home = Home::postgres();
    let database = home.database.as_ref().unwrap();
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let slot = client.add_slot(&plain_slot("late")).await;
    for _ in 0..5 {
        assert_eq!(client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.status, 200);
    }
    server.stop();
    let old = content(&home.backup("old.backup"));
    // It would count from one again.
    let file = home.place.path("empty.backup");
    write_whole(&file, &[header()]);
    database.run(NO_INDEX);
    refused(home.restore(&file, &["--replace"]), &["nothing was restored", "no index today"]);
    database.run("DROP EVENT TRIGGER no_index");

    assert_eq!(content(&home.backup("still-old.backup")), old);
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    for _ in 0..3 {
        let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
        assert_eq!(answer.json()["response"], "pong", "{answer:?}");
        let made = client.post("/api/v1/sessions", &json!({})).await;
        assert!(made.json()["id"].is_string(), "{made:?}");
    }
    server.stop();
    // The same without the fault: what is restored counts on from what it has.
    home.restored(&file, &["--replace"]);
    home.restored(&home.place.path("old.backup"), &["--replace"]);
    assert_eq!(content(&home.backup("old-again.backup")), old);
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong", "{answer:?}");
    server.stop();
}

#[tokio::test]
async fn in_postgres_a_commit_without_an_answer_is_not_said_to_have_failed() {
    if !postgres::is_available() {
        return;
    }
    let home = Home::postgres();
    with_slot(&home, "lost").await;
    let file = home.backup("lost.backup");
    home.database.as_ref().unwrap().run(LOST_AT_COMMIT);
    let said = refused(home.restore(&file, &["--replace"]), &["it is not known", "restore", "--replace"]);
    assert!(!said.contains("nothing was restored"), "{said}");
    assert!(!said.contains(":secret@"), "{said}");
}
