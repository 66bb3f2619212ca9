//! Holds the dependency rule: who may name whom.
//!
//! Every file under `src` is read as tokens, so comments and strings do not count, while `use` groups, inline paths and
//! the bodies of macros do. What is wrong is reported as `file:line names X`. The second half of this file feeds the
//! guard what it must catch.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::path::Path;

const LINE_LIMIT: usize = 500;

/// Crates that hold values and rules and do nothing by themselves.
const MODEL_CRATES: [&str; 14] = [
    "std",
    "secrecy",
    "thiserror",
    "uuid",
    "sha2",
    "hmac",
    "subtle",
    "serde_json",
    "base64",
    "crc32fast",
    "hex",
    "url",
    "regex",
    "rust_stemmers",
];
const PORT_CRATES: [&str; 6] = ["std", "async_trait", "thiserror", "futures_core", "secrecy", "serde_json"];
/// What services need besides: a log, and to wait for whichever comes first, on whatever runtime.
const SERVICE_CRATES: [&str; 4] = ["tracing", "async_trait", "futures_channel", "futures_util"];
/// What `http` would need to go around the services.
const NOT_IN_HTTP: [&str; 6] = ["diesel", "diesel_migrations", "libsqlite3_sys", "r2d2", "rmcp", "reqwest"];

/// The parts of the program. Each must have a file, or its rule has rotted.
const PARTS: [&str; 8] =
    ["root", "composition", "domain model", "domain services", "ports", "list of adapters", "adapters", "http"];

/// What the files of a part may name.
struct Rule {
    part: &'static str,
    /// Paths of this crate; whatever is below them is included.
    inside: Vec<String>,
    outside: Outside,
}

