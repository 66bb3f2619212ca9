//! Watches over the tunnel: a task that does what its state machine says.

use crate::domain::event::Event;
use crate::domain::output::Tail;
use crate::domain::time::Timestamp;
use crate::domain::tunnel::exposure::{Entrance, Exposure};
use crate::domain::tunnel::supervisor::{AtFirst, Effect, Input, Supervisor};
use crate::domain::tunnel::{OpenError, TunnelState, TunnelStatus};
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::events::EventBus;
use crate::ports::tunnel::{OpenTunnel, TunnelNews, TunnelProvider, TunnelSupervision};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the task works with.
pub struct World {
    /// Opens tunnels.
    pub provider: Arc<dyn TunnelProvider>,
    /// Is told whether strangers may come.
    pub exposure: Exposure,
    /// Is told of every change.
    pub events: Arc<dyn EventBus>,
    /// Says since when.
    pub clock: Arc<dyn Clock>,
    /// Spreads pauses.
    pub entropy: Arc<dyn Entropy>,
}

/// Watches over a tunnel until it is told to stop; the tracker it was given is done when its program has ended.
pub struct Supervision {
    world: Arc<World>,
    /// Who starts it waits for who did before.
    turn: tokio::sync::Mutex<()>,
    present: Mutex<Present>,
    /// Changes with every change.
    changes: watch::Sender<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The last run, and how often somebody wanted no tunnel: who began to start one before that does not.
struct Present {
    run: Arc<Run>,
    stops: u64,
}

/// From a start to its stop.
struct Run {
    live: Mutex<Live>,
    tail: Arc<Tail>,
    /// Ends the pause before the next attempt.
    now: Notify,
    stop: CancellationToken,
    /// Done when the task has ended, and with it the program.
    task: TaskTracker,
}

/// What changes.
struct Live {
    machine: Supervisor,
    /// Since when it is to end, if somebody said so.
    stopped: Option<Timestamp>,
    /// Since when it is not watched over any more, if it is not.
    ended: Option<Timestamp>,
}

impl Supervision {
    /// No tunnel yet. Its task runs on `tasks`, and ends when `stop` is cancelled.
    #[must_use]
    pub fn new(world: World, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let none = Run::new(AtFirst::GiveUp, &world, stop.child_token());
        none.stop.cancel();
        none.live().ended = Some(world.clock.now());
        none.task.close();
        let (turn, changes) = (tokio::sync::Mutex::new(()), watch::Sender::new(()));
        let present = Mutex::new(Present { run: Arc::new(none), stops: 0 });
        Self { world: Arc::new(world), turn, present, changes, tasks, stop }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> Arc<Run> {
        Arc::clone(&self.present().run)
    }

    /// Begins another run, unless somebody has wanted no tunnel since there were so many `stops`. Whether it did.
    fn begin(&self, at_first: AtFirst, stops: u64) -> bool {
        let mut present = self.present();
        if present.stops != stops || self.stop.is_cancelled() {
            return false;
        }
        let run = Arc::new(Run::new(at_first, &self.world, self.stop.child_token()));
        present.run = Arc::clone(&run);
        // Before anything is started, and before whoever asked is told anything.
        self.world.exposure.open();
        // Whoever was let in because they are on this machine is not any more.
        self.world.events.publish(Event::CredentialsChanged);
        let watching = watch_over(Arc::clone(&self.world), Arc::clone(&run), self.changes.clone());
        self.tasks.spawn(run.task.track_future(watching));
        run.task.close();
        drop(present);
        tell(&self.world, &self.changes);
        true
    }
}

#[async_trait]
impl TunnelSupervision for Supervision {
    async fn start(&self, at_first: AtFirst, may: BoxFuture<'_, bool>) -> bool {
        let stops = self.present().stops;
        let _turn = self.turn.lock().await;
        let before = self.run();
        if before.is_wanted() {
            // Only if it waits: whoever asks while it is being opened has what they want. One is kept for who is about to
            // wait.
            if matches!(before.live().machine.state(), TunnelState::BackingOff { .. }) {
                before.now.notify_one();
            }
            return true;
        }
        before.task.wait().await;
        let is_stopped = self.present().stops != stops || self.stop.is_cancelled();
        !is_stopped && may.await && self.begin(at_first, stops)
    }

    async fn stop(&self) -> bool {
        // Whoever starts it meanwhile waits in turn; whoever stops it as well need not.
        let is_starting = self.turn.try_lock().is_err();
        let run = {
            let mut present = self.present();
            present.stops += 1;
            Arc::clone(&present.run)
        };
        let was_wanted = run.is_wanted();
        if !run.stop.is_cancelled() {
            run.live().stopped = Some(self.world.clock.now());
            run.stop.cancel();
            tell(&self.world, &self.changes);
        }
        run.task.wait().await;
        was_wanted || is_starting
    }

    fn status(&self) -> TunnelStatus {
        self.run().status()
    }

