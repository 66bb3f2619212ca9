//! The part of the histories that is about login sessions, pairing codes and API keys.

use super::{Step, moment, shown, size};
use crate::contract::fixtures::{api_key, at, everything, got_with, hash, key_id, limit, login, pairing};
use pawport::domain::auth::Grant;
use pawport::domain::auth::api_key::ApiKey;
use pawport::domain::auth::login::AuthSession;
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::time::Timestamp;
use pawport::ports::store::Stores;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Ids and tokens are drawn from the same few, so that either can be taken without the other.
const NAMES: [&str; 4] = ["a", "A", "b", "_"];
const EPOCHS: [&str; 2] = ["now", "before"];

type Name = &'static str;

#[derive(Debug, Clone)]
pub enum Operation {
    LogIn(Login),
    FindLogin { token: Name },
    ListLogins { epoch: Name, now: i64, size: i64 },
    RevokeLogin { id: Name },
    TouchLogins { uses: Vec<(Name, i64)> },
    InsertCode { code: Name, key: Option<Name>, expires: i64 },
    FindCode { code: Name },
    Redeem { code: Name, login: Login },
    EndAll,
    ForgetEnded { now: i64 },
    InsertKey { id: Name, token: Name, created: i64 },
    FindKey { id: Name },
    ListKeys,
    RevokeKey { id: Name, now: i64 },
    RotateKey { id: Name, successor: Name, token: Name, now: i64 },
    TouchKeys { uses: Vec<(Name, i64)> },
}

/// A login session.
#[derive(Debug, Clone)]
pub struct Login {
    id: Name,
    token: Name,
    epoch: Name,
    key: Option<Name>,
    until: Option<i64>,
    created: i64,
    expires: i64,
}

impl Login {
    fn session(&self) -> AuthSession {
        AuthSession {
            hash: hash(self.token),
            epoch: self.epoch.to_owned(),
            grant: Grant { until: self.until.map(at), ..grant(self.key) },
            expires: at(self.expires),
            ..login(self.id, self.created)
        }
    }
}

fn grant(key: Option<&str>) -> Grant {
    key.map_or(Grant::OWNER, got_with)
}

fn key(id: &str, token: &str, created: i64) -> ApiKey {
    ApiKey { hash: hash(token), ..api_key(id, created) }
}

fn name() -> impl Strategy<Value = Name> {
    select(&NAMES[..])
}

fn epoch() -> impl Strategy<Value = Name> {
    select(&EPOCHS[..])
}

fn uses() -> impl Strategy<Value = Vec<(Name, i64)>> {
    vec((name(), moment()), 0..5)
}

fn a_login() -> impl Strategy<Value = Login> {
    (name(), name(), epoch(), option::of(name()), option::of(moment()), moment(), moment()).prop_map(
        |(id, token, epoch, key, until, created, expires)| Login { id, token, epoch, key, until, created, expires },
    )
}

pub fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        4 => a_login().prop_map(LogIn),
        1 => name().prop_map(|token| FindLogin { token }),
        3 => (epoch(), moment(), size()).prop_map(|(epoch, now, size)| ListLogins { epoch, now, size }),
        1 => name().prop_map(|id| RevokeLogin { id }),
        1 => uses().prop_map(|uses| TouchLogins { uses }),
        4 => (name(), option::of(name()), moment()).prop_map(|(code, key, expires)| InsertCode { code, key, expires }),
        1 => name().prop_map(|code| FindCode { code }),
        3 => (name(), a_login()).prop_map(|(code, login)| Redeem { code, login }),
        1 => Just(EndAll),
        1 => moment().prop_map(|now| ForgetEnded { now }),
        4 => (name(), name(), moment()).prop_map(|(id, token, created)| InsertKey { id, token, created }),
        1 => name().prop_map(|id| FindKey { id }),
        1 => Just(ListKeys),
        2 => (name(), moment()).prop_map(|(id, now)| RevokeKey { id, now }),
        2 => (name(), name(), name(), moment())
            .prop_map(|(id, successor, token, now)| RotateKey { id, successor, token, now }),
        1 => uses().prop_map(|uses| TouchKeys { uses }),
    ]
}

pub async fn perform(stores: &Stores, operation: &Operation, step: Step) -> String {
    let Stores { auth_sessions, api_keys, .. } = stores;
    match operation {
        Operation::LogIn(login) => shown(&auth_sessions.insert(&login.session(), &step.entry("log_in", 0)).await),
        Operation::FindLogin { token } => shown(&auth_sessions.find_by_hash(&hash(token)).await),
        Operation::ListLogins { epoch, now, size } => shown(&auth_sessions.list(epoch, at(*now), limit(*size)).await),
        Operation::RevokeLogin { id } => shown(&auth_sessions.revoke(id, &step.entry("revoke_login", 0)).await),
        Operation::TouchLogins { uses } => {
            let uses: Vec<(String, Timestamp)> = uses.iter().map(|&(id, used)| (id.to_owned(), at(used))).collect();
            shown(&auth_sessions.touch(&uses).await)
        }
        Operation::InsertCode { code, key, expires } => {
            let pairing = Pairing { grant: grant(*key), expires: at(*expires), ..pairing(code) };
            shown(&auth_sessions.insert_pairing(&pairing, &step.entry("insert_code", 0)).await)
        }
        Operation::FindCode { code } => shown(&auth_sessions.find_pairing(&hash(code)).await),
        Operation::Redeem { code, login } => {
            shown(&auth_sessions.redeem(&hash(code), &login.session(), &step.entry("redeem", 0)).await)
        }
        Operation::EndAll => shown(&auth_sessions.end_all(&step.entry("end_all", 0)).await),
        Operation::ForgetEnded { now } => shown(&auth_sessions.forget_ended(at(*now)).await),
        Operation::InsertKey { id, token, created } => {
            shown(&api_keys.insert(&key(id, token, *created), &step.entry("insert_key", 0)).await)
        }
        Operation::FindKey { id } => shown(&api_keys.find(&key_id(id)).await),
        Operation::ListKeys => shown(&api_keys.list().await),
        Operation::RevokeKey { id, now } => {
            shown(&api_keys.revoke(&key_id(id), at(*now), &step.entry("revoke_key", *now)).await)
        }
        Operation::RotateKey { id, successor, token, now } => {
            let successor = key(successor, token, *now);
            shown(&api_keys.rotate(&key_id(id), at(*now), &successor, &step.entry("rotate_key", *now)).await)
        }
        Operation::TouchKeys { uses } => {
            let uses: Vec<_> = uses.iter().map(|&(id, used)| (key_id(id), at(used))).collect();
            shown(&api_keys.touch(&uses).await)
        }
    }
}

/// All that can be asked about credentials.
pub async fn everything_in(stores: &Stores) -> Vec<String> {
    let mut answers = vec![shown(&stores.api_keys.list().await)];
    for epoch in EPOCHS {
        answers.push(shown(&stores.auth_sessions.list(epoch, at(i64::MIN), everything()).await));
    }
    for name in NAMES {
        answers.push(shown(&stores.api_keys.find_by_hash(&hash(name)).await));
        answers.push(shown(&stores.auth_sessions.find_by_hash(&hash(name)).await));
        answers.push(shown(&stores.auth_sessions.find_pairing(&hash(name)).await));
    }
    answers
}
