//! `pawport mcp`: what people see in a terminal.

use super::*;
use crate::e2e::binary::Ended;

/// The command with the data directory of the place, which comes before what belongs to others.
fn mcp(place: &Place, arguments: &[&str]) -> Ended {
    let data_dir = place.data_dir();
    let (command, rest) = arguments.split_first().unwrap();
    place.program(&[&["mcp", command, "--data-dir", data_dir.to_str().unwrap()], rest].concat()).run()
}

#[track_caller]
fn says(place: &Place, arguments: &[&str]) -> String {
    let ended = mcp(place, arguments);
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{arguments:?}: {ended:?}");
    ended.stdout
}

/// What a command says that must fail; nothing goes to standard output.
#[track_caller]
fn complains(place: &Place, arguments: &[&str]) -> String {
    let ended = mcp(place, arguments);
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
    assert!(ended.stderr.starts_with("pawport: ") && !ended.stderr.contains("panicked"), "{ended:?}");
    ended.stderr
}

/// The command line that calls a program.
fn words((command, arguments): (String, Vec<String>)) -> Vec<String> {
    [command].into_iter().chain(arguments).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_listed_tested_and_called() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&["--mcp-test-timeout", "2"]);
    let place = &lab.place;
    assert!(says(place, &["list"]).contains("There are no MCP servers."));

    let mut settings = lab.odd("odd", &["good"]);
    settings["denied_tools"] = json!(["die"]);
    paw.connect(&settings).await;
    paw.add(&lab.odd("broken", &["exit"])).await;
    paw.until("broken", "has failed", |status| status["error"] != "").await;
    paw.add(&lab.program("missing", ("no-such-program".to_owned(), Vec::new()))).await;
    paw.until("missing", "has failed", |status| status["state"] == "failed").await;

    let listed = says(place, &["list"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(line("NAME").split_whitespace().collect::<Vec<_>>(), ["NAME", "STATE", "TRANSPORT", "TOOLS", "ERROR"]);
    let count = paw.tools("odd").await.len().to_string();
    assert_eq!(line("odd").split_whitespace().collect::<Vec<_>>(), ["odd", "connected", "stdio", &count]);
    assert!(line("broken").contains("exited with status 2"), "{listed}");
    assert!(line("missing").contains("failed") && line("missing").contains("was not found"), "{listed}");

    let tools = says(place, &["list", "odd"]);
    assert!(tools.contains("  echo (text)\n      Gives back the text\n") && tools.contains("  add (a, b)"), "{tools}");
    assert!(!tools.contains("die"), "{tools}");
    assert!(says(place, &["list", "missing"]).contains("It has no tools at the moment."));
    assert!(complains(place, &["list", "nobody"]).contains("Server 'nobody' not found"));

    let tested = says(place, &["test", "odd"]);
    assert!(
        tested.starts_with("It works, and has ") && tested.contains("  echo (text)") | tested.contains("  echo\n"),
        "{tested}"
    );
    let failed = complains(place, &["test", "broken"]);
    assert!(failed.contains("exited with status 2") && failed.contains("\n  cannot find the key THE_KEY"), "{failed}");
    assert!(complains(place, &["test", "nobody"]).contains("Server 'nobody' not found"));

    assert_eq!(says(place, &["call", "odd", "echo", r#"{"text": "Größe"}"#]), "Größe\n");
    assert_eq!(says(place, &["call", "odd", "cancelled"]), "[]\n");
    assert!(complains(place, &["call", "odd", "fail"]).contains("the tool says that it failed: it did not work"));
    assert!(complains(place, &["call", "odd", "die"]).contains("'die' is not allowed"));
    assert!(complains(place, &["call", "odd", "nothing"]).contains("has no tool 'nothing'"));
    assert!(complains(place, &["call", "nobody", "echo"]).contains("Server 'nobody' not found"));
    assert!(complains(place, &["call", "missing", "echo"]).contains("was not found"));
    let wrong = complains(place, &["call", "odd", "add", r#"{"a": 1, "b": "two"}"#]);
    assert!(wrong.contains("arguments.b: "), "{wrong}");
    for not_an_object in ["text", "[1]", "{"] {
        let told = complains(place, &["call", "odd", "echo", not_an_object]);
        assert!(told.contains("the arguments are no JSON object such as"), "{told}");
    }
    paw.server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_configured_is_tested() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&["--mcp-test-timeout", "2"]);
    let place = &lab.place;
    let test = |mode: &[&str]| {
        let words = words(mcp_servers::odd(mode));
        let words: Vec<String> = ["test", "--"].map(str::to_owned).into_iter().chain(words).collect();
        mcp(place, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let good = test(&["many", "3"]);
    assert_eq!(good.code(), Some(0), "{good:?}");
    assert!(good.stdout.starts_with("It works, and has 3 tools:\n  tool_1"), "{good:?}");
    let exit = test(&["exit"]);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("exited with status 2"), "{exit:?}");
    let silent = test(&["slow", "60"]);
    assert_eq!(silent.code(), Some(1), "{silent:?}");
    assert!(silent.stderr.contains("did not answer within 2 seconds"), "{silent:?}");
    assert!(silent.stderr.contains("\nit wrote:\n  downloading"), "{silent:?}");
    assert!(complains(place, &["test", "--", "no-such-program"]).contains(r#""no-such-program" was not found"#));

    let streamable = mcp_servers::everything_over_http("streamableHttp").await;
    assert!(says(place, &["test", "--url", &streamable.url]).contains("  echo"));
    let told = complains(place, &["test", "--url", &streamable.url.replace("/mcp", "/nothing")]);
    assert!(told.contains("this is not an MCP server: the address answered 404 Not Found"), "{told}");
    // This very server, which nobody may ask without a credential.
    let told = complains(place, &["test", "--url", &format!("http://{}/", paw.server.address)]);
    assert!(told.contains("401 Unauthorized: sign in, or configure a token"), "{told}");
    drop(streamable);
    assert!(complains(place, &["test", "--url", "http://127.0.0.1:9/mcp"]).contains("cannot be reached"));
    assert!(complains(place, &["test", "--url", "not an address"]).contains("url: "));

    for both in [&["test"][..], &["test", "odd", "--url", "http://127.0.0.1:9/"], &["test", "odd", "--", "true"]] {
        let ended = mcp(place, both);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains("Usage: pawport mcp test"), "{ended:?}");
    }
    assert_eq!(says(place, &["list"]).lines().count(), 1, "nothing was stored");
    paw.server.stop();
}

#[test]
fn without_a_server_it_says_what_to_do() {
    let place = Place::new();
    let commands: [&[&str]; 4] = [&["list"], &["list", "odd"], &["test", "odd"], &["call", "odd", "echo"]];
    let all_say = |what: &str| {
        for command in commands {
            let told = complains(&place, command);
            assert!(told.contains(what) && told.contains("pawport serve"), "{told}");
        }
    };
    all_say("no server runs with the data directory");
    assert!(!place.data_dir().exists());
    place.serve(&[]).stop();
    all_say("no server runs with the data directory");
    // The address of one that was killed is still there.
    place.serve(&[]).kill();
    all_say("no server runs with the data directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_configured_has_to_be_known() {
    const TOKEN: &str = "a-token-of-my-own-0123456789-abcdef";
    let place = Place::new();
    let program = place.program_with_data(&["serve", "--port", "0"]).env("PAWPORT_ACCESS_TOKEN", TOKEN);
    let server = program.start();
    assert!(complains(&place, &["list"]).contains("PAWPORT_ACCESS_TOKEN"));
    let listed = place.program_with_data(&["mcp", "list"]).env("PAWPORT_ACCESS_TOKEN", TOKEN).run();
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    let wrong = place.program_with_data(&["mcp", "list"]).env("PAWPORT_ACCESS_TOKEN", TOKEN.to_uppercase()).run();
    assert_eq!(wrong.code(), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("the server has another access token"), "{wrong:?}");
    server.stop();
}
