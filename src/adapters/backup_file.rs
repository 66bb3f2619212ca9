//! Backups: everything that a storage holds, in one file that any storage can be filled from.
//!
//! A backup is a gzip file of lines of JSON: a header, a line for each row, and an end with a checksum over all before it.
//! `docs/storage.md` describes it. This knows nothing of what is in a row.

use crate::ports::archive::Record;
use anyhow::{Context, anyhow, bail, ensure};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use indicatif::{HumanCount, ProgressBar, ProgressBarIter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The version of the format that is written here. Rows may get more members without another one: see [`Header::schema`].
const VERSION: u32 = 1;

/// The longest line that is read, and therefore that is written, with the line feed at its end. A message has at most a
/// megabyte of text, which JSON can make six times as long.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// How much is read or written at once.
const BUFFER: usize = 256 * 1024;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pawport_backup: u32,
    /// The version of the program that wrote the file.
    pub pawport: String,
    /// When that was, as RFC 3339.
    pub created: String,
    /// The changes of the schema that the rows come from.
    pub schema: Vec<String>,
}

impl Header {
    /// A header for a backup that is written now.
    #[must_use]
    pub fn new(created: String, schema: Vec<String>) -> Self {
        Self { pawport_backup: VERSION, pawport: env!("CARGO_PKG_VERSION").to_owned(), created, schema }
    }
}

/// How many rows of each table there are, in the order of the file. Tables without rows are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub Vec<(String, u64)>);

impl Counts {
    fn add(&mut self, table: &str) {
        match self.0.last_mut().filter(|(last, _)| last == table) {
            Some((_, count)) => *count += 1,
            None => self.0.push((table.to_owned(), 1)),
        }
    }

