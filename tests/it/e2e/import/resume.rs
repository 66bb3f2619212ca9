//! An import that is cut short, and taken up again.

use super::home::{MEMORIES, counts, generated, import, imported};
use crate::e2e::binary::{PATIENCE, Place};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

#[test]
fn killed_in_the_middle_and_run_again_is_as_good_as_one_run() {
    let whole = Place::new();
    let home = generated(&whole, "home", 200, 100);
    import(&whole, &home, &[]);
    let expected = imported(&whole);
    assert_eq!((expected[0].len(), expected[1].len(), expected[3].len()), (200, 20_000, 200));
    assert_eq!(expected[8].len(), MEMORIES);

    let place = Place::new();
    let log = place.data_dir().join("pawport.db-wal");
    let mut kills = 0;
    for size in [1, 500_000, 2_000_000] {
        let arguments = ["import", home.to_str().unwrap(), "--although-running"];
        let mut process = place.program_with_data(&arguments).spawn();
        let deadline = Instant::now() + PATIENCE;
        while process.is_running() && log.metadata().map_or(0, |log| log.len()) < size {
            assert!(Instant::now() < deadline, "nothing is written");
            std::thread::sleep(Duration::from_millis(1));
        }
        if process.is_running() {
            process.signal(Signal::SIGKILL);
        }
        kills += u32::from(process.end().code().is_none());
    }
    assert!(kills > 0, "every run was over before it was killed");
    let again = import(&place, &home, &[]);
    let [new, there, skipped] = counts(&again, "Messages");
    assert_eq!((new + there, skipped), (20_000, 0));
    assert_eq!(imported(&place), expected);
}

#[test]
fn a_file_that_grew_while_the_import_was_stopped_is_taken_up() {
    let place = Place::new();
    let home = generated(&place, "home", 3, 10);
    import(&place, &home, &[]);
    generated(&place, "home", 4, 25);
    let ended = import(&place, &home, &[]);
    assert_eq!((counts(&ended, "Sessions"), counts(&ended, "Messages")), ([1, 3, 0], [70, 30, 0]));
    assert_eq!(imported(&place)[1].len(), 100);
}
