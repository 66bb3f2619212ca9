//! The keys about the tunnel.

use super::{Key, Kind};

/// Whether it is wanted whenever the server runs.
pub static TUNNEL: Key = Key {
    name: "tunnel",
    flag: Some("tunnel"),
    variable: "PAWPORT_TUNNEL",
    in_file: true,
    placeholder: "WHETHER",
    help: "Open a Cloudflare tunnel with the server, so that it can be reached from elsewhere",
    default: Some("false"),
    allowed: "true or false",
    kind: Kind::Switch,
};

/// The program that makes it.
pub static CLOUDFLARED: Key = Key {
    name: "cloudflared",
    flag: Some("cloudflared"),
    variable: "PAWPORT_CLOUDFLARED",
    in_file: true,
    placeholder: "FILE",
    help: "The program cloudflared, if it is not the one in PATH",
    default: None,
    allowed: "a file (a leading ~ is the shell's and means nothing here)",
    kind: Kind::Plain,
};

/// What lets a named tunnel run.
pub static TUNNEL_TOKEN: Key = Key {
    name: "tunnel_token",
    flag: None,
    variable: "PAWPORT_TUNNEL_TOKEN",
    in_file: true,
    placeholder: "TOKEN",
    help: "Token of a tunnel of your own, as Cloudflare shows it; without one the tunnel has another name each time",
    default: None,
    allowed: "1 to 10000 printable ASCII characters without spaces",
    kind: Kind::Secret,
};

/// That token, from a file.
pub static TUNNEL_TOKEN_FILE: Key = Key {
    name: "tunnel_token_file",
    flag: None,
    variable: "PAWPORT_TUNNEL_TOKEN_FILE",
    in_file: true,
    placeholder: "FILE",
    help: "File that holds the token of a tunnel of your own, and nothing else",
    default: None,
    allowed: "a file that holds 1 to 10000 printable ASCII characters without spaces",
    kind: Kind::Plain,
};

/// The name of a named tunnel.
pub static TUNNEL_HOSTNAME: Key = Key {
    name: "tunnel_hostname",
    flag: Some("tunnel-hostname"),
    variable: "PAWPORT_TUNNEL_HOSTNAME",
    in_file: true,
    placeholder: "NAME",
    help: "Public hostname of that tunnel",
    default: None,
    allowed: "a name such as paw.example.org, without https:// and without a port",
    kind: Kind::Plain,
};
