use super::connect::ConnectError;
use super::mask;
use super::preset::{InstallRejected, Preset, PresetKey, PresetTransport};
use super::tool::ToolFilter;
use super::*;
use crate::domain::output::Masks;
use serde_json::json;
use std::time::Duration;

fn program(arguments: &[&str], environment: &[(&str, &str)]) -> McpServer {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let pair =
        |&(name, value): &(&str, &str)| (EnvironmentName::parse(name).unwrap(), SecretText::variable(value).unwrap());
    McpServer {
        name: McpServerName::parse("files").unwrap(),
        transport: McpTransport::Stdio {
            command: Command::parse("npx").unwrap(),
            arguments: Arguments::parse(arguments).unwrap(),
            environment: environment.iter().map(pair).collect(),
        },
        enabled: true,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: Timestamp(0),
    }
}

fn remote(url: &str, headers: &[(&str, &str)]) -> McpServer {
    let pair = |&(name, value): &(&str, &str)| (HeaderName::parse(name).unwrap(), SecretText::header(value).unwrap());
    let transport = McpTransport::Remote {
        url: RemoteUrl::parse(url).unwrap(),
        flavor: RemoteFlavor::Detect,
        headers: headers.iter().map(pair).collect(),
    };
    McpServer { transport, ..program(&[], &[]) }
}

#[test]
fn names() {
    for name in ["a", "google-workspace", "A.b_c-9", " trimmed ", "7", &"x".repeat(64)] {
        assert_eq!(McpServerName::parse(name).unwrap().as_str(), name.trim());
    }
    for name in ["", "  "] {
        assert_eq!(McpServerName::parse(name), Err(Rejected::NameMissing));
    }
    for name in ["a b", "-a", ".a", "_a", "a/b", "../a", "ä", "a\0", "a\nb", "<a>", "a'", &"x".repeat(65)] {
        assert_eq!(McpServerName::parse(name), Err(Rejected::Name), "{name:?}");
    }
}

#[test]
fn addresses() {
    for url in ["https://mcp.example/mcp", "http://127.0.0.1:1/", "https://[::1]:9/sse?key=1", " http://a "] {
        assert!(RemoteUrl::parse(url).is_ok(), "{url}");
    }
    assert_eq!(RemoteUrl::parse(" "), Err(Rejected::UrlMissing));
    for url in ["file:///etc/passwd", "ftp://a", "mcp.example", "javascript:alert(1)", "http://", "http://a/#b", "//a"]
    {
        assert_eq!(RemoteUrl::parse(url), Err(Rejected::Url), "{url}");
    }
    for url in ["http://user:password@a/", "http://user@a/"] {
        assert_eq!(RemoteUrl::parse(url), Err(Rejected::UrlCredentials), "{url}");
    }
    assert_eq!(RemoteUrl::parse(&format!("http://a/{}", "x".repeat(2048))), Err(Rejected::TooLong(2048)));
    assert_eq!(RemoteUrl::parse(&format!("http://a/{}", "ä".repeat(1000))), Err(Rejected::TooLong(2048)));
    let url = RemoteUrl::parse("https://mcp.example/mcp?key=s3cret").unwrap();
    assert_eq!(url.shown(), "https://mcp.example/mcp");
    assert!(!format!("{url:?}").contains("s3cret"));
}

#[test]
fn variables_and_headers() {
    for name in ["A", "npm_config_registry", "with space", "ä"] {
        assert!(EnvironmentName::parse(name).is_ok(), "{name}");
    }
    for name in ["", "A=B", "=", "A\0"] {
        assert_eq!(EnvironmentName::parse(name), Err(Rejected::VariableName), "{name:?}");
    }
    assert_eq!(EnvironmentName::parse(&"x".repeat(257)), Err(Rejected::TooLong(256)));
    assert_eq!(SecretText::variable("a\0").err(), Some(Rejected::Characters));
    assert_eq!(SecretText::variable(&"x".repeat(32 * 1024 + 1)).err(), Some(Rejected::TooLong(32 * 1024)));
    assert!(SecretText::variable("line\nbreak ä").is_ok());
    assert_eq!(HeaderName::parse("X-Api-Key").unwrap().as_str(), "x-api-key");
    for name in ["", "a b", "a:", "ä", "Host", "content-length", "MCP-Session-Id", "Accept"] {
        assert_eq!(HeaderName::parse(name), Err(Rejected::HeaderName), "{name:?}");
    }
    for value in ["a\r\nX: y", "ä", "\0"] {
        assert_eq!(SecretText::header(value).err(), Some(Rejected::Characters), "{value:?}");
    }
    assert!(!format!("{:?}", SecretText::variable("s3cret").unwrap()).contains("s3cret"));
}

