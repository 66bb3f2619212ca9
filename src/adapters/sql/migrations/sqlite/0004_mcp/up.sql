-- Forward only: see docs/storage.md.
-- MCP servers. `body` is JSON with what is no secret: `transport`, `command`, `timeout`, `preset`, `allowed_tools` and
-- `denied_tools`. Sealed is JSON with `args`, `url`, `env` and `headers`: each of these may hold a token.
CREATE TABLE mcp_servers (
    name TEXT PRIMARY KEY NOT NULL,
    enabled BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    body TEXT NOT NULL,
    sealed_secret BLOB NOT NULL
);

-- What signing in to one of them gave. A row goes with its server, and with the address of its server.
CREATE TABLE mcp_sign_ins (
    server TEXT PRIMARY KEY NOT NULL,
    sealed_secret BLOB NOT NULL
);

-- Servers and sign-ins that earlier imports left in `kept` are moved by the program when it opens the database: what is in
-- them is sealed, and whether it can be used is for the program to say.
