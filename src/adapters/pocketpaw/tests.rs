use super::memory::{content, legacy_id, sections, tags};
use super::secrets::{argon2_key, open_fernet, pbkdf2_key};
use super::times::{exact, moment, moment_of};
use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use secrecy::ExposeSecret;
use serde_json::json;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

#[track_caller]
fn assert_moment(text: &str, name: &str, utc: &str) {
    assert_eq!(moment(text, &zone(name)), exact(utc), "{text} in {name}");
}

#[test]
fn a_time_without_a_zone_is_local() {
    assert_moment("2026-11-23T04:40:18.599814", "UTC", "2026-11-23T04:40:18.599Z");
    assert_moment("2026-11-23T04:40:18.599814", "Europe/Lisbon", "2026-11-23T04:40:18.599Z");
    assert_moment("2026-07-01T12:00:00", "Europe/Lisbon", "2026-07-01T11:00:00Z");
    assert_moment("2026-07-01 12:00:00", "Asia/Kolkata", "2026-07-01T06:30:00Z");
    assert_moment("2026-01-01T00:00:00", "America/New_York", "2026-01-01T05:00:00Z");
}

#[test]
fn a_time_with_an_offset_is_what_it_says() {
    assert_moment("2026-07-01T12:00:00+00:00", "Asia/Kolkata", "2026-07-01T12:00:00Z");
    assert_moment("2026-07-01T12:00:00Z", "Asia/Kolkata", "2026-07-01T12:00:00Z");
    assert_moment("2026-07-01T12:00:00.5-03:00", "UTC", "2026-07-01T15:00:00.500Z");
}

#[test]
fn a_time_around_a_change_of_clocks_is_one_moment() {
    // In Lisbon the clocks went from 01:00 to 02:00 on 29 March 2026, and from 02:00 to 01:00 on 25 October.
    assert_moment("2026-03-29T00:59:59", "Europe/Lisbon", "2026-03-29T00:59:59Z");
    assert_moment("2026-03-29T01:30:00", "Europe/Lisbon", "2026-03-29T01:30:00Z");
    assert_moment("2026-03-29T02:00:00", "Europe/Lisbon", "2026-03-29T01:00:00Z");
    assert_moment("2026-10-25T00:59:59", "Europe/Lisbon", "2026-10-24T23:59:59Z");
    assert_moment("2026-10-25T01:30:00", "Europe/Lisbon", "2026-10-25T00:30:00Z");
    assert_moment("2026-10-25T02:00:00", "Europe/Lisbon", "2026-10-25T02:00:00Z");
}

#[test]
fn what_is_no_time_is_none() {
    for text in ["", "yesterday", "2026-13-01T00:00:00", "04:40", "1700000000"] {
        assert_eq!(moment(text, &TimeZone::UTC), None, "{text}");
    }
    assert_eq!(exact("2026-11-23T04:40:18"), None, "no zone");
    let seconds = moment_of(&json!(1_700_000_000.25), &TimeZone::UTC).unwrap();
    assert_eq!(seconds.0, 1_700_000_000_250);
    for value in [json!(null), json!(true), json!([]), json!(1e300)] {
        assert_eq!(moment_of(&value, &TimeZone::UTC), None, "{value}");
    }
}

