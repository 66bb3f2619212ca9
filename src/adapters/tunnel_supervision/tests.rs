//! Over tunnels that are not there. The runtime's clock is paused: pauses pass exactly and at once.

use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FakeTunnels, ManualClock, SeededEntropy};
use crate::domain::tunnel::Unusable;
use crate::domain::tunnel::supervisor::GOOD_AFTER;
use crate::ports::events::Heard;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

const START: Timestamp = Timestamp(1_795_408_821_000);

struct Stage {
    supervision: Arc<Supervision>,
    tunnels: FakeTunnels,
    exposure: Exposure,
    events: Arc<BroadcastEvents>,
    clock: Arc<ManualClock>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let (tunnels, clock) = (FakeTunnels::default(), Arc::new(ManualClock::at(START)));
        let (events, exposure) = (Arc::new(BroadcastEvents::default()), Exposure::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let world = World {
            provider: Arc::new(tunnels.clone()),
            exposure: exposure.clone(),
            events: Arc::clone(&events) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let supervision = Arc::new(Supervision::new(world, tasks.clone(), stop.clone()));
        Self { supervision, tunnels, exposure, events, clock, tasks, stop }
    }

    fn state(&self) -> &'static str {
        self.supervision.status().state.as_str()
    }

    /// The state, whether anybody on this machine is a stranger, and the name by which strangers come.
    fn seen(&self) -> (&'static str, bool, Option<String>) {
        let host = self.exposure.entrance().map(|entrance| entrance.url.host().to_owned());
        (self.state(), self.exposure.is_open(), host)
    }

    /// Waits until it is in that state.
    async fn until(&self, state: &str) -> TunnelStatus {
        let mut heard = self.events.subscribe();
        loop {
            let status = self.supervision.status();
            if status.state.as_str() == state {
                return status;
            }
            let next = timeout(Duration::from_secs(7200), heard.next()).await;
            next.unwrap_or_else(|_| panic!("it does not become {state}: {status:?}")).expect("the bus");
        }
    }

    async fn start(&self, at_first: AtFirst) {
        self.supervision.start(at_first, Box::pin(async { true })).await;
    }

    async fn up(&self) {
        self.start(AtFirst::GiveUp).await;
        self.until("up").await;
    }
}

fn host(number: usize) -> String {
    format!("tunnel-{number}.example.net")
}

