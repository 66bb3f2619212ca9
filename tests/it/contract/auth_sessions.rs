//! What [`pawport::ports::auth_sessions::AuthSessionStore`] promises.

use super::fixtures::{
    at, at_once, entry, everything, got_with, hash, limit, logged, login, login_ids, logins, pairing,
};
use pawport::domain::auth::Grant;
use pawport::domain::auth::login::{AuthSession, DEVICE_CHARS, Device, Origin};
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::auth::scope::{Scope, Scopes};
use pawport::domain::auth::token::TokenHash;
use pawport::domain::time::Timestamp;
use pawport::ports::store::{StoreError, Stores};
use std::sync::Arc;

async fn insert(stores: &Stores, sessions: &[AuthSession]) {
    for given in sessions {
        stores.auth_sessions.insert(given, &entry("added")).await.unwrap();
    }
}

async fn insert_codes(stores: &Stores, codes: &[Pairing]) {
    for given in codes {
        stores.auth_sessions.insert_pairing(given, &entry("code")).await.unwrap();
    }
}

async fn touch(stores: &Stores, uses: &[(&str, i64)]) {
    let uses: Vec<(String, Timestamp)> = uses.iter().map(|&(id, used)| (id.to_owned(), at(used))).collect();
    stores.auth_sessions.touch(&uses).await.unwrap();
}

async fn found(stores: &Stores, id: &str) -> Option<AuthSession> {
    stores.auth_sessions.find_by_hash(&hash(id)).await.unwrap()
}

async fn has_code(stores: &Stores, code: &str) -> bool {
    stores.auth_sessions.find_pairing(&hash(code)).await.unwrap().is_some()
}

fn device(label: &str, address: &str) -> Device {
    Device { label: label.to_owned(), address: address.to_owned() }
}

/// Grants of all kinds.
fn grants() -> Vec<Grant> {
    let mut grants: Vec<Grant> =
        Scope::ALL.into_iter().map(|scope| Grant { scopes: Scopes::of(&[scope]), ..Grant::OWNER }).collect();
    grants.extend([
        Grant::NOTHING,
        Grant { scopes: Scopes::of(&Scope::ALL), ..Grant::OWNER },
        Grant { until: Some(at(i64::MIN)), ..Grant::OWNER },
        Grant { until: Some(at(0)), ..Grant::OWNER },
        Grant { until: Some(at(i64::MAX)), ..Grant::OWNER },
        got_with("a"),
        Grant { until: Some(at(-5)), ..got_with(&"_".repeat(64)) },
    ]);
    grants
}

pub async fn every_member_of_a_session_comes_back(stores: &Stores) {
    let odd = "🐾 it's \"quoted\" \\ %_\n";
    let plain = login("plain", 5);
    let mut variants = vec![
        AuthSession { epoch: String::new(), ..plain.clone() },
        AuthSession { epoch: odd.to_owned(), ..plain.clone() },
        AuthSession { origin: Origin::Exchange, ..plain.clone() },
        AuthSession { origin: Origin::Login, ..plain.clone() },
        AuthSession { origin: Origin::Pairing, ..plain.clone() },
        AuthSession { device: device(odd, "[2001:db8::1]"), ..plain.clone() },
        AuthSession { device: device("", ""), ..plain.clone() },
        AuthSession { device: device(&"🐾".repeat(DEVICE_CHARS), odd), ..plain.clone() },
        AuthSession { created: at(i64::MIN), last_used: at(i64::MAX), expires: at(0), ..plain.clone() },
        AuthSession { created: at(i64::MAX), last_used: at(0), expires: at(i64::MIN), ..plain.clone() },
        AuthSession { created: at(0), last_used: at(i64::MIN), expires: at(i64::MAX), ..plain.clone() },
        AuthSession { created: at(-1), last_used: at(-2), expires: at(-3), ..plain.clone() },
    ];
    variants.extend(grants().into_iter().map(|grant| AuthSession { grant, ..plain.clone() }));
    for (number, variant) in variants.iter_mut().enumerate() {
        variant.id = format!("session {number}");
        variant.hash = hash(&variant.id);
    }
    variants.push(AuthSession { hash: TokenHash([0; 32]), ..login("zeros", 5) });
    variants.push(AuthSession { hash: TokenHash([255; 32]), ..login("ones", 5) });
    insert(stores, &variants).await;
    for given in &variants {
        assert_eq!(stores.auth_sessions.find_by_hash(&given.hash).await.unwrap().as_ref(), Some(given));
    }
    let listed = logins(stores).await;
    for session in &listed {
        assert!(variants.contains(session), "{session:?}");
    }
    assert!(listed.len() > 10, "{listed:?}");
    assert_eq!(logged(stores).await, vec!["added"; variants.len()]);
}

