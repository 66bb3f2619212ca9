use super::login::{AuthSession, Device, Origin};
use super::pairing::{LIFETIME, Pairing};
use super::token::TokenHash;
use super::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_795_408_821_000);

fn of_a_key(until: Option<Timestamp>) -> Grant {
    Grant { scopes: Scopes::DEFAULT, until, api_key: Some(ApiKeyId::generate([1; 8])) }
}

#[test]
fn a_grant_can_be_shortened_but_not_prolonged() {
    let later = NOW.plus(Duration::from_secs(5));
    assert_eq!(Grant::OWNER.until_at_most(later).until, Some(later));
    assert_eq!(of_a_key(Some(NOW)).until_at_most(later).until, Some(NOW));
    assert_eq!(of_a_key(Some(later)).until_at_most(NOW).until, Some(NOW));
}

#[test]
fn a_grant_ends_at_its_end_and_not_before() {
    assert!(!Grant::OWNER.has_ended(Timestamp(i64::MAX)));
    assert!(!of_a_key(Some(NOW)).has_ended(Timestamp(NOW.0 - 1)));
    assert!(of_a_key(Some(NOW)).has_ended(NOW));
}

#[test]
fn what_is_made_in_a_session_of_the_owner_may_outlive_it_and_what_a_key_makes_may_not() {
    assert_eq!(Grant::OWNER.until_at_most(NOW).ceiling(), None);
    assert_eq!(of_a_key(None).ceiling(), None);
    assert_eq!(of_a_key(None).until_at_most(NOW).ceiling(), Some(NOW));
}

#[test]
fn a_session_is_good_until_its_end_under_its_own_master_token() {
    let session = AuthSession {
        id: "0".to_owned(),
        hash: TokenHash::of("token"),
        epoch: "epoch".to_owned(),
        origin: Origin::Login,
        family: None,
        grant: of_a_key(None),
        device: Device { label: String::new(), address: String::new() },
        created: NOW,
        last_used: NOW,
        expires: NOW.plus(LIFETIME),
    };
    let principal = session.principal("epoch", NOW).unwrap();
    assert_eq!(principal.grant, of_a_key(Some(session.expires)));
    assert_eq!(session.principal("epoch", session.expires), None);
    assert_eq!(session.principal("another", NOW), None);
}

#[test]
fn a_pairing_code_is_good_for_a_minute_and_no_longer_than_what_it_was_made_with() {
    let pairing =
        |grant| Pairing { hash: TokenHash::of("code"), epoch: "epoch".to_owned(), grant, expires: NOW.plus(LIFETIME) };
    let owners = pairing(Grant::OWNER);
    assert!(owners.is_good("epoch", NOW.plus(Duration::from_millis(59_999))));
    assert!(!owners.is_good("epoch", NOW.plus(Duration::from_secs(60))));
    assert!(!owners.is_good("another", NOW));
    assert!(!pairing(of_a_key(Some(NOW))).is_good("epoch", NOW));
}
