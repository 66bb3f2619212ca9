//! With files that are there.

use super::*;

/// A fresh folder with a configuration file of this mode.
fn folder_with(text: &str, mode: u32) -> (tempfile::TempDir, Values) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pawport.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let flags = values(&[("config", path.to_str().unwrap())]);
    (folder, flags)
}

#[test]
fn the_named_file_is_read() {
    let (_folder, flags) = folder_with("port = 9000", 0o644);
    assert_eq!(Config::load_from(&flags, &environment_with(&[])).unwrap().port, 9000);
    let environment = environment_with(&[("PAWPORT_CONFIG", &flags["config"])]);
    let config = Config::load_from(&Values::new(), &environment).unwrap();
    assert_eq!(config.port, 9000);
    let row = config.effective().into_iter().find(|row| row.key == "config").unwrap();
    assert_eq!(row.source, Source::Variable("PAWPORT_CONFIG"));
}

#[test]
fn a_named_file_must_be_there() {
    let flags = values(&[("config", "/no/such/file.toml")]);
    insta::assert_snapshot!(message(Config::load_from(&flags, &environment_with(&[]))), @"cannot read config file /no/such/file.toml from --config: No such file or directory (os error 2)");
}

#[test]
fn no_file_is_read_unless_it_is_named() {
    let (folder, _) = folder_with("port = 9000", 0o600);
    std::fs::rename(folder.path().join("pawport.toml"), folder.path().join("config.toml")).unwrap();
    let flags = values(&[("data_dir", folder.path().to_str().unwrap())]);
    assert_eq!(Config::load_from(&flags, &environment_with(&[])).unwrap().port, 8000);
}

#[test]
fn the_mode_of_the_file_decides_whether_it_may_hold_the_token() {
    let text = format!("access_token = '{TOKEN}'");
    for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
        let (_folder, flags) = folder_with(&text, mode);
        assert_eq!(Config::load_from(&flags, &environment_with(&[])).is_ok(), fine, "{mode:o}");
    }
    for (url, fine) in [("postgres://ada:hunter2@db/paw", false), ("postgres://ada@db/paw", true)] {
        let (_folder, flags) = folder_with(&format!("database_url = '{url}'"), 0o640);
        assert_eq!(Config::load_from(&flags, &environment_with(&[])).is_ok(), fine, "{url}");
    }
}

#[test]
fn files_with_secrets_are_read_and_trimmed() {
    for (name, secret, is_taken) in SECRETS {
        let (folder, _) = folder_with("", 0o600);
        let path = folder.path().join("secret");
        let variable = format!("PAWPORT_{}_FILE", name.to_uppercase());
        let environment = environment_with(&[(&variable, path.to_str().unwrap())]);
        let load = || Config::load_from(&Values::new(), &environment);
        assert!(message(load()).starts_with(&format!("cannot read {name}_file ")));
        std::fs::write(&path, "hunter2\n").unwrap();
        let refused = message(load());
        assert!(refused.starts_with(&format!("invalid {name}_file ")) && !refused.contains("hunter2"), "{refused}");
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        assert!(is_taken(&load().unwrap()), "{name}");
    }
}

#[test]
fn the_folder_of_a_given_database_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let load = |data_dir: String, url: String| {
        Config::load_from(&values(&[("data_dir", &data_dir), ("database_url", &url)]), &environment_with(&[]))
    };
    let new_data_dir = format!("{here}/new");
    assert!(load(new_data_dir.clone(), format!("sqlite://{here}/a.db")).is_ok());
    assert!(load(new_data_dir.clone(), format!("sqlite://{new_data_dir}/a.db")).is_ok(), "the server makes that one");
    assert!(load(new_data_dir.clone(), "sqlite://a.db".to_owned()).is_ok());
    assert!(load(new_data_dir.clone(), "memory:".to_owned()).is_ok());
    let refused = message(load(new_data_dir, format!("sqlite://{here}/typo/a.db")));
    assert!(refused.ends_with(&format!("from --database-url: the folder {here}/typo does not exist")), "{refused}");
    assert!(!folder.path().join("typo").exists());
}
