//! Over tunnels that are not there. The runtime's clock is paused.

use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FakeTunnels, ManualClock, SeededEntropy};
use crate::adapters::host::SystemTimer;
use crate::adapters::in_memory::InMemoryStorage;
use crate::adapters::tunnel_supervision::{Supervision, World};
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::domain::tunnel::OpenError;
use crate::domain::tunnel::exposure::Exposure;
use crate::ports::store::Stores;
use crate::ports::tunnel::TunnelNews;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Stage {
    tunnel: Tunnel,
    tunnels: FakeTunnels,
    audit: Arc<Audit>,
    exposure: Exposure,
}

impl Stage {
    fn new() -> Self {
        let (tunnels, exposure) = (FakeTunnels::default(), Exposure::default());
        let (clock, entropy) = (Arc::new(ManualClock::at(Timestamp(0))), Arc::new(SeededEntropy::new(1)));
        let stores = Stores::of(&Arc::new(InMemoryStorage::new()));
        let audit = Arc::new(Audit::new(stores.audit, Arc::clone(&clock) as _, Arc::clone(&entropy) as _));
        let provider: Arc<dyn TunnelProvider> = Arc::new(tunnels.clone());
        let world = World {
            provider: Arc::clone(&provider),
            exposure: exposure.clone(),
            events: Arc::new(BroadcastEvents::default()),
            clock,
            entropy,
        };
        let supervision = Arc::new(Supervision::new(world, TaskTracker::new(), CancellationToken::new()));
        let tunnel = Tunnel::new(provider, supervision, Arc::clone(&audit), Arc::new(SystemTimer));
        Self { tunnel, tunnels, audit, exposure }
    }

    async fn start(&self) -> Result<String, String> {
        let started = self.tunnel.start(&Principal::on_this_machine()).await;
        started.map(|url| url.to_string()).map_err(|refused| refused.to_string())
    }

    async fn stop(&self) {
        self.tunnel.stop(&Principal::on_this_machine()).await.unwrap();
    }

    /// What is in the audit log, oldest first.
    async fn noted(&self) -> Vec<String> {
        let entries = self.audit.recent(PageLimit::clamped(100)).await.unwrap();
        entries.iter().rev().map(|it| format!("{} {} {}", it.action, it.target, it.status)).collect()
    }
}

fn exited() -> OpenError {
    OpenError::Exited { program: "faketunnel", how: "exited with status 1".to_owned(), last_lines: Vec::new() }
}

const STARTED: &str = "tunnel_started faketunnel success";
const NOT_STARTED: &str = "tunnel_started faketunnel error";
const STOPPED: &str = "tunnel_stopped faketunnel success";

#[tokio::test(start_paused = true)]
async fn it_is_started_once_and_stopped_once() {
    let stage = Stage::new();
    let first = "https://tunnel-1.example.net";
    let (one, other) = tokio::join!(stage.start(), stage.start());
    assert_eq!((one.as_deref(), other.as_deref()), (Ok(first), Ok(first)));
    assert_eq!(stage.start().await.as_deref(), Ok(first));
    assert_eq!((stage.tunnels.started(), stage.tunnel.status().is_active()), (1, true));
    stage.stop().await;
    stage.stop().await;
    assert_eq!((stage.tunnels.running(), stage.tunnel.status().is_active()), (0, false));
    assert_eq!(stage.start().await.as_deref(), Ok("https://tunnel-2.example.net"));
    assert_eq!(stage.noted().await, [STARTED, STOPPED, STARTED]);
}

