//! What [`pawport::ports::api_keys::ApiKeyStore`] promises.

use super::fixtures::{api_key, at, at_once, entry, got_with, hash, key_id, logged, login, login_ids, pairing};
use pawport::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName, NAME_CHARS};
use pawport::domain::auth::login::AuthSession;
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::auth::scope::{Scope, Scopes};
use pawport::domain::auth::token::TokenHash;
use pawport::domain::time::Timestamp;
use pawport::ports::store::{StoreError, Stores};
use std::sync::Arc;

async fn insert(stores: &Stores, keys: &[ApiKey]) {
    for given in keys {
        stores.api_keys.insert(given, &entry("added")).await.unwrap();
    }
}

async fn revoke(stores: &Stores, id: &str, moment: i64, action: &str) -> bool {
    stores.api_keys.revoke(&key_id(id), at(moment), &entry(action)).await.unwrap()
}

async fn rotate(stores: &Stores, id: &str, successor: &ApiKey, action: &str) -> Result<bool, StoreError> {
    stores.api_keys.rotate(&key_id(id), at(9), successor, &entry(action)).await
}

async fn touch(stores: &Stores, uses: &[(&str, i64)]) {
    let uses: Vec<(ApiKeyId, Timestamp)> = uses.iter().map(|&(id, used)| (key_id(id), at(used))).collect();
    stores.api_keys.touch(&uses).await.unwrap();
}

async fn found(stores: &Stores, id: &str) -> Option<ApiKey> {
    stores.api_keys.find(&key_id(id)).await.unwrap()
}

async fn listed(stores: &Stores) -> Vec<String> {
    stores.api_keys.list().await.unwrap().iter().map(|key| key.id.as_str().to_owned()).collect()
}

fn revoked(key: ApiKey, moment: i64) -> ApiKey {
    ApiKey { revoked: Some(at(moment)), ..key }
}

/// Sessions and codes that were got with `key`, and others that were not.
async fn log_in_with(stores: &Stores, key: &str) {
    let sessions = [
        AuthSession { grant: got_with(key), ..login("a", 5) },
        AuthSession { grant: got_with(key), epoch: "before".to_owned(), ..login("before", 5) },
        AuthSession { grant: got_with(key), expires: at(i64::MIN), ..login("ended", 5) },
        AuthSession { grant: got_with(&key.to_uppercase()), ..login("of another key", 5) },
        login("of the owner", 5),
        // Whatever its id is.
        login(key, 5),
    ];
    for given in sessions {
        stores.auth_sessions.insert(&given, &entry("logged in")).await.unwrap();
    }
    let codes = [
        Pairing { grant: got_with(key), ..pairing("a") },
        Pairing { grant: got_with(key), expires: at(i64::MIN), ..pairing("ended") },
        Pairing { grant: got_with(&key.to_uppercase()), ..pairing("of another key") },
        pairing("of the owner"),
    ];
    for given in codes {
        stores.auth_sessions.insert_pairing(&given, &entry("code")).await.unwrap();
    }
}

/// Fails unless what was got with `key` is gone, and nothing else is.
async fn assert_logged_out(stores: &Stores, key: &str) {
    for (id, is_left) in [
        ("a", false),
        ("before", false),
        ("ended", false),
        ("of another key", true),
        ("of the owner", true),
        (key, true),
    ] {
        let session = stores.auth_sessions.find_by_hash(&hash(id)).await.unwrap();
        assert_eq!(session.is_some(), is_left, "the session {id}");
    }
    for (code, is_left) in [("a", false), ("ended", false), ("of another key", true), ("of the owner", true)] {
        let pairing = stores.auth_sessions.find_pairing(&hash(code)).await.unwrap();
        assert_eq!(pairing.is_some(), is_left, "the code {code}");
    }
}

