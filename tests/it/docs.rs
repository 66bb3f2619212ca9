//! What the documentation says of the program, compared with the program.

#![expect(clippy::unwrap_used, reason = "a file that is not there fails the test")]

use pawport::config::keys::{self, Key};
use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The commented configuration file, made from the table of keys.
fn commented_file() -> String {
    let in_file = keys::ALL.iter().filter(|key| key.in_file);
    in_file.map(|key| commented_key(key)).collect::<Vec<_>>().join("\n")
}

fn commented_key(key: &Key) -> String {
    let default = key.default.unwrap_or("");
    // Numbers are written without quotes, everything else is text.
    let value = if default.parse::<u64>().is_ok() { default.to_owned() } else { format!("{default:?}") };
    format!("# {}\n# Allowed: {}\n# {} = {value}\n", key.help, key.allowed, key.name)
}

#[test]
fn operations_md_shows_the_configuration_file_as_it_is() {
    let expected = commented_file();
    let page = read("docs/operations.md");
    assert!(page.contains(&expected), "docs/operations.md should contain exactly this:\n\n{expected}");
}

#[test]
fn operations_md_names_every_flag_and_variable() {
    let page = read("docs/operations.md");
    for key in keys::ALL {
        assert!(page.contains(&format!("`{}`", key.variable)), "docs/operations.md does not name {}", key.variable);
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["README.md".into(), "CONTRIBUTING.md".into(), "CHANGELOG.md".into()];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut checked = 0;
    for page in pages {
        let page = root.join(page);
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}, which is not there", page.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found; the search for them is broken");
}
