use super::*;

/// A row of a table `kept` that makes a line of that length.
fn row_of_line(length: usize) -> Record {
    let around = "{\"kept\":\"\"}\n".len();
    Record { table: "kept".to_owned(), row: format!("\"{}\"", "a".repeat(length - around)) }
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.backup");
    let longest = usize::try_from(LONGEST_LINE).unwrap();
    let fits = row_of_line(longest);
    let mut writer = BackupWriter::create(&path, false, &Header::new(String::new(), Vec::new())).unwrap();
    writer.put(&fits).unwrap();
    let refused = format!("{:#}", writer.put(&row_of_line(longest + 1)).unwrap_err());
    for part in ["kept", "67,108,865", "67,108,864"] {
        assert!(refused.contains(part), "{part} is not in: {refused}");
    }
    writer.finish().unwrap();

    let records: Vec<_> = BackupReader::open(&path, &ProgressBar::hidden()).unwrap().collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].as_ref().is_ok_and(|record| *record == fits), "not what was written");
}
