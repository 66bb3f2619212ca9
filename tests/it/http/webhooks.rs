//! The webhook slots: listing, adding, removing, giving new secrets.

use crate::support::{Response, TestApp};
use axum::http::Method;
use serde_json::{Value, json};

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

/// Adds a slot and gives its secret.
async fn add(app: &TestApp, name: &str) -> String {
    let answer = app.token_user().post("/api/webhooks/add", json!({ "name": name })).await;
    answer.assert_status(200).json()["webhook"]["secret"].as_str().expect("a secret").to_owned()
}

async fn deliver(app: &TestApp, name: &str, secret: &str) -> Response {
    let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{name}"));
    call.header("x-webhook-secret", secret).json(&json!({ "content": "hello" })).send().await
}

async fn slots(app: &TestApp) -> Value {
    app.token_user().get("/api/webhooks").await.assert_status(200).json()["webhooks"].clone()
}

#[tokio::test]
async fn nothing_is_listed_where_nothing_is() {
    let app = TestApp::new();
    for family in FAMILIES {
        app.token_user().get(&format!("{family}/webhooks")).await.assert_json(200, &json!({ "webhooks": [] }));
    }
}

#[tokio::test]
async fn the_answer_that_adds_a_slot_shows_its_secret() {
    let app = TestApp::new();
    let body = json!({ "name": "github-events", "description": "GitHub repository webhooks" });
    let answer = app.token_user().post("/api/webhooks/add", body).await;
    insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
    {
      "status": "ok",
      "webhook": {
        "description": "GitHub repository webhooks",
        "name": "github-events",
        "scheme": "any",
        "secret": "eDglgipvnmLaIZDoKOTJ0lduWXfjoLNiCwkt-56Zlvo",
        "session": "delivery",
        "sync_timeout": 30,
        "url": "https://paw.example.org/webhook/inbound/github-events"
      }
    }
    "#);
}

#[tokio::test]
async fn v1_adds_a_slot_with_every_member() {
    let app = TestApp::new();
    let body = json!({
        "name": " cron_1\n",
        "description": " nightly ",
        "sync_timeout": 2,
        "scheme": "standard",
        "session": "slot",
        "unknown": { "is": "ignored" },
    });
    let answer = app.token_user().post("/api/v1/webhooks/add", body).await;
    insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
    {
      "status": "ok",
      "webhook": {
        "description": "nightly",
        "name": "cron_1",
        "scheme": "standard",
        "secret": "whsec_eDglgipvnmLaIZDoKOTJ0lduWXfjoLNiCwkt+56Zlvo=",
        "session": "slot",
        "sync_timeout": 2,
        "url": "https://paw.example.org/webhook/inbound/cron_1"
      }
    }
    "#);
}

#[tokio::test]
async fn the_list_masks_secrets_and_names_the_configured_address() {
    let app = TestApp::new();
    let secrets = [add(&app, "github-events").await, add(&app, "cron_1").await];
    for family in FAMILIES {
        // The address is not what a request claims to have come to.
        let call = app.token_user().call(Method::GET, &format!("{family}/webhooks"));
        let call = call.instead("host", "127.0.0.1:9").header("x-forwarded-host", "evil.example");
        let answer = call.header("x-forwarded-proto", "gopher").send().await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            {
              "webhooks": [
                {
                  "description": "",
                  "name": "cron_1",
                  "scheme": "any",
                  "secret": "***X4RU",
                  "session": "delivery",
                  "sync_timeout": 30,
                  "url": "https://paw.example.org/webhook/inbound/cron_1"
                },
                {
                  "description": "",
                  "name": "github-events",
                  "scheme": "any",
                  "secret": "***Zlvo",
                  "session": "delivery",
                  "sync_timeout": 30,
                  "url": "https://paw.example.org/webhook/inbound/github-events"
                }
              ]
            }
            "#);
        }
        for secret in &secrets {
            assert!(!answer.text().contains(&secret[..secret.len() - 4]));
            assert!(answer.text().contains(&format!("***{}\"", &secret[secret.len() - 4..])));
        }
    }
}

