use super::*;
use crate::domain::time::Timestamp;

const CHANCE: u64 = 0;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn passing() -> ConnectError {
    ConnectError::Unreachable("connection refused".to_owned())
}

fn lasting() -> ConnectError {
    ConnectError::NotStarted("the command \"npx\" was not found".to_owned())
}

/// A script: inputs, each with its second, what is to be done then, and the state after it.
fn plays(script: &[(i64, Input, Effect, &str)]) -> Supervisor {
    let mut machine = Supervisor::new(at(0));
    for (second, input, effect, state) in script {
        let shown = format!("{second}: {input:?}");
        assert_eq!(machine.step(input.clone(), at(*second), CHANCE), *effect, "{shown}");
        assert_eq!(machine.state().as_str(), *state, "{shown}");
    }
    machine
}

#[test]
fn it_begins_by_connecting() {
    let machine = Supervisor::new(at(7));
    assert_eq!((machine.state(), machine.since(), machine.error()), (&McpState::Connecting, at(7), ""));
}

#[test]
fn a_server_that_works_rests() {
    let machine = plays(&[(1, Input::Connected, Effect::Rest, "connected")]);
    assert_eq!((machine.since(), machine.restarts()), (at(1), 0));
}

#[test]
fn what_may_pass_is_tried_again_after_growing_pauses_and_then_somebody_has_to_look() {
    let mut machine = Supervisor::new(at(0));
    let mut pauses = Vec::new();
    let end = loop {
        match machine.step(Input::Failed(passing()), at(0), CHANCE) {
            Effect::Wait(pause) => {
                pauses.push(pause.as_millis());
                assert_eq!(machine.state(), &McpState::BackingOff { until: at(0).plus(pause) });
                assert_eq!(machine.step(Input::Due, at(0), CHANCE), Effect::Connect);
            }
            effect => break effect,
        }
    };
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    assert_eq!((end, machine.state()), (Effect::Rest, &McpState::Failed));
    assert_eq!(machine.error(), passing().to_string());
    assert_eq!(pauses.len() + 1, MAX_FAILURES as usize);
}

fn wait(failures: u32, chance: u64) -> Duration {
    pause(failures, FIRST_PAUSE, MAX_PAUSE, chance)
}

#[test]
fn chance_adds_up_to_half_of_a_pause() {
    for chance in [0, 1, 499, 500, 501, 12_345_678, u64::MAX] {
        for failures in 1..MAX_FAILURES {
            let (least, pause) = (wait(failures, 0), wait(failures, chance));
            assert!(least <= pause && pause <= least * 2, "{failures} {chance}: {pause:?}");
            assert!(pause <= MAX_PAUSE);
        }
    }
}

#[test]
fn what_lasts_is_not_tried_again() {
    let machine =
        plays(&[(1, Input::Failed(lasting()), Effect::Rest, "failed"), (9, Input::Due, Effect::Rest, "failed")]);
    assert_eq!(machine.error(), "the command \"npx\" was not found");
}

#[test]
fn somebody_who_asks_gets_a_new_beginning() {
    plays(&[
        (1, Input::Failed(passing()), Effect::Wait(Duration::from_millis(500)), "backing_off"),
        (1, Input::Due, Effect::Connect, "connecting"),
        (1, Input::Failed(passing()), Effect::Wait(Duration::from_millis(1000)), "backing_off"),
        (2, Input::Start, Effect::Connect, "connecting"),
        (2, Input::Start, Effect::Rest, "connecting"),
        (3, Input::Failed(passing()), Effect::Wait(Duration::from_millis(500)), "backing_off"),
    ]);
}

#[test]
fn a_lost_connection_is_made_again_and_counted() {
    let machine = plays(&[
        (1, Input::Connected, Effect::Rest, "connected"),
        (5, Input::Lost("it died".to_owned()), Effect::Wait(Duration::from_millis(500)), "backing_off"),
        (6, Input::Due, Effect::Connect, "connecting"),
        (7, Input::Connected, Effect::Rest, "connected"),
    ]);
    assert_eq!((machine.restarts(), machine.error()), (1, ""));
}

#[test]
fn a_server_that_connects_and_dies_at_once_is_given_up_in_the_end() {
    let mut machine = Supervisor::new(at(0));
    let mut now = 0;
    for round in 1..=MAX_FAILURES {
        assert_eq!(machine.step(Input::Connected, at(now), CHANCE), Effect::Rest);
        now += 1;
        let effect = machine.step(Input::Lost("it died".to_owned()), at(now), CHANCE);
        if round < MAX_FAILURES {
            assert!(matches!(effect, Effect::Wait(_)), "{round}");
            machine.step(Input::Due, at(now), CHANCE);
        }
    }
    assert_eq!(machine.state(), &McpState::Failed);
    assert_eq!(machine.restarts(), MAX_FAILURES - 1);
}

#[test]
fn a_connection_that_held_for_long_makes_up_for_failures_before_it() {
    let wait = |millis| Effect::Wait(Duration::from_millis(millis));
    plays(&[
        (0, Input::Failed(passing()), wait(500), "backing_off"),
        (1, Input::Due, Effect::Connect, "connecting"),
        (1, Input::Failed(passing()), wait(1000), "backing_off"),
        (2, Input::Due, Effect::Connect, "connecting"),
        (3, Input::Connected, Effect::Rest, "connected"),
        (63, Input::Lost("it died".to_owned()), wait(500), "backing_off"),
        (64, Input::Due, Effect::Connect, "connecting"),
        (65, Input::Connected, Effect::Rest, "connected"),
        (124, Input::Lost("it died".to_owned()), wait(1000), "backing_off"),
    ]);
}

#[test]
fn whoever_signs_in_is_connected_at_once_and_the_address_is_renewed() {
    let sign_in = Input::SignIn("https://auth.example/1".to_owned());
    let machine = plays(&[
        (1, sign_in.clone(), Effect::Wait(RENEW_SIGN_IN), "needs_auth"),
        (1501, Input::Due, Effect::Connect, "connecting"),
        (1502, Input::SignIn("https://auth.example/2".to_owned()), Effect::Wait(RENEW_SIGN_IN), "needs_auth"),
    ]);
    assert_eq!(machine.state(), &McpState::NeedsAuth { url: "https://auth.example/2".to_owned() });
    plays(&[
        (1, sign_in, Effect::Wait(RENEW_SIGN_IN), "needs_auth"),
        (2, Input::Reconnect, Effect::Connect, "connecting"),
        (3, Input::Connected, Effect::Rest, "connected"),
        (4, Input::Reconnect, Effect::Connect, "connecting"),
    ]);
}

#[test]
fn what_cannot_happen_changes_nothing() {
    let mut machine = plays(&[(1, Input::Connected, Effect::Rest, "connected")]);
    for input in [Input::Due, Input::Connected, Input::Failed(passing()), Input::SignIn(String::new()), Input::Start] {
        assert_eq!(machine.step(input, at(2), CHANCE), Effect::Rest);
        assert_eq!((machine.state(), machine.since()), (&McpState::Connected, at(1)));
    }
}

#[test]
fn a_clock_that_is_set_back_does_no_harm() {
    plays(&[
        (1000, Input::Connected, Effect::Rest, "connected"),
        (10, Input::Lost("it died".to_owned()), Effect::Wait(Duration::from_millis(500)), "backing_off"),
    ]);
}
