use super::*;

/// A catalogue of one preset, with lines replaced.
fn with(changes: &[(&str, &str)]) -> anyhow::Result<Vec<Preset>> {
    let mut text = r#"
[[preset]]
id = "files"
name = "Files"
description = "Reads files"
icon = "folder"
category = "data"
docs_url = "https://example.org/"
package = "files"
command = "npx"
arguments = ["-y", "files"]
[[preset.keys]]
key = "KEY"
label = "Key"
placeholder = ""
required = true
secret = true
"#
    .to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    read(&text)
}

#[test]
fn the_catalogue_is_in_order() {
    let presets = all();
    let ids: Vec<&str> = presets.iter().map(|preset| preset.id.as_str()).collect();
    let wanted = [
        "filesystem",
        "fetch",
        "memory",
        "time",
        "git",
        "github",
        "sqlite",
        "postgres",
        "brave-search",
        "playwright",
        "notion",
        "linear",
        "sentry",
        "slack",
    ];
    for id in wanted {
        assert!(ids.contains(&id), "there is no preset {id}");
    }
    assert!(presets.iter().any(|preset| matches!(preset.transport, PresetTransport::Remote { oauth: true, .. })));
}

/// `npx` asks before it installs something, unless it is told not to, and nobody could answer.
#[test]
fn programs_from_npm_are_installed_without_a_question() {
    for preset in all() {
        if let PresetTransport::Stdio { command, arguments, .. } = &preset.transport
            && command.as_str() == "npx"
        {
            assert_eq!(arguments.expose().first().map(String::as_str), Some("-y"), "{}", preset.id.as_str());
        }
    }
}

#[test]
fn mistakes_are_found() {
    assert!(with(&[]).is_ok());
    for change in [
        ("id = \"files\"", "id = \"Files\""),
        ("name = \"Files\"", "name = \" \""),
        ("category = \"data\"", "category = \"other\""),
        ("https://example.org/", "http://example.org/"),
        ("command = \"npx\"\n", ""),
        ("command = \"npx\"", "command = \"npx\"\nurl = \"https://example.org/\""),
        ("command = \"npx\"", "command = \"npx\"\noauth = true"),
        ("command = \"npx\"", "command = \"npx\"\nsurprise = 1"),
        ("package = \"files\"", "package = \"\""),
        ("key = \"KEY\"", "key = \"A=B\""),
        ("label = \"Key\"", "label = \"\""),
        ("required = true\n", ""),
    ] {
        assert!(with(&[change]).is_err(), "{change:?}");
    }
    let twice = format!("{CATALOGUE}\n{CATALOGUE}");
    assert!(read(&twice).is_err());
}
