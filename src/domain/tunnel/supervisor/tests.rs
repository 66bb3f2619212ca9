use super::*;
use crate::domain::tunnel::Unusable;
use proptest::prelude::*;

const CHANCE: u64 = 0;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn url(host: &str) -> PublicUrl {
    PublicUrl::of_host(host).unwrap()
}

fn public() -> Input {
    Input::Public(url("one.example"))
}

fn passing() -> OpenError {
    OpenError::Exited { program: "it", how: "exited with status 1".to_owned(), last_lines: Vec::new() }
}

fn lasting() -> OpenError {
    Unusable::NotInstalled { program: "it", how_to_install: "Install it".to_owned() }.into()
}

fn unhealthy() -> Input {
    Input::Unhealthy("it is not connected".to_owned())
}

fn ended() -> Input {
    Input::Ended("it was ended by signal 9".to_owned())
}

fn wait(millis: u64) -> Effect {
    Effect::Wait(Duration::from_millis(millis))
}

/// A script: inputs, each with its second, what is to be done then, and the state after it.
fn plays(at_first: AtFirst, script: &[(i64, Input, Effect, &str)]) -> Supervisor {
    let mut machine = Supervisor::new(at_first, at(0));
    for (second, input, effect, state) in script {
        let shown = format!("{second}: {input:?}");
        assert_eq!(machine.step(input.clone(), at(*second), CHANCE), *effect, "{shown}");
        assert_eq!(machine.state().as_str(), *state, "{shown}");
        let is_open = matches!(machine.state(), TunnelState::Up | TunnelState::Degraded);
        assert_eq!(machine.url().is_some(), is_open, "{shown}");
    }
    machine
}

#[test]
fn it_begins_by_connecting() {
    let machine = Supervisor::new(AtFirst::GiveUp, at(7));
    assert_eq!((machine.state(), machine.since(), machine.error()), (TunnelState::Connecting, at(7), ""));
}

#[test]
fn a_tunnel_that_works_is_held() {
    let machine = plays(
        AtFirst::GiveUp,
        &[
            (3, public(), Effect::Hold, "up"),
            (13, Input::Healthy, Effect::Hold, "up"),
            (23, Input::Healthy, Effect::Hold, "up"),
        ],
    );
    assert_eq!((machine.since(), machine.restarts(), machine.url()), (at(3), 0, Some(&url("one.example"))));
}

#[test]
fn whoever_waits_for_the_answer_is_told_at_once_that_it_failed() {
    let machine = plays(AtFirst::GiveUp, &[(1, Input::Failed(passing()), Effect::Rest, "failed")]);
    assert_eq!((machine.error(), machine.since()), (&*passing().to_string(), at(1)));
}

#[test]
fn a_tunnel_that_is_always_wanted_is_tried_again() {
    plays(
        AtFirst::TryAgain,
        &[
            (1, Input::Failed(passing()), wait(1000), "backing_off"),
            (2, Input::Due, Effect::Open, "connecting"),
            (3, public(), Effect::Hold, "up"),
        ],
    );
    // But not what somebody has to mend.
    plays(AtFirst::TryAgain, &[(1, Input::Failed(lasting()), Effect::Rest, "failed")]);
}

#[test]
fn a_tunnel_that_was_up_once_is_opened_again() {
    let machine = plays(
        AtFirst::GiveUp,
        &[
            (1, public(), Effect::Hold, "up"),
            (5, ended(), wait(1000), "backing_off"),
            (6, Input::Due, Effect::Open, "connecting"),
            (7, Input::Failed(passing()), wait(2000), "backing_off"),
            (9, Input::Due, Effect::Open, "connecting"),
            (10, Input::Public(url("two.example")), Effect::Hold, "up"),
        ],
    );
    assert_eq!((machine.restarts(), machine.url(), machine.error()), (1, Some(&url("two.example")), ""));
    // Even if its program has gone meanwhile, as it does while it is being updated.
    plays(
        AtFirst::GiveUp,
        &[
            (1, public(), Effect::Hold, "up"),
            (5, ended(), wait(1000), "backing_off"),
            (6, Input::Due, Effect::Open, "connecting"),
            (7, Input::Failed(lasting()), wait(2000), "backing_off"),
            (9, Input::Due, Effect::Open, "connecting"),
        ],
    );
}

#[test]
fn two_bad_probes_are_a_bad_moment_and_three_are_the_end() {
    let machine = plays(
        AtFirst::GiveUp,
        &[
            (1, public(), Effect::Hold, "up"),
            (11, unhealthy(), Effect::Hold, "degraded"),
            (21, unhealthy(), Effect::Hold, "degraded"),
            (31, Input::Healthy, Effect::Hold, "up"),
            (41, unhealthy(), Effect::Hold, "degraded"),
            (51, unhealthy(), Effect::Hold, "degraded"),
        ],
    );
    assert_eq!((machine.since(), machine.error()), (at(41), "it is not connected"));
    let mut machine = machine;
    assert_eq!(machine.step(unhealthy(), at(61), CHANCE), wait(1000));
    assert_eq!((machine.state(), machine.url()), (TunnelState::BackingOff { until: at(62) }, None));
    assert_eq!(machine.error(), "it is not connected");
}

