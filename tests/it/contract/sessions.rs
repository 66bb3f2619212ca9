//! What [`pawport::ports::sessions::SessionStore`] promises, search aside.

use super::fixtures::{answered, asked, at, at_once, entry, everything, id, limit, listed, logged, texts};
use pawport::domain::session::{
    Message, MessageText, Metadata, NewMessage, Role, SessionPage, SessionSummary, SessionTitle,
};
use pawport::ports::store::{StoreError, Stores};
use serde_json::json;
use std::sync::Arc;

pub async fn a_created_session_is_empty(stores: &Stores) {
    stores.sessions.create(&id("websocket_a"), at(5), &entry("created")).await.unwrap();
    let expected = SessionSummary::new(id("websocket_a"), at(5));
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), Some(expected.clone()));
    let page = stores.sessions.recent(everything(), 0).await.unwrap();
    assert_eq!(page, SessionPage { sessions: vec![expected], total: 1 });
    assert_eq!(stores.sessions.history(&id("websocket_a"), everything()).await.unwrap(), []);
    assert_eq!(logged(stores).await, ["created"]);
}

pub async fn create_refuses_an_id_that_is_taken(stores: &Stores) {
    stores.sessions.create(&id("created"), at(5), &entry("first")).await.unwrap();
    stores.sessions.append(&id("appended"), asked("hello", 6)).await.unwrap();
    let before = stores.sessions.recent(everything(), 0).await.unwrap();
    for taken in ["created", "appended"] {
        let refused = stores.sessions.create(&id(taken), at(9), &entry("second")).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(stores.sessions.recent(everything(), 0).await.unwrap(), before);
    assert_eq!(texts(stores, "appended").await, ["hello"]);
    assert_eq!(logged(stores).await, ["first"]);
}

pub async fn append_creates_the_session(stores: &Stores) {
    let message = asked("hello", 5);
    let appended = stores.sessions.append(&id("websocket_a"), message.clone()).await.unwrap();
    assert_eq!(appended, Message { content: message.clone(), number: 1 });
    let expected = SessionSummary::new(id("websocket_a"), at(5)).with(&message);
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), Some(expected));
    assert_eq!(logged(stores).await, [""; 0], "a message is no change for the audit log");
}

pub async fn append_changes_the_summary_as_the_domain_says(stores: &Stores) {
    let session = id("websocket_a");
    let mut expected = SessionSummary::new(session.clone(), at(50));
    stores.sessions.create(&session, at(50), &entry("created")).await.unwrap();
    let messages = [
        answered("  Hello, what can I do? ", 60),
        asked("   ", 70),
        asked(&"🐾é".repeat(100), 80),
        // A clock that was set back does not make a session older.
        asked("later, but earlier", 40),
        answered("", 90),
        NewMessage { role: Role::System, ..asked(&"x\n".repeat(200), 90) },
    ];
    for message in messages {
        expected = expected.with(&message);
        stores.sessions.append(&session, message).await.unwrap();
        assert_eq!(stores.sessions.find(&session).await.unwrap().as_ref(), Some(&expected));
    }
}

pub async fn append_numbers_without_gaps(stores: &Stores) {
    for number in 1..=5 {
        let first = stores.sessions.append(&id("websocket_a"), asked("x", 5)).await.unwrap();
        let second = stores.sessions.append(&id("websocket_b"), asked("x", 5)).await.unwrap();
        assert_eq!((first.number, second.number), (number, number));
    }
}

pub async fn append_numbers_without_gaps_when_fifty_do_it_at_once(stores: &Stores) {
    let appended = at_once(50, |task| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.append(&id("websocket_a"), asked(&format!("text {task}"), 5)).await.unwrap() }
    });
    let mut appended = appended.await;
    appended.sort_by_key(|message| message.number);
    assert!(appended.iter().map(|message| message.number).eq(1..=50));
    assert_eq!(stores.sessions.history(&id("websocket_a"), everything()).await.unwrap(), appended);
    let summary = stores.sessions.find(&id("websocket_a")).await.unwrap().unwrap();
    assert_eq!(summary.message_count, 50);
    assert_eq!(summary.preview, appended[49].content.text.as_str());
    assert_eq!(summary.first_words, appended[0].content.text.as_str());
}

