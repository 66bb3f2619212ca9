//! The rows of each table as they are in a record. `docs/storage.md` lists them.
//!
//! The members are the columns. A column that is added to the schema is added here with `#[serde(default)]`, so that older
//! backups can still be read; a new table gets a struct and a line in `TABLES`, behind those that it refers to. Nothing is
//! ever taken away or renamed. Backups name the migrations that their rows come from, so an older program refuses what it
//! would not understand.

use super::{AnyConnection, hexadecimal};
use crate::adapters::sql::schema::{
    api_keys, audit, kept, login_sessions, mcp_servers, mcp_sign_ins, messages, oauth_tickets, pairings,
    removed_sessions, sessions, settings, turns, webhooks,
};
use crate::domain::text;
use crate::ports::archive::{ArchiveError, Record, RecordSink, Vaults};
use crate::ports::vault::{NotOurs, Vault};
use diesel::dsl::{exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How many rows are read at a time.
const PAGE: i64 = 1_000;

/// How many bytes of long columns are read at a time: fewer rows if they are long. A longer row is a page alone.
const PAGE_BYTES: i64 = 1024 * 1024;

diesel::allow_tables_to_appear_in_same_query!(messages, removed_sessions);

/// A table, and what is done with its rows.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) count: fn(&mut AnyConnection) -> QueryResult<i64>,
    pub(super) clear: fn(&mut AnyConnection) -> QueryResult<()>,
    /// Gives all rows to the sink; gives how many secrets are in them.
    pub(super) dump: fn(&mut AnyConnection, &mut RecordSink<'_>) -> Result<u64, ArchiveError>,
    pub(super) check: fn(&str, &dyn Vault) -> Result<(), ArchiveError>,
    /// Stores records that are all of this table.
    pub(super) fill: fn(&mut AnyConnection, &[Record], Vaults<'_>) -> Result<(), ArchiveError>,
}

impl Table {
    const fn of<R: Row>() -> Self {
        Self { name: R::TABLE, count: R::count, clear: R::clear, dump: dump::<R>, check: check::<R>, fill: fill::<R> }
    }
}

/// All tables, in the order in which they are in a backup.
pub(super) const TABLES: [Table; 14] = [
    Table::of::<Session>(),
    Table::of::<Message>(),
    Table::of::<Webhook>(),
    Table::of::<Turn>(),
    Table::of::<AuditEntry>(),
    Table::of::<LoginSession>(),
    Table::of::<Pairing>(),
    Table::of::<OauthTicket>(),
    Table::of::<ApiKey>(),
    Table::of::<Kept>(),
    Table::of::<McpServer>(),
    Table::of::<McpSignIn>(),
    Table::of::<Setting>(),
    Table::of::<memories::Memory>(),
];

trait Row: Serialize + DeserializeOwned {
    const TABLE: &'static str;

    fn count(connection: &mut AnyConnection) -> QueryResult<i64>;

    fn clear(connection: &mut AnyConnection) -> QueryResult<()>;

    /// The rows that follow `after`, or the first ones, by their key.
    fn page(connection: &mut AnyConnection, after: Option<&Self>) -> QueryResult<Vec<Self>>;

    fn insert(connection: &mut AnyConnection, rows: &[Self]) -> QueryResult<usize>;

    /// The secret in the row, if there is one.
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
}

fn dump<R: Row>(connection: &mut AnyConnection, sink: &mut RecordSink<'_>) -> Result<u64, ArchiveError> {
    let (mut secrets, mut last) = (0, None);
    loop {
        let mut page = R::page(connection, last.as_ref())?;
        for row in &mut page {
            secrets += u64::from(row.sealed().is_some());
            let row = serde_json::to_string(row).map_err(|error| ArchiveError::Records(error.into()))?;
            sink(Record { table: R::TABLE.to_owned(), row }).map_err(ArchiveError::Records)?;
        }
        last = page.pop();
        if last.is_none() {
            return Ok(secrets);
        }
    }
}

fn parse<R: Row>(row: &str) -> Result<R, ArchiveError> {
    let refused = |error: serde_json::Error| ArchiveError::Refused { table: R::TABLE.to_owned(), source: error.into() };
    serde_json::from_str(row).map_err(refused)
}

fn check<R: Row>(row: &str, origin: &dyn Vault) -> Result<(), ArchiveError> {
    match parse::<R>(row)?.sealed() {
        Some(sealed) => Ok(origin.open(sealed).map(drop)?),
        None => Ok(()),
    }
}

fn fill<R: Row>(connection: &mut AnyConnection, records: &[Record], vaults: Vaults<'_>) -> Result<(), ArchiveError> {
    let read = |record: &Record| {
        let mut row: R = parse(&record.row)?;
        if let Some(sealed) = row.sealed() {
            *sealed = reseal(sealed, vaults)?;
        }
        Ok(row)
    };
    let rows = records.iter().map(read).collect::<Result<Vec<R>, ArchiveError>>()?;
    R::insert(connection, &rows)?;
    Ok(())
}

fn reseal(sealed: &[u8], vaults: Vaults<'_>) -> Result<Vec<u8>, NotOurs> {
    Ok(vaults.own.seal(&vaults.origin.open(sealed)?))
}

/// How many bytes these columns have together. Either database knows that without reading what is in them, as it could
/// not know the number of characters.
macro_rules! bytes {
    ($($column:ident),+) => {
        sql::<BigInt>(concat!("0" $(, " + CAST(coalesce(octet_length(", stringify!($column), "), 0) AS bigint)")+))
    };
}

/// The key of the last row of the page that begins a list of keys and lengths.
fn end_of_page<K: Clone>(rows: &[(K, i64)]) -> Option<K> {
    let mut bytes = 0;
    let fits = |(index, (_, length)): &(usize, &(K, i64))| {
        bytes += length;
        *index == 0 || bytes <= PAGE_BYTES
    };
    rows.iter().enumerate().take_while(fits).last().map(|(_, (key, _))| key.clone())
}

/// What is the same for each table; what differs follows the names.
macro_rules! row {
    ($table:ident, $row:ident, $($rest:tt)+) => {
        impl Row for $row {
            const TABLE: &'static str = stringify!($table);

            fn count(connection: &mut AnyConnection) -> QueryResult<i64> {
                $table::table.count().get_result(connection)
            }

            fn clear(connection: &mut AnyConnection) -> QueryResult<()> {
                diesel::delete($table::table).execute(connection).map(drop)
            }

            $($rest)+
        }
    };
}

/// Stores rows just as they are. There is such a statement for each database, but none for any of them.
macro_rules! insert {
    ($table:ident) => {
        fn insert(connection: &mut AnyConnection, rows: &[Self]) -> QueryResult<usize> {
            let insert = diesel::insert_into($table::table).values(rows);
            match connection {
                AnyConnection::Sqlite(inner) => insert.execute(inner),
                AnyConnection::Postgres(inner) => insert.execute(inner),
            }
        }
    };
}

/// Reads rows by their key: many that are short, or as many as their texts allow.
macro_rules! page {
    ($table:ident by $key:ident) => {
        fn page(connection: &mut AnyConnection, after: Option<&Self>) -> QueryResult<Vec<Self>> {
            let rows = $table::table.order($table::$key).limit(PAGE).select(Self::as_select());
            match after {
                Some(last) => rows.filter($table::$key.gt(&last.$key)).load(connection),
                None => rows.load(connection),
            }
        }
    };
    ($table:ident by bytes of $key:ident) => {
        fn page(connection: &mut AnyConnection, after: Option<&Self>) -> QueryResult<Vec<Self>> {
            let rows = $table::table.order($table::$key).limit(PAGE).select(Self::as_select());
            match after {
                // Diesel does not know that bytes have an order.
                Some(last) => {
                    let follows = sql::<Bool>(concat!(stringify!($key), " > ")).bind::<Binary, _>(&last.$key);
                    rows.filter(follows).load(connection)
                }
                None => rows.load(connection),
            }
        }
    };
    ($table:ident by key, long $($long:ident),+) => { page!($table by key: i64 after i64::MIN, long $($long),+); };
    // No key is before or equal to `first`.
    ($table:ident by $key:ident: $type:ident after $first:expr, long $($long:ident),+) => {
        fn page(connection: &mut AnyConnection, after: Option<&Self>) -> QueryResult<Vec<Self>> {
            let after = after.map_or($first, |last| last.$key.clone());
            let lengths = $table::table.filter($table::$key.gt(&after)).order($table::$key).limit(PAGE);
            let lengths = lengths.select(($table::$key, bytes!($($long),+))).load::<($type, i64)>(connection)?;
            let Some(end) = end_of_page(&lengths) else { return Ok(Vec::new()) };
            let rows = $table::table.filter($table::$key.gt(&after)).filter($table::$key.le(end));
            rows.order($table::$key).select(Self::as_select()).load(connection)
        }
    };
}

// Behind the macros that it uses.
mod memories;

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Session {
    key: i64,
    id: String,
    user_title: Option<String>,
    first_words: String,
    preview: String,
    created: i64,
    last_activity: i64,
    message_count: i64,
}

row! { sessions, Session, page!(sessions by key); insert!(sessions); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = messages, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Message {
    key: i64,
    session_key: i64,
    number: i64,
    id: String,
    role: String,
    sent: i64,
    metadata: String,
    content: String,
}

row! { messages, Message,
    fn page(connection: &mut AnyConnection, after: Option<&Self>) -> QueryResult<Vec<Self>> {
        let after = after.map_or(i64::MIN, |last| last.key);
        // Not as a list of keys that the session is not in: PostgreSQL goes through such a list for each row.
        let removed = removed_sessions::table.filter(removed_sessions::session_key.eq(messages::session_key));
        let present = messages::table.filter(not(exists(removed))).filter(messages::key.gt(after));
        let lengths = present.order(messages::key).limit(PAGE);
        let lengths = lengths.select((messages::key, bytes!(content, metadata))).load::<(i64, i64)>(connection)?;
        let Some(end) = end_of_page(&lengths) else { return Ok(Vec::new()) };
        present.filter(messages::key.le(end)).order(messages::key).select(Self::as_select()).load(connection)
    }

    fn insert(connection: &mut AnyConnection, rows: &[Self]) -> QueryResult<usize> {
        let folded = |row: &Self| messages::folded.eq(text::fold(&row.content));
        let insert = diesel::insert_into(messages::table);
        let insert = insert.values(rows.iter().map(|row| (row, folded(row))).collect::<Vec<_>>());
        match connection {
            AnyConnection::Sqlite(inner) => insert.execute(inner),
            AnyConnection::Postgres(inner) => insert.execute(inner),
        }
    }
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhooks, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Webhook {
    name: String,
    description: String,
    #[serde(with = "hexadecimal")]
    sealed_secret: Vec<u8>,
    scheme: String,
    session_mode: String,
    sync_timeout: i32,
    created: i64,
}

row! { webhooks, Webhook, page!(webhooks by name); insert!(webhooks);
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.sealed_secret)
    }
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = turns, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Turn {
    key: i64,
    id: String,
    session_id: String,
    state: i32,
    attempts: i32,
    lease_until: i64,
    session_key: Option<i64>,
    deduplication_key: Option<String>,
    accepted: i64,
    message_id: String,
    content: String,
    metadata: String,
    answer: String,
    /// Backups of earlier versions have neither of these.
    #[serde(default = "webhook")]
    origin: String,
    #[serde(default)]
    progress: String,
}

fn webhook() -> String {
    "webhook".to_owned()
}

row! { turns, Turn, page!(turns by key, long content, metadata, answer, progress); insert!(turns); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct AuditEntry {
    key: i64,
    id: String,
    happened: i64,
    severity: String,
    actor: String,
    action: String,
    target: String,
    status: String,
    context: String,
}

row! { audit, AuditEntry, page!(audit by key, long target, context); insert!(audit); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = login_sessions, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct LoginSession {
    id: String,
    #[serde(with = "hexadecimal")]
    hash: Vec<u8>,
    epoch: String,
    origin: String,
    family: Option<String>,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    label: String,
    address: String,
    created: i64,
    last_used: i64,
    expires: i64,
}

row! { login_sessions, LoginSession, page!(login_sessions by id); insert!(login_sessions); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = pairings, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Pairing {
    #[serde(with = "hexadecimal")]
    hash: Vec<u8>,
    epoch: String,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    expires: i64,
}

row! { pairings, Pairing, page!(pairings by bytes of hash); insert!(pairings); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_tickets, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct OauthTicket {
    #[serde(with = "hexadecimal")]
    hash: Vec<u8>,
    kind: String,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    family: String,
    client: String,
    epoch: String,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    expires: i64,
    spent: bool,
}

row! { oauth_tickets, OauthTicket, page!(oauth_tickets by bytes of hash); insert!(oauth_tickets); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct ApiKey {
    id: String,
    #[serde(with = "hexadecimal")]
    hash: Vec<u8>,
    prefix: String,
    name: String,
    scopes: String,
    created: i64,
    last_used: Option<i64>,
    expires: Option<i64>,
    revoked: Option<i64>,
}

row! { api_keys, ApiKey, page!(api_keys by id); insert!(api_keys); }

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = kept, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Kept {
    key: i64,
    kind: String,
    id: String,
    body: String,
    #[serde(with = "hexadecimal")]
    sealed_secret: Option<Vec<u8>>,
}

row! { kept, Kept, page!(kept by key, long body, sealed_secret); insert!(kept);
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        self.sealed_secret.as_mut()
    }
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = mcp_servers, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct McpServer {
    name: String,
    enabled: bool,
    created: i64,
    body: String,
    #[serde(with = "hexadecimal")]
    sealed_secret: Vec<u8>,
}

row! { mcp_servers, McpServer, page!(mcp_servers by name: String after String::new(), long body, sealed_secret); insert!(mcp_servers);
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.sealed_secret)
    }
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = mcp_sign_ins, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct McpSignIn {
    server: String,
    #[serde(with = "hexadecimal")]
    sealed_secret: Vec<u8>,
}

row! { mcp_sign_ins, McpSignIn, page!(mcp_sign_ins by server: String after String::new(), long sealed_secret); insert!(mcp_sign_ins);
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.sealed_secret)
    }
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = settings, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
struct Setting {
    name: String,
    body: String,
    #[serde(with = "hexadecimal")]
    sealed_secret: Option<Vec<u8>>,
}

row! { settings, Setting, page!(settings by name: String after String::new(), long body, sealed_secret); insert!(settings);
    fn sealed(&mut self) -> Option<&mut Vec<u8>> {
        self.sealed_secret.as_mut()
    }
}

#[cfg(test)]
mod tests;
