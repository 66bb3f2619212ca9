//! Sign-ins that were begun: in memory, for some minutes, each good for one answer.

use super::discovery::Discovered;
use super::grant::Client;
use crate::domain::mcp::sign_in::LIFETIME;
use crate::domain::mcp::{McpServerName, RemoteUrl};
use crate::domain::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

/// How many may be open, and how many clients are remembered.
const MOST: usize = 200;

/// What ends a sign-in.
pub(super) struct Open {
    pub url: RemoteUrl,
    pub challenge: Option<String>,
    pub client: Client,
    /// Holds the verifier of the code.
    pub discovered: Discovered,
}

pub(super) struct OpenSignIns<T = Open> {
    /// By the hash of the state, so that how long it takes to find one tells nothing about the states that there are.
    begun: HashMap<[u8; 32], Begun<T>>,
    /// How many were begun ever: what is newer is not for the clock to say.
    count: u64,
}

struct Begun<T> {
    server: McpServerName,
    at: Timestamp,
    number: u64,
    open: T,
}

impl<T> Default for OpenSignIns<T> {
    fn default() -> Self {
        Self { begun: HashMap::new(), count: 0 }
    }
}

impl<T> OpenSignIns<T> {
    /// Keeps a sign-in, in the place of the oldest if there are too many. The one that was begun before for that server is
    /// kept, too: somebody may be typing a password there.
    pub fn put(&mut self, state: &str, server: McpServerName, now: Timestamp, open: T) {
        self.begun.retain(|_, begun| begun.is_alive(now));
        let newest = self.begun.values().filter(|begun| begun.server == server).map(|begun| begun.number).max();
        self.begun.retain(|_, begun| begun.server != server || Some(begun.number) == newest);
        if self.begun.len() >= MOST
            && let Some(oldest) = self.begun.iter().min_by_key(|(_, begun)| begun.number).map(|(key, _)| *key)
        {
            self.begun.remove(&oldest);
        }
        self.count += 1;
        self.begun.insert(key(state), Begun { server, at: now, number: self.count, open });
    }

    /// The sign-in of that state, which is worth nothing from now on.
    pub fn take(&mut self, state: &str, now: Timestamp) -> Option<(McpServerName, T)> {
        let begun = self.begun.remove(&key(state)).filter(|begun| begun.is_alive(now))?;
        Some((begun.server, begun.open))
    }
}

impl<T> Begun<T> {
    fn is_alive(&self, now: Timestamp) -> bool {
        now.since(self.at) < LIFETIME
    }
}

fn key(state: &str) -> [u8; 32] {
    Sha256::digest(state).into()
}

/// Clients that were registered and not stored yet, since nobody signed in with them. They are used again, or every attempt
/// to connect would leave one more at the authorization server.
#[derive(Default)]
pub(super) struct Registrations {
    known: VecDeque<Registration>,
    /// The ids of those that the authorization server has forgotten, stored or not.
    refused: VecDeque<String>,
}

struct Registration {
    url: String,
    issuer: String,
    client: Client,
}

impl Registrations {
    pub fn put(&mut self, url: &RemoteUrl, issuer: &str, client: Client) {
        self.known.retain(|known| !known.is_for(url, issuer));
        self.known.truncate(MOST - 1);
        self.known.push_front(Registration { url: url.expose().to_owned(), issuer: issuer.to_owned(), client });
    }

    pub fn refuse(&mut self, client: &Client) {
        self.refused.truncate(MOST - 1);
        self.refused.push_front(client.id.clone());
    }

    pub fn is_refused(&self, client: &Client) -> bool {
        self.refused.contains(&client.id)
    }

    pub fn find(&self, url: &RemoteUrl, issuer: &str) -> Option<Client> {
        self.known.iter().find(|known| known.is_for(url, issuer)).map(|known| known.client.clone())
    }
}

impl Registration {
    fn is_for(&self, url: &RemoteUrl, issuer: &str) -> bool {
        self.url == url.expose() && self.issuer == issuer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn named(name: &str) -> McpServerName {
        McpServerName::parse(name).unwrap()
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut open = OpenSignIns::default();
        for at in 0..=200_i64 {
            open.put(&format!("state{at}"), named(&format!("server{at}")), Timestamp(at), at);
        }
        assert_eq!(open.begun.len(), MOST);
        assert!(open.take("state0", Timestamp(300)).is_none());
        assert_eq!(open.take("state1", Timestamp(300)), Some((named("server1"), 1)));
        assert!(open.take("state1", Timestamp(300)).is_none(), "good once");
    }

    #[test]
    fn two_for_each_server_and_only_for_a_while() {
        let mut open = OpenSignIns::default();
        let end = Timestamp(0).plus(LIFETIME);
        open.put("a", named("one"), Timestamp(0), ());
        open.put("b", named("other"), Timestamp(0), ());
        open.put("c", named("one"), Timestamp(1), ());
        assert!(open.take("a", Timestamp(1)).is_some(), "somebody was on the way");
        // The clock may stand still.
        open.put("d", named("one"), Timestamp(1), ());
        open.put("e", named("one"), Timestamp(1), ());
        assert!(open.take("c", Timestamp(1)).is_none(), "replaced twice");
        assert!(open.take("b", end).is_none(), "over");
        assert!(open.take("d", end).is_some());
        open.put("f", named("other"), end.plus(Duration::from_secs(1)), ());
        assert_eq!(open.begun.len(), 1, "what is over makes room");
    }

    #[test]
    fn clients_are_remembered_by_address_and_issuer() {
        let url = |url: &str| RemoteUrl::parse(url).unwrap();
        let client = |id: &str| Client { id: id.into(), secret: None, redirect_uri: None, secret_in_body: false };
        let mut registrations = Registrations::default();
        registrations.put(&url("https://a.example"), "i", client("1"));
        registrations.put(&url("https://a.example"), "i", client("2"));
        assert!(registrations.find(&url("https://a.example"), "i") == Some(client("2")));
        assert!(registrations.find(&url("https://a.example"), "j").is_none());
        assert!(registrations.find(&url("https://b.example"), "i").is_none());
        registrations.refuse(&client("2"));
        assert!(registrations.is_refused(&client("2")) && !registrations.is_refused(&client("1")));
        for number in 0..300 {
            registrations.put(&url(&format!("https://h{number}.example")), "i", client("3"));
            registrations.refuse(&client("4"));
        }
        assert_eq!((registrations.known.len(), registrations.refused.len()), (MOST, MOST));
    }
}
