//! What [`pawport::ports::oauth::TicketStore`] promises.

use super::fixtures::{
    api_key, at, at_once, code, entry, got_with, hash, key_id, logged, login, login_ids, logins, refresh,
};
use pawport::domain::auth::Grant;
use pawport::domain::auth::login::{AuthSession, Origin};
use pawport::domain::auth::oauth::{Challenge, RedirectUri, Ticket, TicketKind};
use pawport::domain::auth::scope::{Scope, Scopes};
use pawport::domain::auth::token::TokenHash;
use pawport::ports::store::{StoreError, Stores};

async fn insert(stores: &Stores, tickets: &[Ticket]) {
    for given in tickets {
        stores.tickets.insert(given, &entry("ticket")).await.unwrap();
    }
}

async fn log_in(stores: &Stores, sessions: &[AuthSession]) {
    for given in sessions {
        stores.auth_sessions.insert(given, &entry("session")).await.unwrap();
    }
}

async fn found(stores: &Stores, of: &str) -> Option<Ticket> {
    stores.tickets.find(&hash(of)).await.unwrap()
}

/// Which of the tickets there are.
async fn left<'a>(stores: &Stores, of: &[&'a str]) -> Vec<&'a str> {
    let mut left = Vec::new();
    for &of in of {
        if found(stores, of).await.is_some() {
            left.push(of);
        }
    }
    left
}

/// Exchanges the ticket of that name.
async fn exchange(
    stores: &Stores,
    of: &str,
    session: &AuthSession,
    successor: &Ticket,
    action: &str,
) -> Result<bool, StoreError> {
    stores.tickets.exchange(&hash(of), session, successor, &entry(action)).await
}

/// A session that a native app has.
fn app(id: &str, created: i64, family: &str) -> AuthSession {
    AuthSession { origin: Origin::App, family: Some(family.to_owned()), ..login(id, created) }
}

fn spent(ticket: Ticket) -> Ticket {
    Ticket { spent: true, ..ticket }
}

pub async fn every_member_of_a_ticket_comes_back(stores: &Stores) {
    let odd = "🐾 it's \"quoted\" \\ %_\n";
    let kind = |redirect_uri: &str, challenge: &str| TicketKind::Code {
        redirect_uri: RedirectUri::parse(redirect_uri).unwrap(),
        challenge: Challenge::parse(challenge).unwrap(),
    };
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let mut variants = Vec::new();
    for plain in [code("plain", "family"), refresh("plain", "family")] {
        variants.extend([
            plain.clone(),
            Ticket { family: odd.to_owned(), ..plain.clone() },
            Ticket { family: String::new(), ..plain.clone() },
            Ticket { client: odd.to_owned(), ..plain.clone() },
            Ticket { client: String::new(), ..plain.clone() },
            Ticket { epoch: odd.to_owned(), ..plain.clone() },
            Ticket { epoch: String::new(), ..plain.clone() },
            Ticket { expires: at(i64::MIN), ..plain.clone() },
            Ticket { expires: at(0), ..plain.clone() },
            Ticket { expires: at(i64::MAX), ..plain.clone() },
            spent(plain.clone()),
            Ticket { grant: Grant::NOTHING, ..plain.clone() },
            Ticket { grant: Grant { until: Some(at(i64::MIN)), ..Grant::OWNER }, ..plain.clone() },
            Ticket { grant: Grant { until: Some(at(i64::MAX)), ..got_with("a") }, ..plain.clone() },
        ]);
        variants.extend(Scope::ALL.into_iter().map(|scope| {
            let grant = Grant { scopes: Scopes::of(&[scope]), ..Grant::OWNER };
            Ticket { grant, ..plain.clone() }
        }));
    }
    for redirect_uri in [
        "tauri://oauth-callback",
        "http://localhost:1420/oauth-callback",
        "http://localhost:1/",
        "http://127.0.0.1:65535",
        "http://[::1]:8080/",
    ] {
        variants.push(Ticket { kind: kind(redirect_uri, challenge), ..code("plain", "family") });
    }
    for (number, variant) in variants.iter_mut().enumerate() {
        variant.hash = hash(&number.to_string());
    }
    variants.push(Ticket { hash: TokenHash([0; 32]), ..code("zeros", "family") });
    variants.push(Ticket { hash: TokenHash([255; 32]), ..refresh("ones", "family") });
    insert(stores, &variants).await;
    for given in &variants {
        assert_eq!(stores.tickets.find(&given.hash).await.unwrap().as_ref(), Some(given));
    }
    assert_eq!(logged(stores).await, vec!["ticket"; variants.len()]);
}