#[test]
fn failures_in_a_row_take_ever_longer_and_never_end() {
    let mut machine = Supervisor::new(AtFirst::TryAgain, at(0));
    let mut pauses = Vec::new();
    for _ in 0..1000 {
        let effect = machine.step(Input::Failed(passing()), at(0), CHANCE);
        let Effect::Wait(pause) = effect else { panic!("{effect:?}") };
        pauses.push(pause.as_secs());
        assert_eq!(machine.state(), TunnelState::BackingOff { until: at(0).plus(pause) });
        assert_eq!(machine.step(Input::Due, at(0), CHANCE), Effect::Open);
    }
    // Half of what doubling gives: chance adds up to as much again.
    assert_eq!(pauses[..9], [1, 2, 4, 8, 16, 32, 64, 128, 150]);
    assert!(pauses[9..].iter().all(|pause| *pause == 150));
}

#[test]
fn crashes_soon_after_each_start_are_failures_in_a_row() {
    let mut machine = Supervisor::new(AtFirst::GiveUp, at(0));
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 150, 150] {
        assert_eq!(machine.step(public(), at(0), CHANCE), Effect::Hold);
        assert_eq!(machine.step(ended(), at(59), CHANCE), wait(pause * 1000));
        assert_eq!(machine.step(Input::Due, at(0), CHANCE), Effect::Open);
    }
}

#[test]
fn a_tunnel_that_was_up_for_long_begins_anew() {
    let mut machine = Supervisor::new(AtFirst::GiveUp, at(0));
    for _ in 0..30 {
        assert_eq!(machine.step(public(), at(0), CHANCE), Effect::Hold);
        // Being degraded for the last of it changes nothing.
        machine.step(unhealthy(), at(59), CHANCE);
        assert_eq!(machine.step(ended(), at(60), CHANCE), wait(1000));
        assert_eq!(machine.step(Input::Due, at(0), CHANCE), Effect::Open);
    }
}

#[test]
fn whoever_starts_it_need_not_wait_for_the_pause() {
    plays(
        AtFirst::GiveUp,
        &[
            (1, public(), Effect::Hold, "up"),
            (2, ended(), wait(1000), "backing_off"),
            (2, Input::Start, Effect::Open, "connecting"),
            // Nor does what was before count any more.
            (3, Input::Failed(passing()), wait(1000), "backing_off"),
        ],
    );
}

#[test]
fn what_cannot_happen_changes_nothing() {
    plays(
        AtFirst::GiveUp,
        &[
            (1, Input::Due, Effect::Open, "connecting"),
            (1, Input::Healthy, Effect::Open, "connecting"),
            (1, ended(), Effect::Open, "connecting"),
            (2, public(), Effect::Hold, "up"),
            (3, Input::Due, Effect::Hold, "up"),
            (3, Input::Start, Effect::Hold, "up"),
            (3, Input::Public(url("two.example")), Effect::Hold, "up"),
            (4, ended(), wait(1000), "backing_off"),
            (4, Input::Healthy, wait(1000), "backing_off"),
            (5, public(), wait(0), "backing_off"),
        ],
    );
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Start),
        Just(Input::Due),
        Just(Input::Healthy),
        Just(unhealthy()),
        Just(ended()),
        Just(Input::Failed(passing())),
        Just(Input::Failed(lasting())),
        Just(public()),
        Just(Input::Public(url("two.example"))),
    ]
}

proptest! {
    /// Whatever happens: an address is shown while the tunnel is up and at no other time, what is to be done fits the state,
    /// pauses are within their bounds, and nothing comes after the end.
    #[test]
    fn the_state_says_what_is_done(
        tries_again in any::<bool>(),
        steps in proptest::collection::vec((inputs(), 0..100i64, any::<u64>()), 1..60),
    ) {
        let at_first = if tries_again { AtFirst::TryAgain } else { AtFirst::GiveUp };
        let mut machine = Supervisor::new(at_first, at(0));
        let (mut now, mut has_ended) = (0, false);
        for (input, passes, chance) in steps {
            now += passes;
            let before = machine.state();
            let effect = machine.step(input, at(now), chance);
            prop_assert!(!has_ended || machine.state() == TunnelState::Failed);
            let is_open = matches!(machine.state(), TunnelState::Up | TunnelState::Degraded);
            prop_assert_eq!(machine.url().is_some(), is_open);
            match (effect, machine.state()) {
                (Effect::Open, TunnelState::Connecting)
                | (Effect::Hold, TunnelState::Up | TunnelState::Degraded)
                | (Effect::Rest, TunnelState::Failed) => {}
                (Effect::Wait(pause), TunnelState::BackingOff { until }) => {
                    prop_assert_eq!(pause, until.since(at(now)));
                    prop_assert!(pause <= MAX_PAUSE);
                    let is_new = !matches!(before, TunnelState::BackingOff { .. });
                    prop_assert!(!is_new || pause >= FIRST_PAUSE / 2);
                }
                (effect, state) => prop_assert!(false, "{effect:?} in {state:?}"),
            }
            prop_assert!(machine.since() <= at(now));
            has_ended = machine.state() == TunnelState::Failed;
        }
    }
}
