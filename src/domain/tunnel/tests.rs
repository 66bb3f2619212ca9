use super::*;
use crate::domain::tunnel::exposure::{Entrance, Exposure};
use std::sync::Arc;

#[test]
fn a_public_address_is_https_and_a_name() {
    for (host, url) in [
        ("paw.example.org", "https://paw.example.org"),
        ("Steep-Mountain-ABC123.TryCloudflare.com", "https://steep-mountain-abc123.trycloudflare.com"),
        ("a.b", "https://a.b"),
        ("1.example", "https://1.example"),
        ("xn--pfote-kva.example", "https://xn--pfote-kva.example"),
    ] {
        let public = PublicUrl::of_host(host).unwrap();
        assert_eq!((public.as_str(), public.to_string().as_str()), (url, url));
        assert_eq!(format!("https://{}", public.host()), url);
    }
}

#[test]
fn what_is_no_name_of_the_internet_is_no_public_address() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "a.".repeat(124));
    assert_eq!(long_name.len(), 255);
    for host in [
        "",
        ".",
        "localhost",
        "example.",
        ".example",
        "a..example",
        "https://paw.example.org",
        "paw.example.org/",
        "paw.example.org:8000",
        "paw.example.org?token=x",
        "user@paw.example.org",
        "paw_example.org",
        "-paw.example",
        "paw-.example",
        "paw .example",
        "pöw.example",
        "127.0.0.1",
        "[::1]",
        "paw.example.1",
        "paw.example\n.org",
        &long_label,
        &long_name,
    ] {
        assert_eq!(PublicUrl::of_host(host), Err(NotAHostname), "{host:?}");
    }
}

#[test]
fn failures_say_what_happened_and_what_was_written_last() {
    let lines = |count: usize| (1..=count).map(|number| format!("line {number}")).collect::<Vec<_>>();
    let exited = |last_lines| OpenError::Exited { program: "it", how: "exited with status 1".to_owned(), last_lines };
    assert_eq!(exited(lines(0)).to_string(), "it exited with status 1 before the tunnel was up");
    assert_eq!(
        exited(lines(5)).to_string(),
        "it exited with status 1 before the tunnel was up; its last words: line 3 | line 4 | line 5"
    );
    let limit = Duration::from_secs(60);
    let missing = "gave no public address";
    let timed_out = OpenError::TimedOut { program: "it", missing, limit, last_lines: lines(1) };
    assert_eq!(timed_out.to_string(), "it gave no public address within 60 seconds; its last words: line 1");
    let missing = Unusable::NotInstalled { program: "it", how_to_install: "Install it with: get it".to_owned() };
    assert_eq!(OpenError::from(missing).to_string(), "it is not installed. Install it with: get it");
}

#[test]
fn what_a_user_has_to_mend_does_not_pass() {
    let broken = Unusable::Broken { path: "/it".to_owned(), reason: "it is no program".to_owned() };
    assert!(!OpenError::from(broken).may_pass());
    assert!(!OpenError::NotStarted("permission denied".to_owned()).may_pass());
    let (program, how) = ("it", "exited with status 1".to_owned());
    assert!(OpenError::Exited { program, how, last_lines: Vec::new() }.may_pass());
    let (missing, limit) = ("gave no public address", Duration::from_secs(60));
    assert!(OpenError::TimedOut { program, missing, limit, last_lines: Vec::new() }.may_pass());
}

#[test]
fn a_server_is_exposed_from_before_the_tunnel_until_after_it() {
    let exposure = Exposure::default();
    let seen = exposure.clone();
    assert_eq!((seen.is_open(), seen.entrance()), (false, None));
    exposure.open();
    assert_eq!((seen.is_open(), seen.entrance()), (true, None));
    let entrance = Entrance { url: PublicUrl::of_host("paw.example").unwrap(), client_header: "cf-connecting-ip" };
    exposure.admit(Some(entrance.clone()));
    assert_eq!((seen.is_open(), seen.entrance()), (true, Some(Arc::new(entrance))));
    exposure.admit(None);
    assert_eq!((seen.is_open(), seen.entrance()), (true, None));
    exposure.close();
    assert_eq!((seen.is_open(), seen.entrance()), (false, None));
}
