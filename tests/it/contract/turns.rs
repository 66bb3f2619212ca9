//! What [`pawport::ports::turns::TurnQueue`] promises of the beginning and the end of a turn; what is between them is in
//! [`super::claims`].

use super::fixtures::{answered, at, at_once, entry, everything, id, keyed, logged, texts, turn};
use pawport::domain::agent::{ClaimedTurn, TurnId, TurnState};
use pawport::ports::store::{StoreError, Stores};
use pawport::ports::turns::{Enqueue, Enqueued};
use std::sync::Arc;
use std::time::Duration;

/// Stores a turn and gives its id.
async fn store(stores: &Stores, enqueue: Enqueue) -> TurnId {
    let id = enqueue.turn.id.clone();
    assert_eq!(stores.turns.enqueue(enqueue).await.unwrap(), Enqueued::Stored);
    id
}

/// Takes everything that can be taken.
async fn claim_all(stores: &Stores) -> Vec<ClaimedTurn> {
    stores.turns.claim(usize::MAX, at(0), at(1_000)).await.unwrap()
}

/// Stores a turn, takes it and gives its id.
async fn store_and_claim(stores: &Stores, enqueue: Enqueue) -> TurnId {
    let id = store(stores, enqueue).await;
    let claimed = claim_all(stores).await;
    assert!(claimed.iter().any(|claimed| claimed.turn.id == id), "{id} was not claimed");
    id
}

async fn finish(stores: &Stores, turn: &TurnId, answer: &str) -> bool {
    stores.turns.finish(turn, answered(answer, 90)).await.unwrap()
}

pub async fn a_turn_is_stored_with_its_entry(stores: &Stores) {
    let waiting = store(stores, Enqueue { entry: entry("accepted"), ..turn("websocket_a", "hello", 5) }).await;
    assert_eq!(stores.turns.state(&waiting).await.unwrap(), Some(TurnState::Pending));
    assert_eq!(logged(stores).await, ["accepted"]);
    // The message is stored when the turn is claimed, so that it stands where it is answered.
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
    let unknown = turn("websocket_a", "never stored", 5).turn.id;
    assert_eq!(stores.turns.state(&unknown).await.unwrap(), None);
}

pub async fn a_repeated_key_names_the_first_turn_and_stores_nothing(stores: &Stores) {
    let again = || Enqueue { entry: entry("again"), ..keyed(turn("websocket_b", "again", 6), "k") };
    let first = store(stores, Enqueue { entry: entry("first"), ..keyed(turn("websocket_a", "hello", 5), "k") }).await;
    let other = store(stores, Enqueue { entry: entry("other"), ..keyed(turn("websocket_c", "hello", 5), "K") }).await;

    assert_eq!(stores.turns.enqueue(again()).await.unwrap(), Enqueued::Repeated(first.clone()), "while it waits");
    let claimed: Vec<TurnId> = claim_all(stores).await.into_iter().map(|claimed| claimed.turn.id).collect();
    assert_eq!(claimed, [first.clone(), other]);
    assert_eq!(stores.turns.enqueue(again()).await.unwrap(), Enqueued::Repeated(first.clone()), "while it is claimed");
    assert!(finish(stores, &first, "done").await);
    assert_eq!(stores.turns.enqueue(again()).await.unwrap(), Enqueued::Repeated(first), "when it is answered");

    assert_eq!(claim_all(stores).await, []);
    assert_eq!(stores.sessions.find(&id("websocket_b")).await.unwrap(), None);
    assert_eq!(logged(stores).await, ["first", "other"]);
}

pub async fn turns_without_a_key_are_never_repeated(stores: &Stores) {
    for session in ["a", "b", "a"] {
        store(stores, turn(session, "the same", 5)).await;
    }
    assert_eq!(logged(stores).await, ["accepted"; 3]);
}

pub async fn a_second_turn_of_the_same_id_is_a_conflict(stores: &Stores) {
    let first = turn("a", "x", 5);
    store(stores, first.clone()).await;
    let second = stores.turns.enqueue(Enqueue { entry: entry("second"), ..first }).await;
    assert!(matches!(second, Err(StoreError::Conflict)), "{second:?}");
    assert_eq!(claim_all(stores).await.len(), 1);
    assert_eq!(logged(stores).await, ["accepted"]);
}

