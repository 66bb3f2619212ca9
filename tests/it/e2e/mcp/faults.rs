//! What is stored of servers outlives restarts, copies and moves; what others have stored starts nothing.

use super::*;

const SECRET: &str = "hunter2-hunter2-hunter2";

/// A server with settings of all kinds, and one that is off. The latter would leave a file if it were started.
async fn configure(lab: &Lab, paw: &Paw) {
    let mut on = lab.odd("on", &["good"]);
    on["env"]["API_KEY"] = json!(SECRET);
    on["timeout"] = json!(1);
    on["denied_tools"] = json!(["die"]);
    on["registry_ref"] = json!("odd");
    paw.connect(&on).await;
    let started = lab.place.path("started");
    let mut off = lab.odd("off", &["flaky", started.to_str().unwrap()]);
    off["enabled"] = json!(false);
    paw.add(&off).await;
    let remote = json!({
        "name": "remote", "transport": "sse", "url": "http://127.0.0.1:9/sse", "headers": { "Authorization": SECRET },
        "enabled": true,
    });
    paw.add(&remote).await;
    paw.toggle("remote", false).await;
}

/// They are as [`configure`] made them.
async fn assert_configured(lab: &Lab, paw: &Paw) {
    let on = paw.connected("on").await;
    assert_eq!((&on["registry_ref"], &on["restarts"]), (&json!("odd"), &json!(0)));
    assert_eq!(paw.ask("on", "env").await["API_KEY"], "***");
    assert!(refusal(&paw.call("on", "die", json!({})).await, 403).contains("'die' is not allowed"));
    assert!(refusal(&paw.call("on", "hang", json!({})).await, 504).contains("within 1 seconds"));
    for (name, transport) in [("off", "stdio"), ("remote", "sse")] {
        let off = paw.status(name).await;
        assert_eq!((&off["state"], &off["transport"]), (&json!("disabled"), &json!(transport)));
        assert_eq!((&off["enabled"], &off["error"]), (&json!(false), &json!("")));
    }
    assert_eq!(lab.alive(), [paw.group("on").await]);
    assert!(!lab.place.path("started").exists(), "what is off was never started");
    assert!(!paw.statuses().await.to_string().contains(SECRET));
}

#[tokio::test]
async fn servers_are_the_same_after_a_restart() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    configure(&lab, &paw).await;
    assert_configured(&lab, &paw).await;
    paw.server.stop();
    let paw = lab.serve(&[]);
    assert_configured(&lab, &paw).await;
    assert_eq!(paw.remove("remote").await.json()["status"], "ok");
    paw.server.kill();
    let paw = lab.serve(&[]);
    paw.connected("on").await;
    assert_eq!(paw.status("remote").await, json!(null), "what was removed stays away");
    paw.server.stop();
}

#[tokio::test]
async fn a_copy_has_the_servers_too() {
    let Some(lab) = Lab::new() else { return };
    let paw = lab.serve(&[]);
    configure(&lab, &paw).await;
    let file = lab.place.path("all.backup");
    let backup = lab.place.program_with_data(&["backup", file.to_str().unwrap()]).run();
    assert_eq!(backup.code(), Some(0), "{backup:?}");
    paw.server.stop();

    let copy = Lab { place: Place::new(), mark: lab.mark.clone() };
    std::fs::create_dir_all(copy.place.data_dir()).unwrap();
    for name in ["access_token", "vault.key"] {
        std::fs::copy(lab.place.data_dir().join(name), copy.place.data_dir().join(name)).unwrap();
    }
    let restored = copy.place.program_with_data(&["restore", file.to_str().unwrap()]).run();
    assert_eq!(restored.code(), Some(0), "{restored:?}");
    let paw = copy.serve(&[]);
    assert_configured(&copy, &paw).await;
    paw.server.stop();
}

#[tokio::test]
async fn what_is_imported_waits_for_its_owner() {
    let Some(lab) = Lab::new() else { return };
    let started = lab.place.path("started");
    // It would work the third time.
    std::fs::write(&started, "2").unwrap();
    let home = lab.place.path("pocketpaw");
    std::fs::create_dir(&home).unwrap();
    let (command, arguments) = mcp_servers::odd(&["flaky", started.to_str().unwrap()]);
    let servers = json!({ "servers": [
        {
            "name": "imported", "transport": "stdio", "command": command, "args": arguments, "url": "",
            "env": { MARK: lab.mark, "API_KEY": SECRET }, "enabled": true, "timeout": 30,
        },
        {
            "name": "address", "transport": "http", "command": "", "args": [], "url": "http://127.0.0.1:9/mcp",
            "env": {}, "enabled": true, "timeout": 30,
        },
    ] });
    std::fs::write(home.join("config.json"), "{}").unwrap();
    std::fs::write(home.join("mcp_servers.json"), servers.to_string()).unwrap();
    let imported = lab.place.program_with_data(&["import", "--although-running", home.to_str().unwrap()]).run();
    assert_eq!(imported.code(), Some(0), "{imported:?}");

    let paw = lab.serve(&[]);
    for name in ["imported", "address"] {
        let status = paw.status(name).await;
        assert_eq!((&status["state"], &status["enabled"]), (&json!("disabled"), &json!(false)), "{status}");
    }
    assert_eq!(lab.alive(), [0; 0]);
    paw.server.stop();
    assert_eq!(std::fs::read_to_string(&started).unwrap(), "2", "nothing was started");

    let paw = lab.serve(&[]);
    paw.toggle("imported", true).await;
    paw.connected("imported").await;
    assert_eq!(paw.ask("imported", "env").await["API_KEY"], "***");
    assert_eq!(std::fs::read_to_string(&started).unwrap(), "3");
    paw.server.stop();
}