fn exited() -> OpenError {
    OpenError::Exited { program: "faketunnel", how: "exited with status 1".to_owned(), last_lines: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn at_first_there_is_none() {
    let stage = Stage::new();
    assert_eq!(stage.seen(), ("down", false, None));
    assert_eq!(stage.supervision.settled().await.state, TunnelState::Down);
    stage.supervision.stop().await;
    assert_eq!((stage.seen(), stage.tunnels.started()), (("down", false, None), 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_here_is_trusted_from_before_the_program_starts_until_it_is_gone() {
    let stage = Stage::new();
    stage.tunnels.let_open(false);
    stage.start(AtFirst::GiveUp).await;
    // The program was not started yet.
    assert_eq!((stage.seen(), stage.tunnels.started()), (("connecting", true, None), 0));
    yield_now().await;
    assert_eq!((stage.seen(), stage.tunnels.running()), (("connecting", true, None), 1));
    stage.tunnels.let_open(true);
    let up = stage.supervision.settled().await;
    assert_eq!((up.state, up.since, up.restarts), (TunnelState::Up, START, 0));
    assert_eq!(stage.seen(), ("up", true, Some(host(1))));

    stage.tunnels.let_close(false);
    stage.clock.advance(Duration::from_secs(9));
    let supervision = Arc::clone(&stage.supervision);
    let mut stopped = std::pin::pin!(supervision.stop());
    assert!(stopped.as_mut().now_or_never().is_none());
    yield_now().await;
    assert_eq!((stage.seen(), stage.tunnels.running()), (("stopping", true, None), 1));
    let stopping = stage.supervision.status();
    assert_eq!((stopping.url, stopping.since), (None, START.plus(Duration::from_secs(9))));
    assert!(stopped.as_mut().now_or_never().is_none());
    stage.tunnels.let_close(true);
    stopped.await;
    assert_eq!((stage.seen(), stage.tunnels.running()), (("down", false, None), 0));
    assert!(stage.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_was_trusted_before_is_asked_again_before_the_program_starts() {
    let stage = Stage::new();
    let mut heard = stage.events.subscribe();
    stage.start(AtFirst::GiveUp).await;
    let first = heard.next().await;
    assert!(matches!(first, Some(Heard::Event(Event::CredentialsChanged))), "{first:?}");
    assert_eq!((stage.exposure.is_open(), stage.tunnels.started()), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn two_starts_are_one_tunnel() {
    let stage = Stage::new();
    tokio::join!(stage.start(AtFirst::GiveUp), stage.start(AtFirst::TryAgain), stage.start(AtFirst::GiveUp),);
    stage.until("up").await;
    stage.start(AtFirst::GiveUp).await;
    yield_now().await;
    assert_eq!((stage.tunnels.started(), stage.tunnels.running(), stage.state()), (1, 1, "up"));
}

#[tokio::test(start_paused = true)]
async fn a_start_during_a_stop_waits_for_its_end_and_a_stop_during_a_start_ends_it() {
    let stage = Stage::new();
    stage.up().await;
    stage.tunnels.let_close(false);
    let stopping = tokio::join!(
        async {
            stage.supervision.stop().await;
            // The other one comes up after the end of this one.
            assert_eq!(stage.tunnels.running(), 0);
        },
        async {
            yield_now().await;
            stage.start(AtFirst::GiveUp).await;
        },
        async {
            for _ in 0..20 {
                yield_now().await;
            }
            assert_eq!((stage.tunnels.started(), stage.tunnels.running()), (1, 1));
            stage.tunnels.let_close(true);
        }
    );
    assert_eq!(stopping, ((), (), ()));
    assert_eq!(stage.until("up").await.url.unwrap().host(), "tunnel-2.example.net");
    assert_eq!((stage.tunnels.started(), stage.tunnels.running()), (2, 1));

    stage.supervision.stop().await;
    stage.tunnels.let_open(false);
    stage.start(AtFirst::GiveUp).await;
    yield_now().await;
    assert_eq!(stage.tunnels.running(), 1);
    // Two who stop it both wait for its end.
    tokio::join!(stage.supervision.stop(), stage.supervision.stop());
    assert_eq!((stage.seen(), stage.tunnels.running()), (("down", false, None), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_ends_it_all_the_same() {
    let stage = Stage::new();
    stage.up().await;
    assert!(stage.supervision.stop().now_or_never().is_none());
    stage.until("down").await;
    assert_eq!((stage.seen(), stage.tunnels.running()), (("down", false, None), 0));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_leaves_everything_as_it_was() {
    let stage = Stage::new();
    stage.tunnels.fail([exited()]);
    stage.tunnels.let_close(false);
    stage.start(AtFirst::GiveUp).await;
    stage.until("failed").await;
    yield_now().await;
    // What is left of the program can still let strangers in.
    assert_eq!((stage.seen(), stage.tunnels.running()), (("failed", true, None), 1));
    assert!(stage.supervision.settled().now_or_never().is_none());
    stage.tunnels.let_close(true);
    let failed = stage.supervision.settled().await;
    assert_eq!((stage.seen(), stage.tunnels.running()), (("failed", false, None), 0));
    assert_eq!(failed.error, exited().to_string());
    assert_eq!(failed.lines, ["tunnel 1 says ***"]);
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(stage.tunnels.started(), 1);

    // Somebody tries again, and whoever stops it is at peace.
    stage.up().await;
    stage.supervision.stop().await;
    assert_eq!(stage.supervision.status().error, "");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_cannot_be_used_is_a_failure_like_another() {
    let stage = Stage::new();
    stage.tunnels.miss(Some(Unusable::NotInstalled { program: "faketunnel", how_to_install: "Get it".to_owned() }));
    stage.start(AtFirst::TryAgain).await;
    let failed = stage.supervision.settled().await;
    assert_eq!((failed.state, &*failed.error), (TunnelState::Failed, "faketunnel is not installed. Get it"));
    assert_eq!((stage.seen(), stage.tunnels.started()), (("failed", false, None), 0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_followed_by_another_tunnel_after_the_pause_that_is_shown() {
    let stage = Stage::new();
    stage.up().await;
    for restart in 1..=5 {
        // It held for long, so that what was before does not count.
        stage.clock.advance(GOOD_AFTER);
        let now = stage.clock.now();
        stage.tunnels.tell(TunnelNews::Ended("was ended by signal 9".to_owned()));
        let waiting = stage.until("backing_off").await;
        assert_eq!((&*waiting.error, waiting.since), ("faketunnel was ended by signal 9", now));
        yield_now().await;
        // Nobody comes meanwhile, and nobody is trusted either: it comes again by itself.
        assert_eq!((stage.seen(), stage.tunnels.running()), (("backing_off", true, None), 0));
        let TunnelState::BackingOff { until } = waiting.state else { panic!("{waiting:?}") };
        let pause = until.since(now);
        assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&pause), "{pause:?}");
        let begun = Instant::now();
        let again = stage.until("up").await;
        assert!(begun.elapsed().abs_diff(pause) <= Duration::from_millis(2), "{:?} {pause:?}", begun.elapsed());
        assert_eq!((again.restarts, &*again.error), (restart, ""));
        // Under another name.
        assert_eq!((stage.seen(), stage.tunnels.running()), (("up", true, Some(host(1 + restart as usize))), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn three_bad_probes_end_it_and_it_is_opened_anew() {
    let stage = Stage::new();
    stage.up().await;
    let unhealthy = || stage.tunnels.tell(TunnelNews::Unhealthy("it is not connected".to_owned()));
    unhealthy();
    assert_eq!(stage.until("degraded").await.error, "it is not connected");
    assert_eq!(stage.seen(), ("degraded", true, Some(host(1))));
    stage.tunnels.tell(TunnelNews::Healthy);
    stage.until("up").await;
    unhealthy();
    unhealthy();
    unhealthy();
    stage.until("backing_off").await;
    stage.until("up").await;
    assert_eq!((stage.seen(), stage.tunnels.started(), stage.tunnels.running()), (("up", true, Some(host(2))), 2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_keeps_failing_is_tried_until_somebody_ends_it() {
    let stage = Stage::new();
    stage.tunnels.fail((0..1000).map(|_| exited()));
    stage.start(AtFirst::TryAgain).await;
    sleep(Duration::from_secs(86_400)).await;
    // After the first minutes every 150 to 300 seconds.
    let tried = stage.tunnels.started();
    assert!((280..600).contains(&tried), "{tried}");
    assert_eq!(stage.seen(), ("backing_off", true, None));
    assert!(stage.supervision.stop().await);
    assert_eq!((stage.seen(), stage.tunnels.running()), (("down", false, None), 0));
}

/// A program that is being updated, a system without files left.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_was_up_outlasts_whatever_happens_to_its_program() {
    let stage = Stage::new();
    stage.up().await;
    stage.tunnels.miss(Some(Unusable::NotInstalled { program: "faketunnel", how_to_install: "Get it".to_owned() }));
    stage.tunnels.tell(TunnelNews::Ended("was ended by signal 15".to_owned()));
    stage.until("backing_off").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.seen(), ("backing_off", true, None));
    assert!(stage.supervision.status().error.contains("not installed"));
    stage.tunnels.miss(None);
    assert_eq!(stage.until("up").await.restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_after_a_start_wins() {
    // While the start waits for the one before to end.
    let stage = Stage::new();
    stage.up().await;
    stage.tunnels.let_close(false);
    let (first, (), last) = tokio::join!(
        stage.supervision.stop(),
        async {
            yield_now().await;
            stage.start(AtFirst::GiveUp).await;
        },
        async {
            for _ in 0..5 {
                yield_now().await;
            }
            let stopping = stage.supervision.stop();
            stage.tunnels.let_close(true);
            stopping.await
        }
    );
    // The last one ended what had not begun.
    assert_eq!((first, last), (true, true));
    assert_eq!((stage.seen(), stage.tunnels.started(), stage.tunnels.running()), (("down", false, None), 1, 0));

    // While it asks whether it may.
    let stage = Stage::new();
    let (asked, answer) = tokio::sync::oneshot::channel();
    let may = Box::pin(async { answer.await.is_ok() });
    let (is_begun, ()) = tokio::join!(stage.supervision.start(AtFirst::TryAgain, may), async {
        yield_now().await;
        assert!(stage.supervision.stop().await);
        asked.send(()).unwrap();
    });
    sleep(Duration::from_secs(60)).await;
    assert_eq!((is_begun, stage.seen(), stage.tunnels.started()), (false, ("down", false, None), 0));
    assert!(!stage.supervision.stop().await, "there is nothing any more");
}

/// Two want it during one pause: the next pause is a whole one.
#[tokio::test(start_paused = true)]
async fn a_pause_that_was_ended_twice_is_one_pause() {
    let stage = Stage::new();
    stage.tunnels.fail([exited(), exited()]);
    stage.start(AtFirst::TryAgain).await;
    stage.until("backing_off").await;
    yield_now().await;
    let begun = Instant::now();
    stage.start(AtFirst::GiveUp).await;
    stage.start(AtFirst::GiveUp).await;
    yield_now().await;
    assert_eq!(stage.tunnels.started(), 2);
    stage.until("up").await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(stage.tunnels.started(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_is_not_begun_and_who_comes_second_is_not_asked() {
    let stage = Stage::new();
    assert!(!stage.supervision.start(AtFirst::GiveUp, Box::pin(async { false })).await);
    assert_eq!((stage.seen(), stage.tunnels.started()), (("down", false, None), 0));
    stage.up().await;
    let never = Box::pin(async { panic!("nobody asks") });
    assert!(stage.supervision.start(AtFirst::GiveUp, never).await);
    assert_eq!((stage.state(), stage.tunnels.started()), ("up", 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_it_while_it_waits_ends_the_pause() {
    let stage = Stage::new();
    stage.tunnels.fail([exited()]);
    stage.tunnels.let_close(false);
    stage.start(AtFirst::TryAgain).await;
    let begun = Instant::now();
    stage.until("backing_off").await;
    yield_now().await;
    // It has not begun to wait: what failed is still being ended.
    assert_eq!(stage.tunnels.running(), 1);
    stage.start(AtFirst::GiveUp).await;
    stage.tunnels.let_close(true);
    stage.until("up").await;
    assert_eq!((begun.elapsed(), stage.tunnels.started()), (Duration::ZERO, 2));
}

#[tokio::test(start_paused = true)]
async fn a_pause_can_be_ended_by_a_stop() {
    let stage = Stage::new();
    stage.tunnels.fail([exited()]);
    stage.start(AtFirst::TryAgain).await;
    stage.until("backing_off").await;
    let begun = Instant::now();
    stage.supervision.stop().await;
    assert_eq!((begun.elapsed(), stage.seen()), (Duration::ZERO, ("down", false, None)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_the_end_of_the_tunnel() {
    let stage = Stage::new();
    stage.up().await;
    stage.stop.cancel();
    stage.tasks.close();
    timeout(Duration::from_secs(1), stage.tasks.wait()).await.expect("an end of all tasks");
    assert_eq!((stage.seen(), stage.tunnels.running()), (("down", false, None), 0));
    // What comes too late is not opened any more.
    stage.start(AtFirst::GiveUp).await;
    assert_eq!(stage.supervision.settled().await.state, TunnelState::Down);
    assert_eq!((stage.seen(), stage.tunnels.started()), (("down", false, None), 1));
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told() {
    let stage = Stage::new();
    let mut heard = stage.events.subscribe();
    stage.up().await;
    stage.tunnels.tell(TunnelNews::Unhealthy("it is not connected".to_owned()));
    stage.until("degraded").await;
    stage.tunnels.tell(TunnelNews::Ended("exited with status 1".to_owned()));
    stage.until("backing_off").await;
    stage.supervision.stop().await;
    let mut told = Vec::new();
    while let Some(Some(Heard::Event(event))) = heard.next().now_or_never() {
        told.push(event);
    }
    // Connecting, up, degraded, backing off, stopping, down.
    let changes = told.iter().filter(|event| matches!(event, Event::TunnelChanged)).count();
    assert_eq!(changes, 6, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mistake_of_ours_is_a_failure_like_another() {
    let stage = Stage::new();
    stage.up().await;
    stage.tunnels.panic();
    let waiting = stage.until("backing_off").await;
    assert!(waiting.error.contains("Pawport made a mistake"), "{}", waiting.error);
    stage.until("up").await;
    assert_eq!((stage.tunnels.started(), stage.tunnels.running()), (2, 1));
}
