-- Forward only: see docs/storage.md.
-- Settings that somebody set. `body` is the value as JSON. Of a secret it is the address that the secret is sent to, as
-- JSON text, or null; what is sealed is the secret itself.
CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL,
    sealed_secret BLOB
);

-- What earlier imports left in `kept` is moved by the program when it opens the database: see the migration `mcp`.
