use super::super::tests::{found, remarks};
use super::super::{Found, Remark};
use super::*;
use secrecy::ExposeSecret;

/// What is made of `mcp_servers.json` with these servers: the servers with their parts, and the remarks.
fn read_servers_of(servers: &Value) -> (Vec<(McpServer, Parts)>, Vec<String>) {
    let file = json!({ "servers": servers }).to_string();
    let files: [(&str, &[u8]); 1] = [(NAME, file.as_bytes())];
    let server = |found| match found {
        Found::Item(Area::McpServers, Item::McpServer(server)) => Some((server.clone(), Parts::of(&server.transport))),
        _ => None,
    };
    (found(&files).into_iter().filter_map(server).collect(), remarks(&files))
}

#[test]
fn a_server_is_taken_with_all_that_it_has_and_switched_off() {
    let (servers, remarks) = read_servers_of(&json!([
        { "name": "a", "command": "c", "args": ["--token", "x"], "env": { "A": "b", "E": "" }, "timeout": 90 },
        {
            "name": "b", "transport": "http", "url": "https://h/?k=v", "headers": { "X-Key": "B" }, "oauth": true,
            "registry_ref": "r", "enabled": true,
        },
    ]));
    assert!(remarks.is_empty(), "{remarks:?}");
    let [(first, program), (second, address)] = servers.try_into().unwrap();
    assert_eq!((first.name.as_str(), program.transport.as_str(), program.command.as_str()), ("a", "stdio", "c"));
    assert_eq!(program.arguments, ["--token", "x"]);
    assert_eq!(program.environment, BTreeMap::from([("A", "b"), ("E", "")].map(|(a, b)| (a.to_owned(), b.to_owned()))));
    assert_eq!((address.transport.as_str(), address.url.as_str()), ("http", "https://h/?k=v"));
    assert_eq!(address.headers, BTreeMap::from([("x-key".to_owned(), "B".to_owned())]));
    assert!(!first.enabled && !second.enabled && first.created < second.created);
    assert_eq!((first.call_timeout.as_secs(), second.call_timeout.as_secs()), (90, 30));
    // Neither is shown by accident.
    let shown = format!("{first:?} {second:?}");
    assert!(!shown.contains("k=v") && !shown.contains("--token"), "{shown}");
}

#[test]
fn what_the_rules_refuse_is_skipped_alone_and_says_why_without_secrets() {
    let many: BTreeMap<String, &str> = (0..129).map(|number| (number.to_string(), "")).collect();
    for (server, why) in [
        (json!({}), "command: a server with the transport stdio needs a command"),
        (json!({ "command": "c", "env": { "s3cret=": "" } }), "env: names of variables must not be empty"),
        (json!({ "command": "c", "env": { "A": 5 } }), "its env holds values that are no texts"),
        (json!({ "command": "c", "env": many }), "env: must have at most 128 elements"),
        (json!({ "command": "c", "args": vec!["s3cret"; 129] }), "args: must have at most 128 elements"),
        (json!({ "command": "c", "args": ["s3cret", null] }), "its args are not all texts"),
        (json!({ "command": "c", "args": "s3cret" }), "its args is of another type than expected"),
        (json!({ "command": "c", "timeout": "30" }), "its timeout is of another type than expected"),
        (json!({ "transport": "sse" }), "url: a server with this transport needs a url"),
        (json!({ "transport": "sse", "url": "https://u:s3cret@h/" }), "url: must not contain a user name or password"),
        (json!({ "transport": "pigeon", "url": "https://h/" }), "its transport is not known"),
    ] {
        let mut server = server;
        server["name"] = "a".into();
        let (servers, remarks) = read_servers_of(&json!([server, { "name": "good", "command": "c" }]));
        assert_eq!(servers.len(), 1, "{why}");
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(remarks[0].starts_with(&format!("{NAME}, \"a\": {why}")), "{remarks:?}");
        assert!(!remarks[0].contains("s3cret"), "{remarks:?}");
    }
}

