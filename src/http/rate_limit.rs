//! How often somebody may ask.
//!
//! Who has a good credential is counted by it, everybody else by address. The buckets themselves are `governor`'s.

use super::error::ApiError;
use crate::domain::auth::rate::{self, RateLimit};
use crate::domain::network::network_of;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use governor::clock::Clock;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many buckets of a tier are kept. Full ones are dropped first; if all are in use, newcomers share one.
const BUCKETS: usize = 10_000;

/// How often the full ones are dropped at most: looking at all of them for each request would be the flood's best ally.
const SWEEP: Duration = Duration::from_secs(1);

/// The bucket that newcomers share when there are too many.
const CROWD: &str = "(others)";

/// What requests are counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Any request.
    Api,
    /// Getting in: logging in, pairing, and failing to prove anything.
    Auth,
    /// Opening something that stays open.
    Ws,
    /// What is done with an API key, or a session got with it.
    Key,
}

/// All buckets.
pub struct RateLimits {
    api: Option<Buckets>,
    auth: Option<Buckets>,
    ws: Option<Buckets>,
    key: Option<Buckets>,
}

impl RateLimits {
    /// Buckets that are all full.
    #[must_use]
    pub fn new(limits: &rate::RateLimits) -> Self {
        let buckets = |limit: &Option<RateLimit>| limit.as_ref().map(Buckets::new);
        Self {
            api: buckets(&limits.api),
            auth: buckets(&limits.auth),
            ws: buckets(&limits.ws),
            key: buckets(&limits.key),
        }
    }

    /// Takes one out of the bucket of `who`.
    ///
    /// # Errors
    /// If it is empty.
    pub fn count(&self, tier: Tier, who: &str) -> Result<Option<Standing>, TooMany> {
        let buckets = match tier {
            Tier::Api => &self.api,
            Tier::Auth => &self.auth,
            Tier::Ws => &self.ws,
            Tier::Key => &self.key,
        };
        let standing = buckets.as_ref().map(|buckets| buckets.take(who));
        standing.transpose().map_err(|standing| TooMany { tier, standing })
    }
}

/// Names an address as a key of buckets.
#[must_use]
pub fn key_of(address: IpAddr) -> String {
    format!("address {}", network_of(address))
}

/// How full a bucket is.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    limit: u32,
    remaining: u32,
    /// Until the bucket is full again; if it was empty, until there is one in it.
    reset: Duration,
}

impl Standing {
    /// Tells the client.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let mut set = |name: &'static str, value: u64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        set("x-ratelimit-limit", self.limit.into());
        set("x-ratelimit-remaining", self.remaining.into());
        set("x-ratelimit-reset", self.reset_seconds());
    }

    fn reset_seconds(&self) -> u64 {
        self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0)
    }
}

/// The bucket was empty.
#[derive(Debug)]
pub struct TooMany {
    tier: Tier,
    standing: Standing,
}

impl IntoResponse for TooMany {
    fn into_response(self) -> Response {
        let detail = match self.tier {
            Tier::Key => "API key rate limit exceeded",
            Tier::Api | Tier::Auth | Tier::Ws => "Too many requests",
        };
        let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
        self.standing.write_to(response.headers_mut());
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.standing.reset_seconds()));
        response
    }
}

/// The clock of the runtime, which tests can stop.
#[derive(Debug, Clone, Copy)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

type Limiter = RateLimiter<String, HashMapStateStore<String>, RuntimeClock, StateInformationMiddleware>;

struct Buckets {
    limiter: Limiter,
    clock: RuntimeClock,
    limit: RateLimit,
    swept: Mutex<Instant>,
}

impl Buckets {
    fn new(limit: &RateLimit) -> Self {
        let clock = RuntimeClock(Instant::now());
        // A limit's interval is never zero, so there is always a quota; without one there would be no limit to keep.
        let quota = Quota::with_period(limit.interval).unwrap_or(Quota::per_second(limit.burst));
        let quota = quota.allow_burst(limit.burst);
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(quota, HashMapStateStore::default(), clock);
        Self { limiter: limiter.with_middleware(), clock, limit: *limit, swept: Mutex::new(clock.0) }
    }

    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.limiter.retain_recent();
        }
    }

    fn take(&self, who: &str) -> Result<Standing, Standing> {
        if self.limiter.len() >= BUCKETS {
            self.sweep();
        }
        let who = if self.limiter.len() >= BUCKETS { CROWD } else { who };
        let limit = self.limit.burst.get();
        match self.limiter.check_key(&who.to_owned()) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                Ok(Standing { limit, remaining, reset: self.limit.interval * limit.saturating_sub(remaining) })
            }
            Err(refused) => {
                let reset = refused.wait_time_from(self.clock.now());
                Err(Standing { limit, remaining: 0, reset })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_takes_no_more_room_than_there_is_and_makes_room_when_it_has_gone() {
        let limit = RateLimit::new(1.0, 1).unwrap();
        let buckets = Buckets::new(&limit);
        tokio::time::advance(SWEEP).await;
        for number in 0..BUCKETS {
            assert!(buckets.take(&number.to_string()).is_ok());
        }
        assert!(buckets.take("a newcomer").is_ok());
        assert!(buckets.take("another").is_err(), "they share a bucket");
        assert!(buckets.limiter.len() <= BUCKETS + 1);
        tokio::time::advance(SWEEP * 3).await;
        assert!(buckets.take("a newcomer").is_ok());
        assert!(buckets.take("another").is_ok());
        assert!(buckets.limiter.len() < 10);
    }
}