#[tokio::test(start_paused = true)]
async fn without_its_program_nothing_is_opened() {
    let stage = Stage::new();
    stage.tunnels.miss(Some(Unusable::NotInstalled { program: "faketunnel", how_to_install: "Get it".to_owned() }));
    assert_eq!(stage.start().await, Err("faketunnel is not installed. Get it".to_owned()));
    assert_eq!((stage.tunnel.status().state, stage.exposure.is_open()), (TunnelState::Down, false));
    assert!(matches!(stage.tunnel.keep_open().await, Err(StartRefused::NotUp(_))));
    assert_eq!(stage.noted().await, [NOT_STARTED, NOT_STARTED]);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_has_ended_when_its_answer_comes() {
    let stage = Stage::new();
    stage.tunnels.fail([exited()]);
    assert_eq!(stage.start().await, Err(exited().to_string()));
    assert_eq!((stage.tunnel.status().state, stage.exposure.is_open()), (TunnelState::Failed, false));
    assert_eq!(stage.noted().await, [STARTED, NOT_STARTED]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_clients_do() {
    let stage = Stage::new();
    stage.tunnels.let_open(false);
    let begun = Instant::now();
    let told = stage.start().await.unwrap_err();
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(told.contains("has no public address after 30 seconds and is still trying"), "{told}");
    assert_eq!(stage.tunnel.status().state, TunnelState::Connecting);
    // It comes up late.
    let mut late = std::pin::pin!(stage.tunnel.settled());
    assert!(late.as_mut().now_or_never().is_none());
    stage.tunnels.let_open(true);
    assert_eq!(late.await.url.unwrap().host(), "tunnel-1.example.net");
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_what_failed_lately_waits_for_the_next_attempt() {
    let stage = Stage::new();
    stage.start().await.unwrap();
    stage.tunnels.fail((0..20).map(|_| exited()));
    stage.tunnels.tell(TunnelNews::Ended("exited with status 1".to_owned()));
    while !matches!(stage.tunnel.status().state, TunnelState::BackingOff { .. }) {
        tokio::task::yield_now().await;
    }
    let told = stage.start().await.unwrap_err();
    assert!(told.starts_with("the tunnel is not up yet, and is tried again by itself"), "{told}");
    assert!(told.contains("exited with status 1"), "{told}");
    assert!(stage.tunnels.started() > 2, "{}", stage.tunnels.started());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_stopped_says_so() {
    let stage = Stage::new();
    stage.tunnels.let_open(false);
    let (told, ()) = tokio::join!(stage.start(), async {
        tokio::task::yield_now().await;
        stage.stop().await;
    });
    assert_eq!(told, Err("the tunnel was stopped meanwhile".to_owned()));
    let mut noted = stage.noted().await;
    noted[1..].sort();
    assert_eq!(noted, [STARTED, NOT_STARTED, STOPPED]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_kept_open_is_tried_until_it_is_up() {
    let stage = Stage::new();
    stage.tunnels.fail([exited(), exited()]);
    stage.tunnel.keep_open().await.unwrap();
    assert_eq!(stage.tunnel.settled().await.url.unwrap().host(), "tunnel-3.example.net");
    assert_eq!(stage.noted().await, [STARTED]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_slow_beginning_is_the_last_word() {
    let stage = Stage::new();
    stage.tunnels.let_answer(false);
    let (told, ()) = tokio::join!(stage.start(), async {
        tokio::task::yield_now().await;
        stage.stop().await;
        stage.tunnels.let_answer(true);
    });
    assert_eq!(told, Err("the tunnel was stopped meanwhile".to_owned()));
    tokio::time::sleep(PATIENCE).await;
    assert_eq!((stage.tunnels.started(), stage.exposure.is_open()), (0, false));
    // Who stopped it is in the log, and it does not say that there was one in the end.
    let mut noted = stage.noted().await;
    assert_eq!(noted.iter().filter(|it| *it == STARTED).count(), 1);
    noted.sort();
    assert_eq!(noted, [NOT_STARTED, STARTED, STOPPED]);

    // The same for one that is always wanted.
    stage.tunnels.let_answer(false);
    let (kept, ()) = tokio::join!(stage.tunnel.keep_open(), async {
        tokio::task::yield_now().await;
        stage.stop().await;
        stage.tunnels.let_answer(true);
    });
    assert!(matches!(kept, Err(StartRefused::NotUp(_))), "{kept:?}");
    assert_eq!(stage.noted().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_failed_need_not_be_stopped() {
    let stage = Stage::new();
    stage.tunnels.fail([exited()]);
    stage.start().await.unwrap_err();
    stage.stop().await;
    assert_eq!(stage.tunnel.status().state, TunnelState::Down);
    assert_eq!(stage.noted().await, [STARTED, NOT_STARTED]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_to_begin_is_begun_and_waited_for_no_longer() {
    let stage = Stage::new();
    stage.tunnels.let_answer(false);
    let began = Instant::now();
    let slow = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        stage.tunnels.let_answer(true);
        stage.tunnels.let_open(false);
    };
    let (told, ()) = tokio::join!(stage.start(), slow);
    assert_eq!(began.elapsed(), PATIENCE, "both together");
    assert!(told.unwrap_err().contains("still trying"));
    stage.tunnels.let_open(true);
    assert_eq!(stage.tunnel.settled().await.state, TunnelState::Up);
    stage.stop().await;

    stage.tunnels.let_answer(false);
    let began = Instant::now();
    let slower = async {
        tokio::time::sleep(Duration::from_secs(35)).await;
        stage.tunnels.let_open(false);
        stage.tunnels.let_answer(true);
    };
    let (told, ()) = tokio::join!(stage.start(), slower);
    assert!(told.is_err() && began.elapsed() == Duration::from_secs(35), "{told:?} {:?}", began.elapsed());
    stage.tunnels.let_open(true);
    assert_eq!(stage.tunnel.settled().await.state, TunnelState::Up);
}

/// Two who want it at once open it once, and it is noted once, however long the audit log takes.
#[tokio::test(start_paused = true)]
async fn who_comes_second_notes_nothing() {
    let stage = Stage::new();
    stage.tunnels.let_answer(false);
    let (one, other, ()) = tokio::join!(stage.start(), stage.start(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.tunnels.let_answer(true);
    });
    assert_eq!((one.is_ok(), other.is_ok(), stage.tunnels.started()), (true, true, 1));
    assert_eq!(stage.noted().await, [STARTED]);
}
