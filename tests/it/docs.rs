//! What the documentation says of the program, compared with the program.

#![expect(clippy::unwrap_used, reason = "a file that is not there fails the test")]
#![expect(clippy::disallowed_methods, reason = "the environment says whether to compare or to write")]

use crate::support::operations;
use pawport::config::keys::{self, Key, Kind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
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
    // Numbers, true and false are written without quotes; a list may be an array; everything else is text.
    let value = match key.kind {
        Kind::List => "[]".to_owned(),
        Kind::Switch => default.to_owned(),
        _ if default.parse::<u64>().is_ok() => default.to_owned(),
        _ => format!("{default:?}"),
    };
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

/// The tables of routes, made from the description of the API, whose `security` is made from the table that the gate asks.
fn route_tables() -> String {
    let mut tables: BTreeMap<&str, Vec<[&str; 4]>> = BTreeMap::new();
    let needs: Vec<String> = operations().iter().map(|it| needs(&it.description["security"])).collect();
    for (operation, needs) in operations().iter().zip(&needs) {
        let group = operation.description["tags"][0].as_str().unwrap();
        let summary = operation.description["summary"].as_str().unwrap().trim_end_matches('.');
        tables.entry(group).or_default().push([&operation.method, &operation.path, needs, summary]);
    }
    let mut text = String::new();
    for (group, mut rows) in tables {
        // The two families of a route stand together.
        rows.sort_by_key(|[method, path, ..]| {
            let bare = path.strip_prefix("/api/v1").or_else(|| path.strip_prefix("/api")).unwrap_or(path);
            (bare.to_owned(), *method, path.len())
        });
        let (first, rest) = group.split_at(1);
        write!(text, "### {}{rest}\n\n", first.to_uppercase()).unwrap();
        text.push_str("| method | path | needs | what it does |\n|---|---|---|---|\n");
        for [method, path, needs, summary] in rows {
            writeln!(text, "| `{method}` | `{path}` | {needs} | {summary} |").unwrap();
        }
        text.push('\n');
    }
    text
}

/// What a list of alternatives asks for, in a word or two.
fn needs(security: &Value) -> String {
    let alternatives: Vec<_> = security.as_array().unwrap().iter().map(|it| it.as_object().unwrap()).collect();
    let has = |scheme: &str| alternatives.iter().any(|it| it.contains_key(scheme));
    let roles = alternatives.iter().flat_map(|it| it.values()).flat_map(|roles| roles.as_array().unwrap());
    let roles: BTreeSet<_> = roles.map(|role| format!("`{}`", role.as_str().unwrap())).collect();
    match (has("bearer"), has("cookie"), has("status_key")) {
        (false, ..) => "*open*".to_owned(),
        (true, false, _) => "the header itself".to_owned(),
        (true, true, true) => "any credential, or the status key".to_owned(),
        (true, true, false) if roles.is_empty() => "any credential".to_owned(),
        (true, true, false) => roles.into_iter().collect::<Vec<_>>().join(" or "),
    }
}

/// With `UPDATE_DOCS=1` in the environment, writes them instead.
#[test]
fn api_md_has_the_tables_of_all_routes() {
    const BEGIN: &str = "<!-- routes: made by `UPDATE_DOCS=1 cargo test --test it api_md` -->\n\n";
    const END: &str = "<!-- end of routes -->";
    let page = read("docs/api.md");
    let (before, rest) = page.split_once(BEGIN).expect("where the tables begin");
    let (tables, after) = rest.split_once(END).expect("where the tables end");
    let expected = route_tables();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
        fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert!(tables == expected, "docs/api.md is out of date; to update it: UPDATE_DOCS=1 cargo test --test it api_md");
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
