//! Servers that can be added by name.

use super::*;
use crate::support::Failure;

async fn install(app: &TestApp, family: &str, body: Value) -> Response {
    app.token_user().post(&format!("{family}/mcp/presets/install"), body).await
}

async fn presets(app: &TestApp, family: &str) -> Vec<Value> {
    let presets = app.token_user().get(&format!("{family}/mcp/presets")).await.assert_status(200).json();
    presets.as_array().expect("a list").clone()
}

async fn preset(app: &TestApp, id: &str) -> Value {
    presets(app, "/api").await.into_iter().find(|it| it["id"] == id).expect("the preset")
}

#[tokio::test]
async fn presets_say_what_they_need() {
    let app = TestApp::new();
    let all = presets(&app, "/api").await;
    assert!(all.len() > 20, "{}", all.len());
    assert_eq!(presets(&app, "/api/v1").await, all);
    let members: Vec<&str> = [
        "args_hint",
        "category",
        "description",
        "docs_url",
        "env_keys",
        "icon",
        "id",
        "installed",
        "name",
        "needs_args",
        "oauth",
        "package",
        "transport",
        "url",
    ]
    .into();
    for preset in &all {
        let mut found: Vec<_> = preset.as_object().unwrap().keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!((found, &preset["installed"]), (members.clone(), &json!(false)), "{preset}");
        let is_program = preset["transport"] == "stdio";
        assert_eq!((preset["url"] == "", preset["package"] == ""), (is_program, !is_program), "{preset}");
        assert_eq!(preset["args_hint"] != "", preset["needs_args"] == true, "{preset}");
    }
    assert_eq!(
        preset(&app, "filesystem").await,
        json!({
            "id": "filesystem", "name": "Filesystem", "icon": "folder", "category": "data",
            "description": "Read, write and search files in the folders that you name",
            "docs_url": "https://github.com/modelcontextprotocol/servers/tree/main/src/filesystem",
            "package": "@modelcontextprotocol/server-filesystem", "transport": "stdio", "url": "", "oauth": false,
            "needs_args": true, "args_hint": "The folders it may use, one per argument", "installed": false,
            "env_keys": [],
        })
    );
    let notion = preset(&app, "notion").await;
    assert_eq!((&notion["oauth"], &notion["url"]), (&json!(true), &json!("https://mcp.notion.com/mcp")));
    assert_eq!(
        preset(&app, "qdrant").await["env_keys"][1],
        json!({
            "key": "QDRANT_API_KEY", "label": "API key", "required": false, "placeholder": "…", "secret": true,
        })
    );
}

#[tokio::test]
async fn an_installed_preset_is_a_server() {
    for family in FAMILIES {
        let app = TestApp::new();
        let secret =
            json!({ "DATADOG_API_KEY": "a-secret-of-mine", "DATADOG_APP_KEY": " another ", "DATADOG_SITE": " " });
        let answer = install(&app, family, json!({ "preset_id": "datadog", "env": secret, "extra_args": null })).await;
        answer.assert_json(200, &json!({ "status": "ok", "connected": false, "tools": [] }));
        assert_eq!(preset(&app, "datadog").await["installed"], true);
        assert_eq!(preset(&app, "notion").await["installed"], false);
        let found = statuses(&app).await["datadog"].clone();
        assert_eq!((&found["registry_ref"], &found["transport"]), (&json!("datadog"), &json!("stdio")));
        let entry = log(&app).await[0].clone();
        assert_eq!((&entry["action"], &entry["target"]), (&json!("mcp_server_added"), &json!("datadog")));
        let context = &entry["context"];
        assert_eq!(
            (&context["command"], &context["args"], &context["env"]),
            (
                &json!("npx"),
                &json!(["-y", "@winor30/mcp-server-datadog"]),
                &json!(["DATADOG_API_KEY", "DATADOG_APP_KEY"])
            )
        );
        assert!(!entry.to_string().contains("a-secret-of-mine"));

        // Again, in its own place.
        let secret = json!({ "DATADOG_API_KEY": "a", "DATADOG_APP_KEY": "b", "DATADOG_SITE": "datadoghq.eu" });
        install(&app, family, json!({ "preset_id": "datadog", "env": secret })).await.assert_status(200);
        assert_eq!(happenings(&app).await[1], "mcp_server_replaced datadog success");
        app.token_user().post("/api/mcp/remove", json!({ "name": "datadog" })).await.assert_status(200);
        assert_eq!(preset(&app, "datadog").await["installed"], false);
    }
}

