//! What runs beside the requests: answering turns, and cleaning up.

use crate::domain::agent::service::{Agent, Answer, LEASE};
use crate::domain::agent::{ClaimedTurn, TurnId};
use crate::domain::auth::service::Tokens;
use crate::domain::auth::service::apps::Apps;
use crate::domain::auth::service::logins::Logins;
use crate::domain::event::Event;
use crate::domain::memory::service::Memories;
use crate::ports::events::{EventStream, Heard};
use crate::ports::store::StoreError;
use futures_util::{FutureExt, StreamExt};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How many turns may be claimed beyond those that run, so that the next is at hand while an answer is being stored.
const CLAIMED_AHEAD: usize = 32;

/// How often the queue is looked at although nobody rang.
const POLL: Duration = Duration::from_secs(5);

/// How long to wait after the storage failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often what is not needed any more is dropped.
const CLEAN_UP: Duration = Duration::from_secs(600);

/// How often it is stored when credentials were last used: one write for all of them, instead of one a request.
const STORE_USES: Duration = Duration::from_secs(15);

/// Answers turns until `stop`, then finishes those that run. Turns that were claimed and do not run yet are left to the
/// next start.
///
/// # Panics
/// If answering a turn panicked: half of a server is worse than none.
pub async fn answer_turns(agent: Arc<Agent>, learn: mpsc::Sender<Answered>, stop: CancellationToken) {
    let running = Arc::new(Semaphore::new(agent.limits().max_concurrent));
    let most = agent.limits().max_concurrent + CLAIMED_AHEAD;
    let mut tasks: JoinSet<TurnId> = JoinSet::new();
    let mut held: HashSet<TurnId> = HashSet::new();
    let mut renewal = every(LEASE / 3);

    while !stop.is_cancelled() {
        let room = most - tasks.len();
        let claimed = if room > 0 { claim(&agent, room).await } else { Vec::new() };
        let found_nothing = claimed.is_empty();
        for turn in claimed {
            // Ours already: its lease had ended, because the clock was moved or the storage was away. It has a new one now.
            if !held.insert(turn.turn.id.clone()) {
                continue;
            }
            tasks.spawn(answer(Arc::clone(&agent), turn, Arc::clone(&running), learn.clone(), stop.clone()));
        }
        if renewal.tick().now_or_never().is_some() {
            renew(&agent, &held).await;
        }
        if !found_nothing {
            while let Some(done) = tasks.try_join_next() {
                held.remove(&finished(done));
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = agent.ready(), if room > 0 => {}
            Some(done) = tasks.join_next() => {
                held.remove(&finished(done));
            }
            () = sleep(POLL) => {}
        }
    }
    while let Some(done) = tasks.join_next().await {
        finished(done);
    }
}

async fn claim(agent: &Agent, room: usize) -> Vec<ClaimedTurn> {
    match agent.claim(room).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "turns could not be claimed");
            sleep(PAUSE_AFTER_FAILURE).await;
            Vec::new()
        }
    }
}

async fn renew(agent: &Agent, held: &HashSet<TurnId>) {
    if held.is_empty() {
        return;
    }
    let held: Vec<TurnId> = held.iter().cloned().collect();
    if let Err(error) = agent.renew(&held).await {
        tracing::error!(error = &error as &dyn std::error::Error, "leases could not be prolonged");
    }
}

fn finished(done: Result<TurnId, JoinError>) -> TurnId {
    match done {
        Ok(turn) => turn,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => unreachable!("no task of the set is ever aborted: {error}"),
        },
    }
}