    async fn settled(&self) -> TunnelStatus {
        let mut changes = self.changes.subscribe();
        loop {
            let run = self.run();
            let status = run.status();
            if status.state == TunnelState::Failed {
                // Whoever hears of it may rely on everything being as it was before.
                run.task.wait().await;
            }
            if !matches!(status.state, TunnelState::Connecting | TunnelState::BackingOff { .. }) {
                return status;
            }
            // The sender is ours.
            let _ = changes.changed().await;
        }
    }
}

impl Run {
    fn new(at_first: AtFirst, world: &World, stop: CancellationToken) -> Self {
        let live =
            Mutex::new(Live { machine: Supervisor::new(at_first, world.clock.now()), stopped: None, ended: None });
        let tail = Arc::new(Tail::new(world.provider.masks()));
        Self { live, tail, now: Notify::new(), stop, task: TaskTracker::new() }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is open, or will be without anybody's doing. One that nobody watches over any more is not, whatever ended
    /// its task.
    fn is_wanted(&self) -> bool {
        !self.stop.is_cancelled() && self.live().machine.state() != TunnelState::Failed && !self.task.is_empty()
    }

    fn status(&self) -> TunnelStatus {
        let live = self.live();
        let machine = &live.machine;
        let is_running = !self.stop.is_cancelled();
        let (state, since) = match (is_running, live.ended) {
            (true, _) => (machine.state(), machine.since()),
            (false, Some(ended)) => (TunnelState::Down, ended),
            (false, None) => (TunnelState::Stopping, live.stopped.unwrap_or(machine.since())),
        };
        TunnelStatus {
            state,
            since,
            url: machine.url().filter(|_| is_running).cloned(),
            error: if is_running { machine.error().to_owned() } else { String::new() },
            lines: self.tail.to_vec(),
            restarts: machine.restarts(),
        }
    }
}

/// Does what the state machine says, until it is told to stop or the machine gives up.
async fn watch_over(world: Arc<World>, run: Arc<Run>, changes: watch::Sender<()>) {
    let mut tunnel = None;
    let mut effect = Effect::Open;
    while effect != Effect::Rest {
        let work = AssertUnwindSafe(carry_out(&world, &run, effect, &mut tunnel)).catch_unwind();
        let Some(input) = work.await.unwrap_or_else(|_| Some(panicked(&run))) else { break };
        effect = step(&world, &run, &changes, input);
        if effect != Effect::Hold {
            close(&mut tunnel).await;
        }
    }
    // Nobody comes by that name any more, and nothing else is trusted yet.
    world.exposure.admit(None);
    close(&mut tunnel).await;
    world.exposure.close();
    run.live().ended = Some(world.clock.now());
    tell(&world, &changes);
}

async fn close(tunnel: &mut Option<Box<dyn OpenTunnel>>) {
    if let Some(mut tunnel) = tunnel.take() {
        tunnel.close().await;
    }
}

/// A mistake of ours is a failure like another, and no reason to leave the tunnel as it is for ever.
fn panicked(run: &Run) -> Input {
    tracing::error!("watching over the tunnel panicked");
    let reason = "Pawport made a mistake; its log says more".to_owned();
    match run.live().machine.state() {
        TunnelState::Connecting => Input::Failed(OpenError::NotStarted(reason)),
        _ => Input::Ended(reason),
    }
}

/// Gives the machine an input, and tells who listens.
fn step(world: &World, run: &Run, changes: &watch::Sender<()>, input: Input) -> Effect {
    let now = world.clock.now();
    let chance = u64::from_le_bytes(random(&*world.entropy));
    let (effect, before, after, url, error) = {
        let mut live = run.live();
        let before = live.machine.state();
        let effect = live.machine.step(input, now, chance);
        let machine = &live.machine;
        (effect, before, machine.state(), machine.url().cloned(), machine.error().to_owned())
    };
    if before != after {
        let name = url.as_ref().map(|url| url.as_str().to_owned());
        let client_header = world.provider.client_header();
        world.exposure.admit(url.map(|url| Entrance { url, client_header }));
        match after {
            TunnelState::Degraded | TunnelState::BackingOff { .. } | TunnelState::Failed => {
                tracing::warn!(state = after.as_str(), error, "the tunnel is not as it should be");
            }
            _ => tracing::info!(state = after.as_str(), url = name, "the tunnel has another state"),
        }
        tell(world, changes);
    }
    effect
}

fn tell(world: &World, changes: &watch::Sender<()>) {
    changes.send_replace(());
    world.events.publish(Event::TunnelChanged);
}

/// Does what is to be done, and gives what came of it; `None` if it is to stop.
async fn carry_out(
    world: &World,
    run: &Run,
    effect: Effect,
    tunnel: &mut Option<Box<dyn OpenTunnel>>,
) -> Option<Input> {
    match effect {
        Effect::Open => {
            if run.stop.is_cancelled() {
                return None;
            }
            // Whoever wanted it now has it; that is not kept for the next pause.
            let _ = run.now.notified().now_or_never();
            // Not dropped when it is to stop: what was started is to be ended in order.
            let opened = match world.provider.start(Arc::clone(&run.tail)).await {
                Ok(opened) => tunnel.insert(opened),
                Err(error) => return Some(Input::Failed(error)),
            };
            let public = run.stop.run_until_cancelled(opened.public()).await?;
            Some(public.map_or_else(Input::Failed, Input::Public))
        }
        Effect::Hold => {
            let Some(open) = tunnel else { return Some(Input::Ended("is gone".to_owned())) };
            Some(match run.stop.run_until_cancelled(open.next()).await? {
                TunnelNews::Healthy => Input::Healthy,
                TunnelNews::Unhealthy(reason) => Input::Unhealthy(reason),
                TunnelNews::Ended(how) => Input::Ended(format!("{} {how}", world.provider.name())),
            })
        }
        Effect::Wait(pause) => tokio::select! {
            () = sleep(pause) => Some(Input::Due),
            () = run.now.notified() => Some(Input::Start),
            () = run.stop.cancelled() => None,
        },
        Effect::Rest => None,
    }
}

#[cfg(test)]
mod tests;
