//! Whatever is done in whatever order: nobody gets more than they had, and nothing that has ended begins again.

use crate::support::{MASTER_TOKEN, START, TestApp};
use axum::http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SCOPES: [&str; 4] = ["admin", "chat", "memory", "sessions"];

/// Something that somebody does. A number names one of the credentials that there were until then.
#[derive(Debug, Clone)]
enum Step {
    Exchange(usize),
    LogIn(usize),
    Pair { by: usize, waiting: u64 },
    MakeKey { by: usize, scopes: Vec<&'static str>, lasting: Option<u64> },
    Rotate { by: usize, which: usize },
    Revoke { by: usize, which: usize },
    LogOut(usize),
    Regenerate(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..24_usize;
    let seconds = || select(vec![1_u64, 59, 60, 600, 3_600, 7_200, 86_400]);
    let scopes = subsequence(SCOPES.to_vec(), 0..=4);
    prop_oneof![
        3 => who().prop_map(Step::Exchange),
        2 => who().prop_map(Step::LogIn),
        3 => (who(), select(vec![0_u64, 59, 60])).prop_map(|(by, waiting)| Step::Pair { by, waiting }),
        5 => (who(), scopes, proptest::option::of(seconds()))
            .prop_map(|(by, scopes, lasting)| Step::MakeKey { by, scopes, lasting }),
        2 => (who(), who()).prop_map(|(by, which)| Step::Rotate { by, which }),
        2 => (who(), who()).prop_map(|(by, which)| Step::Revoke { by, which }),
        1 => who().prop_map(Step::LogOut),
        1 => who().prop_map(Step::Regenerate),
        2 => seconds().prop_map(Step::Pass),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Master,
    Session,
    Key,
}

/// A credential that somebody has got, and what is known of it.
#[derive(Debug, Clone)]
struct Got {
    token: String,
    id: String,
    kind: Kind,
    scopes: BTreeSet<String>,
    /// In milliseconds; `i64::MAX` is never.
    ends: i64,
    /// The key that it is or was got with.
    key: Option<String>,
    has_ended: bool,
}

impl Got {
    fn opens(&self, scope: &str) -> bool {
        self.scopes.contains("admin") || self.scopes.contains(scope)
    }
}

fn time(value: &Value) -> i64 {
    value.as_str().map_or(i64::MAX, |text| text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
}

/// An app, and all that was got from it.
struct World {
    app: TestApp,
    now: i64,
    all: Vec<Got>,
}

impl World {
    async fn new() -> Self {
        let mut world = Self { app: TestApp::new(), now: START.0, all: Vec::new() };
        let master = world.looked_at(MASTER_TOKEN.to_owned(), Kind::Master, None).await;
        world.all.push(master);
        world
    }

    fn at(&self, number: usize) -> Got {
        self.all[number % self.all.len()].clone()
    }

    fn is_good(&self, got: &Got) -> bool {
        !got.has_ended && self.now < got.ends
    }

    async fn looked_at(&self, token: String, kind: Kind, key: Option<String>) -> Got {
        let me = self.app.user_with(&token).get("/api/v1/auth/me").await.assert_status(200).json();
        let scopes = serde_json::from_value(me["scopes"].clone()).expect("a list of names");
        let id = me["id"].as_str().expect("an id").to_owned();
        let key = if kind == Kind::Key { Some(id.clone()) } else { key };
        Got { token, id, kind, scopes, ends: time(&me["expires_at"]), key, has_ended: false }
    }

    /// Takes what `source` got, if it was anything.
    async fn take(&mut self, source: &Got, kind: Kind, answer: &Value, member: &str) {
        let Some(token) = answer[member].as_str() else { return };
        assert!(self.is_good(source), "{source:?} got {answer}");
        let got = self.looked_at(token.to_owned(), kind, source.key.clone()).await;
        assert!(got.scopes.iter().all(|scope| source.opens(scope)), "{source:?} got {got:?}");
        // What an owner makes in a session may last longer than that session. What a key makes may not.
        if kind == Kind::Session || source.key.is_some() {
            assert!(got.ends <= source.ends, "{source:?} got {got:?}");
        }
        self.all.push(got);
    }

    fn end(&mut self, is_ended: impl Fn(&Got) -> bool) {
        self.all.iter_mut().filter(|got| is_ended(got)).for_each(|got| got.has_ended = true);
    }

    async fn send(&self, by: &Got, method: Method, path: &str) -> Value {
        self.app.user_with(&by.token).call(method, path).send().await.json()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Exchange(by) => {
                let by = self.at(by);
                let answer = self.send(&by, Method::POST, "/api/auth/session").await;
                self.take(&by, Kind::Session, &answer, "session_token").await;
            }
            Step::LogIn(by) => {
                let by = self.at(by);
                let answer = self.app.anonymous().post("/api/auth/login", json!({ "token": by.token })).await;
                if answer.status() == 200 {
                    let token = super::cookie(&answer).1;
                    self.take(&by, Kind::Session, &json!({ "token": token }), "token").await;
                }
            }
            Step::Pair { by, waiting } => {
                let by = self.at(by);
                let answer = self.send(&by, Method::POST, "/api/v1/auth/pairing").await;
                self.pass(waiting);
                let Some((_, code)) = answer["url"].as_str().and_then(|url| url.split_once("token=")) else { return };
                assert!(by.opens("admin"), "{by:?}");
                let redeem = || self.app.user_with(code).call(Method::POST, "/api/auth/session").send();
                let (first, second) = (redeem().await, redeem().await);
                second.assert_status(401);
                assert!(first.status() != 200 || waiting < 60, "{by:?} after {waiting}");
                self.take(&by, Kind::Session, &first.json(), "session_token").await;
            }
            Step::MakeKey { by, scopes, lasting } => {
                let by = self.at(by);
                let expires = lasting.map(|seconds| self.now + i64::try_from(seconds * 1_000).expect("a small number"));
                let expires = expires.map(|at| jiff::Timestamp::from_millisecond(at).expect("a time").to_string());
                let body = json!({ "name": "k", "scopes": scopes, "expires_at": expires });
                let answer = self.app.user_with(&by.token).post("/api/v1/auth/api-keys", body).await.json();
                assert!(answer["key"].is_null() || by.opens("admin"), "{by:?}");
                self.take(&by, Kind::Key, &answer, "key").await;
            }
            Step::Rotate { by, which } => {
                let (by, which) = (self.at(by), self.at(which));
                let path = format!("/api/v1/auth/api-keys/{}/rotate", which.id);
                let answer = self.send(&by, Method::POST, &path).await;
                if answer["key"].is_string() {
                    assert!(by.opens("admin") && self.is_good(&which) && which.kind == Kind::Key, "{by:?} {which:?}");
                    assert!(time(&answer["expires_at"]) <= which.ends);
                    self.take(&by, Kind::Key, &answer, "key").await;
                    self.end(|got| got.key.as_ref() == Some(&which.id));
                }
            }
            Step::Revoke { by, which } => {
                let (by, which) = (self.at(by), self.at(which));
                let path = match which.kind {
                    Kind::Key => format!("/api/v1/auth/api-keys/{}", which.id),
                    _ => format!("/api/v1/auth/sessions/{}", which.id),
                };
                let answer = self.send(&by, Method::DELETE, &path).await;
                if answer["status"] == "ok" {
                    assert!(by.opens("admin") && self.is_good(&by), "{by:?}");
                    self.end(|got| {
                        got.id == which.id || (which.kind == Kind::Key && got.key.as_ref() == Some(&which.id))
                    });
                }
            }
            Step::LogOut(by) => {
                let by = self.at(by);
                self.send(&by, Method::POST, "/api/auth/logout").await;
                self.end(|got| got.kind == Kind::Session && got.id == by.id);
            }
            Step::Regenerate(by) => {
                let by = self.at(by);
                let answer = self.send(&by, Method::POST, "/api/token/regenerate").await;
                if answer["token"].is_string() {
                    assert!(by.kind != Kind::Session || by.key.is_none(), "{by:?}");
                    assert!(by.key.is_none() || by.ends == i64::MAX, "{by:?}");
                    self.end(|got| got.kind != Kind::Key);
                    let master =
                        self.looked_at(answer["token"].as_str().expect("a text").to_owned(), Kind::Master, None);
                    let master = master.await;
                    self.all.push(master);
                }
            }
            Step::Pass(seconds) => self.pass(seconds),
        }
        self.hold().await;
    }

    fn pass(&mut self, seconds: u64) {
        self.app.pass(Duration::from_secs(seconds));
        self.now += i64::try_from(seconds * 1_000).expect("a small number");
    }

    /// What has ended opens nothing, and everything else opens what it did.
    async fn hold(&self) {
        for got in &self.all {
            let me = self.app.user_with(&got.token).get("/api/v1/auth/me").await;
            if !self.is_good(got) {
                me.assert_error(401, "Unauthorized");
                continue;
            }
            let me = me.assert_status(200).json();
            let scopes: BTreeSet<String> = serde_json::from_value(me["scopes"].clone()).expect("a list of names");
            assert_eq!((&scopes, time(&me["expires_at"])), (&got.scopes, got.ends), "{got:?}");
        }
    }
}

#[test]
fn nobody_gets_more_than_they_had_and_nothing_that_has_ended_begins_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    proptest!(ProptestConfig::with_cases(32), |(steps in vec(step(), 1..=40))| {
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
            }
        });
    });
}