pub async fn every_member_comes_back(stores: &Stores) {
    let plain = api_key("plain", 5);
    let name = |text: &str| ApiKeyName::parse(text).unwrap();
    let mut variants = vec![
        ApiKey { prefix: String::new(), ..plain.clone() },
        ApiKey { prefix: "pp_🐾 it's \"".to_owned(), ..plain.clone() },
        ApiKey { name: name("🐾 it's \"quoted\" \\ %_\n."), ..plain.clone() },
        ApiKey { name: name(&"🐾".repeat(NAME_CHARS)), ..plain.clone() },
        ApiKey { scopes: Scopes::NONE, ..plain.clone() },
        ApiKey { scopes: Scopes::of(&Scope::ALL), ..plain.clone() },
        ApiKey { created: at(i64::MIN), ..plain.clone() },
        ApiKey { created: at(i64::MAX), ..plain.clone() },
    ];
    variants.extend(Scope::ALL.map(|scope| ApiKey { scopes: Scopes::of(&[scope]), ..plain.clone() }));
    for moment in [i64::MIN, -1, 0, i64::MAX].map(|moment| Some(at(moment))) {
        variants.push(ApiKey { last_used: moment, ..plain.clone() });
        variants.push(ApiKey { expires: moment, ..plain.clone() });
        variants.push(ApiKey { revoked: moment, ..plain.clone() });
        variants.push(ApiKey { last_used: moment, expires: moment, revoked: moment, ..plain.clone() });
    }
    for (number, variant) in variants.iter_mut().enumerate() {
        variant.id = key_id(&format!("key-{number}"));
        variant.hash = hash(variant.id.as_str());
    }
    variants.push(api_key(&"_".repeat(64), 5));
    variants.push(ApiKey { hash: TokenHash([0; 32]), ..api_key("zeros", 5) });
    variants.push(ApiKey { hash: TokenHash([255; 32]), ..api_key("ones", 5) });
    insert(stores, &variants).await;
    let list = stores.api_keys.list().await.unwrap();
    assert_eq!(list.len(), variants.len());
    for given in &variants {
        assert_eq!(stores.api_keys.find(&given.id).await.unwrap().as_ref(), Some(given));
        assert_eq!(stores.api_keys.find_by_hash(&given.hash).await.unwrap().as_ref(), Some(given));
        assert!(list.contains(given), "{given:?}");
    }
    assert_eq!(logged(stores).await, vec!["added"; variants.len()]);
}

pub async fn insert_refuses_an_id_or_a_hash_that_is_taken(stores: &Stores) {
    let keys = [api_key("a", 5), revoked(api_key("revoked", 6), 7)];
    insert(stores, &keys).await;
    for taken in ["a", "revoked"] {
        let same_id = ApiKey { hash: hash("b"), ..api_key(taken, 8) };
        let same_hash = ApiKey { hash: hash(taken), ..api_key("b", 8) };
        for second in [same_id, same_hash] {
            let refused = stores.api_keys.insert(&second, &entry("second")).await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        }
    }
    assert_eq!(stores.api_keys.list().await.unwrap(), keys);
    assert_eq!(logged(stores).await, ["added", "added"]);
}

