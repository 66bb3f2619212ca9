//! Servers as people use them, and what tools can do to whoever calls them.

use super::*;

#[tokio::test]
async fn programs_are_added_called_and_removed() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    std::fs::create_dir(lab.place.path("files")).unwrap();
    let folder = lab.place.path("files").canonicalize().unwrap();
    std::fs::write(folder.join("note.txt"), "buy bread").unwrap();
    let note = folder.join("note.txt");
    let page = format!("http://{}/healthz", paw.server.address);
    let noon = json!({ "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo" });
    let servers = [
        ("everything", mcp_servers::everything(), "echo", json!({ "message": "hi" }), "Echo: hi"),
        (
            "files",
            mcp_servers::filesystem(folder.to_str().unwrap()),
            "read_text_file",
            json!({ "path": note }),
            "buy bread",
        ),
        ("time", mcp_servers::time(), "convert_time", noon, "T21:00:00+09:00"),
        ("fetch", mcp_servers::fetch(), "fetch", json!({ "url": page }), r#""status""#),
    ];
    for (name, program, ..) in &servers {
        paw.add(&lab.program(name, program.clone())).await;
    }
    for (name, _, tool, arguments, expected) in &servers {
        let status = paw.connected(name).await;
        assert_eq!(
            (&status["transport"], &status["error"], &status["restarts"]),
            (&json!("stdio"), &json!(""), &json!(0))
        );
        let tools = paw.tools(name).await;
        assert_eq!(status["tool_count"], tools.len());
        assert!(tools.iter().any(|known| known == tool), "{tools:?}");
        let said = paw.say(name, tool, arguments.clone()).await;
        assert!(said.contains(expected), "{said}");
    }
    for (name, ..) in &servers {
        assert_eq!(paw.remove(name).await.json()["status"], "ok");
        assert_eq!(refusal(&paw.remove(name).await, 404), format!("Server '{name}' not found"));
    }
    assert_eq!(paw.statuses().await, json!({}));
    assert_eq!(lab.alive(), [0; 0]);
    paw.server.stop();
}

#[tokio::test]
async fn servers_at_an_address_are_added_called_and_removed() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let streamable = mcp_servers::everything_over_http("streamableHttp").await;
    let sse = mcp_servers::everything_over_http("sse").await;
    let servers = [
        ("one", "streamable-http", &streamable.url),
        ("two", "http", &streamable.url),
        ("three", "sse", &sse.url),
        ("four", "http", &sse.url),
    ];
    for (name, transport, url) in servers {
        let settings = json!({ "name": name, "transport": transport, "url": url });
        let tested = paw.test(&settings).await.json();
        assert_eq!(tested["connected"], true, "{name}: {tested}");
        let status = paw.connect(&settings).await;
        assert_eq!(status["transport"], transport);
        assert_eq!(status["tool_count"], tested["tools"].as_array().unwrap().len());
        let said = paw.say(name, "get-sum", json!({ "a": 40, "b": 2 })).await;
        assert!(said.contains("42"), "{said}");
        let long = json!({ "duration": 0.4, "steps": 4 });
        let said = paw.say(name, "trigger-long-running-operation", long).await;
        assert!(said.contains("completed"), "{said}");
    }
    assert_eq!(paw.remove("one").await.json()["status"], "ok");
    assert_eq!(paw.remove("three").await.json()["status"], "ok");
    // The others are told by themselves that nobody is there any more.
    drop((streamable, sse));
    for name in ["two", "four"] {
        let status = paw.until(name, "is not connected", |status| status["state"] == "backing_off").await;
        assert!(!status["error"].as_str().unwrap().is_empty() && status["retry_at"].is_string(), "{status}");
        assert_eq!(status["tool_count"], 0);
        assert_eq!(paw.remove(name).await.json()["status"], "ok");
    }
    paw.server.stop();
}

#[tokio::test]
async fn a_tool_that_takes_its_time() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    paw.connect(&lab.program("patient", mcp_servers::everything())).await;
    let mut settings = lab.program("hasty", mcp_servers::everything());
    settings["timeout"] = json!(1);
    paw.connect(&settings).await;
    let long = json!({ "duration": 2, "steps": 8 });
    let (waited, gave_up) = tokio::join!(
        paw.say("patient", "trigger-long-running-operation", long.clone()),
        paw.call("hasty", "trigger-long-running-operation", long),
    );
    assert!(waited.contains("completed"), "{waited}");
    let told = refusal(&gave_up, 504);
    assert!(told.contains("did not answer within 1 seconds"), "{told}");
    assert_eq!(paw.say("hasty", "echo", json!({ "message": "again" })).await, "Echo: again");
    assert_eq!(paw.status("hasty").await["restarts"], 0);
    paw.server.stop();
}

