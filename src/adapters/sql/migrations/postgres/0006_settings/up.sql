-- Forward only: see docs/storage.md. What these are for is said in the migration of SQLite.
CREATE TABLE settings (
    name TEXT COLLATE "C" PRIMARY KEY,
    body TEXT NOT NULL,
    sealed_secret BYTEA
);
