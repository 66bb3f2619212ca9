//! The rows of memories. Their words and tags are made again when they are stored.

use super::{AnyConnection, Row, end_of_page};
use crate::adapters::sql::memories::index;
use crate::adapters::sql::schema::memories;
use crate::domain::text;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};

/// How many rows are read at a time.
const PAGE: i64 = super::PAGE;

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = memories, treat_none_as_default_value = false)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    key: i64,
    id: String,
    legacy_id: Option<String>,
    kind: String,
    owner: String,
    created: i64,
    changed: i64,
    revision: i64,
    tags: String,
    author: String,
    session: Option<String>,
    message: Option<String>,
    content: String,
}

row! { memories, Memory, page!(memories by key, long content, tags);
    fn insert(connection: &mut AnyConnection, rows: &[Self]) -> QueryResult<usize> {
        let folded = |row: &Self| memories::folded.eq(text::fold(&row.content));
        let insert = diesel::insert_into(memories::table);
        let insert = insert.values(rows.iter().map(|row| (row, folded(row))).collect::<Vec<_>>());
        let inserted = match connection {
            AnyConnection::Sqlite(inner) => insert.execute(inner),
            AnyConnection::Postgres(inner) => insert.execute(inner),
        };
        let tags: Vec<Vec<String>> =
            rows.iter().map(|row| serde_json::from_str(&row.tags).unwrap_or_default()).collect();
        let new = rows.iter().zip(&tags).map(|(row, tags)| (row.key, row.content.as_str(), tags.as_slice()));
        index(connection, &new.collect::<Vec<_>>())?;
        inserted
    }
}
