//! What [`pawport::ports::sessions::SessionStore::search`] promises.
//!
//! Each function is run twice: with a `settle` that does nothing, where everything was stored only just now, and with one
//! that waits until the storage has nothing left to do in the background. Where a function settles in the middle, what is
//! stored before and after is found by different means. The answers must not differ.

use super::fixtures::{answered, asked, at_once, entry, everything, id, limit, texts};
use pawport::domain::session::{MessageText, NewMessage, Role, SearchHit, SearchQuery, SessionTitle};
use pawport::domain::text;
use pawport::ports::store::Stores;
use std::sync::Arc;

async fn search(stores: &Stores, text: &str, size: i64) -> Vec<SearchHit> {
    let query = SearchQuery::parse(text).unwrap();
    stores.sessions.search(&query, limit(size)).await.unwrap()
}

/// The sessions in which the text is found, in the order of the answer.
async fn found(stores: &Stores, text: &str) -> Vec<String> {
    search(stores, text, 1_000).await.into_iter().map(|hit| hit.session.id.to_string()).collect()
}

/// One session for each text, called `s0`, `s1` …; the later ones are newer.
async fn store_each(stores: &Stores, texts: &[&str]) {
    for (number, text) in (0..).zip(texts) {
        stores.sessions.append(&id(&format!("s{number}")), asked(text, number)).await.unwrap();
    }
}

/// Checks for each query in which of the texts it is found; the numbers are indices, and the newest comes first.
async fn assert_found(stores: &Stores, settle: impl AsyncFn(), texts: &[&str], cases: &[(&str, &[usize])]) {
    store_each(stores, texts).await;
    settle().await;
    for (query, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|number| format!("s{number}")).collect();
        assert_eq!(found(stores, query).await, expected, "the sessions with {query:?}");
    }
}

pub async fn nothing_is_found_where_nothing_is(stores: &Stores, settle: impl AsyncFn()) {
    settle().await;
    assert_eq!(search(stores, "anything", 50).await, []);
    store_each(stores, &["something", "", " "]).await;
    settle().await;
    for query in ["anything", "x", "xy", "somethings", "something else"] {
        assert_eq!(search(stores, query, 50).await, [], "{query:?}");
    }
}