pub async fn a_session_comes_back_with_its_family(stores: &Stores) {
    let sessions = [app("d", 8, "family"), app("c", 7, ""), app("b", 6, "🐾 it's \"quoted\" \\ %_\n"), login("a", 5)];
    log_in(stores, &sessions).await;
    for given in &sessions {
        assert_eq!(stores.auth_sessions.find_by_hash(&given.hash).await.unwrap().as_ref(), Some(given));
    }
    assert_eq!(logins(stores).await, sessions);
}

pub async fn insert_refuses_a_ticket_that_is_taken(stores: &Stores) {
    // Sessions have hashes of their own.
    log_in(stores, &[login("one", 5)]).await;
    let (first, used) = (code("one", "family"), spent(refresh("used", "family")));
    insert(stores, &[first.clone(), used.clone()]).await;
    for second in [refresh("one", "another"), code("one", "family"), refresh("used", "another")] {
        let refused = stores.tickets.insert(&second, &entry("second")).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(found(stores, "one").await, Some(first));
    assert_eq!(found(stores, "used").await, Some(used));
    assert_eq!(logged(stores).await, ["session", "ticket", "ticket"]);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    assert_eq!(found(stores, "a").await, None);
    insert(stores, &[code("a", "family")]).await;
    log_in(stores, &[login("b", 5)]).await;
    // One bit is another ticket.
    let mut near = hash("a");
    near.0[31] ^= 1;
    assert_eq!(stores.tickets.find(&near).await.unwrap(), None);
    // Neither of the two is the other.
    assert_eq!(found(stores, "b").await, None);
    assert_eq!(stores.auth_sessions.find_by_hash(&hash("a")).await.unwrap(), None);
    assert_eq!(stores.auth_sessions.find_pairing(&hash("a")).await.unwrap(), None);
}

pub async fn exchange_spends_the_ticket_and_adds_the_next(stores: &Stores) {
    let (given, other) = (code("code", "family"), code("other", "family"));
    insert(stores, &[given.clone(), other.clone()]).await;
    // Nothing of it is taken from the ticket; what they have to do with each other is the caller's business.
    let session = AuthSession { grant: got_with("a"), ..app("a", 5, "family") };
    let successor = Ticket { grant: Grant::NOTHING, expires: at(9), ..refresh("next", "family") };
    assert!(stores.tickets.exchange(&given.hash, &session, &successor, &entry("exchanged")).await.unwrap());
    assert_eq!(found(stores, "code").await, Some(spent(given)));
    assert_eq!(found(stores, "other").await, Some(other));
    assert_eq!(found(stores, "next").await, Some(successor.clone()));
    assert_eq!(logins(stores).await, [session]);
    let (session, last) = (app("b", 6, "family"), refresh("last", "family"));
    assert!(stores.tickets.exchange(&successor.hash, &session, &last, &entry("again")).await.unwrap());
    assert_eq!(found(stores, "next").await, Some(spent(successor)));
    assert_eq!(found(stores, "last").await, Some(last));
    assert_eq!(logins(stores).await, [session]);
    assert_eq!(logged(stores).await, ["ticket", "ticket", "exchanged", "again"]);
}

pub async fn exchange_of_no_ticket_or_a_spent_one_does_nothing(stores: &Stores) {
    let (used, unspent) = (spent(refresh("used", "family")), refresh("unspent", "family"));
    insert(stores, &[used.clone(), unspent.clone()]).await;
    log_in(stores, &[app("a", 5, "family")]).await;
    // Some of these could not be added anyway; that does not matter.
    let sessions = [app("b", 6, "family"), app("a", 6, "family")];
    for of in ["unknown", "used", "a"] {
        for session in &sessions {
            for successor in [refresh("next", "family"), refresh("unspent", "family")] {
                assert!(!exchange(stores, of, session, &successor, "exchanged").await.unwrap(), "{of}");
            }
        }
    }
    assert_eq!(found(stores, "used").await, Some(used));
    assert_eq!(found(stores, "unspent").await, Some(unspent));
    assert_eq!(found(stores, "next").await, None);
    assert_eq!(logins(stores).await, [app("a", 5, "family")]);
    assert_eq!(logged(stores).await, ["ticket", "ticket", "session"]);
}

pub async fn a_ticket_that_has_ended_is_still_exchanged(stores: &Stores) {
    // It is for the caller to say what it is worth.
    insert(stores, &[Ticket { expires: at(i64::MIN), epoch: "before".to_owned(), ..code("code", "family") }]).await;
    assert!(exchange(stores, "code", &app("a", 5, "family"), &refresh("next", "family"), "exchanged").await.unwrap());
    assert_eq!(left(stores, &["code", "next"]).await, ["code", "next"]);
}

pub async fn one_of_twenty_who_exchange_a_ticket_gets_a_session(stores: &Stores) {
    for given in [code("code", "a family"), refresh("token", "another")] {
        insert(stores, std::slice::from_ref(&given)).await;
        let before = logged(stores).await;
        let outcomes = at_once(20, |task| {
            let (stores, given) = (stores.clone(), given.clone());
            async move {
                let name = format!("{task} of {}", given.family);
                let (session, next) = (app(&name, 5, &given.family), refresh(&name, &given.family));
                stores.tickets.exchange(&given.hash, &session, &next, &entry(&name)).await.unwrap().then_some(name)
            }
        });
        let winners: Vec<String> = outcomes.await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let of_the_family =
            logins(stores).await.into_iter().filter(|session| session.family == Some(given.family.clone()));
        assert_eq!(of_the_family.map(|session| session.id).collect::<Vec<_>>(), winners);
        for task in 0..20 {
            let name = format!("{task} of {}", given.family);
            assert_eq!(found(stores, &name).await.is_some(), winners.contains(&name), "{name}");
        }
        assert_eq!(logged(stores).await, [before, winners].concat());
        assert_eq!(stores.tickets.find(&given.hash).await.unwrap(), Some(spent(given)));
    }
}

pub async fn exchange_removes_the_earlier_sessions_of_the_family_and_nobody_elses(stores: &Stores) {
    let others = [app("d", 4, "Family"), app("e", 3, "famil_"), app("f", 2, ""), login("g", 1)];
    log_in(stores, &others).await;
    // The second is one of another epoch, the third has ended: they are not listed, but there.
    let of_another_epoch = AuthSession { epoch: "before".to_owned(), ..app("b", 6, "family") };
    let ended = AuthSession { expires: at(i64::MIN), ..app("c", 5, "family") };
    let earlier = [app("a", 7, "family"), of_another_epoch, ended];
    log_in(stores, &earlier).await;
    insert(stores, &[refresh("token", "family"), refresh("of another", "Family")]).await;
    // It is the family of the ticket that counts.
    let (session, successor) = (app("new", 8, "new family"), refresh("next", "new family"));
    assert!(exchange(stores, "token", &session, &successor, "exchanged").await.unwrap());
    for gone in &earlier {
        assert_eq!(stores.auth_sessions.find_by_hash(&gone.hash).await.unwrap(), None);
    }
    assert_eq!(logins(stores).await, [&[session], &others[..]].concat());
    assert_eq!(left(stores, &["token", "of another", "next"]).await, ["token", "of another", "next"]);
}

pub async fn exchange_may_use_the_id_and_the_hash_of_a_session_that_it_removes(stores: &Stores) {
    log_in(stores, &[app("a", 5, "family")]).await;
    insert(stores, &[refresh("token", "family")]).await;
    let session = app("a", 6, "family");
    assert!(exchange(stores, "token", &session, &refresh("next", "family"), "exchanged").await.unwrap());
    assert_eq!(logins(stores).await, [session]);
}

pub async fn exchange_leaves_the_ticket_unspent_if_something_is_refused(stores: &Stores) {
    let sessions = [app("own", 6, "family"), app("taken", 5, "another")];
    log_in(stores, &sessions).await;
    let tickets = [code("code", "family"), refresh("taken", "another")];
    insert(stores, &tickets).await;
    let before = logged(stores).await;
    let (session, successor) = (app("new", 7, "family"), refresh("next", "family"));
    let refused = [
        (AuthSession { hash: hash("new"), ..app("taken", 7, "family") }, successor.clone()),
        (AuthSession { hash: hash("taken"), ..session.clone() }, successor.clone()),
        (session.clone(), refresh("taken", "family")),
        // The ticket itself stays, so its hash is taken too.
        (session.clone(), refresh("code", "family")),
    ];
    for (session, successor) in &refused {
        let refused = exchange(stores, "code", session, successor, "refused").await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        assert_eq!(logins(stores).await, sessions);
        assert_eq!(found(stores, "code").await.as_ref(), Some(&tickets[0]));
        assert_eq!(found(stores, "taken").await.as_ref(), Some(&tickets[1]));
        assert_eq!(left(stores, &["next", "new"]).await, [""; 0]);
    }
    assert_eq!(logged(stores).await, before);
    assert!(exchange(stores, "code", &session, &successor, "exchanged").await.unwrap());
    assert_eq!(logged(stores).await, [before, vec!["exchanged".to_owned()]].concat());
}

pub async fn end_family_takes_its_tickets_and_sessions_and_nothing_else(stores: &Stores) {
    insert(stores, &[code("a", "family"), spent(code("b", "family")), refresh("c", "family")]).await;
    insert(stores, &[code("d", "Family"), refresh("e", "famil_"), refresh("f", ""), refresh("g", "family ")]).await;
    log_in(stores, &[app("a", 5, "family"), app("b", 5, "family")]).await;
    log_in(stores, &[app("c", 5, "Family"), app("d", 5, ""), login("e", 5), login("family", 5)]).await;
    let before = logged(stores).await;
    assert!(stores.tickets.end_family("family", &entry("ended")).await.unwrap());
    assert_eq!(left(stores, &["a", "b", "c", "d", "e", "f", "g"]).await, ["d", "e", "f", "g"]);
    assert_eq!(login_ids(stores).await, ["family", "e", "d", "c"]);
    assert!(!stores.tickets.end_family("family", &entry("again")).await.unwrap());
    assert_eq!(logged(stores).await, [before, vec!["ended".to_owned()]].concat());
}

pub async fn end_family_is_content_with_one_of_the_two(stores: &Stores) {
    insert(stores, &[refresh("a", "of tickets")]).await;
    log_in(stores, &[app("a", 5, "of sessions"), login("b", 4)]).await;
    assert!(stores.tickets.end_family("of tickets", &entry("tickets")).await.unwrap());
    assert!(stores.tickets.end_family("of sessions", &entry("sessions")).await.unwrap());
    assert_eq!(found(stores, "a").await, None);
    assert_eq!(login_ids(stores).await, ["b"]);
    assert_eq!(logged(stores).await, ["ticket", "session", "session", "tickets", "sessions"]);
}

pub async fn end_of_no_family_leaves_no_entry(stores: &Stores) {
    assert!(!stores.tickets.end_family("family", &entry("ended")).await.unwrap());
    insert(stores, &[code("a", "family")]).await;
    log_in(stores, &[login("a", 5)]).await;
    for unknown in ["", "FAMILY", "family ", "fam%", "_amily", "a", "🐾"] {
        assert!(!stores.tickets.end_family(unknown, &entry("ended")).await.unwrap(), "{unknown}");
    }
    assert_eq!(left(stores, &["a"]).await, ["a"]);
    assert_eq!(login_ids(stores).await, ["a"]);
    assert_eq!(logged(stores).await, ["ticket", "session"]);
}

pub async fn what_is_exchanged_while_its_family_ends_ends_with_it(stores: &Stores) {
    let families: Vec<String> = (0..20).map(|number| format!("family {number}")).collect();
    for family in &families {
        insert(stores, &[refresh(family, family)]).await;
    }
    at_once(40, |task| {
        let (stores, family) = (stores.clone(), families[task / 2].clone());
        async move {
            if task % 2 == 0 {
                let (session, next) = (app(&family, 5, &family), refresh(&format!("after {family}"), &family));
                stores.tickets.exchange(&hash(&family), &session, &next, &entry("exchanged")).await.unwrap();
            } else {
                assert!(stores.tickets.end_family(&family, &entry("ended")).await.unwrap());
            }
        }
    })
    .await;
    for family in &families {
        assert_eq!(found(stores, family).await, None);
        assert_eq!(found(stores, &format!("after {family}")).await, None);
    }
    assert_eq!(login_ids(stores).await, [""; 0]);
}

pub async fn forget_ended_takes_what_has_ended_and_nothing_else(stores: &Stores) {
    assert_eq!(stores.tickets.forget_ended(at(i64::MAX)).await.unwrap(), 0);
    let names = ["a", "b", "c", "d", "e"];
    for (name, expires) in names.into_iter().zip([i64::MIN, 9, 10, 11, i64::MAX]) {
        // Sessions end by themselves, and what is got with a ticket may be over before the ticket is.
        log_in(stores, &[AuthSession { expires: at(expires), ..app(name, 5, "family") }]).await;
        let grant = Grant { until: Some(at(i64::MIN)), ..Grant::OWNER };
        insert(stores, &[Ticket { expires: at(expires), grant, ..code(name, "family") }]).await;
        let used = spent(refresh(&format!("used {name}"), "family"));
        insert(stores, &[Ticket { expires: at(expires), ..used }]).await;
    }
    let before = logged(stores).await;
    let moments: [(i64, u64, &[&str]); 5] = [
        (i64::MIN, 2, &["b", "c", "d", "e"]),
        (8, 0, &["b", "c", "d", "e"]),
        (10, 4, &["d", "e"]),
        (10, 0, &["d", "e"]),
        (i64::MAX, 4, &[]),
    ];
    for (now, count, expected) in moments {
        assert_eq!(stores.tickets.forget_ended(at(now)).await.unwrap(), count, "at {now}");
        for name in names {
            assert_eq!(found(stores, name).await.is_some(), expected.contains(&name), "{name} at {now}");
            let used = found(stores, &format!("used {name}")).await;
            assert_eq!(used.is_some(), expected.contains(&name), "{name} at {now}");
        }
    }
    for name in names {
        assert!(stores.auth_sessions.find_by_hash(&hash(name)).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(logged(stores).await, before);
}

pub async fn end_all_takes_every_ticket(stores: &Stores) {
    let ended = Ticket { expires: at(i64::MIN), ..refresh("ended", "family") };
    let of_another_epoch = Ticket { epoch: "before".to_owned(), ..code("before", "another") };
    insert(stores, &[code("code", "family"), spent(refresh("used", "family")), ended, of_another_epoch]).await;
    log_in(stores, &[app("a", 5, "family")]).await;
    // Tickets are not counted.
    assert_eq!(stores.auth_sessions.end_all(&entry("ended")).await.unwrap(), 1);
    assert_eq!(left(stores, &["code", "used", "ended", "before"]).await, [""; 0]);
    assert_eq!(logged(stores).await, ["ticket", "ticket", "ticket", "ticket", "session", "ended"]);
}

/// Adds what was got with two keys and with none.
async fn get_with_keys(stores: &Stores) {
    for key in ["key", "KEY"] {
        stores.api_keys.insert(&api_key(key, 5), &entry("key")).await.unwrap();
        let tickets = [code(&format!("code {key}"), "family"), spent(refresh(&format!("used {key}"), "family"))];
        insert(stores, &tickets.map(|ticket| Ticket { grant: got_with(key), ..ticket })).await;
    }
    insert(stores, &[code("code", "key"), refresh("token", "family")]).await;
}

async fn assert_got_with_the_other_key_is_left(stores: &Stores) {
    let all = ["code key", "used key", "code KEY", "used KEY", "code", "token"];
    assert_eq!(left(stores, &all).await, ["code KEY", "used KEY", "code", "token"]);
}

pub async fn revocation_of_a_key_takes_the_tickets_got_with_it(stores: &Stores) {
    get_with_keys(stores).await;
    let before = logged(stores).await;
    assert!(stores.api_keys.revoke(&key_id("key"), at(6), &entry("revoked")).await.unwrap());
    assert_got_with_the_other_key_is_left(stores).await;
    assert_eq!(logged(stores).await, [before, vec!["revoked".to_owned()]].concat());
}

pub async fn rotation_of_a_key_takes_the_tickets_got_with_it(stores: &Stores) {
    get_with_keys(stores).await;
    let before = logged(stores).await;
    // Refused, it takes nothing.
    let refused = stores.api_keys.rotate(&key_id("key"), at(6), &api_key("KEY", 6), &entry("refused")).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(left(stores, &["code key", "used key"]).await, ["code key", "used key"]);
    let successor = api_key("successor", 6);
    assert!(stores.api_keys.rotate(&key_id("key"), at(6), &successor, &entry("rotated")).await.unwrap());
    assert_got_with_the_other_key_is_left(stores).await;
    assert_eq!(logged(stores).await, [before, vec!["rotated".to_owned()]].concat());
}
