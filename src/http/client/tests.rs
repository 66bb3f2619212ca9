use super::*;
use axum::body::Body;

const PROXY: &str = "10.0.0.1";

fn policy() -> Policy {
    Policy {
        public_url: Some("https://paw.example.org".to_owned()),
        allowed_hosts: HashSet::from(["paw.lan".to_owned()]),
        cors_origins: HashSet::from(["https://board.example.org".to_owned()]),
        trusted_proxies: vec!["10.0.0.0/30".parse().unwrap()],
        localhost_auth_bypass: true,
        url_tokens: true,
        exposure: Exposure::default(),
    }
}

/// A request from `peer` to 192.0.2.10, with these headers.
fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = axum::http::Request::post("/api/sessions");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
    request.extensions_mut().insert(Connection { peer, local: "192.0.2.10:8000".parse().unwrap() });
    request
}

fn client(peer: &str, headers: &[(&str, &str)]) -> Client {
    Client::of(&policy(), &request(peer, headers)).unwrap()
}

#[test]
fn the_server_goes_by_its_own_names_only() {
    for host in [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "192.0.2.10:8000",
        "paw.example.org",
        "paw.example.org.:443",
        "paw.lan:80",
    ] {
        assert!(Client::of(&policy(), &request("203.0.113.7", &[("host", host)])).is_ok(), "{host}");
    }
    for host in [
        "evil.example",
        "192.0.2.11",
        "paw.example.org.evil.example",
        "localhost.evil.example",
        "evil.example@localhost",
        "",
        ":8000",
        "paw lan",
        "0.0.0.0",
    ] {
        assert!(Client::of(&policy(), &request("127.0.0.1", &[("host", host)])).is_err(), "{host}");
    }
    for hosts in [&[][..], &[("host", "localhost"), ("host", "localhost")]] {
        assert!(Client::of(&policy(), &request("127.0.0.1", hosts)).is_err(), "{hosts:?}");
    }
}

#[test]
fn the_target_of_a_request_goes_before_its_host_header() {
    let mut request = request("127.0.0.1", &[("host", "localhost")]);
    *request.uri_mut() = "http://evil.example/api/sessions".parse().unwrap();
    assert!(Client::of(&policy(), &request).is_err());
}

#[test]
fn a_proxy_that_is_trusted_says_who_the_client_is_and_nobody_else_does() {
    for (peer, lines, address) in [
        ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
        (PROXY, &[], PROXY),
        (PROXY, &["198.51.100.1"], "198.51.100.1"),
        // What the client says comes first, what the nearest proxy saw last.
        (PROXY, &["192.168.0.1, 198.51.100.1"], "198.51.100.1"),
        (PROXY, &["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        (PROXY, &["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        (PROXY, &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (PROXY, &["198.51.100.1, garbage"], PROXY),
        (PROXY, &["garbage, 198.51.100.1"], "198.51.100.1"),
        (PROXY, &["[2001:db8::1]:4711"], "2001:db8::1"),
        (PROXY, &["198.51.100.1:4711"], "198.51.100.1"),
        ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let client = client(peer, &[&[("host", "localhost")], &headers[..]].concat());
        assert_eq!(client.address.to_string(), address, "{peer} {lines:?}");
    }
}

#[test]
fn https_is_what_a_trusted_proxy_or_the_public_url_says() {
    let proto = ("x-forwarded-proto", "https, http");
    for (peer, headers, https) in [
        ("203.0.113.7", &[("host", "localhost"), proto][..], false),
        (PROXY, &[("host", "localhost"), proto], true),
        (PROXY, &[("host", "localhost"), ("x-forwarded-proto", "http, https")], false),
        ("203.0.113.7", &[("host", "paw.example.org")], true),
        ("203.0.113.7", &[("host", "paw.lan")], false),
    ] {
        assert_eq!(client(peer, headers).https, https, "{peer} {headers:?}");
    }
}

#[test]
fn a_page_is_welcome_if_it_is_ours_or_allowed() {
    for (headers, is_foreign) in [
        (&[][..], false),
        (&[("origin", "http://localhost:8000")], false),
        (&[("origin", "https://LOCALHOST:8000")], false),
        (&[("origin", "https://paw.example.org")], false),
        (&[("origin", "tauri://localhost")], false),
        (&[("origin", "http://localhost:1420")], false),
        (&[("origin", "https://board.example.org")], false),
        (&[("sec-fetch-site", "same-origin")], false),
        (&[("sec-fetch-site", "none")], false),
        // The origin is what is allowed; how far away it is does not matter then.
        (&[("origin", "tauri://localhost"), ("sec-fetch-site", "cross-site")], false),
        (&[("origin", "http://localhost:3000")], true),
        (&[("origin", "http://localhost")], true),
        (&[("origin", "null")], true),
        (&[("origin", "")], true),
        (&[("origin", "ftp://localhost:8000")], true),
        (&[("origin", "http://paw.example.org")], true),
        (&[("origin", "https://paw.example.org.evil.example")], true),
        (&[("sec-fetch-site", "cross-site")], true),
        (&[("sec-fetch-site", "same-site")], true),
    ] {
        let client = client("127.0.0.1", &[&[("host", "localhost:8000")], headers].concat());
        assert_eq!(client.is_foreign_page(), is_foreign, "{headers:?}");
    }
}

#[test]
fn who_came_through_somebody_is_not_local() {
    let local = client("127.0.0.1", &[("host", "localhost")]);
    assert_eq!(local.check_local(), Ok(()));
    assert_eq!(client("::ffff:127.0.0.1", &[("host", "[::1]")]).check_local(), Ok(()));
    assert_eq!(client("127.0.0.1", &[("host", "paw.lan")]).check_local(), Err(NotLocal::Host));
    assert_eq!(client("192.0.2.10", &[("host", "192.0.2.10")]).check_local(), Err(NotLocal::Elsewhere));
    for header in FORWARDING_HEADERS.into_iter().chain(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-anything"])
    {
        let client = client("127.0.0.1", &[("host", "localhost"), (header, "")]);
        assert_eq!(client.check_local(), Err(NotLocal::Proxy), "{header}");
    }
    let mut old = request("127.0.0.1", &[("host", "localhost")]);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(Client::of(&policy(), &old).unwrap().check_local(), Err(NotLocal::Proxy));
}

#[test]
fn a_request_whose_connection_is_unknown_is_not_local() {
    let mut request = request("127.0.0.1", &[("host", "localhost")]);
    request.extensions_mut().remove::<Connection>();
    assert_eq!(Client::of(&policy(), &request).unwrap().check_local(), Err(NotLocal::Elsewhere));
}
