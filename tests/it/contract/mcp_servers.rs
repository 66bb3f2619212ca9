//! What [`pawport::ports::mcp::McpServerStore`] promises.

use super::fixtures::{at, at_once, entry, logged};
use pawport::domain::import::{Item, Outcome};
use pawport::domain::mcp::parts::Parts;
use pawport::domain::mcp::sign_in::SignedIn;
use pawport::domain::mcp::tool::ToolFilter;
use pawport::domain::mcp::{
    Arguments, CallTimeout, Command, EnvironmentName, HeaderName, McpServer, McpServerName, RemoteUrl, SecretText,
    TRANSPORTS,
};
use pawport::ports::store::Stores;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::sync::Arc;

#[track_caller]
pub fn name(text: &str) -> McpServerName {
    McpServerName::parse(text).unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[track_caller]
fn with(text: &str, parts: Parts) -> McpServer {
    McpServer {
        name: name(text),
        transport: parts.check().unwrap(),
        enabled: false,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: at(5),
    }
}

fn program(command: &str) -> Parts {
    Parts { transport: "stdio".to_owned(), command: command.to_owned(), ..Parts::default() }
}

fn address(url: &str) -> Parts {
    Parts { transport: "http".to_owned(), url: url.to_owned(), ..Parts::default() }
}

/// A server at `https://host.example/` and the rest of its address.
#[track_caller]
pub fn remote(text: &str, path: &str) -> McpServer {
    with(text, address(&format!("https://host.example/{path}")))
}

/// A server that is a program.
#[track_caller]
pub fn stdio(text: &str, command: &str) -> McpServer {
    with(text, program(command))
}

#[track_caller]
pub fn signed_in(text: &str, path: &str, grant: &str) -> SignedIn {
    SignedIn {
        server: name(text),
        url: RemoteUrl::parse(&format!("https://host.example/{path}")).unwrap(),
        grant: SecretString::from(grant),
    }
}

/// All members in a form that can be compared and printed; the secrets here are none.
pub fn members(server: &McpServer) -> String {
    let Parts { arguments, environment, url, headers, .. } = Parts::of(&server.transport);
    format!("{server:?} with {arguments:?} {environment:?} {url:?} {headers:?}")
}

async fn put(stores: &Stores, server: &McpServer) {
    stores.mcp_servers.put(server, &entry("put")).await.unwrap();
}

async fn put_signed_in(stores: &Stores, text: &str, grant: &str) {
    put(stores, &remote(text, "mcp")).await;
    assert!(stores.mcp_servers.set_sign_in(&signed_in(text, "mcp", grant), None).await.unwrap());
}

async fn found(stores: &Stores, text: &str) -> Option<String> {
    stores.mcp_servers.find(&name(text)).await.unwrap().as_ref().map(members)
}

async fn listed(stores: &Stores) -> Vec<String> {
    stores.mcp_servers.list().await.unwrap().iter().map(|server| server.name.as_str().to_owned()).collect()
}

async fn grant(stores: &Stores, text: &str) -> Option<String> {
    let grant = stores.mcp_servers.sign_in(&name(text)).await.unwrap();
    grant.map(|grant| grant.expose_secret().to_owned())
}

fn filter(allowed: Option<&[&str]>, denied: &[&str]) -> ToolFilter {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ToolFilter { allowed: allowed.map(set), denied: set(denied) }
}

/// Values at their limits, of characters that JSON writes as six.
fn large() -> (Parts, Parts, ToolFilter) {
    let number = |number: usize, length: usize| format!("{number:04}{}", "\u{1}".repeat(length - 4));
    let environment = (0..EnvironmentName::MAX)
        .map(|it| (number(it, EnvironmentName::MAX_LEN), "\u{1}".repeat(SecretText::MAX_LEN)))
        .collect();
    let arguments = (0..Arguments::MAX).map(|it| number(it, Arguments::MAX_LEN)).collect();
    let command = "/".repeat(Command::MAX_LEN);
    let program = Parts { arguments, environment, ..program(&command) };
    let header =
        |it: usize| (format!("{it:04}{}", "x".repeat(HeaderName::MAX_LEN - 4)), "\\".repeat(SecretText::MAX_LEN));
    let start = "https://host.example/?";
    let url = format!("{start}{}", "x".repeat(RemoteUrl::MAX_LEN - start.len()));
    let address = Parts { headers: (0..HeaderName::MAX).map(header).collect(), ..address(&url) };
    let names: Vec<String> =
        (0..ToolFilter::MAX).map(|it| format!("{it:04}{}", "\u{1}".repeat(ToolFilter::MAX_LEN - 4))).collect();
    let names = ToolFilter::names(names).unwrap();
    (program, address, ToolFilter { allowed: Some(names.clone()), denied: names })
}

pub async fn every_member_comes_back(stores: &Stores) {
    let rich = program("/opt/🐾 it's \"quoted\" \\ %_");
    let arguments = ["", "--token", "ünï 🐾 \n\t\u{1} \\ \"", "%s", "$(rm -rf /)"].map(str::to_owned).to_vec();
    let environment = texts(&[("EMPTY", ""), ("ünï name", "🐾\n\u{1}\\\""), ("%_", "'"), ("a", "A"), ("A", "a")]);
    let headers = texts(&[("authorization", "Bearer \"x\"\t\\'"), ("x-empty", "")]);
    let query = address("http://[::1]:8080/a%20b?token=s3cret&я=%00");
    let (large_program, large_address, large_filter) = large();
    let plain = stdio("plain", "npx");
    let variants = [
        with("rich", Parts { arguments, environment, ..rich }),
        with("query", query.clone()),
        with("headers", Parts { headers, ..query }),
        McpServer { name: name("on"), enabled: true, ..plain.clone() },
        McpServer { name: name("preset"), preset: Some("🐾 \"%_\n".to_owned()), ..plain.clone() },
        McpServer { name: name("no-preset"), preset: Some(String::new()), ..plain.clone() },
        McpServer { name: name("none"), tools: filter(Some(&[]), &[]), ..plain.clone() },
        McpServer { name: name("some"), tools: filter(Some(&["b", "a", "", "🐾\n\""]), &["c"]), ..plain.clone() },
        McpServer { name: name("fewer"), tools: filter(None, &["b", "я%_"]), ..plain.clone() },
        McpServer { name: name("fast"), call_timeout: CallTimeout::from_secs(1).unwrap(), ..plain.clone() },
        McpServer { name: name("slow"), call_timeout: CallTimeout::from_secs(600).unwrap(), ..plain.clone() },
        McpServer { name: name("first"), created: at(i64::MIN), ..plain.clone() },
        McpServer { name: name("last"), created: at(i64::MAX), ..plain.clone() },
        McpServer { name: name(&"x".repeat(McpServerName::MAX_LEN)), ..plain.clone() },
        McpServer { tools: large_filter, ..with("large", large_program) },
        with("far", large_address),
        plain,
    ];
    let flavors = TRANSPORTS[1..].iter().map(|flavor| {
        with(&format!("flavor-{flavor}"), Parts { transport: (*flavor).to_owned(), ..address("https://a.b/") })
    });
    let variants: Vec<McpServer> = variants.into_iter().chain(flavors).collect();
    for given in &variants {
        put(stores, given).await;
        assert!(found(stores, given.name.as_str()).await == Some(members(given)), "{:?}", given.name);
    }
    let list = stores.mcp_servers.list().await.unwrap();
    assert_eq!(list.len(), variants.len());
    for given in &variants {
        assert!(list.iter().any(|listed| members(listed) == members(given)), "{:?}", given.name);
    }
    assert_eq!(logged(stores).await, vec!["put"; variants.len()]);
}

pub async fn a_server_takes_the_place_of_the_one_of_its_name(stores: &Stores) {
    put(stores, &stdio("other", "other")).await;
    let first = McpServer { preset: Some("p".to_owned()), tools: filter(Some(&["a"]), &["b"]), ..stdio("a", "first") };
    put(stores, &first).await;
    let second = McpServer { enabled: true, created: at(9), ..remote("a", "second") };
    stores.mcp_servers.put(&second, &entry("replaced")).await.unwrap();
    assert_eq!(found(stores, "a").await, Some(members(&second)));
    assert_eq!(found(stores, "other").await, Some(members(&stdio("other", "other"))));
    assert_eq!(listed(stores).await, ["other", "a"]);
    assert_eq!(logged(stores).await, ["put", "put", "replaced"]);
}

pub async fn list_is_by_creation_then_by_name(stores: &Stores) {
    assert_eq!(listed(stores).await, [""; 0]);
    for (text, created) in [("b", 10), ("z", 5), ("B", 10), ("a", 10), ("a_", 10), ("a-", 10), ("0", 10), ("y", 20)] {
        put(stores, &McpServer { created: at(created), ..stdio(text, "c") }).await;
    }
    // Names are compared by their ASCII codes, not as a language would.
    assert_eq!(listed(stores).await, ["z", "0", "B", "a", "a-", "a_", "b", "y"]);
}

pub async fn what_is_unknown_is_absent(stores: &Stores) {
    put_signed_in(stores, "known", "grant").await;
    assert_eq!(found(stores, "unknown").await, None);
    assert_eq!(grant(stores, "unknown").await, None);
}

pub async fn names_are_compared_exactly(stores: &Stores) {
    for text in ["a_b", "A_b", "aXb"] {
        put_signed_in(stores, text, text).await;
    }
    assert!(stores.mcp_servers.remove(&name("a_b"), &entry("removed")).await.unwrap());
    assert_eq!(found(stores, "a_B").await, None);
    assert_eq!(listed(stores).await, ["A_b", "aXb"]);
    assert_eq!((grant(stores, "A_b").await.as_deref(), grant(stores, "a_b").await), (Some("A_b"), None));
}

pub async fn a_server_is_switched_on_and_off(stores: &Stores) {
    let (server, other) = (remote("a", "mcp"), stdio("other", "c"));
    put_signed_in(stores, "a", "grant").await;
    put(stores, &other).await;
    for (enabled, action) in [(true, "on"), (true, "on again"), (false, "off")] {
        assert!(stores.mcp_servers.set_enabled(&server.name, enabled, &entry(action)).await.unwrap());
        assert_eq!(found(stores, "a").await, Some(members(&McpServer { enabled, ..server.clone() })));
    }
    assert_eq!(found(stores, "other").await, Some(members(&other)));
    assert_eq!(grant(stores, "a").await.as_deref(), Some("grant"));
    assert_eq!(logged(stores).await, ["put", "put", "on", "on again", "off"]);
}

pub async fn switching_nothing_leaves_no_entry(stores: &Stores) {
    assert!(!stores.mcp_servers.set_enabled(&name("a"), true, &entry("on")).await.unwrap());
    assert_eq!(found(stores, "a").await, None);
    assert_eq!(logged(stores).await, [""; 0]);
}

pub async fn removal_takes_the_sign_in_and_leaves_the_others_and_an_entry(stores: &Stores) {
    for text in ["a", "b", "c"] {
        put_signed_in(stores, text, text).await;
    }
    assert!(stores.mcp_servers.remove(&name("b"), &entry("removed")).await.unwrap());
    assert_eq!(listed(stores).await, ["a", "c"]);
    assert_eq!((grant(stores, "b").await, grant(stores, "c").await.as_deref()), (None, Some("c")));
    // Whoever gets the name next gets no sign-in.
    put(stores, &remote("b", "mcp")).await;
    assert_eq!(grant(stores, "b").await, None);
    assert_eq!(logged(stores).await, ["put", "put", "put", "removed", "put"]);
}

pub async fn removal_of_nothing_leaves_no_entry(stores: &Stores) {
    assert!(!stores.mcp_servers.remove(&name("a"), &entry("unknown")).await.unwrap());
    put(stores, &stdio("a", "c")).await;
    assert!(stores.mcp_servers.remove(&name("a"), &entry("first")).await.unwrap());
    assert!(!stores.mcp_servers.remove(&name("a"), &entry("second")).await.unwrap());
    assert_eq!(logged(stores).await, ["put", "first"]);
}

pub async fn a_sign_in_is_kept_as_long_as_the_address_is_the_same(stores: &Stores) {
    put_signed_in(stores, "other", "other").await;
    put_signed_in(stores, "a", "grant").await;
    let same = [
        McpServer { enabled: true, preset: Some("p".to_owned()), ..remote("a", "mcp") },
        with("a", Parts { transport: "sse".to_owned(), ..address("https://host.example/mcp") }),
        with("a", Parts { headers: texts(&[("x", "y")]), ..address("HTTPS://host.example:443/mcp") }),
    ];
    for server in &same {
        put(stores, server).await;
        assert_eq!(grant(stores, "a").await.as_deref(), Some("grant"), "{server:?}");
    }
    let others =
        [stdio("a", "https://host.example/mcp"), remote("a", "mcp2"), remote("a", "mcp?a=b"), remote("a", "MCP")];
    for server in &others {
        put(stores, &remote("a", "mcp")).await;
        assert!(stores.mcp_servers.set_sign_in(&signed_in("a", "mcp", "grant"), None).await.unwrap());
        put(stores, server).await;
        assert_eq!(grant(stores, "a").await, None, "{server:?}");
        // Nor is it there again with the old address.
        put(stores, &remote("a", "mcp")).await;
        assert_eq!(grant(stores, "a").await, None, "{server:?}");
    }
    assert_eq!(grant(stores, "other").await.as_deref(), Some("other"));
}

pub async fn a_sign_in_takes_the_place_of_the_one_before(stores: &Stores) {
    put(stores, &remote("a", "mcp")).await;
    let long = "я\u{1}".repeat(500_000);
    for given in ["{\"tokens\":{}}", "", "ünï 🐾 \0 \"", long.as_str()] {
        let signed_in = signed_in("a", "mcp", given);
        assert!(stores.mcp_servers.set_sign_in(&signed_in, Some(&entry("signed in"))).await.unwrap());
        assert!(grant(stores, "a").await.as_deref() == Some(given), "{} bytes", given.len());
    }
    assert_eq!(logged(stores).await, ["put", "signed in", "signed in", "signed in", "signed in"]);
    // Renewed by nobody.
    assert!(stores.mcp_servers.set_sign_in(&signed_in("a", "mcp", "renewed"), None).await.unwrap());
    assert_eq!(grant(stores, "a").await.as_deref(), Some("renewed"));
    assert_eq!(logged(stores).await.len(), 5);
}

pub async fn a_sign_in_to_another_address_is_refused(stores: &Stores) {
    put_signed_in(stores, "a", "grant").await;
    put(stores, &stdio("b", "https://host.example/mcp")).await;
    for (text, path) in [("a", "mcp2"), ("a", "mcp?a=b"), ("b", "mcp"), ("unknown", "mcp")] {
        let signed_in = signed_in(text, path, "other");
        assert!(!stores.mcp_servers.set_sign_in(&signed_in, Some(&entry("signed in"))).await.unwrap());
        assert!(!stores.mcp_servers.set_sign_in(&signed_in, None).await.unwrap());
    }
    assert_eq!(grant(stores, "a").await.as_deref(), Some("grant"));
    assert_eq!((grant(stores, "b").await, grant(stores, "unknown").await), (None, None));
    put(stores, &remote("unknown", "mcp")).await;
    assert_eq!(grant(stores, "unknown").await, None);
    assert_eq!(logged(stores).await, ["put", "put", "put"]);
}

pub async fn a_removed_sign_in_leaves_the_server_and_an_entry(stores: &Stores) {
    put_signed_in(stores, "a", "a").await;
    put_signed_in(stores, "b", "b").await;
    assert!(stores.mcp_servers.remove_sign_in(&name("a"), &entry("signed out")).await.unwrap());
    assert_eq!((grant(stores, "a").await, grant(stores, "b").await.as_deref()), (None, Some("b")));
    assert_eq!(found(stores, "a").await, Some(members(&remote("a", "mcp"))));
    assert!(!stores.mcp_servers.remove_sign_in(&name("a"), &entry("again")).await.unwrap());
    assert!(!stores.mcp_servers.remove_sign_in(&name("unknown"), &entry("unknown")).await.unwrap());
    assert_eq!(logged(stores).await, ["put", "put", "signed out"]);
}

pub async fn twenty_who_put_a_server_leave_one_and_an_entry_each(stores: &Stores) {
    let put = at_once(20, |task| {
        let servers = Arc::clone(&stores.mcp_servers);
        async move { servers.put(&stdio("a", &format!("c{task}")), &entry(&format!("c{task}"))).await.unwrap() }
    });
    put.await;
    let last = logged(stores).await.pop().unwrap();
    assert_eq!(logged(stores).await.len(), 20);
    assert_eq!(listed(stores).await, ["a"]);
    assert_eq!(found(stores, "a").await, Some(members(&stdio("a", &last))));
}

pub async fn no_sign_in_outlives_its_address_in_a_race(stores: &Stores) {
    put(stores, &remote("a", "mcp")).await;
    let raced = at_once(20, |task| {
        let servers = Arc::clone(&stores.mcp_servers);
        async move {
            if task % 4 == 3 {
                let path = ["new", "mcp"][task / 4 % 2];
                servers.put(&remote("a", path), &entry(path)).await.unwrap();
                return true;
            }
            servers.set_sign_in(&signed_in("a", "mcp", "old"), Some(&entry("signed in"))).await.unwrap()
        }
    });
    let changes = raced.await.into_iter().filter(|changed| *changed).count();
    assert_eq!(logged(stores).await.len(), changes + 1);
    let log = logged(stores).await;
    let (mut path, mut is_signed_in) = ("mcp", false);
    for action in &log[1..] {
        if action == "signed in" {
            assert_eq!(path, "mcp", "{log:?}");
            is_signed_in = true;
        } else {
            is_signed_in &= path == action;
            path = action;
        }
    }
    assert_eq!(found(stores, "a").await, Some(members(&remote("a", path))));
    assert_eq!(grant(stores, "a").await.is_some(), is_signed_in, "{log:?}");
    put(stores, &remote("a", "newest")).await;
    assert_eq!(grant(stores, "a").await, None);
}

async fn import(stores: &Stores, batch: &[Item]) -> Vec<Outcome> {
    stores.imports.import(batch.to_vec(), &entry("imported")).await.unwrap()
}

pub async fn an_imported_server_is_off_and_comes_once(stores: &Stores) {
    let given = McpServer { enabled: true, created: at(3), ..remote("a", "mcp") };
    let batch = [Item::McpServer(given.clone())];
    assert_eq!(stores.imports.preview(batch.to_vec()).await.unwrap(), [Outcome::Imported]);
    assert_eq!(found(stores, "a").await, None);
    assert_eq!(import(stores, &batch).await, [Outcome::Imported]);
    assert_eq!(found(stores, "a").await, Some(members(&McpServer { enabled: false, ..given.clone() })));
    // Whatever was changed here stays, as long as the server is reached in the same way.
    let here = McpServer { enabled: true, preset: Some("p".to_owned()), created: at(4), ..given };
    put(stores, &here).await;
    assert_eq!(import(stores, &batch).await, [Outcome::AlreadyThere]);
    let others = [
        remote("a", "other"),
        stdio("a", "c"),
        with("a", Parts { headers: texts(&[("x", "y")]), ..address("https://host.example/mcp") }),
    ];
    assert_eq!(import(stores, &others.map(Item::McpServer)).await, [Outcome::Conflict; 3]);
    assert_eq!(found(stores, "a").await, Some(members(&here)));
    assert_eq!(logged(stores).await, ["imported", "put"]);
}

pub async fn an_imported_sign_in_needs_its_server_and_comes_once(stores: &Stores) {
    let sign_in = |text: &str, path: &str, grant: &str| Item::McpSignIn(signed_in(text, path, grant));
    let server = Item::McpServer(remote("a", "mcp"));
    put(stores, &stdio("program", "c")).await;
    let batch = [
        sign_in("a", "mcp", "early"),
        server,
        sign_in("a", "other", "x"),
        sign_in("program", "mcp", "x"),
        sign_in("a", "mcp", "first"),
    ];
    let expected = [Outcome::Conflict, Outcome::Imported, Outcome::Conflict, Outcome::Conflict, Outcome::Imported];
    assert_eq!(stores.imports.preview(batch.to_vec()).await.unwrap(), expected);
    assert_eq!(grant(stores, "a").await, None);
    assert_eq!(import(stores, &batch).await, expected);
    assert_eq!((grant(stores, "a").await.as_deref(), grant(stores, "program").await), (Some("first"), None));
    // Tokens that were renewed here are newer.
    assert!(stores.mcp_servers.set_sign_in(&signed_in("a", "mcp", "renewed"), None).await.unwrap());
    assert_eq!(import(stores, &[sign_in("a", "mcp", "first")]).await, [Outcome::AlreadyThere]);
    assert_eq!(grant(stores, "a").await.as_deref(), Some("renewed"));
    assert_eq!(logged(stores).await, ["put", "imported"]);
}
