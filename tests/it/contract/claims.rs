//! What [`pawport::ports::turns::TurnQueue`] promises of the time between a turn's beginning and its end: who holds it, for
//! how long, and who comes next.

use super::fixtures::{answered, at, at_once, entry, everything, id, listed, texts, turn};
use pawport::domain::agent::{ClaimedTurn, Origin, TurnId};
use pawport::domain::session::SessionSummary;
use pawport::ports::store::Stores;
use pawport::ports::turns::{Enqueue, Enqueued, TurnQueue};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

async fn store(stores: &Stores, session: &str, text: &str) -> TurnId {
    store_turn(stores, turn(session, text, 5)).await
}

async fn store_turn(stores: &Stores, enqueue: Enqueue) -> TurnId {
    let id = enqueue.turn.id.clone();
    assert_eq!(stores.turns.enqueue(enqueue).await.unwrap(), Enqueued::Stored);
    id
}

async fn claim(stores: &Stores, limit: usize, now: i64, lease_until: i64) -> Vec<ClaimedTurn> {
    stores.turns.claim(limit, at(now), at(lease_until)).await.unwrap()
}

/// Takes turns and gives what they ask and how often they were taken.
async fn claim_texts(stores: &Stores, limit: usize, now: i64, lease_until: i64) -> Vec<(String, u32)> {
    let claimed = claim(stores, limit, now, lease_until).await;
    claimed.into_iter().map(|claimed| (claimed.turn.message.text.as_str().to_owned(), claimed.attempt)).collect()
}

fn attempts<const N: usize>(expected: [(&str, u32); N]) -> Vec<(String, u32)> {
    expected.into_iter().map(|(text, attempt)| (text.to_owned(), attempt)).collect()
}

async fn finish(stores: &Stores, turn: &TurnId) -> bool {
    stores.turns.finish(turn, answered("answer", 90)).await.unwrap()
}

pub async fn claim_takes_the_oldest_first(stores: &Stores) {
    assert_eq!(claim(stores, 10, 0, 100).await, []);
    // The oldest is the one that was stored first, whatever its message says.
    for (session, moment) in [("d", 9), ("b", 1), ("c", 5), ("a", 7)] {
        store_turn(stores, turn(session, session, moment)).await;
    }
    assert_eq!(claim(stores, 0, 0, 100).await, []);
    assert_eq!(claim_texts(stores, 1, 0, 100).await, attempts([("d", 1)]));
    assert_eq!(claim_texts(stores, 2, 0, 100).await, attempts([("b", 1), ("c", 1)]));
    assert_eq!(claim_texts(stores, usize::MAX, 0, 100).await, attempts([("a", 1)]));
    assert_eq!(claim(stores, 10, 0, 100).await, []);
}

pub async fn claim_stores_the_message_and_creates_the_session(stores: &Stores) {
    stores.sessions.append(&id("known"), answered("hello", 3)).await.unwrap();
    let before = stores.sessions.find(&id("known")).await.unwrap().unwrap();
    for (session, before) in [("new", SessionSummary::new(id("new"), at(5))), ("known", before)] {
        let enqueue = turn(session, "🐾 it's a question", 5);
        store_turn(stores, enqueue.clone()).await;
        let claimed = claim(stores, 10, 0, 100).await;
        let expected = before.with(&enqueue.turn.message);
        assert_eq!(stores.sessions.find(&id(session)).await.unwrap().as_ref(), Some(&expected));
        let last = stores.sessions.history(&id(session), everything()).await.unwrap().pop().unwrap();
        assert_eq!((last.number, &last.content), (expected.message_count, &enqueue.turn.message));
        assert_eq!(
            claimed,
            [ClaimedTurn { turn: enqueue.turn, session: expected, attempt: 1, progress: String::new() }]
        );
    }
}

pub async fn claim_takes_one_turn_of_a_session_at_a_time(stores: &Stores) {
    let mut waiting = Vec::new();
    for text in ["first", "second", "third"] {
        waiting.push(store(stores, "websocket_a", text).await);
    }
    for (turn, text) in waiting.iter().zip(["first", "second", "third"]) {
        assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([(text, 1)]));
        assert_eq!(claim(stores, 10, 0, 100).await, []);
        assert!(finish(stores, turn).await);
    }
    let expected = ["first", "answer", "second", "answer", "third", "answer"];
    assert_eq!(texts(stores, "websocket_a").await, expected);
}

pub async fn a_session_does_not_wait_for_another(stores: &Stores) {
    let first = store(stores, "a", "a1").await;
    for (session, text) in [("a", "a2"), ("b", "b1"), ("b", "b2"), ("c", "c1")] {
        store(stores, session, text).await;
    }
    // A turn that has to wait does not take a place of the limit.
    assert_eq!(claim_texts(stores, 2, 0, 100).await, attempts([("a1", 1), ("b1", 1)]));
    assert_eq!(claim_texts(stores, 2, 0, 100).await, attempts([("c1", 1)]));
    assert!(finish(stores, &first).await);
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("a2", 1)]));
}

