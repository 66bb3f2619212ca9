use super::credential_file::CredentialFile;
use super::*;
use crate::domain::auth::token::AccessToken;
use crate::ports::credentials::CredentialStore;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_directory_and_its_files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("access_token"), "x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(path.join("access_token"), std::fs::Permissions::from_mode(0o644)).unwrap();

    let directory = DataDir::open(&path).unwrap();
    directory.keep_key("vault.key", &[7; 32]).unwrap();
    assert_eq!(mode(&path), 0o700);
    for file in ["access_token", "vault.key", "pawport.lock"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_folder_of_somebody_elses_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("project");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("build.sh"), "#!/bin/sh").unwrap();
    for file in [&path, &path.join("build.sh")] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let refusal = DataDir::open(&path).unwrap_err().to_string();
    assert!(refusal.contains("--data-dir"), "{refusal}");
    assert_eq!((mode(&path), mode(&path.join("build.sh"))), (0o755, 0o755));
    assert!(!path.join("pawport.lock").exists());
}

#[test]
fn a_second_server_is_refused_until_the_first_has_gone() {
    let parent = tempfile::tempdir().unwrap();
    let first = DataDir::open(parent.path()).unwrap();
    let refusal = DataDir::open(parent.path()).unwrap_err().to_string();
    assert!(refusal.contains("another pawport server"), "{refusal}");
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    drop(first);
    DataDir::open(parent.path()).unwrap();
}

#[test]
fn a_key_is_kept_and_a_damaged_one_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let directory = DataDir::open(parent.path()).unwrap();
    assert_eq!(directory.key("vault.key").unwrap(), None);
    directory.keep_key("vault.key", &[7; 32]).unwrap();
    assert_eq!(directory.key("vault.key").unwrap(), Some([7; 32]));
    for damaged in [&b"damaged"[..], b"", b"\xff\xfe", &[b'0'; 66]] {
        std::fs::write(parent.path().join("vault.key"), damaged).unwrap();
        let error = directory.key("vault.key").unwrap_err().to_string();
        assert!(error.contains("restore it from a backup"), "{error}");
    }
}

#[tokio::test]
async fn the_token_is_kept_and_a_damaged_file_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = CredentialFile::new(parent.path().join(CredentialFile::NAME));
    assert!(file.load().await.unwrap().is_none());
    let token = AccessToken::generate([9; 16]);
    file.replace(&token).await.unwrap();
    assert!(file.load().await.unwrap().unwrap().expose() == token.expose());
    assert_eq!(mode(&parent.path().join("access_token")), 0o600);
    std::fs::write(parent.path().join("access_token"), "short").unwrap();
    let error = file.load().await.unwrap_err().to_string();
    assert!(error.contains("remove the file") && !error.contains("short"), "{error}");
}

#[test]
fn an_address_is_that_of_the_server_that_holds_the_directory_and_of_no_other() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let address: SocketAddr = "127.0.0.1:8000".parse().unwrap();
    assert_eq!(DataDir::address(&path).unwrap(), None);
    let running = DataDir::open(&path).unwrap();
    running.keep_address(address).unwrap();
    assert_eq!(DataDir::address(&path).unwrap(), Some(address));
    drop(running);
    // What a server leaves that is killed; whoever holds the directory next listens somewhere else, or nowhere.
    std::fs::write(path.join("address"), address.to_string()).unwrap();
    assert_eq!(DataDir::address(&path).unwrap(), None);
    let _next = DataDir::open(&path).unwrap();
    assert_eq!(DataDir::address(&path).unwrap(), None);
}
