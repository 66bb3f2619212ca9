//! Homes with damage: each is reported, and the rest is taken.

use super::home::{MACHINE, counts, import, sample};
use crate::e2e::binary::Place;
use std::path::Path;

/// A kind of damage, the line of the table, what that then counts, and what is said.
struct Damage {
    what: &'static str,
    inflict: fn(&Path),
    area: &'static str,
    counts: [u64; 3],
    says: &'static [&'static str],
}

fn write(home: &Path, name: &str, content: &[u8]) {
    std::fs::create_dir_all(home.join(name).parent().unwrap()).unwrap();
    std::fs::write(home.join(name), content).unwrap();
}

fn replace(home: &Path, name: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(home.join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    write(home, name, text.replacen(from, to, 1).as_bytes());
}

const TELEGRAM: &str = "memory/sessions/telegram_123456789.json";

const ALL: [Damage; 18] = [
    Damage {
        what: "a session that is cut off",
        inflict: |home| {
            let bytes = std::fs::read(home.join(TELEGRAM)).unwrap();
            write(home, TELEGRAM, &bytes[..bytes.len() - 20]);
        },
        area: "Sessions",
        counts: [7, 0, 1],
        says: &["it is cut off", TELEGRAM],
    },
    Damage {
        what: "an empty session file",
        inflict: |home| write(home, TELEGRAM, b""),
        area: "Sessions",
        counts: [7, 0, 1],
        says: &["it is cut off", TELEGRAM],
    },
    Damage {
        what: "a session that is no list",
        inflict: |home| write(home, TELEGRAM, b"{\"messages\": []}"),
        area: "Sessions",
        counts: [7, 0, 1],
        says: &["it holds no list", TELEGRAM],
    },
    Damage {
        what: "a session of zeros",
        inflict: |home| write(home, TELEGRAM, &[0; 512]),
        area: "Sessions",
        counts: [7, 0, 1],
        says: &["it is not JSON", TELEGRAM],
    },
    Damage {
        what: "a message that is none",
        inflict: |home| replace(home, TELEGRAM, "\"I will remind you at nine.\"", "17"),
        area: "Messages",
        counts: [19, 0, 1],
        says: &["its content is no text", "telegram_123456789.json, element 2"],
    },
    Damage {
        what: "a message without a time",
        inflict: |home| replace(home, TELEGRAM, "2026-11-23T04:40:18.603615", "some day"),
        area: "Messages",
        counts: [20, 0, 0],
        says: &["it has no time that can be read", "telegram_123456789.json, element 2"],
    },
    Damage {
        what: "a name that no session has",
        inflict: |home| write(home, "memory/sessions/a b.json", b"[]"),
        area: "Sessions",
        counts: [8, 0, 1],
        says: &["its name cannot be that of a session", "memory/sessions/a b.json"],
    },
    Damage {
        what: "an index that is damaged",
        inflict: |home| write(home, "memory/sessions/_index.json", b"{\"telegram_123456789\": {"),
        area: "Sessions",
        counts: [8, 0, 0],
        says: &["titles that were given to sessions by hand are lost", "_index.json"],
    },
    Damage {
        what: "a setting of the wrong type",
        inflict: |home| replace(home, "config.json", "\"web_port\": 8888", "\"web_port\": \"many\""),
        area: "Other settings",
        counts: [144, 0, 1],
        says: &["it is no whole number", "config.json, web_port"],
    },
    Damage {
        what: "settings that are not JSON",
        inflict: |home| replace(home, "config.json", "{", "{,"),
        area: "Other settings",
        counts: [0, 0, 1],
        says: &["it is not JSON (line 1", "config.json"],
    },
    Damage {
        what: "a webhook without a secret",
        inflict: |home| {
            replace(
                home,
                "config.json",
                "\"secret\": \"HKxbd1kb6Ydh26ZazkbL7rWIso12SS0gbjrpzIuAIeA\"",
                "\"secret\": null",
            );
        },
        area: "Webhooks",
        counts: [1, 0, 1],
        says: &["it has no secret", "webhook_configs, element 1"],
    },
    Damage {
        what: "an API key without a hash",
        inflict: |home| replace(home, "api_keys.json", "ebef4226a7", "xyz"),
        area: "API keys",
        counts: [1, 0, 1],
        says: &["it has no hash", "api_keys.json, element 1"],
    },
    Damage {
        what: "lines of the audit log that are none",
        inflict: |home| {
            let log = std::fs::read_to_string(home.join("audit.jsonl")).unwrap();
            write(home, "audit.jsonl", format!("not json\n[]\n\n{log}{{\"id\": \"half").as_bytes());
        },
        area: "Audit entries",
        counts: [11, 0, 3],
        says: &["the line is no JSON object", "audit.jsonl, line 1", "audit.jsonl, line 2"],
    },
    Damage {
        what: "an MCP server without a name, and one of another type",
        inflict: |home| {
            replace(home, "mcp_servers.json", "\"name\": \"filesystem\",", "");
            replace(home, "mcp_servers.json", "\"args\": [],", "\"args\": \"none\",");
        },
        area: "MCP servers",
        counts: [1, 0, 2],
        says: &["it has no name", "its args is of another type than expected"],
    },
    Damage {
        what: "a record of Mission Control without an id, and a file that is damaged",
        inflict: |home| {
            replace(home, "mission_control/activities.json", "\"id\":", "\"no\":");
            write(home, "mission_control/tasks.json", b"[{]");
        },
        area: "Activities",
        counts: [4, 0, 1],
        says: &["it has no id", "activities.json, element 1", "Tasks: it is not JSON"],
    },
    Damage {
        what: "encrypted secrets that are damaged",
        inflict: |home| write(home, "secrets.enc", b"garbage"),
        area: "Secrets",
        counts: [0, 0, 4],
        says: &[
            "it is damaged, or has a form that is not known",
            "telegram is configured and needs telegram_bot_token",
        ],
    },
    Damage {
        what: "an access token that is none, and a report that is none",
        inflict: |home| {
            write(home, "access_token", b"short");
            write(home, "audit_reports/2026-11-24.json", b"nothing");
        },
        area: "Audit reports",
        counts: [1, 0, 1],
        says: &["Access token: it holds no access token", "audit_reports/2026-11-24.json"],
    },
    Damage {
        what: "a folder in the place of a file, and a memory that is no text",
        inflict: |home| {
            std::fs::remove_file(home.join("reminders.json")).unwrap();
            std::fs::create_dir(home.join("reminders.json")).unwrap();
            write(home, "memory/notes.md", b"## A\nb");
            write(home, "memory/2026-11-24.md", b"## 10:00\n\nbroken \xff\xfe text\n");
        },
        area: "Daily notes",
        counts: [2, 0, 1],
        says: &["Reminders: it is no file", "its name is no date"],
    },
];

/// What is still there of all that no damage touches.
#[track_caller]
fn assert_the_rest_is_there(ended: &crate::e2e::binary::Ended, damaged: &str) {
    for (name, count) in super::SAMPLE {
        let [imported, there, _] = counts(ended, name);
        assert!(imported + 2 >= count || damaged == "settings that are not JSON", "{damaged}: {name}");
        assert_eq!(there, 0);
    }
}

#[test]
fn each_kind_of_damage_is_reported_and_the_rest_is_taken() {
    for damage in &ALL {
        let place = Place::new();
        let home = sample(&place);
        (damage.inflict)(&home);
        let ended = import(&place, &home, &MACHINE);
        assert_eq!(counts(&ended, damage.area), damage.counts, "{}: {}", damage.what, ended.stdout);
        for words in damage.says {
            assert!(ended.stdout.contains(words), "{}: no {words:?} in {}", damage.what, ended.stdout);
        }
        let is_whole = !["settings that are not JSON", "encrypted secrets that are damaged"].contains(&damage.what)
            && damage.area != "Audit reports"
            && damage.area != "Daily notes"
            && damage.area != "Activities";
        if is_whole {
            assert_the_rest_is_there(&ended, damage.what);
        }
    }
}

#[test]
fn ten_kinds_of_damage_at_once_are_all_reported() {
    let place = Place::new();
    let home = sample(&place);
    // Of those that touch the same file one each.
    let chosen = [0, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16];
    for index in chosen {
        (ALL[index].inflict)(&home);
    }
    let before = super::snapshot(&home);
    let ended = import(&place, &home, &MACHINE);
    for index in chosen {
        for words in ALL[index].says {
            assert!(ended.stdout.contains(words), "{}: no {words:?} in {}", ALL[index].what, ended.stdout);
        }
    }
    assert_eq!((counts(&ended, "Sessions"), counts(&ended, "Messages")), ([7, 0, 2], [18, 0, 0]));
    assert_eq!((counts(&ended, "Memories"), counts(&ended, "Audit entries")), ([4, 0, 0], [11, 0, 3]));
    assert_eq!(super::snapshot(&home), before);
}