pub async fn one_of_twenty_insertions_with_the_same_hash_wins(stores: &Stores) {
    let inserted = at_once(20, |task| {
        let keys = Arc::clone(&stores.api_keys);
        async move {
            let given = ApiKey { hash: hash("one"), ..api_key(&task.to_string(), 5) };
            match keys.insert(&given, &entry(given.id.as_str())).await {
                Ok(()) => Some(given.id.as_str().to_owned()),
                Err(StoreError::Conflict) => None,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let winners: Vec<String> = inserted.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(listed(stores).await, winners);
    assert_eq!(logged(stores).await, winners);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    for _ in 0..2 {
        assert_eq!(found(stores, "unknown").await, None);
        assert_eq!(stores.api_keys.find_by_hash(&hash("unknown")).await.unwrap(), None);
        assert!(!revoke(stores, "unknown", 5, "revoked").await);
        if listed(stores).await.is_empty() {
            insert(stores, &[api_key("known", 5)]).await;
        }
    }
    let mut near = hash("known");
    near.0[31] ^= 1;
    assert_eq!(stores.api_keys.find_by_hash(&near).await.unwrap(), None);
    assert_eq!(logged(stores).await, ["added"]);
}

pub async fn ids_are_compared_exactly(stores: &Stores) {
    insert(stores, &[api_key("key_a", 5), api_key("Key_a", 5), api_key("keyXa", 5)]).await;
    assert!(!revoke(stores, "key_A", 6, "revoked").await);
    assert_eq!(found(stores, "key_A").await, None);
    assert!(revoke(stores, "key_a", 6, "revoked").await);
    let list = stores.api_keys.list().await.unwrap();
    assert_eq!(list, [api_key("Key_a", 5), api_key("keyXa", 5), revoked(api_key("key_a", 5), 6)]);
}

pub async fn list_is_by_creation_then_by_id_oldest_first(stores: &Stores) {
    assert_eq!(listed(stores).await, [""; 0]);
    let keys = [("b", 10), ("z", 5), ("B", 10), ("a", 10), ("_", 10), ("-", 10), ("0", 10), ("y", 20), ("aa", 10)];
    for (id, created) in keys {
        insert(stores, &[api_key(id, created)]).await;
    }
    assert!(revoke(stores, "a", 6, "revoked").await);
    touch(stores, &[("z", 100)]).await;
    // Ids are compared by their ASCII codes, not as a language would.
    assert_eq!(listed(stores).await, ["z", "-", "0", "B", "_", "a", "aa", "b", "y"]);
}

pub async fn a_revoked_key_stays(stores: &Stores) {
    insert(stores, &[api_key("a", 5), api_key("b", 6)]).await;
    touch(stores, &[("a", 7)]).await;
    assert!(revoke(stores, "a", i64::MIN, "revoked").await);
    let expected = ApiKey { last_used: Some(at(7)), ..revoked(api_key("a", 5), i64::MIN) };
    assert_eq!(found(stores, "a").await.as_ref(), Some(&expected));
    assert_eq!(stores.api_keys.find_by_hash(&hash("a")).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(stores.api_keys.list().await.unwrap(), [expected, api_key("b", 6)]);
    assert_eq!(logged(stores).await, ["added", "added", "revoked"]);
}

pub async fn a_key_is_revoked_once(stores: &Stores) {
    insert(stores, &[api_key("a", 5)]).await;
    assert!(revoke(stores, "a", 8, "first").await);
    for moment in [7, 8, 9] {
        assert!(!revoke(stores, "a", moment, "second").await);
    }
    assert_eq!(found(stores, "a").await, Some(revoked(api_key("a", 5), 8)));
    assert_eq!(logged(stores).await, ["added", "first"]);
}

pub async fn one_of_twenty_revokes_a_key(stores: &Stores) {
    insert(stores, &[api_key("a", 5)]).await;
    let outcomes = at_once(20, |task| {
        let stores = stores.clone();
        let moment = i64::try_from(task).unwrap();
        async move { revoke(&stores, "a", moment, &task.to_string()).await.then_some(moment) }
    });
    let winners: Vec<i64> = outcomes.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(found(stores, "a").await, Some(revoked(api_key("a", 5), winners[0])));
    assert_eq!(logged(stores).await, ["added", &winners[0].to_string()]);
}

pub async fn revocation_takes_what_was_got_with_the_key_and_nothing_else(stores: &Stores) {
    insert(stores, &[api_key("key", 5), api_key("KEY", 5)]).await;
    log_in_with(stores, "key").await;
    let before = logged(stores).await;
    assert!(revoke(stores, "key", 6, "revoked").await);
    assert_logged_out(stores, "key").await;
    assert_eq!(found(stores, "KEY").await, Some(api_key("KEY", 5)));
    // One entry for all of it.
    assert_eq!(logged(stores).await, [before, vec!["revoked".to_owned()]].concat());
}

pub async fn what_is_redeemed_while_its_key_is_revoked_ends_with_it(stores: &Stores) {
    let keys: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        insert(stores, &[api_key(key, 5)]).await;
        let code = Pairing { grant: got_with(key), ..pairing(key) };
        stores.auth_sessions.insert_pairing(&code, &entry("code")).await.unwrap();
    }
    at_once(40, |task| {
        let (stores, key) = (stores.clone(), keys[task / 2].clone());
        async move {
            if task % 2 == 0 {
                let session = AuthSession { grant: got_with(&key), ..login(&key, 5) };
                stores.auth_sessions.redeem(&hash(&key), &session, &entry("redeemed")).await.unwrap();
            } else {
                assert!(revoke(&stores, &key, 6, "revoked").await);
            }
        }
    })
    .await;
    assert_eq!(login_ids(stores).await, [""; 0]);
}

pub async fn rotation_revokes_a_key_and_adds_its_successor(stores: &Stores) {
    insert(stores, &[api_key("a", 5), api_key("b", 6)]).await;
    let successor = ApiKey { last_used: Some(at(1)), expires: Some(at(2)), scopes: Scopes::NONE, ..api_key("c", 9) };
    assert!(rotate(stores, "a", &successor, "rotated").await.unwrap());
    let expected = [revoked(api_key("a", 5), 9), api_key("b", 6), successor];
    assert_eq!(stores.api_keys.list().await.unwrap(), expected);
    assert_eq!(logged(stores).await, ["added", "added", "rotated"]);
}

pub async fn rotation_takes_what_was_got_with_the_key_and_nothing_else(stores: &Stores) {
    insert(stores, &[api_key("key", 5), api_key("KEY", 5)]).await;
    log_in_with(stores, "key").await;
    assert!(rotate(stores, "key", &api_key("successor", 9), "rotated").await.unwrap());
    assert_logged_out(stores, "key").await;
}

pub async fn rotation_of_no_key_does_nothing(stores: &Stores) {
    insert(stores, &[api_key("a", 5)]).await;
    // The second could not be added anyway; that does not matter.
    for successor in [api_key("b", 9), api_key("a", 9)] {
        assert!(!rotate(stores, "unknown", &successor, "rotated").await.unwrap());
    }
    assert_eq!(stores.api_keys.list().await.unwrap(), [api_key("a", 5)]);
    assert_eq!(logged(stores).await, ["added"]);
}

pub async fn rotation_of_a_revoked_key_does_nothing(stores: &Stores) {
    let keys = [revoked(api_key("revoked", 5), 7), api_key("rotated", 5)];
    insert(stores, &keys).await;
    assert!(rotate(stores, "rotated", &api_key("successor", 9), "rotated").await.unwrap());
    for id in ["revoked", "rotated"] {
        for successor in [api_key("another", 10), api_key("successor", 10)] {
            assert!(!rotate(stores, id, &successor, "again").await.unwrap());
        }
    }
    assert_eq!(listed(stores).await, ["revoked", "rotated", "successor"]);
    assert_eq!(found(stores, "revoked").await.unwrap().revoked, Some(at(7)));
    assert_eq!(logged(stores).await, ["added", "added", "rotated"]);
}

pub async fn rotation_changes_nothing_if_the_successor_is_refused(stores: &Stores) {
    insert(stores, &[api_key("key", 5), api_key("other", 6)]).await;
    let session = AuthSession { grant: got_with("key"), ..login("session", 5) };
    stores.auth_sessions.insert(&session, &entry("logged in")).await.unwrap();
    let code = Pairing { grant: got_with("key"), ..pairing("code") };
    stores.auth_sessions.insert_pairing(&code, &entry("code")).await.unwrap();
    let before = logged(stores).await;
    for taken in ["key", "other"] {
        let same_id = ApiKey { hash: hash("successor"), ..api_key(taken, 9) };
        let same_hash = ApiKey { hash: hash(taken), ..api_key("successor", 9) };
        for successor in [same_id, same_hash] {
            let refused = rotate(stores, "key", &successor, "rotated").await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        }
    }
    assert_eq!(stores.api_keys.list().await.unwrap(), [api_key("key", 5), api_key("other", 6)]);
    assert_eq!(stores.auth_sessions.find_by_hash(&session.hash).await.unwrap(), Some(session));
    assert_eq!(stores.auth_sessions.find_pairing(&code.hash).await.unwrap(), Some(code));
    assert_eq!(logged(stores).await, before);
}

pub async fn one_of_twenty_rotations_of_a_key_wins(stores: &Stores) {
    insert(stores, &[api_key("a", 5)]).await;
    let outcomes = at_once(20, |task| {
        let stores = stores.clone();
        async move {
            let successor = api_key(&task.to_string(), 9);
            rotate(&stores, "a", &successor, successor.id.as_str()).await.unwrap().then_some(successor)
        }
    });
    let winners: Vec<ApiKey> = outcomes.await.into_iter().flatten().collect();
    let [winner] = &winners[..] else { panic!("{winners:?}") };
    assert_eq!(logged(stores).await, ["added", winner.id.as_str()]);
    assert_eq!(stores.api_keys.list().await.unwrap(), [revoked(api_key("a", 5), 9), winner.clone()]);
}

pub async fn a_use_changes_nothing_but_the_last_use(stores: &Stores) {
    insert(stores, &[api_key("a", 5), api_key("b", 6), revoked(api_key("c", 7), 8)]).await;
    touch(stores, &[("a", i64::MIN), ("c", i64::MAX)]).await;
    let expected = [
        ApiKey { last_used: Some(at(i64::MIN)), ..api_key("a", 5) },
        api_key("b", 6),
        ApiKey { last_used: Some(at(i64::MAX)), ..revoked(api_key("c", 7), 8) },
    ];
    assert_eq!(stores.api_keys.list().await.unwrap(), expected);
    assert_eq!(logged(stores).await, ["added"; 3]);
}

pub async fn a_use_is_never_moved_back(stores: &Stores) {
    insert(stores, &[api_key("a", 5)]).await;
    // A key can be used before it was made, by another clock.
    let uses: [(&[i64], i64); 6] =
        [(&[i64::MIN], i64::MIN), (&[-5], -5), (&[-6], -5), (&[-5], -5), (&[8, 6, 9, 7], 9), (&[i64::MIN, 0], 9)];
    for (given, expected) in uses {
        let given: Vec<(&str, i64)> = given.iter().map(|&used| ("a", used)).collect();
        touch(stores, &given).await;
        assert_eq!(found(stores, "a").await.unwrap().last_used, Some(at(expected)), "after {given:?}");
    }
}

pub async fn a_use_of_no_key_is_passed_over(stores: &Stores) {
    touch(stores, &[]).await;
    touch(stores, &[("a", 6)]).await;
    insert(stores, &[api_key("a", 5), api_key("b", 5)]).await;
    assert_eq!(found(stores, "a").await.unwrap().last_used, None);
    touch(stores, &[("x", 6), ("a", 7), ("A", 8), ("b", 8), ("_", 9)]).await;
    let uses: Vec<Option<Timestamp>> = stores.api_keys.list().await.unwrap().iter().map(|key| key.last_used).collect();
    assert_eq!(uses, [Some(at(7)), Some(at(8))]);
}

pub async fn the_uses_of_one_call_are_seen_together(stores: &Stores) {
    let ids = ["a", "b", "c", "d", "e", "f"];
    for id in ids {
        insert(stores, &[api_key(id, 0)]).await;
    }
    at_once(20, |task| {
        let stores = stores.clone();
        async move {
            let used = i64::try_from(task).unwrap() + 1;
            touch(&stores, &ids.map(|id| (id, used))).await;
            let list = stores.api_keys.list().await.unwrap();
            assert!(list.iter().all(|key| key.last_used == list[0].last_used), "{list:?}");
            assert!(list[0].last_used >= Some(at(used)), "{list:?}");
        }
    })
    .await;
}