#[tokio::test]
async fn a_server_of_the_same_name_counts_as_installed() {
    let app = TestApp::new();
    add(&app, with(program("filesystem", "works"), "enabled", json!(false))).await;
    assert_eq!(preset(&app, "filesystem").await["installed"], true);
}

#[tokio::test]
async fn further_arguments_come_last() {
    let app = TestApp::new();
    let body = json!({ "preset_id": "filesystem", "extra_args": ["/srv/files", "--token=a-secret-of-mine"] });
    install(&app, "/api", body).await.assert_status(200);
    let args = json!(["-y", "@modelcontextprotocol/server-filesystem", "/srv/files", "--token=***"]);
    assert_eq!(log(&app).await[0]["context"]["args"], args);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let app = TestApp::new();
    let long = "n".repeat(300);
    let arguments = "Missing extra_args: The folders it may use, one per argument";
    for family in FAMILIES {
        for (body, status, text) in [
            (json!({ "preset_id": "nope" }), 404, "Unknown preset: nope"),
            (json!({ "preset_id": "" }), 404, "Unknown preset: "),
            (json!({ "preset_id": long }), 404, &*format!("Unknown preset: {}", &long[..100])),
            (json!({ "preset_id": "airtable" }), 400, "Missing required env vars: AIRTABLE_API_KEY"),
            (
                json!({ "preset_id": "airtable", "env": { "AIRTABLE_API_KEY": "" } }),
                400,
                "Missing required env vars: AIRTABLE_API_KEY",
            ),
            (json!({ "preset_id": "qdrant" }), 400, "Missing required env vars: QDRANT_URL, COLLECTION_NAME"),
            (
                json!({ "preset_id": "qdrant", "env": { "QDRANT_URL": "http://q", "COLLECTION_NAME": " \n" } }),
                400,
                "Missing required env vars: COLLECTION_NAME",
            ),
            (json!({ "preset_id": "filesystem" }), 400, arguments),
            (json!({ "preset_id": "filesystem", "extra_args": [] }), 400, arguments),
            (json!({ "preset_id": "filesystem", "extra_args": [" "] }), 400, arguments),
        ] {
            assert_both(&install(&app, family, body).await, status, text);
        }
        for (body, place) in [
            (json!({ "preset_id": "memory", "env": { "OTHER": "v" } }), vec!["body", "env", "OTHER"]),
            (json!({ "preset_id": "notion", "env": { "OTHER": "v" } }), vec!["body", "env", "OTHER"]),
            (
                json!({ "preset_id": "memory", "env": { "MEMORY_FILE_PATH": "a\0b" } }),
                vec!["body", "env", "MEMORY_FILE_PATH"],
            ),
            (
                json!({ "preset_id": "memory", "env": { "MEMORY_FILE_PATH": 5 } }),
                vec!["body", "env", "MEMORY_FILE_PATH"],
            ),
            (json!({ "preset_id": "memory", "env": "x" }), vec!["body", "env"]),
            (json!({ "preset_id": "memory", "extra_args": ["a\0b"] }), vec!["body", "extra_args"]),
            (json!({ "preset_id": "memory", "extra_args": vec!["a"; 10_000] }), vec!["body", "extra_args"]),
            (json!({ "preset_id": "memory", "extra_args": "x" }), vec!["body", "extra_args"]),
            (json!({ "preset_id": "notion", "extra_args": ["x"] }), vec!["body", "extra_args"]),
            (json!({ "preset_id": 5 }), vec!["body", "preset_id"]),
        ] {
            let answer = install(&app, family, body).await;
            assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(place), "{}", answer.text());
        }
        install(&app, family, json!({})).await.assert_status(422);
        let path = format!("{family}/mcp/presets/install");
        app.token_user().call(Method::POST, &path).raw_json("{").send().await.assert_error(400, "Invalid JSON body");
        app.anonymous().post(&path, json!({ "preset_id": "memory" })).await.assert_error(401, "Unauthorized");
    }
    assert_eq!((statuses(&app).await, log(&app).await, app.mcp.connects()), (json!({}), Vec::new(), 0));
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_installed() {
    let app = TestApp::new();
    for nth in [1, 2] {
        app.fail_call(nth, Failure::Unavailable);
        install(&app, "/api", json!({ "preset_id": "memory" })).await.assert_status(503);
        assert!(app.has_failed());
    }
    assert_eq!((statuses(&app).await, log(&app).await, app.mcp.connects()), (json!({}), Vec::new(), 0));
}
