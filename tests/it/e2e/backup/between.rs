//! The same with a PostgreSQL server, and from one kind of database into the other.

use super::Home;
use super::answers::{answers_stay_the_same, secrets_move_to_another_key};
use super::interrupted::a_killed_restore_changes_nothing;
use super::load::a_backup_under_load_is_of_one_moment;
use super::refused::{a_target_that_holds_something, replaced_texts_are_not_found};
use crate::support::postgres;

/// A test for each pair of homes.
macro_rules! between {
    ($($name:ident: $test:ident($($home:ident),+);)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if postgres::is_available() {
                    $test($(Home::$home()),+).await;
                }
            }
        )+
    };
}

between! {
    from_sqlite_to_postgres_every_answer_stays_the_same: answers_stay_the_same(sqlite, postgres);
    from_postgres_to_sqlite_every_answer_stays_the_same: answers_stay_the_same(postgres, sqlite);
    from_postgres_to_postgres_every_answer_stays_the_same: answers_stay_the_same(postgres, postgres);
    from_sqlite_to_postgres_secrets_move_to_another_key: secrets_move_to_another_key(sqlite, postgres);
    from_sqlite_to_postgres_a_backup_under_load_is_of_one_moment: a_backup_under_load_is_of_one_moment(sqlite, postgres);
    from_postgres_to_sqlite_a_backup_under_load_is_of_one_moment: a_backup_under_load_is_of_one_moment(postgres, sqlite);
    in_postgres_a_killed_restore_changes_nothing: a_killed_restore_changes_nothing(postgres, sqlite);
    in_postgres_a_target_that_holds_something_is_replaced_only_if_told: a_target_that_holds_something(sqlite, postgres);
    in_postgres_replaced_texts_are_not_found: replaced_texts_are_not_found(postgres);
}