pub async fn a_full_queue_stores_nothing(stores: &Stores) {
    let none = Enqueue { capacity: 0, ..turn("a", "x", 5) };
    assert_eq!(stores.turns.enqueue(none).await.unwrap(), Enqueued::Full);
    for session in ["a", "b"] {
        store(stores, Enqueue { capacity: 2, ..turn(session, "x", 5) }).await;
    }
    let third = Enqueue { capacity: 2, entry: entry("third"), ..keyed(turn("c", "x", 5), "k") };
    assert_eq!(stores.turns.enqueue(third.clone()).await.unwrap(), Enqueued::Full);
    assert_eq!(stores.turns.state(&third.turn.id).await.unwrap(), None);
    assert_eq!(claim_all(stores).await.len(), 2);
    assert_eq!(logged(stores).await, ["accepted", "accepted"]);
    // Nothing was stored, its key included: with more room it is not a repetition.
    store(stores, Enqueue { capacity: u64::MAX, ..third }).await;
}

pub async fn a_repeated_key_is_recognised_by_a_full_queue(stores: &Stores) {
    let first = store(stores, Enqueue { capacity: 1, ..keyed(turn("a", "x", 5), "k") }).await;
    let again = Enqueue { capacity: 1, ..keyed(turn("a", "x", 6), "k") };
    assert_eq!(stores.turns.enqueue(again).await.unwrap(), Enqueued::Repeated(first));
}

pub async fn claimed_turns_count_against_the_capacity_and_finished_ones_do_not(stores: &Stores) {
    let next = || Enqueue { capacity: 1, ..turn("b", "x", 5) };
    let first = store_and_claim(stores, keyed(Enqueue { capacity: 1, ..turn("a", "x", 5) }, "k")).await;
    assert_eq!(stores.turns.enqueue(next()).await.unwrap(), Enqueued::Full);
    assert!(finish(stores, &first, "done").await);
    store(stores, next()).await;
    assert_eq!(stores.turns.enqueue(next()).await.unwrap(), Enqueued::Full);
}

pub async fn twenty_deliveries_with_one_key_store_one_turn(stores: &Stores) {
    let outcomes = at_once(20, |task| {
        let turns = Arc::clone(&stores.turns);
        let delivery = keyed(turn(&format!("s{task}"), "hello", 5), "k");
        async move { (delivery.turn.id.clone(), turns.enqueue(delivery).await.unwrap()) }
    })
    .await;
    let winners: Vec<&TurnId> =
        outcomes.iter().filter(|(_, outcome)| *outcome == Enqueued::Stored).map(|(id, _)| id).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    let repeated = Enqueued::Repeated(winners[0].clone());
    assert_eq!(outcomes.iter().filter(|(_, outcome)| *outcome == repeated).count(), 19, "{outcomes:?}");
    assert_eq!(claim_all(stores).await.len(), 1);
    assert_eq!(logged(stores).await, ["accepted"]);
}

pub async fn twenty_turns_at_once_do_not_exceed_the_capacity(stores: &Stores) {
    let outcomes = at_once(20, |task| {
        let turns = Arc::clone(&stores.turns);
        let enqueue = Enqueue { capacity: 5, ..turn(&format!("s{task}"), "hello", 5) };
        async move { turns.enqueue(enqueue).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Enqueued::Stored).count(), 5, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Enqueued::Full).count(), 15, "{outcomes:?}");
    assert_eq!(claim_all(stores).await.len(), 5);
    assert_eq!(logged(stores).await.len(), 5);
}

pub async fn finish_stores_the_answer_after_the_question(stores: &Stores) {
    let enqueue = turn("websocket_a", "question", 5);
    let question = enqueue.turn.message.clone();
    let turn = store_and_claim(stores, enqueue).await;
    let answer = answered("answer 🐾", 9);
    assert!(stores.turns.finish(&turn, answer.clone()).await.unwrap());
    let history = stores.sessions.history(&id("websocket_a"), everything()).await.unwrap();
    let numbered: Vec<_> = history.into_iter().map(|message| (message.number, message.content)).collect();
    assert_eq!(numbered, [(1, question), (2, answer)]);
    let summary = stores.sessions.find(&id("websocket_a")).await.unwrap().unwrap();
    assert_eq!((summary.message_count, summary.last_activity), (2, at(9)));
    assert_eq!(stores.turns.state(&turn).await.unwrap(), None, "without a key the answer is not kept");
    assert_eq!(logged(stores).await, ["accepted"], "an answer is no change for the audit log");
}

