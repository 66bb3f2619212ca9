use super::*;

#[test]
fn a_tunnel_of_ones_own_has_a_token_and_a_name() {
    let quick = from_flags(&[("tunnel", "true"), ("cloudflared", "/opt/cloudflared")]).unwrap().tunnel;
    assert!(quick.keep_open && quick.token.is_none() && quick.url.is_none());
    assert_eq!(quick.cloudflared, Some("/opt/cloudflared".into()));
    assert!(from_file("tunnel = true").unwrap().tunnel.keep_open);
    let both = [("PAWPORT_TUNNEL_TOKEN", "secret"), ("PAWPORT_TUNNEL_HOSTNAME", " Paw.Example.org ")];
    let named = from_environment(&both).unwrap().tunnel;
    assert!(!named.keep_open, "it can be started later");
    assert_eq!(named.token.unwrap().expose_secret(), "secret");
    assert_eq!(named.url.unwrap().as_str(), "https://paw.example.org");
    let by_file = [("PAWPORT_TUNNEL_TOKEN_FILE", "/run/token"), ("PAWPORT_TUNNEL_HOSTNAME", "paw.example.org")];
    assert!(from_environment(&by_file).unwrap().tunnel.url.is_some());
    for (given, told) in [
        (
            ("PAWPORT_TUNNEL_TOKEN", "secret"),
            "tunnel_token (from environment variable PAWPORT_TUNNEL_TOKEN) is given without the public hostname",
        ),
        (
            ("PAWPORT_TUNNEL_TOKEN_FILE", "/run/token"),
            "tunnel_token_file (from environment variable PAWPORT_TUNNEL_TOKEN_FILE) is given without",
        ),
        (("PAWPORT_TUNNEL_HOSTNAME", "paw.example.org"), "is given without the token of that tunnel"),
        (("PAWPORT_TUNNEL_HOSTNAME", "localhost"), "a name such as paw.example.org"),
        (("PAWPORT_TUNNEL_HOSTNAME", "192.0.2.1"), "a name such as paw.example.org"),
    ] {
        let told_now = message(from_environment(&[given]));
        assert!(told_now.contains(told) && !told_now.contains("secret"), "{told_now}");
    }
}