pub async fn a_turn_is_held_until_its_lease_has_ended(stores: &Stores) {
    store(stores, "a", "question").await;
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 1);
    for moment in [0, 99, 100] {
        assert_eq!(claim(stores, 10, moment, 200).await, [], "at {moment}");
    }
    assert_eq!(claim_texts(stores, 10, 101, 200).await, attempts([("question", 2)]));
}

pub async fn a_lease_that_ended_frees_the_turn_for_another_attempt(stores: &Stores) {
    let turn = store(stores, "a", "question").await;
    for attempt in 1..=5 {
        let now = i64::from(attempt) * 1_000;
        assert_eq!(claim_texts(stores, 10, now, now + 500).await, attempts([("question", attempt)]));
        assert_eq!(claim(stores, 10, now + 500, now + 900).await, []);
    }
    assert!(finish(stores, &turn).await, "whoever comes late but first has answered it");
    assert!(!finish(stores, &turn).await);
    assert_eq!(claim(stores, 10, i64::MAX, i64::MAX).await, []);
}

pub async fn a_turn_whose_lease_ended_still_comes_before_the_next_of_its_session(stores: &Stores) {
    let first = store(stores, "a", "a1").await;
    store(stores, "a", "a2").await;
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("a1", 1)]));
    store(stores, "b", "b1").await;
    assert_eq!(claim_texts(stores, 1, 101, 200).await, attempts([("a1", 2)]), "it is older than the turn of b");
    assert_eq!(claim_texts(stores, 10, 101, 200).await, attempts([("b1", 1)]));
    assert!(finish(stores, &first).await);
    assert_eq!(claim_texts(stores, 10, 101, 200).await, attempts([("a2", 1)]));
}

pub async fn the_message_is_stored_once_however_often_the_turn_is_claimed(stores: &Stores) {
    store(stores, "websocket_a", "question").await;
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 1);
    stores.sessions.append(&id("websocket_a"), answered("in between", 50)).await.unwrap();
    for now in [200, 400] {
        let claimed = claim(stores, 10, now, now + 100).await;
        let current = stores.sessions.find(&id("websocket_a")).await.unwrap();
        assert_eq!(claimed.into_iter().map(|claimed| claimed.session).next(), current, "the session as it is now");
    }
    stores.turns.release_all().await.unwrap();
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 1);
    assert_eq!(texts(stores, "websocket_a").await, ["question", "in between"]);
}

pub async fn a_longer_lease_holds_longer(stores: &Stores) {
    let turn = store(stores, "a", "question").await;
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 1);
    stores.turns.extend(&[turn], at(500)).await.unwrap();
    assert_eq!(claim(stores, 10, 101, 1_000).await, []);
    assert_eq!(claim(stores, 10, 500, 1_000).await, []);
    assert_eq!(claim_texts(stores, 10, 501, 1_000).await, attempts([("question", 2)]));
}

pub async fn a_lease_is_prolonged_for_the_named_turns_only(stores: &Stores) {
    let held = store(stores, "a", "held").await;
    store(stores, "b", "let go").await;
    let finished = store(stores, "c", "finished").await;
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 3);
    assert!(finish(stores, &finished).await);
    let waiting = store(stores, "d", "waiting").await;
    let unknown = turn("e", "never stored", 5).turn.id;

    stores.turns.extend(&[], at(900)).await.unwrap();
    stores.turns.extend(&[unknown, waiting, finished, held], at(900)).await.unwrap();
    assert_eq!(claim_texts(stores, 10, 101, 200).await, attempts([("let go", 2), ("waiting", 1)]));
}

pub async fn release_frees_every_claimed_turn_one_after_the_other(stores: &Stores) {
    assert_eq!(stores.turns.release_all().await.unwrap(), 0);
    for session in ["a", "b", "c"] {
        store(stores, session, session).await;
    }
    let first = claim(stores, 2, 0, i64::MAX).await;
    assert_eq!(stores.turns.release_all().await.unwrap(), 2);
    assert_eq!(stores.turns.release_all().await.unwrap(), 0, "nothing is claimed any more");
    // One at a time: if the program ends in the first, that is not counted against the second.
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("a", 2), ("c", 1)]));
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([]));
    assert!(finish(stores, &first[0].turn.id).await);
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("b", 2)]));
    // Whether the lease has ended does not matter: nobody has taken them since.
    assert_eq!(stores.turns.release_all().await.unwrap(), 2);
}

/// The program ends three times in the first turn. The others were claimed with it the first time only.
pub async fn a_turn_that_ends_the_program_is_not_counted_against_the_others(stores: &Stores) {
    for session in ["poison", "b", "c"] {
        store(stores, session, session).await;
    }
    let first = claim(stores, 10, 0, 100).await;
    assert_eq!(first.len(), 3);
    for attempt in [2, 3, 4] {
        stores.turns.release_all().await.unwrap();
        assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("poison", attempt)]));
    }
    assert!(finish(stores, &first[0].turn.id).await);
    assert_eq!(claim_texts(stores, 10, 0, 100).await, attempts([("b", 2)]));
}

