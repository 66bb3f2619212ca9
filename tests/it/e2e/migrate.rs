//! Bringing the schema up to date by hand: `pawport migrate`.

use super::binary::{Ended, Place};
use super::refusals::refused;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

fn migrate(place: &Place, flags: &[&str]) -> Ended {
    place.program_with_data(&[&["migrate"], flags].concat()).run()
}

#[track_caller]
fn said(ended: &Ended) -> &str {
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    &ended.stdout
}

fn change(place: &Place, sql: &str) {
    let database = place.data_dir().join("pawport.db");
    let mut connection = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    connection.batch_execute(sql).unwrap();
}

#[test]
fn what_is_pending_is_said_and_then_done() {
    let place = Place::new();
    let planned = migrate(&place, &["--dry-run"]);
    assert!(said(&planned).starts_with("pending: 0001_initial\npending: 0002_auth\n"), "{planned:?}");
    let checked = migrate(&place, &["--check"]);
    assert_eq!((checked.code(), &checked.stdout), (Some(1), &planned.stdout));
    assert!(checked.stderr.contains("run pawport migrate") && checked.stderr.lines().count() == 1, "{checked:?}");
    assert!(!place.data_dir().exists(), "neither makes anything");

    let done = migrate(&place, &[]);
    assert_eq!(said(&done), planned.stdout.replace("pending:", "ran"));
    for flags in [&[][..], &["--dry-run"], &["--check"]] {
        assert_eq!(said(&migrate(&place, flags)), "The database is up to date.\n");
    }
    place.serve(&[]).stop();
    assert_eq!(migrate(&place, &["--check", "--dry-run"]).code(), Some(2), "one of them");
}

#[test]
fn a_start_does_the_same() {
    let place = Place::new();
    place.serve(&[]).stop();
    assert_eq!(said(&migrate(&place, &["--check"])), "The database is up to date.\n");
}

#[test]
fn a_check_works_beside_a_server() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(said(&migrate(&place, &["--check"])), "The database is up to date.\n");
    server.stop();
}

#[test]
fn an_older_database_is_not_backed_up() {
    let place = Place::new();
    place.serve(&[]).stop();
    change(&place, "DROP TABLE kept; DROP INDEX audit_by_id;");
    change(&place, "DELETE FROM __diesel_schema_migrations WHERE version = '0003'");
    refused(place.program_with_data(&["backup", "old.backup"]), &["0003_moving", "pawport migrate"]);
    assert!(!place.path("old.backup").exists());
    assert_eq!(said(&migrate(&place, &[])), "ran 0003_moving\n");
    said(&place.program_with_data(&["backup", "old.backup"]).run());
}

#[test]
fn a_newer_database_is_refused() {
    let place = Place::new();
    place.serve(&[]).stop();
    change(&place, "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    for words in [&["migrate"][..], &["migrate", "--check"], &["migrate", "--dry-run"], &["backup", "new.backup"]] {
        refused(place.program_with_data(words), &["9999", "newer pawport"]);
    }
}

#[test]
fn only_one_migrates() {
    let place = Place::new();
    let processes: Vec<_> = (0..6).map(|_| place.program_with_data(&["migrate"]).spawn()).collect();
    let ended: Vec<Ended> = processes.into_iter().map(super::binary::Process::end).collect();
    let ran = ended.iter().filter(|ended| ended.stdout.contains("ran 0001_initial")).count();
    assert_eq!(ran, 1, "{ended:?}");
    for ended in &ended {
        let in_order = ended.stdout.contains("ran") || ended.stdout.contains("up to date");
        assert!(in_order || ended.stderr.contains("another pawport"), "{ended:?}");
    }
    assert_eq!(said(&migrate(&place, &["--check"])), "The database is up to date.\n");
}

#[test]
fn what_is_in_memory_has_no_schema() {
    let place = Place::new();
    refused(place.program_with_data(&["migrate", "--database-url", "memory:"]), &["in memory"]);
    assert!(!place.data_dir().exists());
}
