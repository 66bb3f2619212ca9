use super::*;
use crate::domain::auth::scope::Scope;

const PLACE: Place<'_> = Place { table: "login_sessions", key: "a session" };

/// The column that was refused.
#[track_caller]
fn refused<T: std::fmt::Debug>(read: Result<T, StoreError>) -> &'static str {
    match read {
        Err(StoreError::Corrupt { table: "login_sessions", column, key, .. }) if key == "a session" => column,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_set_of_scopes_is_read_as_it_was_written() {
    for bits in 0..1_u32 << Scope::ALL.len() {
        let chosen: Vec<Scope> = Scope::ALL
            .into_iter()
            .enumerate()
            .filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, scope)| scope)
            .collect();
        let scopes = Scopes::of(&chosen);
        assert_eq!(PLACE.scopes(&names(scopes)).unwrap(), scopes);
    }
    assert_eq!(names(Scopes::of(&[Scope::SettingsRead, Scope::Chat])), "chat settings:read");
    assert_eq!(names(Scopes::NONE), "");
}

#[test]
fn an_unknown_scope_is_not_passed_over() {
    assert_eq!(refused(PLACE.scopes("chat everything")), "scopes");
    assert_eq!(refused(PLACE.scopes("Chat")), "scopes");
    assert_eq!(refused(PLACE.grant("everything", None, None)), "scopes");
}

#[test]
fn a_hash_has_32_bytes() {
    assert_eq!(PLACE.hash(vec![7; 32]).unwrap(), TokenHash([7; 32]));
    for length in [0, 31, 33] {
        assert_eq!(refused(PLACE.hash(vec![7; length])), "hash");
    }
}

#[test]
fn what_was_got_with_a_key_is_not_read_without_it() {
    for text in ["", "a b"] {
        assert_eq!(refused(PLACE.grant("chat", None, Some(text.to_owned()))), "api_key");
    }
}