pub async fn finish_does_it_once(stores: &Stores) {
    for (session, enqueue) in [("a", turn("a", "question", 5)), ("b", keyed(turn("b", "question", 5), "k"))] {
        let turn = store_and_claim(stores, enqueue).await;
        assert!(finish(stores, &turn, "first").await);
        assert!(!finish(stores, &turn, "second").await);
        assert_eq!(texts(stores, session).await, ["question", "first"]);
    }
    let unknown = turn("a", "never stored", 5).turn.id;
    assert!(!finish(stores, &unknown, "answer").await);
}

pub async fn twenty_who_finish_a_turn_store_one_answer(stores: &Stores) {
    let turn = store_and_claim(stores, turn("websocket_a", "question", 5)).await;
    let finished = at_once(20, |task| {
        let (turns, turn) = (Arc::clone(&stores.turns), turn.clone());
        async move { turns.finish(&turn, answered(&task.to_string(), 9)).await.unwrap().then_some(task) }
    })
    .await;
    let winners: Vec<String> = finished.into_iter().flatten().map(|task| task.to_string()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(texts(stores, "websocket_a").await[1..], winners);
}

pub async fn finish_of_a_turn_that_nobody_claimed_does_nothing(stores: &Stores) {
    let turn = store(stores, keyed(turn("websocket_a", "question", 5), "k")).await;
    assert!(!finish(stores, &turn, "answer").await);
    assert_eq!(stores.turns.state(&turn).await.unwrap(), Some(TurnState::Pending));
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
    assert_eq!(claim_all(stores).await.len(), 1);
}

pub async fn finish_of_a_released_turn_does_nothing(stores: &Stores) {
    let turn = store_and_claim(stores, turn("websocket_a", "question", 5)).await;
    assert_eq!(stores.turns.release_all().await.unwrap(), 1);
    assert!(!finish(stores, &turn, "answer").await);
    assert_eq!(texts(stores, "websocket_a").await, ["question"]);
    assert_eq!(claim_all(stores).await.len(), 1);
    assert!(finish(stores, &turn, "answer").await);
    assert_eq!(texts(stores, "websocket_a").await, ["question", "answer"]);
}

pub async fn finish_drops_the_answer_to_a_removed_session(stores: &Stores) {
    let first = store_and_claim(stores, turn("websocket_a", "question", 5)).await;
    let second = store(stores, turn("websocket_a", "next", 6)).await;
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    assert!(finish(stores, &first, "answer").await);
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
    assert_eq!(stores.turns.state(&first).await.unwrap(), None);
    // The turn has ended, so the next of its session has its turn, in a session that begins anew.
    let claimed = claim_all(stores).await;
    assert_eq!(claimed.iter().map(|claimed| &claimed.turn.id).collect::<Vec<_>>(), [&second]);
    assert_eq!(claimed[0].session.message_count, 1);
    assert!(finish(stores, &second, "answer").await);
    assert_eq!(texts(stores, "websocket_a").await, ["next", "answer"]);
}

pub async fn finish_drops_the_answer_to_a_session_that_began_anew(stores: &Stores) {
    let turn = store_and_claim(stores, turn("websocket_a", "question", 5)).await;
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    stores.sessions.create(&id("websocket_a"), at(6), &entry("created")).await.unwrap();
    assert!(finish(stores, &turn, "answer").await);
    assert_eq!(texts(stores, "websocket_a").await, [""; 0], "an answer without its question");
}

pub async fn an_answer_is_kept_for_a_key(stores: &Stores) {
    let turn = store_and_claim(stores, keyed(turn("websocket_a", "question", 5), "k")).await;
    assert_eq!(stores.turns.state(&turn).await.unwrap(), Some(TurnState::Pending));
    assert!(finish(stores, &turn, "  the answer 🐾\n").await);
    assert_eq!(stores.turns.state(&turn).await.unwrap(), Some(TurnState::Done("  the answer 🐾\n".to_owned())));
}

pub async fn an_answer_is_kept_for_a_key_even_if_its_session_was_removed(stores: &Stores) {
    let delivery = || keyed(turn("websocket_a", "question", 5), "k");
    let turn = store_and_claim(stores, delivery()).await;
    assert!(stores.sessions.remove(&id("websocket_a"), &entry("removed")).await.unwrap());
    assert!(finish(stores, &turn, "answer").await);
    assert_eq!(stores.turns.state(&turn).await.unwrap(), Some(TurnState::Done("answer".to_owned())));
    // Otherwise a repeated delivery would bring back what the user has removed.
    assert_eq!(stores.turns.enqueue(delivery()).await.unwrap(), Enqueued::Repeated(turn));
    assert_eq!(stores.sessions.find(&id("websocket_a")).await.unwrap(), None);
}

pub async fn forget_drops_old_answers_and_their_keys(stores: &Stores) {
    for (key, moment) in [("a", 10), ("b", 20), ("c", 30)] {
        let turn = store_and_claim(stores, keyed(turn(key, "question", moment), key)).await;
        assert!(finish(stores, &turn, "answer").await);
    }
    assert_eq!(stores.turns.forget(at(10)).await.unwrap(), 0, "what was accepted at that very moment stays");
    assert_eq!(stores.turns.forget(at(21)).await.unwrap(), 2);
    assert_eq!(stores.turns.forget(at(21)).await.unwrap(), 0);
    let again = |key: &str| keyed(turn("again", "question", 40), key);
    for forgotten in ["a", "b"] {
        store(stores, again(forgotten)).await;
    }
    assert!(matches!(stores.turns.enqueue(again("c")).await.unwrap(), Enqueued::Repeated(_)));
    // The conversation is not an answer that was kept for its key.
    assert_eq!(texts(stores, "a").await, ["question", "answer"]);
}

pub async fn forget_leaves_unfinished_turns(stores: &Stores) {
    let claimed = store_and_claim(stores, keyed(turn("a", "claimed", i64::MIN), "a")).await;
    let waiting = store(stores, keyed(turn("a", "waiting", i64::MIN), "b")).await;
    assert_eq!(stores.turns.forget(at(i64::MAX)).await.unwrap(), 0);
    for turn in [&claimed, &waiting] {
        assert_eq!(stores.turns.state(turn).await.unwrap(), Some(TurnState::Pending));
    }
    assert!(finish(stores, &claimed, "answer").await);
    assert_eq!(stores.turns.forget(at(i64::MAX)).await.unwrap(), 1);
    assert_eq!(stores.turns.state(&claimed).await.unwrap(), None);
    assert_eq!(claim_all(stores).await.len(), 1);
}

/// `ready` may return without reason, so what is tested is that it does return: a few seconds are more than it needs.
async fn assert_ready(stores: &Stores) {
    let ready = tokio::time::timeout(Duration::from_secs(10), stores.turns.ready()).await;
    assert!(ready.is_ok(), "nobody was told that there is something to claim");
}

pub async fn ready_returns_after_a_turn_was_stored(stores: &Stores) {
    store(stores, turn("a", "before the call", 5)).await;
    assert_ready(stores).await;
    let waiting = async {
        // It may have returned for the first turn, or without reason; then it is asked again, as the workers do.
        loop {
            assert_ready(stores).await;
            if claim_all(stores).await.iter().any(|claimed| claimed.turn.session == id("b")) {
                break;
            }
        }
    };
    tokio::join!(waiting, store(stores, turn("b", "during the call", 6)));
}

pub async fn ready_returns_after_a_turn_was_finished(stores: &Stores) {
    let first = store_and_claim(stores, turn("a", "first", 5)).await;
    store(stores, turn("a", "second", 5)).await;
    assert_ready(stores).await;
    assert_eq!(claim_all(stores).await, [], "the second waits for the first");
    assert!(finish(stores, &first, "answer").await);
    assert_ready(stores).await;
    assert_eq!(claim_all(stores).await.len(), 1);
}