pub async fn insert_refuses_an_id_or_a_hash_that_is_taken(stores: &Stores) {
    let first = login("a", 5);
    insert(stores, std::slice::from_ref(&first)).await;
    for second in [AuthSession { hash: hash("b"), ..login("a", 6) }, AuthSession { hash: hash("a"), ..login("b", 6) }] {
        let refused = stores.auth_sessions.insert(&second, &entry("second")).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(logins(stores).await, [first]);
    assert_eq!(found(stores, "b").await, None);
    assert_eq!(logged(stores).await, ["added"]);
}

pub async fn one_of_twenty_insertions_with_the_same_hash_wins(stores: &Stores) {
    let inserted = at_once(20, |task| {
        let sessions = Arc::clone(&stores.auth_sessions);
        async move {
            let given = AuthSession { hash: hash("one"), ..login(&task.to_string(), 5) };
            match sessions.insert(&given, &entry(&given.id)).await {
                Ok(()) => Some(given.id),
                Err(StoreError::Conflict) => None,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let winners: Vec<String> = inserted.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(login_ids(stores).await, winners);
    assert_eq!(logged(stores).await, winners);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    assert_eq!(found(stores, "a").await, None);
    assert_eq!(login_ids(stores).await, [""; 0]);
    insert(stores, &[login("a", 5)]).await;
    insert_codes(stores, &[pairing("code")]).await;
    // One bit is another token.
    let mut near = hash("a");
    near.0[31] ^= 1;
    assert_eq!(stores.auth_sessions.find_by_hash(&near).await.unwrap(), None);
    // Neither of the two is the other.
    assert_eq!(found(stores, "code").await, None);
    assert!(!has_code(stores, "a").await);
}

pub async fn list_is_by_creation_then_by_id_newest_first(stores: &Stores) {
    let sessions = [("b", 10), ("z", 5), ("B", 10), ("a", 10), ("_", 10), ("-", 10), ("0", 10), ("y", 20), ("aa", 10)];
    for (id, created) in sessions {
        // The last use has no part in it.
        insert(stores, &[AuthSession { last_used: at(100 - created), ..login(id, created) }]).await;
    }
    // Ids are compared by their ASCII codes, not as a language would.
    assert_eq!(login_ids(stores).await, ["y", "b", "aa", "a", "_", "B", "0", "-", "z"]);
}

pub async fn list_is_limited(stores: &Stores) {
    for created in 0..5 {
        insert(stores, &[login(&created.to_string(), created)]).await;
    }
    // What is not listed takes no place.
    insert(stores, &[AuthSession { expires: at(0), ..login("ended", 9) }]).await;
    insert(stores, &[AuthSession { epoch: "before".to_owned(), ..login("of another epoch", 9) }]).await;
    for (size, expected) in [(1, &["4"][..]), (3, &["4", "3", "2"]), (1_000, &["4", "3", "2", "1", "0"])] {
        let list = stores.auth_sessions.list("now", at(0), limit(size)).await.unwrap();
        assert!(list.iter().map(|session| session.id.as_str()).eq(expected.iter().copied()), "the last {size}");
    }
}

pub async fn list_is_of_one_epoch(stores: &Stores) {
    for (id, epoch) in [("a", "now"), ("b", "before"), ("c", "now"), ("d", "Now"), ("e", "")] {
        insert(stores, &[AuthSession { epoch: epoch.to_owned(), ..login(id, 5) }]).await;
    }
    for (epoch, expected) in [("now", &["c", "a"][..]), ("before", &["b"]), ("", &["e"]), ("n%w", &[])] {
        let list = stores.auth_sessions.list(epoch, at(0), everything()).await.unwrap();
        assert!(list.iter().map(|session| session.id.as_str()).eq(expected.iter().copied()), "{epoch}");
    }
}

pub async fn list_leaves_out_what_has_ended(stores: &Stores) {
    let ends = |id: &str, expires, until: Option<i64>| {
        let grant = Grant { until: until.map(at), ..Grant::OWNER };
        AuthSession { expires: at(expires), grant, ..login(id, 5) }
    };
    let sessions = [
        ends("a", 10, None),
        ends("b", 11, None),
        ends("c", i64::MAX, None),
        ends("d", 20, Some(10)),
        ends("e", 20, Some(11)),
        ends("f", 10, Some(20)),
        ends("g", i64::MIN, None),
        ends("h", 20, Some(i64::MIN)),
    ];
    insert(stores, &sessions).await;
    let moments: [(i64, &[&str]); 5] = [
        (i64::MIN, &["f", "e", "d", "c", "b", "a"]),
        (9, &["f", "e", "d", "c", "b", "a"]),
        (10, &["e", "c", "b"]),
        (11, &["c"]),
        (i64::MAX, &[]),
    ];
    for (now, expected) in moments {
        let list = stores.auth_sessions.list("now", at(now), everything()).await.unwrap();
        let ids: Vec<&str> = list.iter().map(|session| session.id.as_str()).collect();
        assert_eq!(ids, expected, "at {now}");
    }
    // It is for the caller to say what an ended session is worth.
    assert!(found(stores, "a").await.is_some());
}

pub async fn a_session_is_revoked_once(stores: &Stores) {
    assert!(!stores.auth_sessions.revoke("b", &entry("unknown")).await.unwrap());
    insert(stores, &[login("a", 5), login("b", 5), login("c", 5)]).await;
    assert!(stores.auth_sessions.revoke("b", &entry("first")).await.unwrap());
    assert!(!stores.auth_sessions.revoke("b", &entry("second")).await.unwrap());
    assert_eq!(found(stores, "b").await, None);
    assert_eq!(login_ids(stores).await, ["c", "a"]);
    assert_eq!(logged(stores).await, ["added", "added", "added", "first"]);
}

pub async fn ids_are_compared_exactly(stores: &Stores) {
    for id in ["id_a", "Id_a", "idXa"] {
        insert(stores, &[login(id, 5)]).await;
    }
    for id in ["id_A", "id%", "", "🐾"] {
        assert!(!stores.auth_sessions.revoke(id, &entry("revoked")).await.unwrap(), "{id}");
    }
    assert!(stores.auth_sessions.revoke("id_a", &entry("revoked")).await.unwrap());
    assert_eq!(login_ids(stores).await, ["idXa", "Id_a"]);
}

pub async fn a_revoked_session_frees_its_id_and_its_hash(stores: &Stores) {
    insert(stores, &[login("a", 5)]).await;
    assert!(stores.auth_sessions.revoke("a", &entry("revoked")).await.unwrap());
    let again = AuthSession { origin: Origin::Exchange, ..login("a", 3) };
    insert(stores, std::slice::from_ref(&again)).await;
    assert_eq!(logins(stores).await, [again]);
}

pub async fn a_use_changes_nothing_but_the_last_use(stores: &Stores) {
    let (first, second) = (login("a", 5), login("b", 5));
    insert(stores, &[first.clone(), second.clone(), login("c", 4)]).await;
    touch(stores, &[("a", 6), ("c", i64::MAX)]).await;
    let (first, third) =
        (AuthSession { last_used: at(6), ..first }, AuthSession { last_used: at(i64::MAX), ..login("c", 4) });
    assert_eq!(logins(stores).await, [second, first, third]);
    assert_eq!(logged(stores).await, ["added"; 3]);
}

pub async fn a_use_is_never_moved_back(stores: &Stores) {
    insert(stores, &[login("a", i64::MIN)]).await;
    let uses: [(&[i64], i64); 6] =
        [(&[i64::MIN], i64::MIN), (&[5], 5), (&[4], 5), (&[5], 5), (&[8, 6, 9, 7], 9), (&[i64::MIN, -1], 9)];
    for (given, expected) in uses {
        let given: Vec<(&str, i64)> = given.iter().map(|&used| ("a", used)).collect();
        touch(stores, &given).await;
        assert_eq!(found(stores, "a").await.unwrap().last_used, at(expected), "after {given:?}");
    }
}

pub async fn a_use_of_no_session_is_passed_over(stores: &Stores) {
    touch(stores, &[]).await;
    touch(stores, &[("a", 6)]).await;
    insert(stores, &[login("a", 5), login("b", 5)]).await;
    assert_eq!(found(stores, "a").await.unwrap().last_used, at(5));
    touch(stores, &[("x", 6), ("a", 7), ("A", 8), ("", 9), ("b", 8), ("%", 9)]).await;
    let uses: Vec<Timestamp> = logins(stores).await.iter().map(|session| session.last_used).collect();
    assert_eq!(uses, [at(8), at(7)]);
}

pub async fn the_uses_of_one_call_are_seen_together(stores: &Stores) {
    let ids = ["a", "b", "c", "d", "e", "f"];
    for id in ids {
        insert(stores, &[login(id, 0)]).await;
    }
    at_once(20, |task| {
        let stores = stores.clone();
        async move {
            let used = i64::try_from(task).unwrap() + 1;
            touch(&stores, &ids.map(|id| (id, used))).await;
            let listed = logins(&stores).await;
            assert!(listed.iter().all(|session| session.last_used == listed[0].last_used), "{listed:?}");
            assert!(listed[0].last_used >= at(used), "{listed:?}");
        }
    })
    .await;
}

pub async fn every_member_of_a_code_comes_back(stores: &Stores) {
    let plain = pairing("plain");
    let mut variants = vec![
        Pairing { epoch: "🐾 it's \"quoted\"".to_owned(), ..plain.clone() },
        Pairing { epoch: String::new(), ..plain.clone() },
        Pairing { expires: at(i64::MIN), ..plain.clone() },
        Pairing { expires: at(0), ..plain.clone() },
        Pairing { expires: at(i64::MAX), ..plain.clone() },
    ];
    variants.extend(grants().into_iter().map(|grant| Pairing { grant, ..plain.clone() }));
    for (number, variant) in variants.iter_mut().enumerate() {
        variant.hash = hash(&number.to_string());
    }
    variants.push(Pairing { hash: TokenHash([0; 32]), ..plain.clone() });
    variants.push(Pairing { hash: TokenHash([255; 32]), ..plain });
    insert_codes(stores, &variants).await;
    for given in variants.iter().chain(&variants) {
        assert_eq!(stores.auth_sessions.find_pairing(&given.hash).await.unwrap().as_ref(), Some(given));
    }
    assert_eq!(logged(stores).await, vec!["code"; variants.len()]);
}

pub async fn insert_refuses_a_code_that_is_taken(stores: &Stores) {
    // Sessions have hashes of their own.
    insert(stores, &[login("code", 5)]).await;
    let first = pairing("code");
    insert_codes(stores, std::slice::from_ref(&first)).await;
    let second = Pairing { grant: Grant::NOTHING, expires: at(2_000), ..first.clone() };
    let refused = stores.auth_sessions.insert_pairing(&second, &entry("second")).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(stores.auth_sessions.find_pairing(&first.hash).await.unwrap(), Some(first));
    assert_eq!(logged(stores).await, ["added", "code"]);
}

pub async fn redeem_puts_a_session_in_the_place_of_the_code(stores: &Stores) {
    insert(stores, &[login("a", 5)]).await;
    insert_codes(stores, &[pairing("code"), pairing("other")]).await;
    // Nothing of it is taken from the code; what the two have to do with each other is the caller's business.
    let session = AuthSession { origin: Origin::Pairing, grant: got_with("a"), ..login("b", 6) };
    assert!(stores.auth_sessions.redeem(&hash("code"), &session, &entry("redeemed")).await.unwrap());
    assert_eq!(logins(stores).await, [session, login("a", 5)]);
    assert!(!has_code(stores, "code").await);
    assert!(has_code(stores, "other").await);
    assert_eq!(logged(stores).await, ["added", "code", "code", "redeemed"]);
}

pub async fn redeem_of_no_code_does_nothing(stores: &Stores) {
    assert!(!stores.auth_sessions.redeem(&hash("code"), &login("a", 5), &entry("unknown")).await.unwrap());
    assert_eq!(login_ids(stores).await, [""; 0]);
    insert_codes(stores, &[pairing("code")]).await;
    assert!(stores.auth_sessions.redeem(&hash("code"), &login("a", 5), &entry("first")).await.unwrap());
    // Once with the very session that is there, once with another.
    for session in [login("a", 5), login("b", 5)] {
        assert!(!stores.auth_sessions.redeem(&hash("code"), &session, &entry("second")).await.unwrap());
    }
    assert_eq!(login_ids(stores).await, ["a"]);
    assert_eq!(logged(stores).await, ["code", "first"]);
}

pub async fn a_code_that_has_ended_is_still_there(stores: &Stores) {
    insert_codes(stores, &[Pairing { expires: at(i64::MIN), ..pairing("code") }]).await;
    assert!(has_code(stores, "code").await);
    assert!(stores.auth_sessions.redeem(&hash("code"), &login("a", 5), &entry("redeemed")).await.unwrap());
}

pub async fn one_of_twenty_who_redeem_a_code_gets_a_session(stores: &Stores) {
    insert_codes(stores, &[pairing("code"), pairing("other")]).await;
    let redeemed = at_once(20, |task| {
        let sessions = Arc::clone(&stores.auth_sessions);
        async move {
            let session = login(&task.to_string(), 5);
            let redeemed = sessions.redeem(&hash("code"), &session, &entry(&session.id)).await.unwrap();
            redeemed.then_some(session.id)
        }
    });
    let winners: Vec<String> = redeemed.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(login_ids(stores).await, winners);
    assert_eq!(logged(stores).await, ["code", "code", &winners[0]]);
    assert!(has_code(stores, "other").await);
}

pub async fn redeem_keeps_the_code_if_the_session_is_refused(stores: &Stores) {
    insert(stores, &[login("a", 5)]).await;
    insert_codes(stores, &[pairing("code")]).await;
    for session in [AuthSession { hash: hash("b"), ..login("a", 6) }, AuthSession { hash: hash("a"), ..login("b", 6) }]
    {
        let refused = stores.auth_sessions.redeem(&hash("code"), &session, &entry("refused")).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(stores.auth_sessions.find_pairing(&hash("code")).await.unwrap(), Some(pairing("code")));
    assert_eq!(logins(stores).await, [login("a", 5)]);
    assert!(stores.auth_sessions.redeem(&hash("code"), &login("b", 6), &entry("redeemed")).await.unwrap());
    assert_eq!(logged(stores).await, ["added", "code", "redeemed"]);
}

pub async fn end_all_leaves_nothing(stores: &Stores) {
    // Those that have ended and those of another epoch go too.
    let ended = AuthSession { expires: at(i64::MIN), ..login("ended", 5) };
    let of_another_epoch = AuthSession { epoch: "before".to_owned(), ..login("before", 5) };
    let sessions = [login("a", 5), ended, of_another_epoch, AuthSession { grant: got_with("a"), ..login("key", 5) }];
    insert(stores, &sessions).await;
    let codes = [pairing("code"), Pairing { epoch: "before".to_owned(), ..pairing("old") }];
    insert_codes(stores, &codes).await;
    assert_eq!(stores.auth_sessions.end_all(&entry("ended")).await.unwrap(), 4);
    for session in &sessions {
        assert_eq!(stores.auth_sessions.find_by_hash(&session.hash).await.unwrap(), None);
    }
    for code in &codes {
        assert_eq!(stores.auth_sessions.find_pairing(&code.hash).await.unwrap(), None);
    }
    assert_eq!(logged(stores).await, ["added", "added", "added", "added", "code", "code", "ended"]);
}

pub async fn end_all_counts_no_codes(stores: &Stores) {
    insert_codes(stores, &[pairing("code")]).await;
    assert_eq!(stores.auth_sessions.end_all(&entry("ended")).await.unwrap(), 0);
    assert!(!has_code(stores, "code").await);
    assert_eq!(logged(stores).await, ["code", "ended"]);
}

pub async fn end_all_of_nothing_is_in_the_log_too(stores: &Stores) {
    assert_eq!(stores.auth_sessions.end_all(&entry("ended")).await.unwrap(), 0);
    assert_eq!(logged(stores).await, ["ended"]);
}

pub async fn forget_ended_takes_what_has_ended_and_nothing_else(stores: &Stores) {
    assert_eq!(stores.auth_sessions.forget_ended(at(i64::MAX)).await.unwrap(), 0);
    for (id, expires) in [("a", i64::MIN), ("b", 9), ("c", 10), ("d", 11), ("e", i64::MAX)] {
        insert(stores, &[AuthSession { expires: at(expires), ..login(id, 5) }]).await;
        insert_codes(stores, &[Pairing { expires: at(expires), ..pairing(id) }]).await;
    }
    let moments: [(i64, u64, &[&str]); 5] = [
        (i64::MIN, 2, &["b", "c", "d", "e"]),
        (8, 0, &["b", "c", "d", "e"]),
        (10, 4, &["d", "e"]),
        (10, 0, &["d", "e"]),
        (i64::MAX, 4, &[]),
    ];
    for (now, count, left) in moments {
        assert_eq!(stores.auth_sessions.forget_ended(at(now)).await.unwrap(), count, "at {now}");
        for id in ["a", "b", "c", "d", "e"] {
            assert_eq!(found(stores, id).await.is_some(), left.contains(&id), "{id} at {now}");
            assert_eq!(has_code(stores, id).await, left.contains(&id), "{id} at {now}");
        }
    }
    assert_eq!(logged(stores).await.len(), 10);
}
