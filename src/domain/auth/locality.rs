//! Is a request really from this machine? Then it needs no credential, if the owner wants it so.
//!
//! Coming from a loopback address is not enough: proxies and tunnels on this machine do, and so does every page that is open
//! in a browser here. Each of the facts below is one way in which a stranger could look like a neighbour.

use thiserror::Error;

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own source")]
pub struct Facts {
    /// The owner allows it.
    pub allowed: bool,
    /// A tunnel is up, is starting, or has not ended yet. It connects from this machine.
    pub tunnelled: bool,
    /// The connection comes from a loopback address.
    pub from_loopback: bool,
    /// The address it comes from is one that the owner says is a proxy's.
    pub from_proxy: bool,
    /// It has a header that proxies add, or speaks HTTP/1.0 as old proxies do.
    pub forwarded: bool,
    /// The name it was sent to is a loopback name or the address the server listens on.
    pub to_local_name: bool,
    /// A page of another origin made a browser send it.
    pub from_foreign_page: bool,
}

/// Why a request counts as a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotLocal {
    /// The owner does not allow it.
    #[error("localhost_auth_bypass is off")]
    NotAllowed,
    /// There is a tunnel.
    #[error("a tunnel is active")]
    Tunnel,
    /// It comes from elsewhere.
    #[error("the connection is not from a loopback address")]
    Elsewhere,
    /// It comes through a proxy.
    #[error("the request came through a proxy")]
    Proxy,
    /// It was sent to another name.
    #[error("the Host is not a loopback name or the address the server listens on")]
    Host,
    /// A page of another origin sent it.
    #[error("a page of another origin sent it")]
    ForeignPage,
}

impl Facts {
    /// Whether the request is from this machine.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn check(self) -> Result<(), NotLocal> {
        match self {
            Self { allowed: false, .. } => Err(NotLocal::NotAllowed),
            Self { tunnelled: true, .. } => Err(NotLocal::Tunnel),
            Self { from_loopback: false, .. } => Err(NotLocal::Elsewhere),
            Self { from_proxy: true, .. } | Self { forwarded: true, .. } => Err(NotLocal::Proxy),
            Self { to_local_name: false, .. } => Err(NotLocal::Host),
            Self { from_foreign_page: true, .. } => Err(NotLocal::ForeignPage),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
