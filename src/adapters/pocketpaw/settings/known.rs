//! The settings that PocketPaw 0.4 knows, and of which type they are.

use serde_json::Value;

/// True or false.
const SWITCHES: [&str; 26] = [
    "a2a_enabled",
    "budget_auto_pause",
    "bypass_permissions",
    "compaction_llm_summarize",
    "discord_conversation_all_channels",
    "file_auto_learn",
    "file_vector_enabled",
    "health_check_on_startup",
    "injection_scan_enabled",
    "injection_scan_llm",
    "localhost_auth_bypass",
    "mem0_auto_learn",
    "memory_use_inference",
    "notifications_enabled",
    "pii_scan_audit",
    "pii_scan_enabled",
    "pii_scan_logs",
    "pii_scan_memory",
    "plan_mode",
    "self_audit_enabled",
    "smart_routing_enabled",
    "soul_enabled",
    "sound_enabled",
    "tool_notifications_enabled",
    "voice_reply_enabled",
    "welcome_hint_enabled",
];

/// Whole numbers.
const WHOLE: [&str; 26] = [
    "a2a_task_timeout",
    "allowed_user_id",
    "api_rate_limit_per_key",
    "budget_reset_day",
    "claude_sdk_max_turns",
    "codex_cli_max_turns",
    "compaction_char_budget",
    "compaction_recent_window",
    "compaction_summary_chars",
    "copilot_sdk_max_turns",
    "deep_agents_max_turns",
    "gemini_cli_max_turns",
    "google_adk_max_turns",
    "kb_limit",
    "litellm_max_tokens",
    "max_concurrent_conversations",
    "media_max_file_size_mb",
    "openai_agents_max_turns",
    "openai_compatible_max_tokens",
    "opencode_max_turns",
    "session_token_ttl_hours",
    "soul_auto_save_interval",
    "teams_webhook_port",
    "trace_retention_days",
    "web_port",
    "webhook_sync_timeout",
];

/// Numbers.
const NUMBERS: [&str; 3] = ["budget_monthly_usd", "budget_override_usd", "budget_warning_threshold"];

/// Texts.
const TEXT: [&str; 95] = [
    "a2a_agent_description",
    "a2a_agent_name",
    "a2a_agent_version",
    "agent_backend",
    "anthropic_model",
    "budget_override_expires_at",
    "budget_override_reason",
    "claude_sdk_model",
    "claude_sdk_provider",
    "codex_cli_model",
    "copilot_sdk_model",
    "copilot_sdk_provider",
    "deep_agents_model",
    "default_workspace_dir",
    "discord_activity_text",
    "discord_activity_type",
    "discord_bot_name",
    "discord_status_type",
    "embedding_base_url",
    "embedding_model",
    "embedding_provider",
    "file_jail_path",
    "gchat_mode",
    "gchat_project_id",
    "gchat_subscription_id",
    "gemini_cli_model",
    "gemini_model",
    "google_adk_model",
    "google_adk_provider",
    "image_model",
    "injection_scan_llm_model",
    "kb_binary",
    "kb_scope",
    "litellm_api_base",
    "litellm_model",
    "llm_provider",
    "matrix_device_id",
    "matrix_homeserver",
    "matrix_user_id",
    "mcp_client_metadata_url",
    "media_download_dir",
    "mem0_embedder_model",
    "mem0_embedder_provider",
    "mem0_llm_model",
    "mem0_llm_provider",
    "mem0_ollama_base_url",
    "mem0_vector_store",
    "memory_backend",
    "model_tier_complex",
    "model_tier_moderate",
    "model_tier_simple",
    "ocr_provider",
    "ollama_host",
    "ollama_model",
    "openai_agents_model",
    "openai_agents_provider",
    "openai_compatible_base_url",
    "openai_compatible_model",
    "openai_model",
    "opencode_base_url",
    "opencode_model",
    "openrouter_model",
    "owner_id",
    "pii_default_action",
    "sarvam_stt_model",
    "sarvam_tts_language",
    "sarvam_tts_model",
    "sarvam_tts_speaker",
    "self_audit_schedule",
    "signal_api_url",
    "signal_phone_number",
    "soul_archetype",
    "soul_cognitive_model",
    "soul_name",
    "soul_path",
    "soul_persona",
    "stt_model",
    "stt_provider",
    "theme_preference",
    "tool_profile",
    "tts_default_voice_elevenlabs",
    "tts_provider",
    "tts_voice",
    "url_extract_provider",
    "user_avatar_emoji",
    "user_display_name",
    "vector_store",
    "vectordb_embedding_model",
    "vectordb_embedding_provider",
    "vectordb_path",
    "web_host",
    "web_search_provider",
    "whatsapp_mode",
    "whatsapp_neonize_db",
    "whatsapp_phone_number_id",
];