    /// How many rows there are altogether.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

#[derive(Serialize, Deserialize)]
struct End {
    rows: BTreeMap<String, u64>,
    /// Of all bytes before this line, not compressed, in hexadecimal digits.
    sha256: String,
}

#[derive(Serialize)]
struct EndLine {
    end: End,
}

/// A backup that is being written. It takes its name when it is finished; until then there is a file beside it, which goes
/// when this is dropped.
pub struct BackupWriter {
    path: PathBuf,
    overwrite: bool,
    lines: GzEncoder<BufWriter<NamedTempFile>>,
    digest: Sha256,
    counts: Counts,
}

impl BackupWriter {
    /// Begins a backup that will be at `path`, which only we can read.
    ///
    /// # Errors
    /// If there is something already and `overwrite` is false, or it cannot be written.
    pub fn create(path: &Path, overwrite: bool, header: &Header) -> anyhow::Result<Self> {
        if !overwrite && path.symlink_metadata().is_ok() {
            bail!("{} is there already; choose another name, or replace it with --overwrite", path.display());
        }
        let begin = || {
            let private = Permissions::from_mode(0o600);
            let file = tempfile::Builder::new().prefix(".backup-").permissions(private).tempfile_in(folder(path))?;
            let lines = GzEncoder::new(BufWriter::with_capacity(BUFFER, file), Compression::fast());
            let (path, digest, counts) = (path.to_owned(), Sha256::new(), Counts::default());
            let mut writer = Self { path, overwrite, lines, digest, counts };
            writer.line(&serde_json::to_string(header)?)?;
            anyhow::Ok(writer)
        };
        begin().with_context(|| cannot_write(path))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it cannot be written, or is so long that it could not be read back.
    pub fn put(&mut self, record: &Record) -> anyhow::Result<()> {
        let Record { table, row } = record;
        let line = format!("{{\"{table}\":{row}}}");
        let length = line.len() as u64 + 1;
        ensure!(
            length <= LONGEST_LINE,
            "a row of {table} makes a line of {} bytes; a line longer than {} could not be restored",
            HumanCount(length),
            HumanCount(LONGEST_LINE)
        );
        self.counts.add(table);
        self.line(&line).with_context(|| cannot_write(&self.path))
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        for bytes in [line.as_bytes(), b"\n"] {
            self.digest.update(bytes);
            self.lines.write_all(bytes)?;
        }
        Ok(())
    }

    /// Ends the backup and gives it its name. When this returns it is on disk. Gives how many rows and bytes are in it.
    ///
    /// # Errors
    /// If it cannot be written, or somebody else has made a file of that name. Then there is none of ours.
    pub fn finish(mut self) -> anyhow::Result<(Counts, u64)> {
        let rows = self.counts.0.iter().cloned().collect();
        let end = EndLine { end: End { rows, sha256: hex::encode(self.digest.clone().finalize()) } };
        let end = serde_json::to_string(&end)?;
        let Self { path, overwrite, counts, .. } = &self;
        let (path, overwrite, counts) = (path.clone(), *overwrite, counts.clone());
        let write = || {
            self.line(&end)?;
            let file = self.lines.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            let file = if overwrite { file.persist(&path)? } else { file.persist_noclobber(&path)? };
            // The rename is on disk when the folder is.
            File::open(folder(&path))?.sync_all()?;
            Ok::<_, std::io::Error>(file.metadata()?.len())
        };
        let bytes = write().with_context(|| cannot_write(&path))?;
        Ok((counts, bytes))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("the backup {} cannot be written", path.display())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a backup, row by row. It has been read to its end, and is whole and undamaged, when this gave `None`; before that
/// nobody knows. Ends at the first error.
pub struct BackupReader {
    path: PathBuf,
    lines: BufReader<GzDecoder<BufReader<ProgressBarIter<File>>>>,
    header: Header,
    digest: Sha256,
    counts: Counts,
    ended: bool,
}

impl BackupReader {
    /// Opens the backup at `path` and reads its header. `progress` is told how much of it was read.
    ///
    /// # Errors
    /// If it cannot be read, is no backup, or is of a version that this program does not know.
    pub fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Self> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.with_context(|| format!("{} cannot be read", path.display()))?;
        ensure!(metadata.is_file(), "{} is no file", path.display());
        progress.set_length(metadata.len());
        let file = BufReader::with_capacity(BUFFER, progress.wrap_read(file));
        let mut reader = Self {
            path: path.to_owned(),
            lines: BufReader::with_capacity(BUFFER, GzDecoder::new(file)),
            header: Header::new(String::new(), Vec::new()),
            digest: Sha256::new(),
            counts: Counts::default(),
            ended: false,
        };
        reader.header = reader.read_header()?;
        Ok(reader)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many rows were read so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn read_header(&mut self) -> anyhow::Result<Header> {
        #[derive(Deserialize)]
        struct Version {
            pawport_backup: u32,
        }
        let is_none = || format!("{} is no backup of pawport", self.path.display());
        let mut line = Vec::new();
        (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut line).with_context(is_none)?;
        let Version { pawport_backup } = serde_json::from_slice(&line).with_context(is_none)?;
        if pawport_backup > VERSION {
            bail!(
                "{} is a backup of version {pawport_backup}, and this program reads version {VERSION}: restore it with a newer pawport",
                self.path.display()
            );
        }
        self.digest.update(&line);
        serde_json::from_slice(&line).with_context(is_none)
    }

    /// The next row; none after the end.
    fn read(&mut self) -> anyhow::Result<Option<Record>> {
        let mut line = Vec::new();
        let length = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut line);
        let length = length.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.cut_off(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput => self.damaged(&error.to_string()),
            _ => anyhow::Error::new(error).context(format!("{} cannot be read", self.path.display())),
        })?;
        if length == 0 {
            return Err(self.cut_off());
        }
        let parsed: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_slice(&line);
        let mut members = parsed.map_err(|error| self.damaged(&error.to_string()))?;
        let (Some((table, row)), true) = (members.pop_first(), members.is_empty()) else {
            return Err(self.damaged("a line with more or less than one row"));
        };
        if table == "end" {
            self.check_end(row.get())?;
            return Ok(None);
        }
        self.digest.update(&line);
        self.counts.add(&table);
        Ok(Some(Record { table, row: Box::<str>::from(row).into_string() }))
    }

    fn check_end(&mut self, end: &str) -> anyhow::Result<()> {
        let end: End = serde_json::from_str(end).map_err(|error| self.damaged(&error.to_string()))?;
        if end.rows != self.counts.0.iter().cloned().collect() {
            return Err(self.damaged("rows are missing"));
        }
        if end.sha256 != hex::encode(self.digest.clone().finalize()) {
            return Err(self.damaged("its checksum is not that of its content"));
        }
        // Reading on makes the decoder look at its own checksum.
        let mut rest = [0];
        let rest = self.lines.read(&mut rest).map_err(|error| self.damaged(&error.to_string()))?;
        let behind = self.lines.get_mut().get_mut().fill_buf().map(<[u8]>::len).map_err(anyhow::Error::new)?;
        if rest > 0 || behind > 0 {
            return Err(self.damaged("there is something behind its end"));
        }
        Ok(())
    }

    fn cut_off(&self) -> anyhow::Error {
        anyhow!("the backup {} is cut off: its end is missing; use another copy", self.path.display())
    }

    fn damaged(&self, why: &str) -> anyhow::Error {
        anyhow!("the backup {} is damaged: {why}; use another copy", self.path.display())
    }
}

impl Iterator for BackupReader {
    type Item = anyhow::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}

#[cfg(test)]
mod tests;