#[test]
fn commands_arguments_and_times() {
    assert_eq!(Command::parse(" "), Err(Rejected::CommandMissing));
    assert_eq!(Command::parse("a\nb"), Err(Rejected::Characters));
    assert_eq!(Command::parse(&"x".repeat(4097)), Err(Rejected::TooLong(4096)));
    assert_eq!(Arguments::parse(vec![String::new(); 10_000]), Err(Rejected::TooMany(128)));
    assert_eq!(Arguments::parse(vec!["x".repeat(8193)]), Err(Rejected::TooLong(8192)));
    assert_eq!(Arguments::parse(vec!["\0".to_owned()]), Err(Rejected::Characters));
    assert!(!format!("{:?}", Arguments::parse(vec!["s3cret".to_owned()]).unwrap()).contains("s3cret"));
    for (seconds, good) in [(0, false), (1, true), (600, true), (601, false), (-1, false), (i64::MAX, false)] {
        assert_eq!(CallTimeout::from_secs(seconds).is_ok(), good, "{seconds}");
    }
}

#[test]
fn only_the_same_address_is_the_same_remote() {
    let (one, other) = (remote("https://a/mcp", &[]).transport, remote("https://b/mcp", &[]).transport);
    assert!(one.is_same_remote(&remote("https://a/mcp", &[("x-a", "b")]).transport));
    assert!(!one.is_same_remote(&other));
    assert!(!one.is_same_remote(&program(&[], &[]).transport));
    assert!(!program(&[], &[]).transport.is_same_remote(&program(&[], &[]).transport));
}

#[test]
fn filters() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let everything = ToolFilter::default();
    let some = ToolFilter { allowed: Some(names(&["a", "b"])), denied: names(&["b"]) };
    let none = ToolFilter { allowed: Some(names(&[])), ..ToolFilter::default() };
    assert_eq!(["a", "b", "c"].map(|tool| everything.allows(tool)), [true; 3]);
    assert_eq!(["a", "b", "c"].map(|tool| some.allows(tool)), [true, false, false]);
    assert_eq!(["a", "b", "c"].map(|tool| none.allows(tool)), [false; 3]);
}

#[test]
fn arguments_are_shown_without_secrets() {
    for (given, shown) in [
        (&["-y", "@scope/server", "/srv/files"][..], &["-y", "@scope/server", "/srv/files"][..]),
        (&["--api-key", "abc123", "x"], &["--api-key", "***", "x"]),
        (&["--token=abc123"], &["--token=***"]),
        (&["API_KEY=abc123"], &["API_KEY=***"]),
        (&["--header", "Authorization: Bearer abc123"], &["--header", "***"]),
        (&["-H", "X-Auth-Token: abc123"], &["-H", "X-Auth-Token: ***"]),
        (&["postgres://ada:abc123@db.example/paw"], &["postgres://ada:***@db.example/paw"]),
        (&["https://abc123@db.example/"], &["https://***@db.example/"]),
        (&["https://example.org/a@b"], &["https://example.org/a@b"]),
        (&["--password", "--verbose"], &["--password", "--verbose"]),
        (&["https://example.org/sse?a=1&token=abc"], &["https://example.org/sse?***"]),
    ] {
        let given: Vec<String> = given.iter().map(|&argument| argument.to_owned()).collect();
        assert_eq!(mask::arguments(&given), shown);
    }
}

