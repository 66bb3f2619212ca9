use super::*;

#[test]
fn browsers_are_sent_to_the_app_on_this_machine_only() {
    for good in [
        "tauri://oauth-callback",
        "http://localhost:1420/oauth-callback",
        "http://localhost:49152",
        "http://localhost:49152/",
        "http://127.0.0.1:1/",
        "http://[::1]:65535",
    ] {
        assert_eq!(RedirectUri::parse(good).as_ref().map(RedirectUri::as_str), Some(good));
    }
    for bad in [
        "",
        "https://evil.example/",
        "http://localhost",
        "http://localhost:0",
        "http://localhost:65536",
        "http://localhost:+80",
        "http://localhost:80/x",
        "http://localhost:80//",
        "http://localhost:80?x",
        "http://localhost:80#x",
        "http://localhost.evil.example:80",
        "http://evil.example:80@localhost:80",
        "http://localhost:80@evil.example",
        "https://localhost:80",
        "tauri://oauth-callback/x",
        "javascript:alert(1)",
    ] {
        assert_eq!(RedirectUri::parse(bad), None, "{bad}");
    }
}

/// RFC 7636, appendix B.
#[test]
fn a_challenge_is_met_by_its_verifier_only() {
    let challenge = Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
    assert!(challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert!(!challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
    assert!(!challenge.is_met_by(""));
    for bad in ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"] {
        assert_eq!(Challenge::parse(bad), None, "{bad}");
    }
}
