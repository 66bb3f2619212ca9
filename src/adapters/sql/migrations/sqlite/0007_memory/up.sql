-- Forward only: see docs/storage.md.
-- What is remembered for long. AUTOINCREMENT: a key is never given twice, so that what is left of a removed memory in a
-- program's own copy never belongs to another. `kind`: `long_term` or `daily`. `tags`: a JSON array of texts. `revision`
-- counts the texts that a memory has had. `session` and `message` are where it was said, if it was said in a session.
CREATE TABLE memories (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    legacy_id TEXT,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    tags TEXT NOT NULL,
    author TEXT NOT NULL,
    session TEXT,
    message TEXT,
    content TEXT NOT NULL,
    folded TEXT NOT NULL
);
CREATE INDEX memories_by_legacy_id ON memories (legacy_id);
CREATE INDEX memories_by_creation ON memories (kind, created, key);
CREATE INDEX memories_of_owner ON memories (owner, kind, created, key);

-- The words of each memory, by their stems: the full-text index. `frequency` is how often the word is in it, `length` how
-- many words it has.
CREATE TABLE memory_terms (
    term TEXT NOT NULL,
    memory_key BIGINT NOT NULL,
    frequency INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (term, memory_key)
) WITHOUT ROWID;
CREATE INDEX memory_terms_of ON memory_terms (memory_key);

-- The tags of each memory, by tag.
CREATE TABLE memory_tags (
    tag TEXT NOT NULL,
    memory_key BIGINT NOT NULL,
    folded TEXT NOT NULL,
    PRIMARY KEY (tag, memory_key)
) WITHOUT ROWID;
CREATE INDEX memory_tags_of ON memory_tags (memory_key);

-- The models whose vectors there are, in the order in which they were chosen.
CREATE TABLE vector_spaces (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE
);

-- A vector for each memory and model: 32-bit floats, little-endian. A new one gets a new key.
CREATE TABLE memory_vectors (
    key INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    space_key BIGINT NOT NULL,
    memory_key BIGINT NOT NULL,
    vector BLOB NOT NULL
);
CREATE UNIQUE INDEX memory_vectors_of ON memory_vectors (memory_key, space_key);
CREATE INDEX memory_vectors_by_space ON memory_vectors (space_key, key);

-- Memories that earlier imports left in `kept` are moved by the program when it opens the database.
