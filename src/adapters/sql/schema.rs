//! The tables, as diesel sees them. What they are for is said in the migrations.

diesel::table! {
    sessions (key) {
        key -> BigInt,
        id -> Text,
        user_title -> Nullable<Text>,
        first_words -> Text,
        preview -> Text,
        created -> BigInt,
        last_activity -> BigInt,
        message_count -> BigInt,
    }
}

diesel::table! {
    messages (key) {
        key -> BigInt,
        session_key -> BigInt,
        number -> BigInt,
        id -> Text,
        role -> Text,
        sent -> BigInt,
        metadata -> Text,
        content -> Text,
        folded -> Text,
    }
}

diesel::table! {
    removed_sessions (session_key) {
        session_key -> BigInt,
    }
}

diesel::table! {
    search_progress (name) {
        name -> Text,
        through -> BigInt,
    }
}

diesel::table! {
    webhooks (name) {
        name -> Text,
        description -> Text,
        sealed_secret -> Binary,
        scheme -> Text,
        session_mode -> Text,
        sync_timeout -> Integer,
        created -> BigInt,
    }
}

diesel::table! {
    turns (key) {
        key -> BigInt,
        id -> Text,
        session_id -> Text,
        state -> Integer,
        attempts -> Integer,
        lease_until -> BigInt,
        session_key -> Nullable<BigInt>,
        deduplication_key -> Nullable<Text>,
        accepted -> BigInt,
        message_id -> Text,
        content -> Text,
        metadata -> Text,
        answer -> Text,
        origin -> Text,
        progress -> Text,
    }
}

diesel::table! {
    audit (key) {
        key -> BigInt,
        id -> Text,
        happened -> BigInt,
        severity -> Text,
        actor -> Text,
        action -> Text,
        target -> Text,
        status -> Text,
        context -> Text,
    }
}

diesel::table! {
    login_sessions (id) {
        id -> Text,
        hash -> Binary,
        epoch -> Text,
        origin -> Text,
        family -> Nullable<Text>,
        scopes -> Text,
        grant_until -> Nullable<BigInt>,
        api_key -> Nullable<Text>,
        label -> Text,
        address -> Text,
        created -> BigInt,
        last_used -> BigInt,
        expires -> BigInt,
    }
}

diesel::table! {
    pairings (hash) {
        hash -> Binary,
        epoch -> Text,
        scopes -> Text,
        grant_until -> Nullable<BigInt>,
        api_key -> Nullable<Text>,
        expires -> BigInt,
    }
}

diesel::table! {
    oauth_tickets (hash) {
        hash -> Binary,
        kind -> Text,
        redirect_uri -> Nullable<Text>,
        challenge -> Nullable<Text>,
        family -> Text,
        client -> Text,
        epoch -> Text,
        scopes -> Text,
        grant_until -> Nullable<BigInt>,
        api_key -> Nullable<Text>,
        expires -> BigInt,
        spent -> Bool,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        hash -> Binary,
        prefix -> Text,
        name -> Text,
        scopes -> Text,
        created -> BigInt,
        last_used -> Nullable<BigInt>,
        expires -> Nullable<BigInt>,
        revoked -> Nullable<BigInt>,
    }
}

diesel::table! {
    kept (key) {
        key -> BigInt,
        kind -> Text,
        id -> Text,
        body -> Text,
        sealed_secret -> Nullable<Binary>,
    }
}

diesel::table! {
    mcp_servers (name) {
        name -> Text,
        enabled -> Bool,
        created -> BigInt,
        body -> Text,
        sealed_secret -> Binary,
    }
}

diesel::table! {
    mcp_sign_ins (server) {
        server -> Text,
        sealed_secret -> Binary,
    }
}

diesel::table! {
    settings (name) {
        name -> Text,
        body -> Text,
        sealed_secret -> Nullable<Binary>,
    }
}

diesel::table! {
    memories (key) {
        key -> BigInt,
        id -> Text,
        legacy_id -> Nullable<Text>,
        kind -> Text,
        owner -> Text,
        created -> BigInt,
        changed -> BigInt,
        revision -> BigInt,
        tags -> Text,
        author -> Text,
        session -> Nullable<Text>,
        message -> Nullable<Text>,
        content -> Text,
        folded -> Text,
    }
}

diesel::table! {
    memory_terms (term, memory_key) {
        term -> Text,
        memory_key -> BigInt,
        frequency -> Integer,
        length -> Integer,
    }
}

diesel::table! {
    memory_tags (tag, memory_key) {
        tag -> Text,
        memory_key -> BigInt,
        folded -> Text,
    }
}

diesel::table! {
    vector_spaces (key) {
        key -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    memory_vectors (key) {
        key -> BigInt,
        space_key -> BigInt,
        memory_key -> BigInt,
        vector -> Binary,
    }
}

// What belongs to a memory is found only as long as that is there.
diesel::allow_tables_to_appear_in_same_query!(memories, memory_terms, memory_tags, memory_vectors);
// A message is found only as long as its session is there.
diesel::allow_tables_to_appear_in_same_query!(messages, sessions);