enum Outside {
    Everything,
    Only(Vec<&'static str>),
    AllBut(Vec<&'static str>),
}

fn rule_for(module: &[&str]) -> Option<Rule> {
    use Outside::{AllBut, Everything, Only};
    let rule = |part, inside: &[&str], outside| {
        Some(Rule { part, inside: inside.iter().map(|&path| path.to_owned()).collect(), outside })
    };
    match module {
        ["lib"] => rule("root", &[], Only(vec!["std"])),
        ["main" | "arguments"] | ["app" | "config", ..] => rule("composition", &["crate"], Everything),
        ["domain", .., "service"] | ["domain", .., "service", _] => {
            let crates = [&MODEL_CRATES[..], &SERVICE_CRATES].concat();
            rule("domain services", &["crate::domain", "crate::ports"], Only(crates))
        }
        ["domain", ..] => rule("domain model", &["crate::domain"], Only(MODEL_CRATES.to_vec())),
        ["ports", ..] => rule("ports", &["crate::domain", "crate::ports"], Only(PORT_CRATES.to_vec())),
        ["adapters"] => rule("list of adapters", &["crate::adapters"], Only(vec!["std"])),
        ["adapters", own, ..] => {
            let own = format!("crate::adapters::{own}");
            rule("adapters", &["crate::domain", "crate::ports", &own, "crate::adapters::process"], Everything)
        }
        ["http", ..] => {
            let inside = ["crate::domain", "crate::http", "crate::ports::events", "crate::ports::store::StoreError"];
            rule("http", &inside, AllBut(NOT_IN_HTTP.to_vec()))
        }
        _ => None,
    }
}

/// A path in the source, by its segments, and the line where it begins.
struct Named {
    line: usize,
    path: Vec<String>,
}

/// Collects every path in `tokens`. Inside a `use` tree, `prefix` is what stands before it; each leaf gives one path.
fn collect(tokens: TokenStream, prefix: Option<&[String]>, found: &mut Vec<Named>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let is_path_separator = |at: usize| match trees.get(at..at + 2) {
        Some([TokenTree::Punct(first), TokenTree::Punct(second)]) => {
            (first.as_char(), first.spacing(), second.as_char()) == (':', Spacing::Joint, ':')
        }
        _ => false,
    };
    let mut at = 0;
    'trees: while let Some(tree) = trees.get(at) {
        let imports = at > 0 && matches!(&trees[at - 1], TokenTree::Ident(word) if word == "use" || word == "crate");
        at += 1;
        let mut path = prefix.unwrap_or_default().to_vec();
        match tree {
            TokenTree::Group(group) => {
                collect(group.stream(), imports.then_some(&[]), found);
                continue;
            }
            // The other name of an import is not a path.
            TokenTree::Ident(word) if prefix.is_some() && word == "as" => {
                at += 1;
                continue;
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(punct) if prefix.is_some() && punct.as_char() == '*' => path.push("*".to_owned()),
            _ => continue,
        }
        let line = tree.span().start().line;
        while is_path_separator(at) {
            at += 2;
            match trees.get(at) {
                Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => path.push("*".to_owned()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    collect(group.stream(), Some(&path), found);
                    at += 1;
                    continue 'trees;
                }
                // The arguments of a generic call.
                _ => break,
            }
            at += 1;
        }
        // A word by itself is a path only in an import; anywhere else it is something local.
        if path.len() > 1 || prefix.is_some() || imports {
            path.pop_if(|last| last == "self");
            found.push(Named { line, path });
        }
    }
}

/// Whether a file may say `path`.
fn allowed(path: &[String], module: &[&str], rule: &Rule, crates: &BTreeSet<String>) -> bool {
    let Some(first) = path.first() else { return true };
    if path.iter().skip(1).any(|segment| segment == "super") {
        return false;
    }
    match (first.as_str(), &rule.outside) {
        // In the root of a crate only an inline module can say it, and it means the root.
        ("super", _) => matches!(module, ["main" | "lib"]) || layer(&parent_of(module, path)) == layer(module),
        ("crate", _) => {
            let path = path.join("::");
            rule.inside.iter().any(|above| path == *above || path.starts_with(&format!("{above}::")))
        }
        (first, Outside::Only(allowed)) => !crates.contains(first) || allowed.contains(&first),
        (first, Outside::AllBut(refused)) => !refused.contains(&first),
        (_, Outside::Everything) => true,
    }
}

/// `path`, which begins with `super`, as seen from the root of the crate.
fn parent_of<'a>(module: &[&'a str], path: &'a [String]) -> Vec<&'a str> {
    let above = module.iter().take(module.len() - 1).copied();
    above.chain(path.iter().skip(1).map(String::as_str)).collect()
}

/// What a path with `super` may not leave. Each adapter is a layer of its own.
fn layer<'a>(module: &'a [&'a str]) -> &'a [&'a str] {
    let depth = if module.first() == Some(&"adapters") { 2 } else { 1 };
    &module[..depth.min(module.len())]
}

/// `src/domain/time.rs` is `domain`, `time`.
fn module_of(file: &str) -> Vec<&str> {
    file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect()
}

/// Everything that is wrong with a file.
fn reports(file: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let mut reports = Vec::new();
    let module = module_of(file);
    if text.lines().count() > LINE_LIMIT {
        reports.push(format!("{file}:{} is beyond {LINE_LIMIT} lines", LINE_LIMIT + 1));
    }
    // Unit tests may name everything. They are always below the module that they test.
    if module.get(1..).is_some_and(|below| below.contains(&"tests")) {
        return reports;
    }
    // A path that begins with this name could mean either.
    if let Some(name) = module.last().filter(|name| crates.contains(**name)) {
        reports.push(format!("{file}:1 is named like the crate {name}"));
    }
    let Some(rule) = rule_for(&module) else {
        reports.push(format!("{file}:1 belongs to no part"));
        return reports;
    };
    let Ok(tokens) = text.parse::<TokenStream>() else {
        reports.push(format!("{file}:1 is not Rust"));
        return reports;
    };
    let mut found = Vec::new();
    collect(tokens, None, &mut found);
    found.retain(|named| !allowed(&named.path, &module, &rule, crates));
    reports.extend(found.iter().map(|named| format!("{file}:{} names {}", named.line, named.path.join("::"))));
    reports.dedup();
    reports
}

/// The parts that none of `files` belongs to.
fn parts_without_files<'a>(files: impl Iterator<Item = &'a str>) -> Vec<String> {
    let present: BTreeSet<_> = files.filter_map(|file| rule_for(&module_of(file))).map(|rule| rule.part).collect();
    let missing = PARTS.iter().filter(|part| !present.contains(*part));
    missing.map(|part| format!("no file belongs to the part {part}")).collect()
}

/// The names under which the dependencies are used, and those of the standard library.
fn crates() -> BTreeSet<String> {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_"));
    // Not in the manifest, but to be had through diesel.
    let others = ["std", "core", "alloc", "r2d2"].map(str::to_owned);
    dependencies.chain(others).collect()
}

/// Every Rust file below `folder`, named from the root of the package.
fn files_below(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_file_names_only_what_its_part_may_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, crates) = (Vec::new(), crates());
    files_below(&root.join("src"), root, &mut files);
    files.sort();
    let mut wrong: Vec<_> = files.iter().flat_map(|(file, text)| reports(file, text, &crates)).collect();
    wrong.extend(parts_without_files(files.iter().map(|(file, _)| file.as_str())));
    assert!(wrong.is_empty(), "the dependency rule is broken:\n{}", wrong.join("\n"));
}

#[track_caller]
fn assert_reports(file: &str, text: &str, expected: &[&str]) {
    assert_eq!(reports(file, text, &crates()), expected, "{file}: {text}");
}

#[track_caller]
fn assert_may_not_name(file: &str, path: &str) {
    assert_reports(file, &format!("use {path};"), &[&format!("{file}:1 names {path}")]);
}

