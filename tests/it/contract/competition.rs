//! What only a database on a server has: somebody else who works on the same rows.

use super::backends::{Backend, Postgres};
use super::fixtures::{at, turn};
use diesel::connection::SimpleConnection;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_somebody_else_is_claiming_is_passed_over() {
    if !Postgres::is_available() {
        return;
    }
    let backend = Postgres::fresh().await;
    let turns = &backend.stores().turns;
    for (session, text) in [("a", "first"), ("b", "second")] {
        turns.enqueue(turn(session, text, 5)).await.unwrap();
    }
    let claimed = async || {
        let claimed = turns.claim(10, at(0), at(100)).await.unwrap();
        claimed.into_iter().map(|claimed| claimed.turn.message.text.as_str().to_owned()).collect::<Vec<_>>()
    };
    let mut other = backend.database().connect();
    other.batch_execute("BEGIN; SELECT FROM turns WHERE content = 'first' FOR UPDATE").unwrap();
    assert_eq!(claimed().await, ["second"], "it does not wait either");
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(claimed().await, ["first"]);
}
