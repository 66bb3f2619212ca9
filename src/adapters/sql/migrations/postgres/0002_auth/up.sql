-- Of every token only its SHA-256 is here, 32 bytes: whoever reads the database cannot log in with what they find. `scopes`
-- are names with a space between, empty for none. `api_key` is the key with which something was got, if it was; it refers
-- to no row, because it is the revoking of a key that removes what was got with it, and a revoked key keeps its row.

-- The sessions of people and programs that logged in. (Conversations are in `sessions`.) `epoch`: the fingerprint of the
-- master token at the time; under another master token the session is worth nothing.
-- `family`: what the session has in common with the tickets of the same consent, if a native app has it.
CREATE TABLE login_sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    epoch TEXT COLLATE "C" NOT NULL,
    origin TEXT NOT NULL,
    family TEXT COLLATE "C",
    scopes TEXT NOT NULL,
    grant_until BIGINT,
    api_key TEXT COLLATE "C",
    label TEXT NOT NULL,
    address TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
-- For the list, newest first.
CREATE INDEX login_sessions_by_creation ON login_sessions (epoch, created, id);
-- For forgetting what has ended.
CREATE INDEX login_sessions_by_end ON login_sessions (expires);
-- For the end of an API key.
CREATE INDEX login_sessions_of_key ON login_sessions (api_key);
-- For the next exchange of a native app, and for the end of its consent.
CREATE INDEX login_sessions_of_family ON login_sessions (family);

-- Codes that wait to be redeemed. A row goes when it is redeemed, so that no code is redeemed twice.
CREATE TABLE pairings (
    hash BYTEA PRIMARY KEY,
    epoch TEXT COLLATE "C" NOT NULL,
    scopes TEXT NOT NULL,
    grant_until BIGINT,
    api_key TEXT COLLATE "C",
    expires BIGINT NOT NULL
);
CREATE INDEX pairings_by_end ON pairings (expires);
CREATE INDEX pairings_of_key ON pairings (api_key);

-- What native apps exchange for access tokens: codes and refresh tokens, `kind` says which. A row stays when it is exchanged,
-- so that who shows it again is found out; it goes when it has ended, or with its family. `redirect_uri` and `challenge` are
-- there for a code and NULL for a refresh token.
CREATE TABLE oauth_tickets (
    hash BYTEA PRIMARY KEY,
    kind TEXT NOT NULL,
    redirect_uri TEXT,
    challenge TEXT,
    family TEXT COLLATE "C" NOT NULL,
    client TEXT NOT NULL,
    epoch TEXT COLLATE "C" NOT NULL,
    scopes TEXT NOT NULL,
    grant_until BIGINT,
    api_key TEXT COLLATE "C",
    expires BIGINT NOT NULL,
    spent BOOLEAN NOT NULL
);
CREATE INDEX oauth_tickets_of_family ON oauth_tickets (family);
CREATE INDEX oauth_tickets_by_end ON oauth_tickets (expires);
CREATE INDEX oauth_tickets_of_key ON oauth_tickets (api_key);

-- Keys stay when they are revoked: the list tells what there was. They are few and always listed as a whole, so there is
-- no index for their order.
CREATE TABLE api_keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_used BIGINT,
    expires BIGINT,
    revoked BIGINT
);