#[test]
fn what_is_left_out_or_changed_is_reported() {
    for (server, why) in [
        (
            json!({ "command": "c", "url": "https://u:p@h/" }),
            "its url is of no use with its transport, and was left out",
        ),
        (json!({ "command": "c", "headers": { "A": "b" } }), r#"its header "A" cannot be sent, and was left out"#),
        (json!({ "command": "c", "cwd": "/" }), r#"its "cwd" is not known, and was left out"#),
        (json!({ "command": "c", "timeout": 1.5 }), "its timeout is not from 1 to 600 whole seconds; it got 2"),
        (json!({ "command": "c", "timeout": 601 }), "its timeout is not from 1 to 600 whole seconds; it got 600"),
        (json!({ "transport": "sse", "url": "http://h", "headers": { "Host": "b" } }), r#"its header "Host" cannot"#),
        (json!({ "transport": "sse", "url": "http://h", "headers": { "A": 5 } }), r#"its header "A" cannot be sent"#),
        (json!({ "transport": "sse", "url": "http://h", "headers": [] }), "its headers are of another type"),
        (json!({ "transport": "sse", "url": "http://h", "env": { "A": "b" } }), "its env is of no use"),
        (json!({ "transport": "sse", "url": "http://h", "command": "c" }), "its command is of no use"),
    ] {
        let mut server = server;
        server["name"] = "a".into();
        let (servers, remarks) = read_servers_of(&json!([server]));
        assert_eq!((servers.len(), remarks.len()), (1, 1), "{remarks:?}");
        assert!(remarks[0].starts_with(&format!("{NAME}, \"a\": {why}")), "{remarks:?}");
        assert!(servers[0].1.headers.is_empty());
    }
    let (servers, remarks) = read_servers_of(&json!([{ "name": "a", "command": "c", "timeout": 0 }]));
    assert_eq!((servers[0].0.call_timeout.as_secs(), remarks.len()), (30, 0));
}

#[test]
fn a_name_that_is_not_allowed_becomes_another_unless_that_is_taken() {
    let server = |name: &str| json!({ "name": name, "command": "c" });
    let (servers, remarks) =
        read_servers_of(&json!([server("a b"), server("x/y"), server("a-b"), server("x?y"), server("")]));
    assert_eq!(servers.iter().map(|server| server.0.name.as_str()).collect::<Vec<_>>(), ["x-y", "a-b"]);
    assert_eq!(
        remarks,
        [
            r#"mcp_servers.json, "a b": here it would be called "a-b", and so is another"#,
            r#"mcp_servers.json, "x/y": here it is called x-y"#,
            r#"mcp_servers.json, "x?y": here it would be called "x-y", and so is another"#,
            r#"mcp_servers.json, "": its name must have at most 64 letters, digits, hyphens, dots and underscores, and begin with a letter or digit"#,
        ]
    );
}

#[test]
fn so_many_servers_are_taken_as_there_may_be() {
    let servers: Vec<Value> = (0..=MAX_SERVERS).map(|it| json!({ "name": it.to_string(), "command": "c" })).collect();
    let (servers, remarks) = read_servers_of(&json!(servers));
    assert_eq!(servers.len(), MAX_SERVERS);
    assert_eq!(remarks, [r#"mcp_servers.json, "200": there are 200 before it"#]);
}

#[test]
fn a_sign_in_goes_with_its_server() {
    let servers = json!({ "servers": [
        { "name": "my docs", "transport": "http", "url": "https://h/mcp" },
        { "name": "my-docs", "transport": "pigeon" },
        { "name": "program", "command": "c" },
    ] });
    let tokens = json!({ "tokens": { "access_token": "t" }, "client_info": { "client_id": "c" } }).to_string();
    let (servers, tokens) = (servers.to_string(), tokens.as_bytes());
    // The one that cannot be used has the name that the first would get.
    let files: [(&str, &[u8]); 1] = [(NAME, servers.as_bytes())];
    assert_eq!(remarks(&files).len(), 2);
    let servers = servers.replace(r#""my-docs""#, r#""other""#);
    let files: [(&str, &[u8]); 6] = [
        (NAME, servers.as_bytes()),
        ("mcp_oauth/my docs.json", tokens),
        ("mcp_oauth/my-docs.json", tokens),
        ("mcp_oauth/other.json", tokens),
        ("mcp_oauth/program.json", tokens),
        ("mcp_oauth/unfinished.json", br#"{"tokens":null,"client_info":{}}"#),
    ];
    let sign_ins: Vec<SignedIn> = found(&files)
        .into_iter()
        .filter_map(|found| match found {
            Found::Item(Area::McpSignIns, Item::McpSignIn(sign_in)) => Some(sign_in),
            _ => None,
        })
        .collect();
    let [sign_in] = sign_ins.try_into().unwrap();
    assert_eq!((sign_in.server.as_str(), sign_in.url.expose()), ("my-docs", "https://h/mcp"));
    assert_eq!(sign_in.grant.expose_secret().as_bytes(), tokens);
    let skipped: Vec<String> = found(&files)
        .into_iter()
        .filter_map(|found| match found {
            Found::Remark(Remark { area: Area::McpSignIns, skipped: true, place, why }) => {
                Some(format!("{place}: {why}"))
            }
            _ => None,
        })
        .collect();
    let why = "there is no server with an address that it belongs to";
    assert_eq!(
        skipped,
        [
            format!("mcp_oauth/my-docs.json: {why}"),
            format!("mcp_oauth/other.json: {why}"),
            format!("mcp_oauth/program.json: {why}"),
            "mcp_oauth/unfinished.json: it holds no tokens".to_owned(),
        ]
    );
}
