//! The thread from which all children are started.
//!
//! A child gets its parent-death signal when the thread that forked it ends, even if the process lives on. Tokio's threads
//! come and go: a blocking one ends when it is idle, and a worker with its runtime. So one thread does nothing else, and
//! stays until the last [`Starter`] is dropped. Each child holds one, so the signal never comes too early.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Hands work to the thread. Clones hand it to the same one.
#[derive(Debug, Clone)]
pub(super) struct Starter {
    jobs: mpsc::Sender<Job>,
}

impl Starter {
    pub fn new() -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let work = move || {
            for job in todo {
                // A panic would end the thread, and with it all children. It has been printed; the asker gets no answer.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        thread::Builder::new().name("child starter".to_owned()).spawn(work)?;
        Ok(Self { jobs })
    }

    /// What `work` gives, done on the thread, or `None` if it panicked. If nobody waits any more, it is dropped.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = move || drop(answer.send(work()));
        self.jobs.send(Box::new(job)).ok()?;
        answered.await.ok()
    }
}
