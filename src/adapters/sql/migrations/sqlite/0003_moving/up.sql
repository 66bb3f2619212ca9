-- Forward only: see docs/storage.md.
-- What was taken over from elsewhere and has no table of its own yet, as it was found: `kind` says what it is, `id` names it
-- within its kind. What is secret in it is sealed and apart.
CREATE TABLE kept (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    sealed_secret BLOB
);
CREATE UNIQUE INDEX kept_by_name ON kept (kind, id);

-- An import asks for each entry whether it is there already. Entries that were imported have keys below zero, in the order
-- in which they were imported, so that they stand before everything that happened here.
CREATE INDEX audit_by_id ON audit (id);