#[test]
fn texts_are_masked_wherever_a_secret_may_have_got() {
    let environment = [("KEY", "s3cret"), ("LONGER", "s3cret-and-more"), ("N", "1"), ("LOG_LEVEL", "warn")];
    let server = program(&["--token", "argument-secret"], &environment);
    let masks = Masks::of(&server);
    let text = "a s3cret-and-more b s3cret c argument-secret 1 warning";
    assert_eq!(masks.text(text), "a *** b *** c *** 1 warning");
    let mut value = json!({ "s3cret": ["x s3cret", { "deep": "s3cret" }], "number": 1 });
    masks.value(&mut value);
    assert_eq!(value, json!({ "s3cret": ["x ***", { "deep": "***" }], "number": 1 }));

    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nshort\n-----END KEY-----";
    let masks = Masks::of(&program(&[], &[("PEM", pem)]));
    assert_eq!(masks.text("line MIIEvQIBADANBgkq, short"), "line ***, short");

    let masks = Masks::of(&remote("https://a/mcp?key=in-the-query", &[("Authorization", "Bearer tok-123")]));
    assert_eq!(masks.text("GET /mcp?key=in-the-query: tok-123"), "GET /mcp?key=***: ***");
}

#[test]
fn a_failure_says_what_to_do() {
    let exited = ConnectError::Exited { how: "exited with status 2".to_owned(), last_lines: vec!["no key".to_owned()] };
    assert_eq!(exited.to_string(), "the program exited with status 2 before it was connected; its last words: no key");
    let slow = ConnectError::StartTimedOut { limit: Duration::from_secs(5), last_lines: Vec::new() };
    assert!(slow.to_string().contains("within 5 seconds") && slow.to_string().contains("mcp_start_timeout"));
    assert!(exited.may_pass() && slow.may_pass());
    assert!(!ConnectError::Forbidden.may_pass());
}

fn preset(transport: PresetTransport) -> Preset {
    let key = |key: &str, required| PresetKey {
        key: EnvironmentName::parse(key).unwrap(),
        label: key.to_owned(),
        placeholder: String::new(),
        required,
        secret: true,
    };
    Preset {
        id: McpServerName::parse("known").unwrap(),
        name: "Known".to_owned(),
        description: String::new(),
        icon: String::new(),
        category: String::new(),
        docs_url: String::new(),
        package: String::new(),
        transport,
        keys: vec![key("FIRST", true), key("SECOND", true), key("THIRD", false)],
    }
}

fn values(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_preset_asks_for_what_it_needs() {
    let preset = preset(PresetTransport::Stdio {
        command: Command::parse("npx").unwrap(),
        arguments: Arguments::parse(vec!["-y".to_owned()]).unwrap(),
        extra_arguments: Some("The folders".to_owned()),
    });
    let install = |given: &[(&str, &str)], arguments: &[&str]| {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        preset.server(values(given), arguments, Timestamp(5))
    };
    let good = [("FIRST", "1"), ("SECOND", "2")];
    let missing = install(&[("FIRST", " ")], &["/srv"]).unwrap_err();
    assert_eq!(missing.to_string(), "Missing required env vars: FIRST, SECOND");
    for none in [&[][..], &["", " "]] {
        assert_eq!(install(&good, none).unwrap_err(), InstallRejected::ArgumentsMissing("The folders".to_owned()));
    }
    let unknown = install(&[("FIRST", "1"), ("SECOND", "2"), ("LD_PRELOAD", "x")], &["/srv"]).unwrap_err();
    assert_eq!(unknown, InstallRejected::UnknownKey("LD_PRELOAD".to_owned()));
    let server = install(&good, &["/srv"]).unwrap();
    let McpTransport::Stdio { command, arguments, environment } = &server.transport else { panic!("not a program") };
    assert_eq!((command.as_str(), arguments.expose()), ("npx", &["-y".to_owned(), "/srv".to_owned()][..]));
    assert_eq!(environment.len(), 2);
    assert_eq!((server.preset.as_deref(), server.enabled), (Some("known"), true));
}

#[test]
fn a_remote_preset_takes_no_arguments() {
    let mut preset = preset(PresetTransport::Remote {
        url: RemoteUrl::parse("https://a/mcp").unwrap(),
        flavor: RemoteFlavor::Detect,
        oauth: true,
    });
    preset.keys.clear();
    assert!(preset.server(values(&[]), Vec::new(), Timestamp(0)).is_ok());
    let refused = preset.server(values(&[]), vec!["x".to_owned()], Timestamp(0)).unwrap_err();
    assert_eq!(refused, InstallRejected::NoArguments);
}