#[test]
fn each_part_is_held_to_its_rule() {
    for (file, path) in [
        ("src/lib.rs", "crate::domain::time"),
        ("src/domain/time.rs", "jiff::Timestamp"),
        ("src/domain/time.rs", "crate::ports::clock"),
        ("src/domain.rs", "tracing::info"),
        ("src/domain/auth/service.rs", "tokio::spawn"),
        ("src/domain/auth/service.rs", "crate::http"),
        ("src/ports/clock.rs", "jiff::Zoned"),
        ("src/ports.rs", "crate::adapters::sql"),
        ("src/adapters.rs", "crate::domain"),
        ("src/adapters/sql.rs", "crate::adapters::vault"),
        ("src/adapters/sql/schema.rs", "crate::config"),
        ("src/http/qr.rs", "diesel::sql_query"),
        ("src/http.rs", "crate::app::App"),
        ("src/http.rs", "crate::ports"),
        ("src/http.rs", "crate::ports::store::Stores"),
    ] {
        assert_may_not_name(file, path);
    }
}

#[test]
fn what_a_part_may_name_is_not_reported() {
    for (file, text) in [
        ("src/main.rs", "use pawport::app; use diesel::prelude::*; mod tests { use super::*; }"),
        ("src/app/workers.rs", "use crate::{adapters::sql, http}; use super::shutdown;"),
        ("src/config/file.rs", "use super::keys; use std::env;"),
        ("src/domain/time.rs", "use std::time::Duration; use super::text; use crate::domain::id;"),
        ("src/domain/auth/service.rs", "use super::AccessToken; use crate::ports::clock::Clock; use tracing::info;"),
        ("src/ports/store.rs", "use super::audit::AuditLog; use async_trait::async_trait;"),
        ("src/adapters/sql/a.rs", "use super::schema; use crate::adapters::{process, sql}; use diesel::prelude::*;"),
        ("src/http/events.rs", "use crate::ports::{events::EventBus, store::StoreError}; use axum::Router;"),
        ("src/domain/auth/tests.rs", "use super::super::super::x; use crate::adapters::fake; use tokio::test;"),
        ("src/domain/auth/tests/some.rs", "use super::*; use tokio::test;"),
    ] {
        assert_reports(file, text, &[]);
    }
}

#[test]
fn every_way_to_write_a_path_is_seen() {
    let text = r#"//! Comments do not count: tokio::spawn.
use {anyhow, std::{fmt, io::{self, Write as _}}};
use crate::{domain::{time, id as tokio}, http::*, ports::{self, clock::Clock}};
extern crate diesel;
#[tokio::main]
fn main() {
    let hex = "in a string: tokio::spawn"; // tokio::spawn
    println!("{}", ::serde::de::value(hex));
    Vec::<axum::Router>::new().collect::<crate::app::App>();
}
macro_rules! m { () => { $crate::config::load() } }
"#;
    assert_reports(
        "src/domain/time.rs",
        text,
        &[
            "src/domain/time.rs:2 names anyhow",
            "src/domain/time.rs:3 names crate::http::*",
            "src/domain/time.rs:3 names crate::ports",
            "src/domain/time.rs:3 names crate::ports::clock::Clock",
            "src/domain/time.rs:4 names diesel",
            "src/domain/time.rs:5 names tokio::main",
            "src/domain/time.rs:8 names serde::de::value",
            "src/domain/time.rs:9 names axum::Router",
            "src/domain/time.rs:9 names crate::app::App",
            "src/domain/time.rs:11 names crate::config::load",
        ],
    );
}

#[test]
fn super_does_not_leave_its_layer() {
    for (file, path) in [
        ("src/domain.rs", "super::ports"),
        ("src/http.rs", "super::*"),
        ("src/app.rs", "super::http"),
        ("src/adapters/sql.rs", "super::vault"),
        ("src/domain/auth/service.rs", "super::super::id"),
        ("src/config/file.rs", "self::super::keys"),
    ] {
        assert_may_not_name(file, path);
    }
}

#[test]
fn files_that_fit_no_rule_and_rules_that_fit_no_file_are_reported() {
    let lines = |count| "\n".repeat(count);
    assert_reports("src/domain/time.rs", &lines(LINE_LIMIT), &[]);
    assert_reports("src/domain/time.rs", &lines(LINE_LIMIT + 1), &["src/domain/time.rs:501 is beyond 500 lines"]);
    assert_reports("src/extra.rs", "", &["src/extra.rs:1 belongs to no part"]);
    assert_reports("src/tests.rs", "", &["src/tests.rs:1 belongs to no part"]);
    assert_reports("src/domain/time.rs", "fn {", &["src/domain/time.rs:1 is not Rust"]);
    assert_reports("src/adapters/rand.rs", "", &["src/adapters/rand.rs:1 is named like the crate rand"]);
    let files = ["lib", "main", "domain", "ports", "adapters", "adapters/sql"].map(|name| format!("src/{name}.rs"));
    assert_eq!(
        parts_without_files(files.iter().map(String::as_str)),
        ["no file belongs to the part domain services", "no file belongs to the part http"]
    );
}
