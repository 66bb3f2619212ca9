//! The same into a PostgreSQL database: what is in it then is what is in an SQLite one.

use super::SAMPLE;
use super::home::{MACHINE, counts, import, sample};
use crate::e2e::backup::pack;
use crate::e2e::binary::Place;
use crate::support::postgres::{self, Database};

/// Everything in the database but the two entries that say when the import was.
fn content(place: &Place, name: &str) -> Vec<String> {
    let file = place.path(name);
    let ended = place.program_with_data(&["backup", file.to_str().unwrap()]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let lines = pack::content(&file).into_iter();
    lines.filter(|line| !line.contains("data_import_began") && !line.contains("data_imported")).collect()
}

#[test]
fn every_row_is_that_of_sqlite_and_a_second_time_nothing_changes() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let (sqlite, postgres) = (Place::new(), Place::with_database(database.url()));
    let home = sample(&sqlite);
    import(&sqlite, &home, &MACHINE);
    let first = import(&postgres, &home, &MACHINE);
    for (name, count) in SAMPLE {
        assert_eq!(counts(&first, name), [count, 0, 0], "{name}");
    }
    let taken = content(&postgres, "first.backup");
    assert_eq!(taken, content(&sqlite, "sqlite.backup"));
    for flags in [&[][..], &["--dry-run"]] {
        let second = import(&postgres, &home, &[&MACHINE[..], flags].concat());
        for (name, count) in SAMPLE {
            assert_eq!(counts(&second, name), [0, count, 0], "{name}");
        }
    }
    assert_eq!(content(&postgres, "second.backup"), taken);
}

#[test]
fn nothing_in_a_source_ends_the_import() {
    if !postgres::is_available() {
        return;
    }
    let database = Database::fresh();
    let place = Place::with_database(database.url());
    let home = place.path("pocketpaw");
    for folder in ["memory/sessions", "identity", "mission_control"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    let write = |name: &str, text: String| std::fs::write(home.join(name), text).unwrap();
    // Random enough that no compression makes it fit into an index.
    let mixed = |it: u32| it.wrapping_mul(0x9e37_79b9).rotate_left(15).wrapping_mul(0x85eb_ca6b);
    let digit = |it: u32| char::from_digit((mixed(it) ^ mixed(it) >> 13).wrapping_mul(0xc2b2_ae35) >> 28, 16).unwrap();
    let long: String = (0..8_000).map(digit).collect();
    let entry = |id: &str| {
        format!(
            r#"{{"id":"{id}","timestamp":"2026-01-01T00:00:00Z","severity":"info","actor":"a\u0000","action":"b\u0000","target":"c\u0000","status":"d\u0000","context":{{"e\u0000":"\u0000"}}}}"#
        )
    };
    write("audit.jsonl", [entry(&long), entry("one\\u0000")].join("\n"));
    write(
        "memory/sessions/websocket_a.json",
        format!(
            r#"[{{"id":"{long}","content":"a\u0000","timestamp":"2026-01-01T00:00:00","metadata":{{"x\u0000":"\u0000"}}}}]"#
        ),
    );
    write("memory/sessions/_index.json", r#"{"websocket_a":{"user_title":"a\u0000b"}}"#.to_owned());
    write("identity/USER.md", "nul \0 and on".to_owned());
    write(
        "mission_control/tasks.json",
        format!(r#"[{{"id":"{long}"}},{{"id":"a\u0000"}},{{"id":"b","title":"\u0000"}}]"#),
    );
    write(
        "config.json",
        r#"{"x\u0000":1,"y":"\u0000","webhook_configs":[{"name":"w","description":"d\u0000","secret":"s\u0000"}]}"#
            .to_owned(),
    );
    write(
        "api_keys.json",
        format!(
            r#"[{{"id":"k","name":"n\u0000","key_hash":"{}","prefix":"p\u0000","scopes":["\u0000"]}}]"#,
            "ab".repeat(32)
        ),
    );
    let ended = import(&place, &home, &[]);
    for (name, expected) in [
        ("Audit entries", [2, 0, 0]),
        ("Messages", [1, 0, 0]),
        ("Identity texts", [1, 0, 0]),
        ("Tasks", [1, 0, 2]),
        ("Webhooks", [1, 0, 0]),
        ("API keys", [1, 0, 0]),
        ("Other settings", [1, 0, 1]),
    ] {
        assert_eq!(counts(&ended, name), expected, "{name}: {}", ended.stdout);
    }
    assert!(
        ended.stdout.contains("its id is too long; it got a new one\n      audit.jsonl, line 1"),
        "{}",
        ended.stdout
    );
    assert_eq!(counts(&import(&place, &home, &[]), "Audit entries"), [0, 2, 0]);
}