#[track_caller]
fn assert_sections(text: &str, expected: &[(&str, &str)]) {
    let found = sections(text);
    let found: Vec<_> = found.iter().map(|section| (section.header, section.body)).collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn a_file_splits_before_headers_of_two_or_more_signs() {
    assert_sections("\n\n## A\n\none\n\n#t\n\n## B\n\ntwo\n", &[("A", "one\n\n#t"), ("B", "two")]);
    assert_sections("### Deep\nbody", &[("Deep", "body")]);
    assert_sections("# Title\ntext\n## A\none", &[("Title", "text"), ("A", "one")]);
    assert_sections("## A\none\n# no header\n##no header\ntwo", &[("A", "one\n# no header\n##no header\ntwo")]);
    assert_sections("## Empty\n\n## B\ntwo\n##  \n", &[("B", "two")]);
    assert_sections("", &[]);
    assert_sections("## only a header", &[]);
}

#[test]
fn tags_are_the_words_with_a_sign_and_count_once() {
    assert_eq!(tags("a #b, #c_1 x#d # e #b ##f #é"), ["b", "c_1", "d", "f", "é"]);
    assert!(tags("none # here #").is_empty());
}

#[test]
fn lines_of_tags_at_the_end_are_no_content() {
    assert_eq!(content("text #in it\n\n#a #b\n\n#a #b"), "text #in it");
    assert_eq!(content("text\n#a and more"), "text\n#a and more");
    assert_eq!(content("#only #tags"), "#only #tags");
    assert_eq!(content("#a\n#b"), "#a");
    assert_eq!(content("one\n\ntwo"), "one\n\ntwo");
}

#[test]
fn the_old_id_of_a_memory_is_made_of_path_header_and_body() {
    let text = "## Memory\n\nWorks from Lisbon; no meetings before 10:00.\n";
    let id = legacy_id("/home/ana/.pocketpaw/memory/MEMORY.md", &sections(text)[0]);
    assert_eq!(id.to_string(), "a0502a39-4542-5c8e-9d66-b9add068f0fe");
}

#[test]
fn the_newer_key_is_that_of_the_known_vector() {
    let salt = hex::decode("cefc166a2f8447c299f486b91f95611f").unwrap();
    let key = argon2_key("0123456789abcdef0123456789abcdef|NO_HARDWARE_UUID|ana", &salt).unwrap();
    assert_eq!(hex::encode(key), "4c04d56110096abdf242577ce24332f4ac82353ab578264639ce5e0a6384d5ab");
}

/// The vector of the specification of Fernet.
#[test]
fn the_older_form_opens_and_a_changed_one_does_not() {
    let key: [u8; 32] = URL_SAFE.decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap().try_into().unwrap();
    let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    assert_eq!(open_fernet(token.as_bytes(), &key).unwrap(), b"hello");
    assert_eq!(open_fernet(token.replace("5CV", "5CW").as_bytes(), &key), None);
    assert_eq!(open_fernet(token.as_bytes(), &[0; 32]), None);
    assert_eq!(open_fernet(b"gAAAA", &key), None);
}

/// Made with Python's `hashlib` and `cryptography`.
#[test]
fn the_older_file_opens_with_its_key() {
    let salt = hex::decode("00112233445566778899aabbccddeeff").unwrap();
    let key = pbkdf2_key("feedface|ana", &salt);
    let token = "gAAAAABlU_EAEaVpB4Ljznfs7VZ2sB7DZbOVroz7Ar2qf7LqXsK5_BWCOdPvqMAcNudOQweBKLGHBnt3-qGmT26N7LzHi03pNT2EgrpVNJXucaDB4OUKjUyaF5OwQh1vSB6q5AJJ4FXH";
    assert_eq!(open_fernet(token.as_bytes(), &key).unwrap(), br#"{"discord_bot_token": "old-form"}"#);
}

/// A folder with these files; what is found in it.
pub(super) fn found(files: &[(&str, &[u8])]) -> Vec<Found> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let options = Options { zone: TimeZone::UTC, keys: KeyMaterial::default(), home_was: None };
    let mut found = Vec::new();
    Home { files: Files::below(folder.path()).unwrap() }.read(&options, &mut |it| {
        found.push(it);
        true
    });
    found
}

/// The remarks, with their places.
pub(super) fn remarks(files: &[(&str, &[u8])]) -> Vec<String> {
    let remark = |found| match found {
        Found::Remark(remark) => Some(format!("{}: {}", remark.place, remark.why)),
        _ => None,
    };
    found(files).into_iter().filter_map(remark).collect()
}

/// Id, role, time and text of a message.
type Spoken = (String, &'static str, i64, String);

/// The messages of a session, and the remarks.
fn messages(session: &str) -> (Vec<Spoken>, Vec<String>) {
    let (mut messages, mut remarks) = (Vec::new(), Vec::new());
    for found in found(&[("memory/sessions/websocket_a.json", session.as_bytes())]) {
        match found {
            Found::Item(_, Item::Session(part)) => messages.extend(
                part.messages.into_iter().map(|it| (it.id, it.role.as_str(), it.at.0, it.text.as_str().to_owned())),
            ),
            Found::Remark(remark) => remarks.push(format!("{}: {}", remark.place, remark.why)),
            _ => {}
        }
    }
    (messages, remarks)
}

#[test]
fn a_message_without_an_id_gets_the_same_one_every_time() {
    let session = r#"[{"role":null,"content":"a","timestamp":"2026-01-01T00:00:00"},
        {"content":"a","timestamp":"2026-01-01T00:00:00"},
        {"id":"x","role":"assistant","content":"b","timestamp":"2026-01-01T00:00:01"},
        {"id":"x","role":"assistant","content":"c","timestamp":"2026-01-01T00:00:01"}]"#;
    let (first, remarks) = messages(session);
    let (second, _) = messages(session);
    assert_eq!(first, second);
    let ids: std::collections::HashSet<&String> = first.iter().map(|message| &message.0).collect();
    assert_eq!((ids.len(), first.len()), (4, 4));
    assert_eq!((first[0].1, first[0].2, first[2].0.as_str()), ("user", 1_767_225_600_000, "x"));
    assert_eq!(remarks, ["memory/sessions/websocket_a.json, element 4: another message has its id; it got a new one"]);
}

#[test]
fn a_broken_element_is_reported_alone() {
    let session = r#"[1, {"role":"user"}, {"role":"tool","content":"x"}, {"content":"\ud800"},
        {"role":"user","content":"good","timestamp":"soon"}]"#;
    let (messages, remarks) = messages(session);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].3, "good");
    assert_eq!(remarks.len(), 5, "{remarks:?}");
}