/// Answers one turn when its time has come.
async fn answer(
    agent: Arc<Agent>,
    turn: ClaimedTurn,
    running: Arc<Semaphore>,
    learn: mpsc::Sender<Answered>,
    stop: CancellationToken,
) -> TurnId {
    let its_time = async {
        tokio::select! {
            permit = running.acquire() => permit.ok(),
            // Ends at once, and needs no room.
            () = agent.stopped(&turn) => None,
        }
    };
    let Some(permit) = stop.run_until_cancelled(its_time).await else { return turn.turn.id };
    let answer = agent.run(&turn).await;
    // The next turn may run while this answer is being stored.
    drop(permit);
    while let Err(error) = agent.finish(&turn, &answer).await {
        tracing::error!(turn.id = %turn.turn.id, error = &error as &dyn std::error::Error, "an answer could not be stored");
        if !matches!(error, StoreError::Unavailable(_)) {
            // Trying again would end the same. Its lease will end, and it is tried anew a few times.
            return turn.turn.id;
        }
        if stop.run_until_cancelled(sleep(PAUSE_AFTER_FAILURE)).await.is_none() {
            // It is asked again after the next start.
            return turn.turn.id;
        }
    }
    let id = turn.turn.id.clone();
    if agent.may_learn(&turn, &answer) && learn.try_send((turn, answer)).is_err() {
        tracing::warn!(turn.id = %id, "nothing is learned from a turn, because too many wait to be learned from");
    }
    id
}

/// A turn that was answered, for who learns from it.
pub type Answered = (ClaimedTurn, Answer);

/// How many answered turns may wait to be learned from.
const TO_LEARN: usize = 100;

/// Where answered turns wait to be learned from. They are in memory only: what was said is stored, and can be said again.
pub fn to_learn() -> (mpsc::Sender<Answered>, mpsc::Receiver<Answered>) {
    mpsc::channel(TO_LEARN)
}

/// Learns from answered turns, one after the other, until `stop`.
pub async fn learn(agent: Arc<Agent>, mut answered: mpsc::Receiver<Answered>, stop: CancellationToken) {
    let learning = async {
        while let Some((turn, answer)) = answered.recv().await {
            let id = &turn.turn.id;
            match agent.learn(&turn, &answer).await {
                Ok(learned) => tracing::debug!(turn.id = %id, learned, "learned from a turn"),
                Err(error) => tracing::warn!(turn.id = %id, %error, "nothing was learned from a turn"),
            }
        }
    };
    stop.run_until_cancelled(learning).await;
}

/// Lets memory follow what the user chooses, until `stop`.
pub async fn follow_settings(memories: Arc<Memories>, mut events: EventStream, stop: CancellationToken) {
    let following = async {
        while let Some(heard) = events.next().await {
            // Whatever was missed may have been a change.
            if matches!(heard, Heard::Event(Event::SettingsChanged) | Heard::Missed(_)) {
                memories.follow_settings();
            }
        }
    };
    stop.run_until_cancelled(following).await;
}

/// Drops what is not needed any more, now and then, until `stop`.
pub async fn clean_up(agent: Arc<Agent>, logins: Arc<Logins>, apps: Arc<Apps>, stop: CancellationToken) {
    let cleaning = async {
        let mut often = every(CLEAN_UP);
        loop {
            often.tick().await;
            report("answers that nobody can ask for any more", agent.forget_old_answers().await);
            report("login sessions and pairing codes that have ended", logins.forget_ended().await);
            report("codes and refresh tokens of apps that have ended", apps.forget_ended().await);
        }
    };
    stop.run_until_cancelled(cleaning).await;
}

fn report(what: &str, dropped: Result<u64, StoreError>) {
    match dropped {
        Ok(0) => {}
        Ok(dropped) => tracing::debug!(dropped, "dropped {what}"),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "could not drop {what}"),
    }
}

/// Stores when credentials were last used, now and then until `stop`, and once more then.
pub async fn store_uses(tokens: Arc<Tokens>, stop: CancellationToken) {
    let mut often = every(STORE_USES);
    loop {
        let stopped = stop.run_until_cancelled(often.tick()).await.is_none();
        if let Err(error) = tokens.store_uses().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "when credentials were last used is not stored");
        }
        if stopped {
            return;
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut often = interval(period);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    often
}