#[tokio::test]
async fn whoever_gives_up_makes_the_server_stop() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let mut settings = lab.odd("odd", &["good"]);
    settings["timeout"] = json!(2);
    paw.connect(&settings).await;
    let cancelled = async || paw.ask("odd", "cancelled").await.as_array().unwrap().len();

    for (number, (tool, arguments)) in
        [("sleep", json!({ "seconds": 600 })), ("hang", json!({}))].into_iter().enumerate()
    {
        let told = refusal(&paw.call("odd", tool, arguments).await, 504);
        assert!(told.contains("did not answer within 2 seconds"), "{told}");
        eventually("the server hears of it", async || (cancelled().await == number + 1).then_some(())).await;
    }

    // The client goes away. A try may be so short that nothing was sent yet.
    let before = cancelled().await;
    let body = json!({ "server": "odd", "tool": "sleep", "arguments": { "seconds": 600 } });
    eventually("the server hears of it", async || {
        let request = paw.client.request(Method::POST, "/api/v1/mcp/call").json(&body);
        let left = request.timeout(Duration::from_millis(300)).send().await;
        assert!(left.unwrap_err().is_timeout());
        (cancelled().await > before).then_some(())
    })
    .await;
    paw.server.stop();
}

#[tokio::test]
async fn results_have_a_limit() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    paw.connect(&lab.odd("odd", &["good"])).await;
    let large = 1024 * 1024 - 1000;
    assert_eq!(paw.say("odd", "big", json!({ "bytes": large })).await.len(), large);
    for too_large in [1024 * 1024, 8 * 1024 * 1024] {
        let told = refusal(&paw.call("odd", "big", json!({ "bytes": too_large })).await, 502);
        assert!(told.contains("more than the 1048576 that are taken"), "{told}");
    }
    // That was no reason to lose the connection.
    assert_eq!(paw.say("odd", "echo", json!({ "text": "x" })).await, "x");
    assert_eq!(paw.status("odd").await["restarts"], 0);
    paw.server.stop();
}

#[tokio::test]
async fn what_goes_wrong_in_a_call_is_told() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let mut settings = lab.odd("odd", &["good"]);
    settings["denied_tools"] = json!(["die"]);
    let status = paw.connect(&settings).await;
    let called = paw.call("odd", "fail", json!({})).await.json();
    assert_eq!((&called["is_error"], &called["content"][0]["text"]), (&json!(true), &json!("it did not work")));
    assert!(refusal(&paw.call("odd", "die", json!({})).await, 403).contains("'die' is not allowed"));
    assert!(!paw.tools("odd").await.contains(&"die".to_owned()));
    assert_eq!(status["tool_count"], paw.tools("odd").await.len());
    assert_eq!(refusal(&paw.call("odd", "nothing", json!({})).await, 404), "server 'odd' has no tool 'nothing'");
    assert_eq!(refusal(&paw.call("even", "echo", json!({})).await, 404), "Server 'even' not found");
    let wrong = paw.call("odd", "add", json!({ "a": 1, "b": "two" })).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    assert!(wrong.text.contains(r#"["body","arguments","b"]"#), "{wrong:?}");
    paw.toggle("odd", false).await;
    let told = refusal(&paw.call("odd", "echo", json!({ "text": "x" })).await, 409);
    assert_eq!(told, "server 'odd' is not connected: it is switched off");
    paw.server.stop();
}

#[tokio::test]
async fn new_tools_are_noticed() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    let before = paw.connect(&lab.odd("odd", &["good"])).await["tool_count"].as_u64().unwrap();
    paw.say("odd", "grow", json!({})).await;
    paw.until("odd", "has a tool more", |status| status["tool_count"] == before + 1).await;
    assert!(paw.tools("odd").await.contains(&"extra".to_owned()));
    let said: Value = paw.say("odd", "extra", json!({ "a": 1 })).await.parse().unwrap();
    assert_eq!(said, json!({ "tool": "extra", "arguments": { "a": 1 } }));
    paw.server.stop();
}

#[tokio::test]
async fn a_program_sees_what_is_configured_and_little_else() {
    let Some(lab) = Lab::new() else { return };
    let program = lab.place.program_with_data(&["serve", "--port", "0"]);
    let program = program.env("SECRET_OF_THE_HOST", "hidden-0123").env("PAWPORT_STATUS_KEY", "status-key-0123456789");
    let program = program.env("TZ", "Europe/Lisbon");
    let paw = Paw::started(&lab.place, program);
    let mut settings = lab.odd("odd", &["good"]);
    settings["env"]["API_KEY"] = json!("hunter2-hunter2");
    settings["env"]["TZ"] = json!("Asia/Tokyo");
    paw.connect(&settings).await;

    let seen = paw.ask("odd", "env").await;
    let mut names: Vec<&String> = seen.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["API_KEY", "HOME", "PATH", MARK, "TZ"]);
    // That a secret is there is seen by what stands in its place.
    assert_eq!((&seen["API_KEY"], &seen["TZ"], &seen[MARK]), (&json!("***"), &json!("Asia/Tokyo"), &json!("***")));
    assert_eq!(seen["HOME"], json!(lab.place.path("home")));
    assert_eq!(paw.say("odd", "secret", json!({ "value": "the key is hunter2-hunter2!" })).await, "the key is ***!");
    paw.server.stop();
}