pub async fn case_does_not_count_in_any_script(stores: &Stores, settle: impl AsyncFn()) {
    let texts = [
        "Please SUMMARISE this",
        "Viele GRÜẞE aus Köln",
        "viele grüße, öfter",
        "Ο ΟΔΟΣ ΜΟΥ",
        "ο οδός και η οδος",
        "ПРИВЕТ, Мир",
        "日本語のテキスト、東京から",
        "İstanbul'da",
        "한국어 텍스트",
        "ԲԱՐԵՎ 🐾 Paw",
    ];
    let cases: [(&str, &[usize]); 18] = [
        ("summarise", &[0]),
        ("SuMmArIsE", &[0]),
        ("grüße", &[2, 1]),
        ("GRÜẞE", &[2, 1]),
        ("ÖFTER", &[2]),
        ("KÖLN", &[1]),
        ("οδος", &[4, 3]),
        ("ΟΔΟΣ", &[4, 3]),
        ("οδοσ", &[4, 3]),
        ("οδός", &[4]),
        ("привет", &[5]),
        ("МИР", &[5]),
        ("日本語", &[6]),
        ("東京", &[6]),
        ("STANBUL", &[7]),
        ("국어", &[8]),
        ("բարև", &[]),
        ("🐾 PAW", &[9]),
    ];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn every_character_means_itself(stores: &Stores, settle: impl AsyncFn()) {
    let texts = [
        "100% of a_b",
        "100 x of aXb",
        r#"she said "no" and 'yes'"#,
        r"C:\temp\new and \%",
        "%%% ___",
        "--; DROP TABLE messages",
        "50%_off a%b",
        "NULL null ? $1 :name @name",
        "*?[a-z]^{}()|+",
    ];
    let cases: [(&str, &[usize]); 29] = [
        ("%", &[6, 4, 3, 0]),
        ("_", &[6, 4, 0]),
        ("a_b", &[0]),
        ("a%b", &[6]),
        ("100%", &[0]),
        ("100% o", &[0]),
        ("0%_o", &[6]),
        ("%%%", &[4]),
        ("%%", &[4]),
        ("___", &[4]),
        ("% _", &[4]),
        ("%_", &[6]),
        ("\"", &[2]),
        ("\"no\"", &[2]),
        ("'", &[2]),
        ("'yes'", &[2]),
        ("''", &[]),
        ("\\", &[3]),
        (r"\te", &[3]),
        (r"C:\temp", &[3]),
        (r"\%", &[3]),
        (r"\\", &[]),
        ("--;", &[5]),
        ("NULL", &[7]),
        ("?", &[8, 7]),
        ("$1 :name @", &[7]),
        ("[a-z]", &[8]),
        ("*?[", &[8]),
        ("(.*)", &[]),
    ];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn query_syntax_means_nothing(stores: &Stores, settle: impl AsyncFn()) {
    let texts = [
        "C++ and C#",
        "cats AND dogs",
        "a:b c:d",
        "the flag -x, or --xyz",
        "NEAR(one two, 3)",
        "folded: column",
        "wild* card ^start",
        "cats dogs",
        "one two",
        "OR NOT",
    ];
    let cases: [(&str, &[usize]); 20] = [
        ("c++", &[0]),
        ("AND", &[1, 0]),
        ("cats AND dogs", &[1]),
        ("cats dogs", &[7]),
        ("cats OR dogs", &[]),
        ("a:b", &[2]),
        ("folded:", &[5]),
        ("folded:col", &[]),
        ("-x", &[3]),
        ("--xyz", &[3]),
        ("NEAR(", &[4]),
        ("NEAR(one two, 3)", &[4]),
        ("NEAR(one two)", &[]),
        ("one two", &[8, 4]),
        ("wild*", &[6]),
        ("wil*", &[]),
        ("^start", &[6]),
        ("OR NOT", &[9]),
        ("\"cats\" \"dogs\"", &[]),
        ("cats\" OR \"a", &[]),
    ];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn one_and_two_characters_are_enough(stores: &Stores, settle: impl AsyncFn()) {
    let texts = ["x", "ab", "bax", "日", "日本", "🐾", "Ä", "ba x"];
    let cases: [(&str, &[usize]); 11] = [
        ("x", &[7, 2, 0]),
        ("X", &[7, 2, 0]),
        ("a", &[7, 2, 1]),
        ("ab", &[1]),
        ("BA", &[7, 2]),
        ("日", &[4, 3]),
        ("日本", &[4]),
        ("本日", &[]),
        ("🐾", &[5]),
        ("ä", &[6]),
        ("q", &[]),
    ];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn white_space_counts(stores: &Stores, settle: impl AsyncFn()) {
    let texts = ["one two", "one  two", "one\ntwo", "one\ttwo", "onetwo"];
    let cases: [(&str, &[usize]); 6] = [
        ("one two", &[0]),
        ("one  two", &[1]),
        ("one\ntwo", &[2]),
        ("one\ttwo", &[3]),
        ("onetwo", &[4]),
        // White space around the query is not part of it.
        (" one ", &[4, 3, 2, 1, 0]),
    ];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn the_longest_query_is_looked_for_as_a_whole(stores: &Stores, settle: impl AsyncFn()) {
    let whole: String = ('一'..).take(SearchQuery::MAX_CHARS).collect();
    let shorter: String = whole.chars().skip(1).collect();
    let other = format!("{shorter}一");
    assert_found(stores, settle, &[&whole, &shorter, &other], &[(&whole, &[0]), (&shorter, &[2, 1, 0])]).await;
}

pub async fn parts_of_a_text_in_another_order_are_not_the_text(stores: &Stores, settle: impl AsyncFn()) {
    // All runs of three characters of each query are in the text; the query is not.
    let texts = ["abcd bcde", "abab", "xabcx bcdx cdex"];
    let cases: [(&str, &[usize]); 4] = [("abcde", &[]), ("abab", &[1]), ("ababab", &[]), ("xabcdex", &[])];
    assert_found(stores, settle, &texts, &cases).await;
}

pub async fn every_role_is_searched_and_the_title_is_not(stores: &Stores, settle: impl AsyncFn()) {
    for role in [Role::User, Role::Assistant, Role::System] {
        let message = NewMessage { role, ..asked("needle", 5) };
        stores.sessions.append(&id(role.as_str()), message).await.unwrap();
    }
    stores.sessions.append(&id("titled"), asked("hay", 6)).await.unwrap();
    let title = SessionTitle::parse("needle").unwrap();
    assert!(stores.sessions.set_title(&id("titled"), &title, &entry("renamed")).await.unwrap());
    stores.sessions.append(&id("needle"), asked("hay", 7)).await.unwrap();
    settle().await;
    let hits = search(stores, "needle", 50).await;
    assert_eq!(hits.iter().map(|hit| hit.role).collect::<Vec<_>>(), [Role::System, Role::Assistant, Role::User]);
    for hit in hits {
        assert_eq!(hit.session.id.as_str(), hit.role.as_str());
    }
}

pub async fn the_first_matching_message_of_a_session_is_its_hit(stores: &Stores, settle: impl AsyncFn()) {
    let messages = [
        asked("nothing", 5),
        answered("the FIRST needle", 6),
        asked("the second needle", 3),
        asked("nothing again", 7),
    ];
    for message in messages {
        stores.sessions.append(&id("websocket_a"), message).await.unwrap();
    }
    settle().await;
    stores.sessions.append(&id("websocket_a"), asked("the last needle", 8)).await.unwrap();
    for query in ["needle", "ne"] {
        let session = stores.sessions.find(&id("websocket_a")).await.unwrap().unwrap();
        let expected = SearchHit { session, excerpt: "the FIRST needle".to_owned(), role: Role::Assistant };
        assert_eq!(search(stores, query, 50).await, [expected]);
    }
}

/// Says something in a session, and then much else.
async fn store_long_ago(stores: &Stores, text: &str) {
    stores.sessions.append(&id("websocket_a"), answered(text, 5)).await.unwrap();
    at_once(1_100, |_| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.append(&id("websocket_a"), asked("hay", 5)).await.unwrap() }
    })
    .await;
}

pub async fn a_text_said_long_ago_is_the_hit_even_if_it_was_said_again(stores: &Stores, settle: impl AsyncFn()) {
    store_long_ago(stores, "the first needle").await;
    settle().await;
    for again in ["more hay", "the last needle"] {
        stores.sessions.append(&id("websocket_a"), asked(again, 6)).await.unwrap();
        for query in ["needle", "st n"] {
            let hits = search(stores, query, 1).await;
            assert_eq!(hits.len(), 1, "the sessions with {query:?}");
            assert_eq!(hits[0].excerpt, "the first needle", "{query:?} after {again:?}");
        }
    }
}

pub async fn the_excerpt_is_around_the_hit(stores: &Stores, settle: impl AsyncFn()) {
    let long = format!("{} NEEDLE {}", "é".repeat(500), "z".repeat(500));
    stores.sessions.append(&id("websocket_a"), asked(&long, 5)).await.unwrap();
    settle().await;
    for query in ["Needle", "ne"] {
        let hits = search(stores, query, 50).await;
        assert_eq!(hits.len(), 1);
        let expected = text::excerpt(&long, &text::fold(query), SearchHit::EXCERPT_CHARS);
        assert!(expected.contains("NEEDLE"));
        assert_eq!(hits[0].excerpt, expected);
    }
}

pub async fn the_end_of_the_longest_text_is_found(stores: &Stores, settle: impl AsyncFn()) {
    let end = "ÜÄ at the END";
    let long = format!("{}{end}", "🐾".repeat((MessageText::MAX_BYTES - end.len()) / 4));
    stores.sessions.append(&id("websocket_a"), asked(&long, 5)).await.unwrap();
    settle().await;
    for query in ["üä AT the end", "nd", "🐾ü"] {
        let hits = search(stores, query, 50).await;
        assert_eq!(hits.len(), 1, "{query:?}");
        assert!(hits[0].excerpt.ends_with(end), "{:?}", hits[0].excerpt);
    }
    assert_eq!(search(stores, "at the end🐾", 50).await, []);
}

pub async fn the_newest_activity_comes_first(stores: &Stores, settle: impl AsyncFn()) {
    for (name, moment) in [("a", 30), ("b", 10), ("c", 20)] {
        stores.sessions.append(&id(name), asked("needle", moment)).await.unwrap();
    }
    settle().await;
    assert_eq!(found(stores, "needle").await, ["a", "c", "b"]);
    // It is the activity of the session that counts, not that of the hit.
    stores.sessions.append(&id("b"), asked("hay", 40)).await.unwrap();
    settle().await;
    assert_eq!(found(stores, "needle").await, ["b", "a", "c"]);
    let newest = search(stores, "needle", 2).await;
    assert!(newest.iter().map(|hit| hit.session.id.as_str()).eq(["b", "a"]), "{newest:?}");
}

pub async fn the_session_created_later_comes_first_where_activity_is_equal(stores: &Stores, settle: impl AsyncFn()) {
    for (name, moment) in [("m", 5), ("z", 10), ("a", 10), ("k", 10)] {
        stores.sessions.append(&id(name), asked("needle", moment)).await.unwrap();
    }
    settle().await;
    stores.sessions.append(&id("m"), asked("needle", 10)).await.unwrap();
    assert_eq!(found(stores, "needle").await, ["k", "a", "z", "m"]);
    assert_eq!(found(stores, "le").await, ["k", "a", "z", "m"]);
}

pub async fn what_is_said_later_is_found_too(stores: &Stores, settle: impl AsyncFn()) {
    for round in 0..5 {
        let text = format!("round {round} of the needle");
        stores.sessions.append(&id("websocket_a"), asked(&text, round)).await.unwrap();
        assert_eq!(found(stores, &text).await, ["websocket_a"], "before it is settled");
        settle().await;
        for earlier in 0..=round {
            assert_eq!(found(stores, &format!("round {earlier}")).await, ["websocket_a"]);
        }
    }
}

pub async fn removed_messages_are_not_found(stores: &Stores, settle: impl AsyncFn()) {
    for name in ["a", "b", "c"] {
        for text in ["the needle", &format!("only in {name}")] {
            stores.sessions.append(&id(name), asked(text, 5)).await.unwrap();
        }
    }
    settle().await;
    assert!(stores.sessions.remove(&id("b"), &entry("removed")).await.unwrap());
    for _ in 0..2 {
        for query in ["needle", "ne"] {
            assert_eq!(found(stores, query).await, ["c", "a"], "{query:?}");
        }
        assert_eq!(found(stores, "only in b").await, [""; 0]);
        assert_eq!(found(stores, "only in c").await, ["c"]);
        settle().await;
    }
}

pub async fn many_removed_messages_do_not_hide_the_one_that_remains(stores: &Stores, settle: impl AsyncFn()) {
    stores.sessions.append(&id("oldest"), asked("a needle", 0)).await.unwrap();
    at_once(1_500, |task| {
        let sessions = Arc::clone(&stores.sessions);
        // One very long session full of needles, and many newer ones without.
        let (session, text) = if task < 1_100 { ("long".to_owned(), "a needle") } else { (format!("s{task}"), "hay") };
        async move { sessions.append(&id(&session), asked(text, 5)).await.unwrap() }
    })
    .await;
    settle().await;
    assert!(stores.sessions.remove(&id("long"), &entry("removed")).await.unwrap());
    for query in ["needle", "ne"] {
        assert_eq!(found(stores, query).await, ["oldest"], "{query:?}");
    }
}

pub async fn removal_before_the_storage_settles_leaves_nothing_behind(stores: &Stores, settle: impl AsyncFn()) {
    store_each(stores, &["needle zero", "needle one", "needle two"]).await;
    // The newest messages are removed, so that whatever counts them might count on with the same numbers.
    assert!(stores.sessions.remove(&id("s2"), &entry("removed")).await.unwrap());
    settle().await;
    stores.sessions.append(&id("new"), asked("another needle", 9)).await.unwrap();
    assert_eq!(found(stores, "needle").await, ["new", "s1", "s0"]);
    settle().await;
    assert!(stores.sessions.remove(&id("new"), &entry("removed")).await.unwrap());
    stores.sessions.append(&id("newer"), asked("one more needle", 9)).await.unwrap();
    settle().await;
    assert_eq!(found(stores, "needle").await, ["newer", "s1", "s0"]);
    assert_eq!(found(stores, "two").await, [""; 0]);
    assert_eq!(found(stores, "another").await, [""; 0]);
}

pub async fn what_comes_and_goes_while_the_storage_settles_is_found_or_not(stores: &Stores, settle: impl AsyncFn()) {
    for task in 0..40 {
        stores.sessions.append(&id(&format!("s{task}")), asked("a needle", 5)).await.unwrap();
    }
    let changes = at_once(40, |task: usize| {
        let sessions = Arc::clone(&stores.sessions);
        async move {
            let session = id(&format!("s{task}"));
            if task.is_multiple_of(2) {
                assert!(sessions.remove(&session, &entry("removed")).await.unwrap());
            } else {
                let moment = i64::try_from(100 + task).unwrap();
                sessions.append(&session, asked("another needle", moment)).await.unwrap();
            }
        }
    });
    let settling = async {
        for _ in 0..10 {
            settle().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(changes, settling);
    let expected: Vec<String> = (0..40).rev().filter(|task| task % 2 == 1).map(|task| format!("s{task}")).collect();
    for query in ["needle", "ne", "another needle"] {
        assert_eq!(found(stores, query).await, expected, "{query:?}");
    }
}

pub async fn a_session_of_the_same_id_is_searched_anew(stores: &Stores, settle: impl AsyncFn()) {
    for round in ["first", "second"] {
        let text = format!("the {round} needle");
        stores.sessions.append(&id("websocket_a"), asked(&text, 5)).await.unwrap();
        settle().await;
        let hits = search(stores, "needle", 50).await;
        assert_eq!(hits.iter().map(|hit| hit.excerpt.as_str()).collect::<Vec<_>>(), [text]);
        assert_eq!(hits[0].session.message_count, 1);
        assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
        assert_eq!(found(stores, "needle").await, [""; 0]);
    }
}

pub async fn a_common_word_fills_the_limit_with_the_newest(stores: &Stores, settle: impl AsyncFn()) {
    // The order of activity is not that of creation.
    let moment = |task: usize| i64::try_from(task * 7 % 400).unwrap();
    at_once(400, |task| {
        let sessions = Arc::clone(&stores.sessions);
        let text = format!("the common word, number {task}");
        async move { sessions.append(&id(&format!("s{task}")), asked(&text, moment(task))).await.unwrap() }
    })
    .await;
    settle().await;
    let mut newest_first: Vec<usize> = (0..400).collect();
    newest_first.sort_by_key(|task| std::cmp::Reverse(moment(*task)));
    let newest_first: Vec<String> = newest_first.into_iter().map(|task| format!("s{task}")).collect();
    for query in ["common", "co"] {
        for size in [1, 50, 399, 1_000] {
            let hits = search(stores, query, size).await;
            let expected = newest_first.iter().take(limit(size).get());
            assert!(hits.iter().map(|hit| hit.session.id.as_str()).eq(expected), "{size} with {query:?}: {hits:?}");
        }
    }
}

pub async fn a_rare_word_is_found_among_many_messages(stores: &Stores, settle: impl AsyncFn()) {
    // The oldest session of many is the one that has it.
    stores.sessions.append(&id("oldest"), asked("a rare wörd", 0)).await.unwrap();
    at_once(400, |task| {
        let sessions = Arc::clone(&stores.sessions);
        async move {
            let session = id(&format!("s{task}"));
            for number in 0..3 {
                sessions.append(&session, asked(&format!("nothing special {number}"), 5)).await.unwrap();
            }
        }
    })
    .await;
    settle().await;
    for query in ["RARE WÖRD", "ör", "are w"] {
        assert_eq!(found(stores, query).await, ["oldest"], "{query:?}");
    }
    assert_eq!(search(stores, "special", 1_000).await.len(), 400);
    assert_eq!(texts(stores, "oldest").await.len(), 1);
    let all = stores.sessions.recent(everything(), 0).await.unwrap();
    assert_eq!(all.total, 401);
}
