//! Giving tokens back (RFC 7009).

use super::discovery::discover;
use super::grant::{Client, Grant};
use super::words::{cleaned, unusable};
use crate::domain::mcp::RemoteUrl;
use crate::domain::mcp::sign_in::SignInError;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Gives back the refresh token, which ends the whole sign-in at most authorization servers, and then the access token.
pub(super) async fn revoke(url: &RemoteUrl, grant: &Grant) -> Result<(), SignInError> {
    let (Some(tokens), Some(client)) = (&grant.tokens, &grant.client) else { return Ok(()) };
    let endpoint = match &grant.issuer {
        Some(_) => grant.revocation_endpoint.clone(),
        // An imported one has never met its authorization server yet.
        None => discover(url, None).await?.revocation_endpoint,
    };
    let Some(endpoint) = endpoint else { return Ok(()) };
    let endpoint = Url::parse(&endpoint).map_err(|_| unusable("its metadata names an address that is none"))?;
    let http = http_for(url, &endpoint).await?;
    let mut is_done = false;
    if let Some(token) = &tokens.refresh_token {
        send(&http, &endpoint, client, "refresh_token", token, grant).await?;
        is_done = true;
    }
    let access = send(&http, &endpoint, client, "access_token", &tokens.access_token, grant).await;
    // Not all take access tokens (§2.2.1), and those end by themselves.
    if is_done { Ok(()) } else { access }
}

async fn send(
    http: &reqwest::Client,
    endpoint: &Url,
    client: &Client,
    kind: &str,
    token: &str,
    grant: &Grant,
) -> Result<(), SignInError> {
    let mut form = vec![("token", token), ("token_type_hint", kind)];
    let mut request = http.post(endpoint.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match &client.secret {
        // Both are encoded as in a form before they become user and password (RFC 6749 §2.3.1).
        Some(secret) if !client.secret_in_body => {
            request = request.basic_auth(encoded(&client.id), Some(encoded(secret)));
        }
        Some(secret) => form.extend([("client_id", client.id.as_str()), ("client_secret", secret)]),
        None => form.push(("client_id", &client.id)),
    }
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let answer = request.body(form).send().await.map_err(|error| {
        let error = error.without_url().to_string();
        unusable(format!(
            "it cannot be told that tokens are not needed any more: {}",
            cleaned(&error, &grant.secrets())
        ))
    })?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(unusable(format!("it answered {} when told that tokens are not needed any more", answer.status().as_u16())))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A client that reaches `endpoint` at addresses that were looked at, and follows no redirect. The library has such a one
/// for its own requests, and does not lend it.
async fn http_for(server: &RemoteUrl, endpoint: &Url) -> Result<reqwest::Client, SignInError> {
    let own = Url::parse(server.expose()).ok();
    let own = own.as_ref().and_then(|url| class_of_host(&url.host()?));
    let port = endpoint.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match endpoint.host() {
        Some(Host::Domain(name)) => match tokio::net::lookup_host((name, port)).await {
            Ok(addresses) => addresses.collect(),
            Err(_) => return Err(unusable("its host is not known")),
        },
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        None => Vec::new(),
    };
    let is_allowed = |address: &SocketAddr| match class_of(address.ip()) {
        Class::Public => true,
        Class::Never => false,
        class => own == Some(class),
    };
    let addresses: Vec<SocketAddr> = addresses.into_iter().filter(is_allowed).collect();
    if addresses.is_empty() {
        return Err(unusable("its address is a private one, and that of the MCP server is not"));
    }
    let mut http = reqwest::Client::builder().redirect(Policy::none());
    if let Some(Host::Domain(name)) = endpoint.host() {
        http = http.resolve_to_addrs(name, &addresses);
    }
    http.build().map_err(|_| unusable("it cannot be reached"))
}

/// Who can be behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Public,
    /// This machine.
    Loopback,
    /// This network.
    Private,
    /// Nobody of the kind: metadata of clouds, groups, what is reserved.
    Never,
}

/// The class that the host of a server has by its name alone: what a name stands for is said by strangers.
fn class_of_host(host: &Host<&str>) -> Option<Class> {
    match host {
        Host::Domain(name) => (*name == "localhost" || name.ends_with(".localhost")).then_some(Class::Loopback),
        Host::Ipv4(address) => Some(class_of_v4(*address)),
        Host::Ipv6(address) => Some(class_of_v6(*address)),
    }
}

fn class_of(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [127, ..] => Class::Loopback,
        // The last are of providers who share one address among customers (RFC 6598).
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Class::Never,
        _ => Class::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    // What carries an IPv4 address inside: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
    let [first, second, third, .., seventh, eighth] = address.segments();
    let inner = |high: u16, low: u16| class_of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(seventh, eighth),
        [0x2002, ..] => inner(second, third),
        _ if first & 0xfe00 == 0xfc00 => Class::Private,
        // All that is given out so far, but for documentation and tunnels.
        _ if first & 0xe000 == 0x2000 && !(first == 0x2001 && matches!(second, 0 | 0xdb8)) => Class::Public,
        _ => Class::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for (class, addresses) in [
            (Class::Public, &["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "172.32.0.1"][..]),
            (Class::Loopback, &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"]),
            (Class::Private, &["10.1.1.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"]),
            (Class::Never, &["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::", "ff02::1"]),
        ] {
            for address in addresses {
                assert_eq!(class_of(address.parse().unwrap()), class, "{address}");
            }
        }
    }

    #[tokio::test]
    async fn a_public_server_reaches_no_private_endpoint() {
        for (server, endpoint, is_reached) in [
            ("https://mcp.example/", "http://127.0.0.1/revoke", false),
            ("https://mcp.example/", "http://localhost/revoke", false),
            ("http://192.168.1.1/", "http://127.0.0.1/revoke", false),
            ("http://192.168.1.1/", "http://192.168.1.9/revoke", true),
            ("http://localhost:1/", "http://127.0.0.1/revoke", true),
            ("http://169.254.169.254/", "http://169.254.169.254/revoke", false),
            ("http://127.0.0.1/", "https://8.8.8.8/revoke", true),
        ] {
            let server = RemoteUrl::parse(server).unwrap();
            let http = http_for(&server, &Url::parse(endpoint).unwrap()).await;
            assert_eq!(http.is_ok(), is_reached, "{endpoint}");
        }
    }
}
