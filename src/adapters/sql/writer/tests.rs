#![expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

use super::*;
use crate::adapters::sql::StorageUrl;
use crate::adapters::sql::connection::{self, Purpose};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use std::sync::mpsc::channel;

/// A writer over a table of numbers.
struct Fixture {
    writer: Arc<Writer>,
    url: StorageUrl,
    _folder: tempfile::TempDir,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StorageUrl::Sqlite(folder.path().join("test.db"));
        let mut connection = connection::open(&url, Purpose::Write).unwrap();
        connection.batch_execute("CREATE TABLE numbers (number INTEGER NOT NULL UNIQUE)").unwrap();
        let writer = Arc::new(Writer::start(connection::writer(&url, Box::new(|_| Ok(())))).unwrap());
        Self { writer, url, _folder: folder }
    }

    /// Runs the statements as jobs of one transaction, and says for each how it ended. A first job keeps the writer busy
    /// until they all wait.
    async fn batch(&self, statements: &'static [&'static str]) -> Vec<Result<(), StoreError>> {
        let (release, released) = channel();
        let writer = Arc::clone(&self.writer);
        let (begun, has_begun) = oneshot::channel();
        let holder = tokio::task::spawn(async move {
            let wait = move |_: &mut AnyConnection| {
                begun.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            };
            writer.write(wait).await
        });
        has_begun.await.unwrap();
        let mut jobs = Vec::new();
        for &statement in statements {
            let writer = Arc::clone(&self.writer);
            jobs.push(tokio::task::spawn(async move {
                writer.write(move |connection| Ok(connection.batch_execute(statement)?)).await
            }));
            // On the test's single thread this lets the job reach the queue.
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        holder.await.unwrap().unwrap();
        let mut outcomes = Vec::new();
        for job in jobs {
            outcomes.push(job.await.unwrap());
        }
        outcomes
    }

    fn stored(&self) -> Vec<i32> {
        let mut connection = connection::open(&self.url, Purpose::Read).unwrap();
        let AnyConnection::Sqlite(inner) = &mut connection else { unreachable!("it was opened as SQLite") };
        let rows = diesel::sql_query("SELECT number FROM numbers ORDER BY number").load::<Number>(inner);
        rows.unwrap().into_iter().map(|row| row.number).collect()
    }
}

#[tokio::test]
async fn a_job_that_fails_leaves_the_others_of_its_transaction_alone() {
    let fixture = Fixture::new();
    let outcomes = fixture
        .batch(&[
            "INSERT INTO numbers VALUES (1)",
            "INSERT INTO numbers VALUES (2); INSERT INTO numbers VALUES (1)",
            "INSERT INTO numbers VALUES (3)",
        ])
        .await;
    assert!(matches!(outcomes[..], [Ok(()), Err(StoreError::Conflict), Ok(())]), "{outcomes:?}");
    assert_eq!(fixture.stored(), [1, 3]);
}

/// What SQLite does by itself when the disk is full.
#[tokio::test]
async fn when_the_transaction_is_rolled_back_nothing_of_it_is_stored_and_nobody_is_told_otherwise() {
    let fixture = Fixture::new();
    let outcomes =
        fixture.batch(&["INSERT INTO numbers VALUES (1)", "ROLLBACK", "INSERT INTO numbers VALUES (2)"]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Unavailable(_)))), "{outcomes:?}");
    assert!(fixture.stored().is_empty(), "{:?}", fixture.stored());
    let outcomes = fixture.batch(&["INSERT INTO numbers VALUES (4)"]).await;
    assert!(matches!(outcomes[..], [Ok(())]), "the writer goes on with another connection: {outcomes:?}");
    assert_eq!(fixture.stored(), [4]);
}

#[tokio::test]
async fn a_job_that_panics_takes_its_transaction_with_it_and_no_more() {
    let fixture = Fixture::new();
    let outcome: Result<(), StoreError> = fixture.writer.write(|_| panic!("a job panics")).await;
    assert!(matches!(outcome, Err(StoreError::Failed(_))), "{outcome:?}");
    assert!(matches!(fixture.batch(&["INSERT INTO numbers VALUES (5)"]).await[..], [Ok(())]));
    assert_eq!(fixture.stored(), [5]);
}
