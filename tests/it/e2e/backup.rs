//! Copying everything into a file, and out of it: `pawport backup` and `pawport restore`.

mod answers;
mod between;
mod damage;
mod interrupted;
mod late;
mod load;
pub mod pack;
mod refused;

use super::binary::{Place, Program, Server};
use crate::support::postgres::Database;
use std::path::{Path, PathBuf};

/// A place with a database, which is in it or on a server.
struct Home {
    place: Place,
    database_url: String,
    /// That on a server, kept until the test ends.
    database: Option<Database>,
}

impl Home {
    fn sqlite() -> Self {
        let place = Place::new();
        let database_url = format!("sqlite://{}", place.data_dir().join("pawport.db").display());
        Self { place, database_url, database: None }
    }

    fn postgres() -> Self {
        let database = Database::fresh();
        Self { place: Place::new(), database_url: database.url().to_owned(), database: Some(database) }
    }

    /// The program with the data directory and the database of this home.
    fn program(&self, arguments: &[&str]) -> Program {
        self.place.program_with_data(&[arguments, &["--database-url", &self.database_url]].concat())
    }

    #[track_caller]
    fn serve(&self, flags: &[&str]) -> Server {
        self.program(&[&["serve", "--port", "0"], flags].concat()).start()
    }

    /// A backup that must succeed; gives the file.
    #[track_caller]
    fn backup(&self, name: &str) -> PathBuf {
        let file = self.place.path(name);
        let ended = self.program(&["backup", file.to_str().unwrap()]).run();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        assert!(ended.stdout.contains(file.to_str().unwrap()), "{ended:?}");
        file
    }

    fn restore(&self, file: &Path, flags: &[&str]) -> Program {
        self.program(&[&["restore", file.to_str().unwrap()], flags].concat())
    }

    /// A restore that must succeed; gives what is said of it.
    #[track_caller]
    fn restored(&self, file: &Path, flags: &[&str]) -> String {
        let ended = self.restore(file, flags).run();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        ended.stdout
    }

    /// Takes over what belongs to a server and is not in its database.
    fn take_keys_of(&self, other: &Self) {
        std::fs::create_dir_all(self.place.data_dir()).unwrap();
        for name in ["access_token", "vault.key"] {
            std::fs::copy(other.place.data_dir().join(name), self.place.data_dir().join(name)).unwrap();
        }
    }

    fn vault_key(&self) -> PathBuf {
        self.place.data_dir().join("vault.key")
    }
}