pub async fn twenty_sessions_are_created_at_once(stores: &Stores) {
    let numbers = at_once(20, |task| {
        let sessions = Arc::clone(&stores.sessions);
        async move {
            let session = id(&format!("websocket_{task}"));
            let first = sessions.append(&session, asked("one", 5)).await.unwrap().number;
            let second = sessions.append(&session, asked("two", 5)).await.unwrap().number;
            (first, second)
        }
    });
    assert_eq!(numbers.await, [(1, 2); 20]);
    assert_eq!(stores.sessions.recent(limit(1), 0).await.unwrap().total, 20);
}

pub async fn one_of_twenty_creations_of_the_same_session_wins(stores: &Stores) {
    let created = at_once(20, |task| {
        let sessions = Arc::clone(&stores.sessions);
        async move {
            match sessions.create(&id("websocket_a"), at(5), &entry(&task.to_string())).await {
                Ok(()) => Some(task),
                Err(StoreError::Conflict) => None,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let winners: Vec<String> = created.await.into_iter().flatten().map(|task| task.to_string()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(logged(stores).await, winners);
}

pub async fn every_member_of_a_message_comes_back(stores: &Stores) {
    let rich = json!({
        "empty": {}, "list": [1, -2.5, null, true], "text": "\"quoted\" \\ 🐾 \u{7f}",
        "nested": { "a": { "b": [] } }, "ключ": "値", "big": u64::MAX, "z": 1, "a": 2,
    });
    let metadata = [Metadata::empty(), Metadata::of(rich.as_object().unwrap())];
    let texts = [
        "",
        " \t\r\n ",
        "it's \"quoted\" \\ %_ ; DROP TABLE messages; --",
        "🐾👩‍👩‍👧‍👦 ẞ ς İ 日本語",
        "\u{1}\u{7f}\u{fffd}\u{10ffff}",
    ];
    let mut expected = Vec::new();
    for (number, text) in (1..).zip(texts) {
        for (role, metadata) in [Role::User, Role::Assistant, Role::System].into_iter().zip(metadata.iter().cycle()) {
            let content = NewMessage { role, metadata: metadata.clone(), ..asked(text, number) };
            let message = stores.sessions.append(&id("websocket_a"), content.clone()).await.unwrap();
            assert_eq!(message.content, content);
            expected.push(message);
        }
    }
    assert_eq!(stores.sessions.history(&id("websocket_a"), everything()).await.unwrap(), expected);
    assert_eq!(stores.sessions.messages(&id("websocket_a"), 0, everything()).await.unwrap(), expected);
}

pub async fn the_longest_text_comes_back(stores: &Stores) {
    for text in ["x".repeat(MessageText::MAX_BYTES), "🐾".repeat(MessageText::MAX_BYTES / 4)] {
        stores.sessions.append(&id("websocket_a"), asked(&text, 5)).await.unwrap();
        let last = stores.sessions.history(&id("websocket_a"), limit(1)).await.unwrap();
        assert!(last[0].content.text.as_str() == text, "a text of {} bytes came back changed", text.len());
    }
}

pub async fn the_first_and_the_last_moment_come_back(stores: &Stores) {
    for (name, moment) in [("first", i64::MIN), ("last", i64::MAX)] {
        stores.sessions.create(&id(name), at(moment), &entry("created")).await.unwrap();
        let message = stores.sessions.append(&id(name), asked("x", moment)).await.unwrap();
        assert_eq!(stores.sessions.history(&id(name), everything()).await.unwrap(), [message]);
        let summary = stores.sessions.find(&id(name)).await.unwrap().unwrap();
        assert_eq!((summary.created, summary.last_activity), (at(moment), at(moment)));
    }
    assert_eq!(listed(stores).await, ["last", "first"]);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    let unknown = id("websocket_unknown");
    for _ in 0..2 {
        assert_eq!(stores.sessions.find(&unknown).await.unwrap(), None);
        assert_eq!(stores.sessions.history(&unknown, everything()).await.unwrap(), []);
        assert_eq!(stores.sessions.messages(&unknown, 0, everything()).await.unwrap(), []);
        stores.sessions.append(&id("websocket_known"), asked("x", 5)).await.unwrap();
    }
}

pub async fn ids_are_compared_exactly(stores: &Stores) {
    let names = ["a_b", "A_b", "a%b", "axb", "a_b.", "a", "%"];
    for name in names {
        stores.sessions.append(&id(name), asked(name, 5)).await.unwrap();
    }
    for name in names {
        assert_eq!(texts(stores, name).await, [name]);
    }
    assert!(stores.sessions.remove(&id("a_b"), &entry("removed")).await.unwrap());
    assert!(stores.sessions.remove(&id("%"), &entry("removed")).await.unwrap());
    assert_eq!(listed(stores).await, ["a", "a_b.", "axb", "a%b", "A_b"]);
}

pub async fn recent_is_by_last_activity(stores: &Stores) {
    for (name, moment) in [("a", 30), ("b", 10), ("c", 20)] {
        stores.sessions.append(&id(name), asked("x", moment)).await.unwrap();
    }
    assert_eq!(listed(stores).await, ["a", "c", "b"]);
    stores.sessions.append(&id("b"), asked("x", 40)).await.unwrap();
    assert_eq!(listed(stores).await, ["b", "a", "c"]);
    stores.sessions.create(&id("d"), at(35), &entry("created")).await.unwrap();
    assert_eq!(listed(stores).await, ["b", "d", "a", "c"]);
}

pub async fn recent_puts_the_one_created_later_first_where_activity_is_equal(stores: &Stores) {
    // Neither by id nor by the order in which the activity became equal.
    for (name, moment) in [("m", 5), ("z", 10), ("a", 10), ("k", 10)] {
        stores.sessions.append(&id(name), asked("x", moment)).await.unwrap();
    }
    stores.sessions.append(&id("m"), asked("x", 10)).await.unwrap();
    assert_eq!(listed(stores).await, ["k", "a", "z", "m"]);
}

pub async fn recent_is_cut_into_pages_and_the_total_is_not(stores: &Stores) {
    let empty = stores.sessions.recent(everything(), 0).await.unwrap();
    assert_eq!(empty, SessionPage { sessions: Vec::new(), total: 0 });
    for number in 0..5 {
        stores.sessions.append(&id(&format!("s{number}")), asked("x", number)).await.unwrap();
    }
    let pages: [(i64, u64, &[&str]); 6] = [
        (2, 0, &["s4", "s3"]),
        (2, 2, &["s2", "s1"]),
        (2, 4, &["s0"]),
        (2, 5, &[]),
        (1_000, 1, &["s3", "s2", "s1", "s0"]),
        (1_000, u64::MAX, &[]),
    ];
    for (size, offset, expected) in pages {
        let page = stores.sessions.recent(limit(size), offset).await.unwrap();
        assert!(page.sessions.iter().map(|session| session.id.as_str()).eq(expected.iter().copied()), "{page:?}");
        assert_eq!(page.total, 5);
    }
}

pub async fn history_is_the_end_of_the_session_oldest_first(stores: &Stores) {
    // The times run backwards: the order is that of the numbers.
    for number in 1..=6 {
        stores.sessions.append(&id("websocket_a"), asked(&number.to_string(), 100 - number)).await.unwrap();
        stores.sessions.append(&id("websocket_b"), asked("other", 100)).await.unwrap();
    }
    for (size, first) in [(1, 6), (4, 3), (6, 1), (100, 1)] {
        let history = stores.sessions.history(&id("websocket_a"), limit(size)).await.unwrap();
        assert!(history.iter().map(|message| message.number).eq(first..=6), "the last {size}");
        assert!(history.iter().all(|message| message.content.text.as_str() == message.number.to_string()));
    }
}

pub async fn messages_are_those_after_a_number(stores: &Stores) {
    for number in 1..=6 {
        stores.sessions.append(&id("websocket_a"), asked(&number.to_string(), 100 - number)).await.unwrap();
        stores.sessions.append(&id("websocket_b"), asked("other", 100)).await.unwrap();
    }
    let cases: [(u64, i64, &[u64]); 6] = [
        (0, 2, &[1, 2]),
        (2, 3, &[3, 4, 5]),
        (5, 3, &[6]),
        (6, 3, &[]),
        (0, 100, &[1, 2, 3, 4, 5, 6]),
        (u64::MAX, 100, &[]),
    ];
    for (after, size, expected) in cases {
        let page = stores.sessions.messages(&id("websocket_a"), after, limit(size)).await.unwrap();
        assert!(page.iter().map(|message| message.number).eq(expected.iter().copied()), "{size} after {after}");
    }
}

pub async fn a_title_is_kept_with_its_entry(stores: &Stores) {
    let mut expected = SessionSummary::new(id("websocket_a"), at(5));
    stores.sessions.create(&id("websocket_a"), at(5), &entry("created")).await.unwrap();
    for title in ["Mine", "it's 🐾 \"Ünïcode\" %_", &"🐾".repeat(SessionTitle::MAX_CHARS)] {
        let title = SessionTitle::parse(title).unwrap();
        assert!(stores.sessions.set_title(&id("websocket_a"), &title, &entry("renamed")).await.unwrap());
        expected.user_title = Some(title);
        assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap().as_ref(), Some(&expected));
    }
    let message = asked("hello", 9);
    stores.sessions.append(&id("websocket_a"), message.clone()).await.unwrap();
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), Some(expected.with(&message)));
    assert_eq!(logged(stores).await, ["created", "renamed", "renamed", "renamed"]);
}

pub async fn a_title_for_nothing_leaves_no_entry(stores: &Stores) {
    let title = SessionTitle::parse("Mine").unwrap();
    assert!(!stores.sessions.set_title(&id("websocket_a"), &title, &entry("renamed")).await.unwrap());
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
    assert_eq!(logged(stores).await, [""; 0]);
}

pub async fn removal_takes_the_messages_and_leaves_an_entry(stores: &Stores) {
    for number in 0..3 {
        stores.sessions.append(&id("websocket_a"), asked("mine", number)).await.unwrap();
        stores.sessions.append(&id("websocket_b"), asked("other", number)).await.unwrap();
    }
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
    assert_eq!(texts(stores, "websocket_a").await, [""; 0]);
    assert_eq!(stores.sessions.messages(&id("websocket_a"), 0, everything()).await.unwrap(), []);
    assert_eq!(listed(stores).await, ["websocket_b"]);
    assert_eq!(texts(stores, "websocket_b").await, ["other"; 3]);
    assert_eq!(stores.sessions.recent(limit(1), 0).await.unwrap().total, 1);
    assert_eq!(logged(stores).await, ["removed"]);
}

pub async fn removal_of_nothing_leaves_no_entry(stores: &Stores) {
    assert!(!stores.sessions.remove(&id("websocket_a"), &entry("unknown")).await.unwrap());
    stores.sessions.append(&id("websocket_a"), asked("x", 5)).await.unwrap();
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("first")).await.unwrap());
    assert!(!stores.sessions.remove(&id("websocket_a"), &entry("second")).await.unwrap());
    assert_eq!(logged(stores).await, ["first"]);
}

pub async fn a_session_of_the_same_id_begins_anew(stores: &Stores) {
    let session = id("websocket_a");
    for text in ["one", "two"] {
        stores.sessions.append(&session, asked(text, 50)).await.unwrap();
    }
    stores.sessions.append(&id("websocket_b"), asked("x", 10)).await.unwrap();
    let title = SessionTitle::parse("Mine").unwrap();
    assert!(stores.sessions.set_title(&session, &title, &entry("renamed")).await.unwrap());
    assert!(stores.sessions.remove(&session, &entry("removed")).await.unwrap());

    let message = asked("three", 10);
    let appended = stores.sessions.append(&session, message.clone()).await.unwrap();
    assert_eq!(appended.number, 1);
    let expected = SessionSummary::new(session.clone(), at(10)).with(&message);
    assert_eq!(stores.sessions.find(&session).await.unwrap(), Some(expected));
    assert_eq!(texts(stores, "websocket_a").await, ["three"]);
    // It was created after the other one, whose activity is as new.
    assert_eq!(listed(stores).await, ["websocket_a", "websocket_b"]);
}
