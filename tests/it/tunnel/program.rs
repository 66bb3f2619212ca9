//! The program: finding it, asking for its version, and whether a real one takes what ours gives.

use super::*;
use pawport::adapters::process::{Command, pump_lines};
use pawport::domain::tunnel::{Program, Unusable};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

impl Lab {
    /// Looks for a configured program, or in a `PATH`.
    fn looking(&self, configured: Option<PathBuf>, path: Option<OsString>) -> Cloudflared {
        let target: SocketAddr = TARGET.parse().unwrap();
        let (processes, tasks) = (self.processes.clone(), self.tasks.clone());
        Cloudflared::new(processes, configured, path, Kind::Quick, target, PACE, tasks).unwrap()
    }
}

fn path_of(program: &Program) -> &str {
    &program.path
}

#[tokio::test]
async fn it_is_found_in_path_and_asked_once_for_its_version() {
    let lab = Lab::new(&[up(HOST, &[])]);
    let nowhere = tempfile::tempdir().unwrap();
    let path = std::env::join_paths([nowhere.path(), lab.stand_in.folder()]).unwrap();
    let provider = lab.looking(None, Some(path));
    let looks = futures_util::future::join_all((0..5).map(|_| provider.program())).await;
    for found in looks {
        let found = found.unwrap();
        assert_eq!((path_of(&found), &*found.version), (lab.stand_in.program().to_str().unwrap(), "2026.1.2"));
    }
    let mut tunnel = provider.start(Arc::default()).await.unwrap();
    assert_eq!(lab.stand_in.versions_told(), 1);
    tunnel.close().await;

    // An update is another program.
    let file = std::fs::File::open(lab.stand_in.program()).unwrap();
    let changed = file.metadata().unwrap().modified().unwrap();
    file.set_modified(changed + Duration::from_secs(5)).unwrap();
    lab.stand_in.plan(&json!({ "version": "cloudflared version 2027.1.0 (built 2027-01-20-0956 UTC)", "runs": [[]] }));
    assert_eq!(provider.program().await.unwrap().version, "2027.1.0");
    assert_eq!(lab.stand_in.versions_told(), 2);
    lab.assert_nothing_left();
}

#[tokio::test]
async fn a_configured_one_wins() {
    let (lab, other) = (Lab::new(&[]), StandIn::working());
    let path = other.folder().as_os_str().to_owned();
    let provider = lab.looking(Some(lab.stand_in.program()), Some(path));
    assert_eq!(path_of(&provider.program().await.unwrap()), lab.stand_in.program().to_str().unwrap());
    assert_eq!((lab.stand_in.versions_told(), other.versions_told()), (1, 0));
}

#[tokio::test]
async fn one_that_is_nowhere_is_to_be_installed_by_the_user() {
    let lab = Lab::new(&[]);
    let nowhere = tempfile::tempdir().unwrap();
    // A file that is no program, and a folder of that name.
    std::fs::write(nowhere.path().join("cloudflared"), "text").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("cloudflared")).unwrap();
    let both = std::env::join_paths([nowhere.path(), folder.path()]).unwrap();
    for path in [None, Some(OsString::new()), Some(both)] {
        let missing = lab.looking(None, path).program().await.unwrap_err();
        let Unusable::NotInstalled { program, how_to_install } = &missing else { panic!("{missing}") };
        assert_eq!(*program, "cloudflared");
        assert!(how_to_install.ends_with("give its path as PAWPORT_CLOUDFLARED"), "{how_to_install}");
    }
    let provider = lab.looking(None, None);
    let Err(refused) = provider.start(Arc::default()).await else { panic!("it was started") };
    assert!(matches!(refused, OpenError::Unusable(Unusable::NotInstalled { .. })), "{refused}");
    // It is found as soon as it is there.
    let configured = nowhere.path().join("later");
    let provider = lab.looking(Some(configured.clone()), None);
    let missing = provider.program().await.unwrap_err().to_string();
    assert_eq!(
        missing,
        format!("{} cannot be used: it is not there, or is no program; see PAWPORT_CLOUDFLARED", configured.display())
    );
    std::os::unix::fs::symlink(lab.stand_in.program(), &configured).unwrap();
    assert_eq!(path_of(&provider.program().await.unwrap()), configured.to_str().unwrap());
}

