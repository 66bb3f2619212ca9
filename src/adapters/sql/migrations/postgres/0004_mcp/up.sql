-- Forward only: see docs/storage.md. What these are for is said in the migration of SQLite.
CREATE TABLE mcp_servers (
    name TEXT COLLATE "C" PRIMARY KEY,
    enabled BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    body TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL
);

CREATE TABLE mcp_sign_ins (
    server TEXT COLLATE "C" PRIMARY KEY,
    sealed_secret BYTEA NOT NULL
);
