//! A PostgreSQL server for the tests: a private one, started from the installed programs, or the one that `TEST_POSTGRES_URL`
//! names (as a superuser, who may make databases and roles).
//!
//! The private one belongs to the test process: it ends when that ends, however it ends, and leaves no file behind.

#![expect(clippy::disallowed_methods, reason = "the server is a child process, and is found through the environment")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

/// What is missing, and what to do about it.
const MISSING: &str = "there is no PostgreSQL server here: install one (Debian: apt-get install postgresql; .ci/test does it), or name one in TEST_POSTGRES_URL";

/// Starts a server in a folder of its own and stops it when standard input ends. `runuser`, because PostgreSQL does not
/// run as root.
const SCRIPT: &str = r#"
set -eu
trap '' INT TERM
programs=$1 port=$2 kind=$3
folder=$(mktemp -d)
as_user=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as_user="runuser -u postgres --"
fi
cd "$folder"
clean_up() {
    $as_user "$programs/pg_ctl" -D "$folder/data" -m immediate -s stop >&2 || true
    rm -rf "$folder"
}
trap clean_up EXIT
echo secret > "$folder/password"
chmod 644 "$folder/password"
$as_user "$programs/initdb" -D "$folder/data" -U tester -A scram-sha-256 --pwfile="$folder/password" \
    --no-sync -E UTF8 --locale=C.UTF-8 > "$folder/initdb.log" || { cat "$folder/initdb.log" >&2; exit 1; }
cat >> "$folder/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
max_connections = 300
END
if [ "$kind" != durable ]; then
    printf 'fsync = off\nfull_page_writes = off\nshared_buffers = 64MB\n' >> "$folder/data/postgresql.conf"
fi
if [ "$kind" = tls ]; then
    chmod 755 "$folder"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$folder/key" -out "$folder/certificate" 2> /dev/null
    if [ -n "$as_user" ]; then chown postgres "$folder/key"; fi
    chmod 600 "$folder/key"
    printf "ssl = on\nssl_cert_file = '$folder/certificate'\nssl_key_file = '$folder/key'\n" >> "$folder/data/postgresql.conf"
fi
$as_user "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w -s start >&2 || { cat "$folder/log" >&2; exit 1; }
echo "$folder"
while read -r mode; do
    case $mode in
        start) $as_user "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w -s start >&2 || cat "$folder/log" >&2;;
        *) $as_user "$programs/pg_ctl" -D "$folder/data" -m "$mode" -w -s stop >&2;;
    esac
    echo done
done
"#;

/// A server.
pub struct Cluster {
    /// Where its superuser connects.
    url: Url,
    /// The script that runs it, unless somebody else does.
    script: Option<Script>,
}

struct Script {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    folder: PathBuf,
}

impl Cluster {
    /// A server of the caller's own, to stop and start. `plain`: a power cut is not among what it survives; `tls`: the same
    /// with a certificate, made by the program `openssl`; `durable`: with the settings that PostgreSQL comes with.
    pub fn start(kind: &str) -> Self {
        let programs = programs().expect(MISSING);
        // Somebody could take the port before the server does; then it says so and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("bash")
            .args(["-c", SCRIPT, "bash"])
            .arg(programs)
            .args([&port.to_string(), kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut script = Script { child, answers, folder: PathBuf::new() };
        script.folder = script.answer().into();
        let url = format!("postgres://tester:secret@127.0.0.1:{port}/postgres").parse().unwrap();
        Self { url, script: Some(script) }
    }

    /// Stops a server of one's own: `fast` tells its clients, `immediate` does not, as a power cut would not.
    pub fn stop(&mut self, mode: &str) {
        self.tell(mode);
    }

    /// Starts it again.
    pub fn start_again(&mut self) {
        self.tell("start");
    }

    /// The certificate of a server that has one.
    pub fn certificate(&self) -> PathBuf {
        self.script.as_ref().expect("a server of the test's own").folder.join("certificate")
    }

    fn tell(&mut self, line: &str) {
        let script = self.script.as_mut().expect("a server of the test's own");
        writeln!(script.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        assert_eq!(script.answer(), "done");
    }

    /// An empty database.
    pub fn database(&self) -> Database {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pawport_test_{}_{number}", std::process::id());
        self.run(&format!("CREATE DATABASE {name}"));
        let mut url = self.url.clone();
        url.set_path(&name);
        Database { url, name, admin: self.url.clone() }
    }

    fn run(&self, statement: &str) {
        PgConnection::establish(self.url.as_str()).unwrap().batch_execute(statement).unwrap();
    }
}

impl Script {
    /// What it says next.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the PostgreSQL server did not do what it was told; see above");
        line.trim_end().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(script) = &mut self.script {
            drop(script.child.stdin.take());
            let _ = script.child.wait();
        }
    }
}

/// The folder with the server's programs: that of `PATH`, or where Debian keeps them, the newest.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path())
        .collect();
    folders.sort_by_key(|folder| {
        let version = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    let folders = folders.into_iter().map(|folder| folder.join("bin")).chain(std::env::split_paths(&path));
    folders.into_iter().find(|folder| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file()))
}

/// A database, dropped when this is.
pub struct Database {
    url: Url,
    name: String,
    admin: Url,
}

impl Database {
    /// A database on the server that all tests share.
    pub fn fresh() -> Self {
        shared().database()
    }

    /// The same for a role that may not install extensions, as on many a managed server.
    pub fn without_extensions() -> Self {
        let mut database = Self::fresh();
        shared().run(&format!("CREATE ROLE {0} LOGIN PASSWORD 'plain'", database.name));
        database.run(&format!("GRANT CREATE ON SCHEMA public TO {}", database.name));
        let role = database.name.clone();
        database.url.set_username(&role).unwrap();
        database.url.set_password(Some("plain")).unwrap();
        database
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The role of [`Database::without_extensions`].
    pub fn role(&self) -> &str {
        &self.name
    }

    /// Runs statements as the superuser.
    pub fn run(&self, statements: &str) {
        self.connect().batch_execute(statements).unwrap();
    }

    /// The one text that a query of the superuser gives.
    pub fn asked(&self, query: &str) -> String {
        #[derive(QueryableByName)]
        struct Answer {
            #[diesel(sql_type = diesel::sql_types::Text)]
            answer: String,
        }
        let query = diesel::sql_query(format!("SELECT ({query})::text AS answer"));
        query.get_result::<Answer>(&mut self.connect()).unwrap().answer
    }

    /// A connection of the superuser's.
    pub fn connect(&self) -> PgConnection {
        let mut url = self.admin.clone();
        url.set_path(&self.name);
        PgConnection::establish(url.as_str()).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that was stopped takes its databases with it.
        let Ok(mut admin) = PgConnection::establish(self.admin.as_str()) else { return };
        let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let _ = admin.batch_execute(&format!("DROP ROLE IF EXISTS {}", self.name));
    }
}

/// Whether there is a server to test with. If not, says so; where the tests must be complete, that is a failure.
pub fn is_available() -> bool {
    let is_there = std::env::var_os("TEST_POSTGRES_URL").is_some() || programs().is_some();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "{MISSING}");
        // Not `eprintln!`, which is shown for failing tests only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {MISSING}");
    }
    is_there
}

/// The server that the tests of this process share.
fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => Cluster { url: url.parse().expect("TEST_POSTGRES_URL is a URL"), script: None },
        Err(_) => Cluster::start("plain"),
    })
}
