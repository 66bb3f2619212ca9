//! What whoever answers requests has to know of a tunnel.

use super::PublicUrl;
use std::sync::{Arc, PoisonError, RwLock};

/// Whether strangers may come through a tunnel, and by which name. Clones are the same: whoever watches over the tunnel sets
/// it, and whoever answers requests asks it for each one.
///
/// It is open from before the tunnel's program starts until after that program is gone, whether the tunnel works or not:
/// what the program sends comes from this machine, so nothing that comes from here can be trusted for that alone.
#[derive(Debug, Clone, Default)]
pub struct Exposure(Arc<RwLock<Open>>);

#[derive(Debug, Clone, Default)]
struct Open {
    is_open: bool,
    entrance: Option<Arc<Entrance>>,
}

/// Where strangers come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The public address.
    pub url: PublicUrl,
    /// The header in which the provider names the address of the client, in lower case: its last element. What the client
    /// says there is replaced, or stands before it.
    pub client_header: &'static str,
}

impl Exposure {
    /// To be called before the program is started.
    pub fn open(&self) {
        self.set(Open { is_open: true, entrance: None });
    }

    /// Says by which name strangers come, or that they do not come at the moment. Only while it is open.
    pub fn admit(&self, entrance: Option<Entrance>) {
        self.set(Open { is_open: true, entrance: entrance.map(Arc::new) });
    }

    /// To be called after the program is gone.
    pub fn close(&self) {
        self.set(Open::default());
    }

    /// Whether a program that lets strangers in may be running.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_open
    }

    /// Where strangers come in at the moment.
    #[must_use]
    pub fn entrance(&self) -> Option<Arc<Entrance>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).entrance.clone()
    }

    fn set(&self, open: Open) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = open;
    }
}