#[tokio::test]
async fn what_is_no_cloudflared_is_not_used() {
    let lab = Lab::new(&[]);
    let program = lab.ledger.path().join("other");
    for (script, told) in [
        ("#!/bin/sh\necho 'ngrok version 3.1'", "said \"ngrok version 3.1\" instead of the version of cloudflared"),
        ("#!/bin/sh\necho 'not here' >&2; exit 3", "it exited with status 3, and said \"not here\""),
        ("#!/bin/sh\nkill -9 $$", "it was ended by signal 9 (KILL), and said \"\""),
        ("#!/no/such/interpreter", "was not found"),
    ] {
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let provider = lab.looking(Some(program.clone()), None);
        let broken = provider.program().await.unwrap_err();
        let text = broken.to_string();
        assert!(text.starts_with(&format!("{} cannot be used: ", program.display())), "{text}");
        assert!(text.contains(told), "{text}");
        assert!(matches!(provider.start(Arc::default()).await, Err(OpenError::Unusable(same)) if same == broken));
        std::fs::remove_file(&program).unwrap();
    }
}

#[tokio::test]
async fn one_that_does_not_tell_its_version_is_not_asked_again_and_again() {
    let lab = Lab::new(&[]);
    lab.stand_in.plan(&json!({ "version": "hang" }));
    let provider = lab.looking(Some(lab.stand_in.program()), None);
    let began = Instant::now();
    let looks = futures_util::future::join_all((0..5).map(|_| provider.program())).await;
    // Not ten seconds for each.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    for look in looks {
        let told = look.unwrap_err().to_string();
        assert!(told.ends_with("it did not tell its version within 10 seconds"), "{told}");
    }
    assert_eq!(lab.stand_in.versions_told(), 1);
    lab.assert_nothing_left();
}

/// Where a real cloudflared is installed: it tells its version as we read it, and knows every flag that we give.
#[tokio::test]
async fn a_real_cloudflared_takes_what_we_give_it() {
    let mut lab = Lab::new(&[up(HOST, &[])]);
    let real = match lab.looking(None, Some(search_path())).program().await {
        Ok(real) => real,
        Err(missing @ Unusable::NotInstalled { .. }) => {
            // Not `eprintln!`, which is shown for failing tests only.
            let _ = writeln!(std::io::stderr(), "SKIPPED, there is no real cloudflared here: {missing}");
            return;
        }
        Err(broken) => panic!("{broken}"),
    };
    assert!(real.version.starts_with("20"), "{real:?}");
    let help = |arguments: &'static [&'static str]| {
        let (processes, program) = (lab.processes.clone(), real.path.clone());
        async move {
            let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            let command = Command { program, arguments, environment: Vec::new(), folder: None };
            let mut child = processes.start(&command).await.unwrap();
            let (_, stdout, _stderr) = child.take_pipes().unwrap();
            let mut text = String::new();
            pump_lines(stdout, 4096, |line| text = format!("{text}{line}\n")).await.unwrap();
            child.wait().await;
            text
        }
    };
    let tunnel = help(&["tunnel", "--help"]).await;
    let run = help(&["tunnel", "run", "--help"]).await;
    assert!(run.contains("TUNNEL_TOKEN"), "{run}");
    lab.open().await.close().await;
    let flags: Vec<_> = lab.run().arguments.into_iter().filter(|argument| argument.starts_with("--")).collect();
    assert_eq!(flags.len(), 5);
    for flag in flags {
        assert!(tunnel.contains(&flag), "{flag} is not in: {tunnel}");
    }
}