/// Lists.
const LISTS: [&str; 19] = [
    "a2a_trusted_agents",
    "api_cors_allowed_origins",
    "discord_allowed_channel_ids",
    "discord_allowed_guild_ids",
    "discord_allowed_user_ids",
    "discord_conversation_channel_ids",
    "discord_conversation_exclude_channel_ids",
    "fallback_backends",
    "gchat_allowed_space_ids",
    "matrix_allowed_room_ids",
    "notification_channels",
    "plan_mode_tools",
    "signal_allowed_phone_numbers",
    "slack_allowed_channel_ids",
    "soul_values",
    "teams_allowed_tenant_ids",
    "tools_allow",
    "tools_deny",
    "whatsapp_allowed_phone_numbers",
];

/// Objects.
const OBJECTS: [&str; 6] =
    ["channel_autostart", "per_agent_caps", "pii_type_actions", "soul_biorhythm", "soul_communication", "soul_ocean"];

/// Those that may be null besides.
const NULLABLE: [&str; 9] = [
    "allowed_user_id",
    "budget_override_expires_at",
    "budget_override_usd",
    "gchat_project_id",
    "gchat_subscription_id",
    "matrix_homeserver",
    "matrix_user_id",
    "signal_phone_number",
    "whatsapp_phone_number_id",
];

/// Texts that are secret. They are in the encrypted file, and in old folders among the settings.
pub(super) const SECRETS: [&str; 28] = [
    "anthropic_api_key",
    "brave_search_api_key",
    "claude_code_oauth_token",
    "discord_bot_token",
    "elevenlabs_api_key",
    "gchat_service_account_key",
    "google_api_key",
    "google_oauth_client_id",
    "google_oauth_client_secret",
    "litellm_api_key",
    "matrix_access_token",
    "matrix_password",
    "openai_api_key",
    "openai_compatible_api_key",
    "openrouter_api_key",
    "parallel_api_key",
    "sarvam_api_key",
    "slack_app_token",
    "slack_bot_token",
    "spotify_client_id",
    "spotify_client_secret",
    "status_api_key",
    "tavily_api_key",
    "teams_app_id",
    "teams_app_password",
    "telegram_bot_token",
    "whatsapp_access_token",
    "whatsapp_verify_token",
];

/// What is wrong with the value of a setting: nothing, or what it should be. `None` if there is no such setting.
pub(super) fn check(name: &str, value: &Value) -> Option<Result<(), &'static str>> {
    if NULLABLE.contains(&name) && value.is_null() {
        return Some(Ok(()));
    }
    let (is_right, expected) = if SWITCHES.contains(&name) {
        (value.is_boolean(), "it is not true or false")
    } else if WHOLE.contains(&name) {
        (value.is_i64() || value.is_u64(), "it is no whole number")
    } else if NUMBERS.contains(&name) {
        (value.is_number(), "it is no number")
    } else if TEXT.contains(&name) {
        (value.is_string(), "it is no text")
    } else if LISTS.contains(&name) {
        (
            value.as_array().is_some_and(|list| list.iter().all(|it| it.is_string() || it.is_i64())),
            "it is no list of names or numbers",
        )
    } else if OBJECTS.contains(&name) {
        (value.is_object(), "it is no object")
    } else {
        return None;
    };
    Some(if is_right { Ok(()) } else { Err(expected) })
}