#[test]
fn the_data_of_media_is_dropped_and_nothing_else() {
    let session = r#"[{"id":"x","content":"a","timestamp":"2026-01-01T00:00:00",
        "metadata":{"media":[{"data":"QUJD","name":"a.png"},1],"more":{"data":"stays"}}}]"#;
    let found = found(&[("memory/sessions/websocket_a.json", session.as_bytes())]);
    let part = found.iter().find_map(|it| match it {
        Found::Item(_, Item::Session(part)) => Some(part),
        _ => None,
    });
    let metadata: Value = serde_json::from_str(part.unwrap().messages[0].metadata.as_json()).unwrap();
    assert_eq!(metadata, json!({ "media": [{ "name": "a.png" }, 1], "more": { "data": "stays" } }));
}

#[test]
fn a_long_session_comes_in_parts() {
    let message =
        |number| format!(r#"{{"id":"m{number}","content":"text {number}","timestamp":"2026-01-01T00:00:00"}}"#);
    let session = format!("[{}]", (0..2_500).map(message).collect::<Vec<_>>().join(","));
    let found = found(&[("memory/sessions/websocket_a.json", session.as_bytes())]);
    let parts: Vec<usize> = found
        .iter()
        .filter_map(|it| match it {
            Found::Item(_, Item::Session(part)) => Some(part.messages.len()),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [1_000, 1_000, 500]);
    let read: u64 = found.iter().map(|it| if let Found::Progress(bytes) = it { *bytes } else { 0 }).sum();
    assert_eq!(read, session.len() as u64);
}

#[test]
fn an_api_key_without_a_sure_end_is_revoked() {
    let key = |id: &str, expires: &str| {
        format!(
            r#"{{"id":"{id}","name":"k","key_hash":"{}","prefix":"pp_x","scopes":["chat","fly"],"created_at":"2026-01-01T00:00:00+00:00","last_used_at":null,"expires_at":{expires},"revoked":false}}"#,
            "ab".repeat(32)
        )
    };
    let keys =
        [key("a", "null"), key("b", r#""2030-01-01T00:00:00""#), key("c", r#""2030-01-01T00:00:00Z""#), key("d", "5")];
    let found = found(&[("api_keys.json", format!("[{}]", keys.join(",")).as_bytes())]);
    let keys: Vec<_> = found
        .iter()
        .filter_map(|it| match it {
            Found::Item(_, Item::ApiKey(key)) => {
                Some((key.id.as_str(), key.revoked.is_some(), key.expires.is_some(), key.scopes.names()))
            }
            _ => None,
        })
        .collect();
    let chat = || vec!["chat"];
    assert_eq!(
        keys,
        [
            ("a", false, false, chat()),
            ("b", true, false, chat()),
            ("c", false, true, chat()),
            ("d", true, false, chat())
        ]
    );
}

#[test]
fn secrets_among_old_settings_are_taken_as_secrets() {
    let found = found(&[(
        "config.json",
        br#"{"openai_api_key":"sk-x","slack_bot_token":"","web_port":"8888","new_thing":{"a":1},"other_api_key":"sk-y"}"#,
    )]);
    let kept: Vec<_> = found
        .iter()
        .filter_map(|it| match it {
            Found::Item(_, Item::Kept(kept)) => {
                let secret = kept.secret.as_ref().map_or("", |secret| secret.expose_secret());
                Some((kept.kind.as_str(), kept.id.as_str(), kept.body.as_str(), secret))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        kept,
        [
            ("unknown_setting", "new_thing", "{}", r#"{"value":{"a":1}}"#),
            ("unknown_setting", "other_api_key", "{}", r#"{"value":"sk-y"}"#),
        ]
    );
    let settings: Vec<_> = found
        .iter()
        .filter_map(|it| match it {
            Found::Item(_, Item::Setting(setting)) => Some(setting.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(settings, ["openai_api_key"]);
    let remarks: Vec<_> = found
        .iter()
        .filter_map(|it| {
            if let Found::Remark(remark) = it { Some((remark.place.as_str(), remark.why.as_str())) } else { None }
        })
        .collect();
    assert_eq!(remarks, [("config.json, web_port", "it is no whole number")]);
}

#[test]
fn reading_ends_when_nobody_wants_more() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("audit.jsonl"), "{}\n{}\n{}\n").unwrap();
    let options = Options { zone: TimeZone::UTC, keys: KeyMaterial::default(), home_was: None };
    let mut count = 0;
    Home::open(folder.path()).unwrap().read(&options, &mut |_| {
        count += 1;
        false
    });
    assert_eq!(count, 1);
}

#[test]
fn a_folder_without_such_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
    let refusal = Home::open(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("config.json"), "{refusal}");
    assert!(Home::open(&folder.path().join("missing")).is_err());
}

/// Kind, name, body and secret of what is kept.
fn records(files: &[(&str, &[u8])]) -> Vec<[String; 4]> {
    let kept = |found| match found {
        Found::Item(_, Item::Kept(kept)) => {
            let secret = kept.secret.map_or_else(String::new, |secret| secret.expose_secret().to_owned());
            Some([kept.kind, kept.id, kept.body, secret])
        }
        _ => None,
    };
    found(files).into_iter().filter_map(kept).collect()
}

#[test]
fn an_audit_id_that_is_too_long_gets_a_new_one() {
    let entry = |id: &str| format!(r#"{{"id":"{id}","timestamp":"2026-01-01T00:00:00Z","action":"a\u0000b"}}"#);
    let (fits, long) = ("x".repeat(100), "x".repeat(8_000));
    let entries = [entry(&fits), entry(&long), entry(&long)].join("\n");
    let files: [(&str, &[u8]); 1] = [("audit.jsonl", entries.as_bytes())];
    let ids: Vec<String> = found(&files)
        .into_iter()
        .filter_map(|it| match it {
            Found::Item(_, Item::Audit(entry)) => {
                assert_eq!(entry.action, "ab");
                Some(entry.id)
            }
            _ => None,
        })
        .collect();
    assert_eq!((ids[0].as_str(), ids[1].len()), (fits.as_str(), 36));
    assert_eq!(ids[1], ids[2], "one id, as before");
    assert_eq!(remarks(&files)[0], "audit.jsonl, line 2: its id is too long; it got a new one");
}

#[test]
fn texts_that_are_not_utf_8_are_taken_and_reported() {
    let files: [(&str, &[u8]); 3] = [
        ("memory/MEMORY.md", b"## A\n\nb\xffc\n"),
        ("identity/USER.md", b"\xfe"),
        ("access_token", b"fe294fa7-e6aa-45ce-95f4-5d6cbd02fda8\xff"),
    ];
    let taken = records(&files);
    assert!(taken[0][2].contains("\u{fffd}"), "{taken:?}");
    let memories = found(&files).into_iter().filter_map(|found| match found {
        Found::Item(_, Item::Memory(memory)) => Some(memory.text.as_str().to_owned()),
        _ => None,
    });
    assert_eq!(memories.collect::<Vec<_>>(), ["b\u{fffd}c"]);
    let reported = remarks(&files);
    let expected =
        ["access_token: it is not UTF-8", "identity/USER.md: it is not UTF-8", "memory/MEMORY.md: it is not UTF-8"];
    assert_eq!(reported.len(), 3);
    for (remark, expected) in reported.iter().zip(expected) {
        assert!(remark.starts_with(expected), "{remark}");
    }
}

#[test]
fn what_is_too_long_is_reported_and_the_rest_is_taken() {
    let long = "x".repeat(Kept::MAX_BODY);
    let list = format!(r#"[{{"id":"a"}},{{"id":"b","title":"{long}"}},{{"id":"c"}}]"#);
    let entry = r#"{"id":"one","timestamp":"2026-01-01T00:00:00Z","action":"a"}"#;
    let audit = format!("{entry}\n{{\"id\":\"{long}\"}}\n{}\n", entry.replace("one", "two"));
    let files: [(&str, &[u8]); 3] = [
        ("mission_control/tasks.json", list.as_bytes()),
        ("audit.jsonl", audit.as_bytes()),
        ("identity/USER.md", long.as_bytes()),
    ];
    assert_eq!(records(&files).into_iter().map(|it| it[1].clone()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(
        remarks(&files),
        [
            "audit.jsonl, line 2: the line is longer than 4 MiB",
            "mission_control/tasks.json, element 2: it is longer than 4 MiB",
            "identity/USER.md: it is longer than 4 MiB",
        ]
    );
    let entries = found(&files).iter().filter(|it| matches!(it, Found::Item(Area::AuditEntries, _))).count();
    assert_eq!(entries, 2);
}

#[test]
fn names_lose_their_ending_once() {
    let taken = records(&[("oauth/a.json.json", b"{}"), ("audit_reports/audit_reports.json", b"{}")]);
    assert_eq!(taken.iter().map(|it| it[1].as_str()).collect::<Vec<_>>(), ["a.json", "audit_reports"]);
}

#[test]
fn encrypted_secrets_that_are_no_text_are_named() {
    use aes_gcm::aead::{Aead, Payload};
    use aes_gcm::{Aes256Gcm, KeyInit};
    let (salt, nonce, header) = ([7; 16], [9; 12], *b"PAW\x02");
    let cipher = Aes256Gcm::new((&argon2_key("m|NO_HARDWARE_UUID|l", &salt).unwrap()).into());
    let plain = br#"{"a":"secret","b":5,"c":"","d":null,"e":{"f":"g"}}"#;
    let sealed = cipher.encrypt((&nonce).into(), Payload { msg: plain, aad: &header }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".salt"), salt).unwrap();
    std::fs::write(folder.path().join("secrets.enc"), [&header[..], &nonce, &sealed].concat()).unwrap();
    let keys = KeyMaterial {
        machines: vec!["m".to_owned()],
        hardware: vec![KeyMaterial::NO_HARDWARE.to_owned()],
        logins: vec!["l".to_owned()],
    };
    let options = Options { zone: TimeZone::UTC, keys, home_was: None };
    let mut remarks = Vec::new();
    Home::open(folder.path()).unwrap().read(&options, &mut |it| {
        if let Found::Remark(remark) = it {
            remarks.push(format!("{}: {}", remark.place, remark.why));
        }
        true
    });
    assert_eq!(remarks, ["secrets.enc, b: it is no text", "secrets.enc, e: it is no text"]);
}