#[tokio::test]
async fn members_are_held_to_their_bounds() {
    let app = TestApp::new();
    let longest_name = "n".repeat(64);
    for (number, (member, value)) in [
        ("sync_timeout", json!(1)),
        ("sync_timeout", json!(300)),
        ("sync_timeout", json!(null)),
        ("description", json!("d".repeat(500))),
        ("description", json!("🐾".repeat(500))),
        ("description", json!(null)),
        ("description", json!("   ")),
        ("scheme", json!("any")),
        ("scheme", json!("github")),
        ("scheme", json!(null)),
        ("session", json!("delivery")),
        ("session", json!(null)),
        ("name", json!(longest_name)),
        ("name", json!("_index")),
        ("name", json!("-")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = json!({ "name": format!("slot-{number}") });
        body[member] = value;
        for family in FAMILIES {
            let answer = app.token_user().post(&format!("{family}/webhooks/add"), body.clone()).await;
            // The second time it is there already.
            answer.assert_status(if family == "/api" { 200 } else { 409 });
        }
    }
}

#[tokio::test]
async fn slots_that_break_a_rule_are_refused() {
    let app = TestApp::new();
    let required = "Webhook name is required";
    let characters = "Webhook name must be alphanumeric (hyphens and underscores allowed)";
    let long = "n".repeat(65);
    for family in FAMILIES {
        let path = format!("{family}/webhooks/add");
        for (name, detail) in [
            (json!(null), required),
            (json!(""), required),
            (json!(" \n\t"), required),
            (json!("bad name!"), characters),
            (json!("a.b"), characters),
            (json!("a/b"), characters),
            (json!("../a"), characters),
            (json!("a\0b"), characters),
            (json!("ünï"), characters),
            (json!("<script>"), characters),
            (json!(long), "Webhook name must have at most 64 characters"),
            // Its session would have a reserved name.
            (json!("compaction"), "Webhook name must not end in 'compaction'"),
            (json!("nightly_compaction"), "Webhook name must not end in 'compaction'"),
        ] {
            app.token_user().post(&path, json!({ "name": name })).await.assert_error(400, detail);
        }
        app.token_user().post(&path, json!({})).await.assert_error(400, required);
        for (member, value, kind, message) in [
            ("sync_timeout", json!(0), "out_of_range", "Input should be from 1 to 300 seconds"),
            ("sync_timeout", json!(-1), "out_of_range", "Input should be from 1 to 300 seconds"),
            ("sync_timeout", json!(301), "out_of_range", "Input should be from 1 to 300 seconds"),
            ("sync_timeout", json!(i64::MAX), "out_of_range", "Input should be from 1 to 300 seconds"),
            ("description", json!("d".repeat(501)), "string_error", "must have at most 500 characters"),
            ("description", json!("a\0b"), "string_error", "must not contain a NUL character"),
            ("scheme", json!("none"), "enum", "Input should be one of: any, github, standard"),
            ("scheme", json!("ANY"), "enum", "Input should be one of: any, github, standard"),
            ("scheme", json!(""), "enum", "Input should be one of: any, github, standard"),
            ("session", json!("both"), "enum", "Input should be one of: delivery, slot"),
        ] {
            let mut body = json!({ "name": "ci" });
            body[member] = value;
            app.token_user().post(&path, body).await.assert_invalid(kind, &["body", member], message);
        }
    }
    assert_eq!(slots(&app).await, json!([]));
    app.token_user().get("/api/audit").await.assert_json(200, &json!([]));
}

#[tokio::test]
async fn members_of_another_type_are_refused() {
    let app = TestApp::new();
    for family in FAMILIES {
        let path = format!("{family}/webhooks/add");
        for (member, value) in [
            ("name", json!(5)),
            ("name", json!(true)),
            ("name", json!(["ci"])),
            ("name", json!({ "name": "ci" })),
            ("description", json!(5)),
            ("sync_timeout", json!("30")),
            ("sync_timeout", json!(30.0)),
            ("sync_timeout", json!(u64::MAX)),
            ("sync_timeout", json!(1e300)),
            ("scheme", json!(["any"])),
            ("session", json!(0)),
        ] {
            let mut body = json!({ "name": "ci" });
            body[member] = value;
            let answer = app.token_user().post(&path, body).await;
            let error = answer.assert_status(422).json()["detail"][0].clone();
            assert_eq!((&error["type"], &error["loc"]), (&json!("type_error"), &json!(["body", member])), "{error}");
            // The place within the text helps nobody who sent JSON with a program.
            assert!(!error["msg"].as_str().unwrap().contains("column"), "{error}");
        }
    }
    for member in ["remove", "regenerate-secret"] {
        for name in [json!(5), json!(["ci"]), json!({})] {
            let answer = app.token_user().post(&format!("/api/webhooks/{member}"), json!({ "name": name })).await;
            assert_eq!(answer.assert_status(422).json()["detail"][0]["loc"], json!(["body", "name"]));
        }
    }
    assert_eq!(slots(&app).await, json!([]));
}

#[tokio::test]
async fn a_second_slot_of_the_same_name_is_refused_and_changes_nothing() {
    let app = TestApp::new();
    let secret = add(&app, "github-events").await;
    let before = (slots(&app).await, app.token_user().get("/api/audit").await.json());
    for family in FAMILIES {
        for name in ["github-events", " github-events\n"] {
            let body = json!({ "name": name, "description": "another", "sync_timeout": 1, "scheme": "standard" });
            let answer = app.token_user().post(&format!("{family}/webhooks/add"), body).await;
            answer.assert_error(409, "Webhook 'github-events' already exists");
        }
    }
    assert_eq!((slots(&app).await, app.token_user().get("/api/audit").await.json()), before);
    deliver(&app, "github-events", &secret).await.assert_status(200);
    // Names are told apart by case.
    add(&app, "GitHub-Events").await;
}

#[tokio::test]
async fn a_removed_slot_takes_nothing_any_more() {
    for family in FAMILIES {
        let app = TestApp::new();
        let secret = add(&app, "ci").await;
        let path = format!("{family}/webhooks/remove");
        app.token_user().post(&path, json!({ "name": " ci " })).await.assert_json(200, &json!({ "status": "ok" }));
        assert_eq!(slots(&app).await, json!([]));
        deliver(&app, "ci", &secret).await.assert_error(403, "Invalid webhook secret or signature");
        app.token_user().post(&path, json!({ "name": "ci" })).await.assert_error(404, "Webhook 'ci' not found");
        // A slot of the same name begins anew.
        assert_ne!(add(&app, "ci").await, secret);
        deliver(&app, "ci", &secret).await.assert_status(403);
    }
}

#[tokio::test]
async fn a_new_secret_replaces_the_old_one() {
    let app = TestApp::new();
    let mut secret = add(&app, "ci").await;
    for family in FAMILIES {
        let path = format!("{family}/webhooks/regenerate-secret");
        let answer = app.token_user().post(&path, json!({ "name": "ci" })).await.assert_status(200).json();
        let new = answer["secret"].as_str().unwrap().to_owned();
        assert_eq!(answer, json!({ "status": "ok", "secret": new }));
        assert_eq!((new.len(), new == secret), (43, false));
        deliver(&app, "ci", &secret).await.assert_error(403, "Invalid webhook secret or signature");
        deliver(&app, "ci", &new).await.assert_status(200);
        assert_eq!(slots(&app).await[0]["secret"], format!("***{}", &new[39..]));
        secret = new;
    }
}

#[tokio::test]
async fn a_new_secret_has_the_form_that_the_scheme_wants() {
    let app = TestApp::new();
    let user = app.token_user();
    user.post("/api/webhooks/add", json!({ "name": "std", "scheme": "standard" })).await.assert_status(200);
    let answer = user.post("/api/webhooks/regenerate-secret", json!({ "name": "std" })).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "secret": "whsec_jHZU7P17C2I7gD4vTgKtHMhCeO/fzXxMkgjt2B8X4RU=",
      "status": "ok"
    }
    "#);
}

#[tokio::test]
async fn slots_that_are_none_are_not_found() {
    let app = TestApp::new();
    add(&app, "ci").await;
    let long = "n".repeat(300);
    for family in FAMILIES {
        for action in ["remove", "regenerate-secret"] {
            let path = format!("{family}/webhooks/{action}");
            for (name, shown) in [
                ("nope", "nope"),
                (" nope\n", "nope"),
                ("CI", "CI"),
                ("bad name!", "bad name!"),
                ("a\0b", "a\0b"),
                (&*long, &long[..100]),
            ] {
                let answer = app.token_user().post(&path, json!({ "name": name })).await;
                answer.assert_error(404, &format!("Webhook '{shown}' not found"));
            }
            for body in [json!({}), json!({ "name": null }), json!({ "name": "  " })] {
                app.token_user().post(&path, body).await.assert_error(400, "Webhook name is required");
            }
        }
    }
    assert_eq!(slots(&app).await.as_array().unwrap().len(), 1);
    assert_eq!(app.token_user().get("/api/audit").await.json().as_array().unwrap().len(), 1);
}
