use super::*;
use std::num::NonZeroU32;
use std::time::Duration;

#[test]
fn a_host_is_a_name_in_lower_case_or_an_address_in_its_shortest_form() {
    for (text, expected) in [
        ("localhost", "localhost"),
        ("Paw.Example.ORG", "paw.example.org"),
        ("my_service-1", "my_service-1"),
        ("4you.example", "4you.example"),
        ("192.168.1.2", "192.168.1.2"),
        ("0:0::1", "::1"),
        ("[FD00::2]", "fd00::2"),
    ] {
        assert_eq!(host(text).as_deref(), Some(expected), "{text}");
    }
    let label = "a".repeat(63);
    let longest = [label.as_str(), &label, &label, &label[..61]].join(".");
    assert_eq!(host(&longest).as_ref(), Some(&longest));
    assert_eq!(host(&format!("{longest}a")), None);
    assert_eq!(host(&format!("{label}a")), None);
}

#[test]
fn the_origin_of_a_page_is_what_browsers_send() {
    for (text, expected) in [
        ("https://paw.example.org", "https://paw.example.org"),
        ("HTTPS://Paw.Example.org", "https://paw.example.org"),
        ("https://a:443", "https://a"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[::80]", "http://[::80]"),
        ("tauri://localhost", "tauri://localhost"),
        ("capacitor://localhost:80", "capacitor://localhost:80"),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
    ] {
        assert_eq!(page_origin(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn only_the_web_can_be_opened() {
    assert_eq!(web_origin("https://paw.example.org:1").as_deref(), Some("https://paw.example.org:1"));
    for text in ["tauri://localhost", "httpx://a", "https://*.example.org"] {
        assert_eq!(web_origin(text), None, "{text}");
    }
}

#[test]
fn an_address_alone_is_a_network_of_one() {
    for (text, expected) in [
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("fd00::/8", "fd00::/8"),
    ] {
        assert_eq!(network(text).unwrap().to_string(), expected, "{text}");
    }
}

#[test]
fn spaces_around_items_and_empty_items_mean_nothing() {
    for (text, expected) in [("a", &["a"][..]), (" a , b c ,,d,", &["a", "b c", "d"]), ("", &[]), (" , ,", &[])] {
        assert_eq!(items(text).collect::<Vec<_>>(), expected, "{text:?}");
    }
}

#[test]
fn a_limit_is_a_rate_and_a_burst() {
    for (text, milliseconds, burst) in [("10/30", 100, 30), ("0.5/1", 2000, 1), ("1.0/100000", 1000, 100_000)] {
        let limit = RateLimit { interval: Duration::from_millis(milliseconds), burst: NonZeroU32::new(burst).unwrap() };
        assert_eq!(rate_limit(text), Some(limit), "{text}");
    }
}

#[test]
fn a_database_is_shown_without_its_passwords() {
    for (url, shown) in [
        ("postgres://ada:hunter2@db/paw", "postgres://ada:***@db/paw"),
        ("postgresql://ada@db:5433/paw?password=hunter2&a=b", "postgresql://ada@db:5433/paw?password=***&a=b"),
        ("postgres:///paw?host=/run/x&sslpassword=hunter2", "postgres:///paw?host=/run/x&sslpassword=***"),
        ("postgres://ada@db/paw", "postgres://ada@db/paw"),
    ] {
        let Some(DatabaseUrl::Postgres(taken)) = DatabaseUrl::parse(url) else { panic!("{url}") };
        assert_eq!(taken.secret().expose_secret(), url);
        assert_eq!(taken.to_string(), shown);
        assert!(!format!("{taken:?}").contains("hunter2"));
    }
}
