-- AUTOINCREMENT, here and below: a key is never given twice, so that what is left of a removed session never belongs to
-- another, and "indexed through this message" stays true after the newest messages were removed.
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    user_title TEXT,
    first_words TEXT NOT NULL,
    preview TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_activity BIGINT NOT NULL,
    message_count BIGINT NOT NULL
);
CREATE INDEX sessions_by_activity ON sessions (last_activity, key);

-- `session_key` refers to no row for a while after a session was removed: see `removed_sessions`. `folded` stands last,
-- so that reading a message does not touch the pages of a long copy.
CREATE TABLE messages (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    session_key BIGINT NOT NULL,
    number BIGINT NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    sent BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    content TEXT NOT NULL,
    folded TEXT NOT NULL
);
CREATE UNIQUE INDEX messages_by_session ON messages (session_key, number);

-- Sessions whose messages are still to be deleted. Removing a session takes no longer for having many messages: the row is
-- gone at once, and the messages go a few at a time.
CREATE TABLE removed_sessions (
    session_key BIGINT PRIMARY KEY NOT NULL
);

-- The index of the folded texts by their trigrams. It holds the messages up to and including `through`; those after it
-- are few, and a search reads them one by one until the indexer has come to them.
CREATE VIRTUAL TABLE search USING fts5 (
    folded, content = 'messages', content_rowid = 'key', tokenize = 'trigram', detail = 'none'
);
CREATE TABLE search_progress (
    name TEXT PRIMARY KEY NOT NULL,
    through BIGINT NOT NULL
);
INSERT INTO search_progress (name, through) VALUES ('messages', 0);
CREATE TRIGGER messages_leave_the_index BEFORE DELETE ON messages
WHEN old.key <= (SELECT through FROM search_progress WHERE name = 'messages')
BEGIN
    INSERT INTO search (search, rowid, folded) VALUES ('delete', old.key, old.folded);
END;

CREATE TABLE webhooks (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    scheme TEXT NOT NULL,
    session_mode TEXT NOT NULL,
    sync_timeout INTEGER NOT NULL,
    created BIGINT NOT NULL
);

-- state: 0 waits behind another turn of its session, 1 can be claimed, 2 is claimed, 3 is answered and kept because the
-- same delivery may come again, 4 could not be read and is set aside. session_key: the session in which the message was stored, once it was; a session that is
-- removed and begun anew has another.
CREATE TABLE turns (
    key INTEGER PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    lease_until BIGINT NOT NULL,
    session_key BIGINT,
    deduplication_key TEXT UNIQUE,
    accepted BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    content TEXT NOT NULL,
    metadata TEXT NOT NULL,
    answer TEXT NOT NULL
);
CREATE INDEX turns_by_state ON turns (state, key);
CREATE INDEX turns_of_session ON turns (session_id, state, key);

CREATE TABLE audit (
    key INTEGER PRIMARY KEY NOT NULL,
    id TEXT NOT NULL,
    happened BIGINT NOT NULL,
    severity TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    status TEXT NOT NULL,
    context TEXT NOT NULL
);