pub async fn the_first_and_the_last_moment_are_leases(stores: &Stores) {
    store_turn(stores, turn("a", "question", i64::MIN)).await;
    assert_eq!(claim(stores, 10, i64::MIN, i64::MIN).await.len(), 1);
    assert_eq!(claim(stores, 10, i64::MIN, i64::MAX).await, []);
    let again = claim(stores, 10, i64::MIN + 1, i64::MAX).await;
    assert_eq!(again[0].turn.message.at, at(i64::MIN));
    assert_eq!(claim(stores, 10, i64::MAX, i64::MAX).await, []);
}

pub async fn no_turn_is_held_by_two_of_twenty_claimers(stores: &Stores) {
    for number in 0..60 {
        store(stores, &format!("s{}", number % 40), &number.to_string()).await;
    }
    let claimed = at_once(20, |_| {
        let turns = Arc::clone(&stores.turns);
        async move {
            let mut held = Vec::new();
            loop {
                let claimed = turns.claim(3, at(0), at(100)).await.unwrap();
                if claimed.is_empty() {
                    return held;
                }
                held.extend(claimed.into_iter().map(|claimed| claimed.turn.id));
            }
        }
    });
    let held: Vec<TurnId> = claimed.await.into_iter().flatten().collect();
    assert_eq!(held.len(), 40, "one of each session");
    assert_eq!(held.iter().collect::<HashSet<_>>().len(), 40, "each of them once");
}

/// Answers until nothing can be claimed. What is left then is held by other workers, who find what comes after it.
async fn work(turns: Arc<dyn TurnQueue>) {
    loop {
        let claimed = turns.claim(2, at(0), at(100)).await.unwrap();
        if claimed.is_empty() {
            return;
        }
        for claimed in claimed {
            let answer = format!("answer to {}", claimed.turn.message.text.as_str());
            assert!(turns.finish(&claimed.turn.id, answered(&answer, 9)).await.unwrap());
        }
    }
}

pub async fn every_turn_is_answered_in_order_by_twenty_workers(stores: &Stores) {
    let mut expected: HashMap<String, Vec<String>> = HashMap::new();
    for number in 0..60 {
        let session = format!("s{}", number % 7);
        store(stores, &session, &number.to_string()).await;
        expected.entry(session).or_default().extend([number.to_string(), format!("answer to {number}")]);
    }
    at_once(20, |_| work(Arc::clone(&stores.turns))).await;
    assert_eq!(claim(stores, 10, 0, 100).await, []);
    for (session, expected) in expected {
        assert_eq!(texts(stores, &session).await, expected, "{session}");
    }
}

pub async fn a_waiting_turn_outlives_the_removal_of_its_session(stores: &Stores) {
    stores.sessions.append(&id("websocket_a"), answered("hello", 3)).await.unwrap();
    let turn = store(stores, "websocket_a", "question").await;
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    let claimed = claim(stores, 10, 0, 100).await;
    assert_eq!(claimed[0].session.message_count, 1);
    assert!(finish(stores, &turn).await);
    assert_eq!(texts(stores, "websocket_a").await, ["question", "answer"]);
}

pub async fn a_question_removed_with_its_session_is_still_answered_for_who_asked(stores: &Stores) {
    let turn = store(stores, "websocket_a", "question").await;
    assert_eq!(claim(stores, 10, 0, 100).await.len(), 1);
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    // Somebody may wait for the answer; but what was removed stays removed.
    let again = claim(stores, 10, 101, 200).await;
    assert_eq!(again.iter().map(|claimed| (&claimed.turn.id, claimed.attempt)).collect::<Vec<_>>(), [(&turn, 2)]);
    assert_eq!(again[0].session, SessionSummary::new(id("websocket_a"), at(5)));
    assert_eq!(listed(stores).await, [""; 0]);
    assert!(finish(stores, &turn).await);
    assert_eq!(listed(stores).await, [""; 0]);
    assert_eq!(claim(stores, 10, 300, 400).await, []);
}

pub async fn how_far_a_turn_has_come_is_known_to_who_takes_it_again(stores: &Stores) {
    let turn = store(stores, "s", "question").await;
    assert!(!stores.turns.checkpoint(&turn, "[1]").await.unwrap(), "nobody has claimed it");
    assert_eq!(claim(stores, 1, 0, 100).await[0].progress, "");
    let long = format!("[\"🐾{}\"]", "x".repeat(1024 * 1024));
    for progress in ["[1]", &long] {
        assert!(stores.turns.checkpoint(&turn, progress).await.unwrap());
    }
    let again = claim(stores, 1, 101, 200).await;
    assert_eq!((again[0].attempt, again[0].progress == long), (2, true));
    assert!(finish(stores, &turn).await);
    assert!(!stores.turns.checkpoint(&turn, "[2]").await.unwrap(), "it is finished");
}

pub async fn a_turn_comes_with_its_origin(stores: &Stores) {
    for origin in Origin::ALL {
        let mut enqueue = turn("s", origin.as_str(), 5);
        enqueue.turn.origin = origin;
        let id = store_turn(stores, enqueue).await;
        assert_eq!(claim(stores, 1, 0, 100).await[0].turn.origin, origin);
        assert!(finish(stores, &id).await);
    }
}
