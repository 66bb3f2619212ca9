mod files;
mod tunnel;

use super::*;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const TOKEN: &str = "6fee2431-f6f4-4b32-be46-18eccaa43bde";
const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const FILE: &str = "/etc/pawport.toml";

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// An environment with a home, as there nearly always is one.
fn environment_with(pairs: &[(&str, &str)]) -> Values {
    let mut environment = values(pairs);
    environment.insert("HOME".to_owned(), "/home/ada".to_owned());
    environment
}

fn file(text: &str) -> Result<ConfigFile, ConfigError> {
    ConfigFile::parse(Path::new(FILE), text, false)
}

fn from_flags(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    resolve(&values(pairs), &environment_with(&[]), None)
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    resolve(&Values::new(), &environment_with(pairs), None)
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    resolve(&Values::new(), &environment_with(&[]), Some(&file(text)?))
}

#[track_caller]
fn message(outcome: Result<Config, ConfigError>) -> String {
    let message = outcome.unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

#[test]
fn a_key_has_one_name_everywhere() {
    for key in keys::ALL {
        assert_eq!(key.variable, format!("{}{}", keys::VARIABLE_PREFIX, key.name.to_uppercase()));
        if let Some(flag) = key.flag {
            assert_eq!(flag, key.name.replace('_', "-"));
        }
        assert!(
            key.flag.is_none() || key.kind != Kind::Secret,
            "{} must not be a flag: process lists show flags",
            key.name
        );
    }
}

#[test]
fn nothing_given_is_the_defaults() {
    let config = from_flags(&[]).unwrap();
    assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 8000));
    assert_eq!(config.data_dir, Path::new("/home/ada/.pawport"));
    assert_eq!(config.database_url, DatabaseUrl::Sqlite("/home/ada/.pawport/pawport.db".into()));
    assert_eq!((config.max_concurrent, config.queue_capacity), (5, 10_000));
    assert_eq!(config.mcp_start_timeout, Duration::from_secs(300));
    assert_eq!(config.mcp_test_timeout, Duration::from_secs(60));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
    assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
    assert!(config.access_token.is_none() && config.public_url.is_none());
    assert!(config.vault_key.is_none() && config.status_key.is_none());
    assert_eq!(config.session_ttl.duration(), Duration::from_secs(24 * 3600));
    assert!(config.localhost_auth_bypass && config.url_tokens);
    assert_eq!((config.trusted_proxies.len(), config.allowed_hosts.len(), config.cors_origins.len()), (0, 0, 0));
    let [api, auth, ws, key] = [(10.0, 30), (1.0, 5), (2.0, 5), (1.0, 60)].map(|(rate, n)| RateLimit::new(rate, n));
    assert_eq!(config.rate_limits, RateLimits { api, auth, ws, key });
    for (row, key) in config.effective().iter().zip(keys::ALL) {
        assert_eq!((row.key, &row.source), (key.name, &Source::Default));
        let documented = key.default.unwrap_or("[not set]");
        let filled_in = documented.replace("<data-dir>", "~/.pawport").replace('~', "/home/ada");
        assert_eq!(row.value, filled_in, "{}", key.name);
    }
}

#[test]
fn the_database_follows_the_data_directory() {
    let config = from_flags(&[("data_dir", "/srv/paw/")]).unwrap();
    assert_eq!(config.database_url, DatabaseUrl::Sqlite("/srv/paw/pawport.db".into()));
}

#[test]
fn without_a_home_the_data_directory_must_be_given() {
    let homeless = Values::new();
    insta::assert_snapshot!(message(resolve(&Values::new(), &homeless, None)), @"data_dir has no default, because HOME is not set: use --data-dir or environment variable PAWPORT_DATA_DIR");
    assert!(resolve(&values(&[("data_dir", "paw")]), &homeless, None).is_ok());
}

#[test]
fn an_empty_variable_is_not_set_and_those_of_others_do_not_matter() {
    assert!(from_environment(&[("PORT", "x"), ("HOST", "x"), ("PAWPORTAL", "x"), ("LOG", "=")]).is_ok());
    let config = from_environment(&[("PAWPORT_PORT", ""), ("PAWPORT_NO_SUCH_KEY", "")]).unwrap();
    assert_eq!(config.port, 8000);
}

/// For each key three texts that are allowed. Secrets are missing, since they exclude their files.
const ALLOWED: [(&str, [&str; 3]); 28] = [
    ("host", ["0.0.0.0", "::1", "192.168.1.2"]),
    ("port", ["0", "65535", "9000"]),
    ("public_url", ["https://paw.example.org", "http://[::1]:9000", "http://localhost:1"]),
    ("data_dir", ["/srv/a", "relative/b", "c d"]),
    ("database_url", ["memory:", "sqlite:///srv/a.db", "sqlite://relative.db"]),
    ("vault_key_file", ["/run/a", "/run/b", "c"]),
    ("access_token_file", ["/run/a", "/run/b", "c"]),
    ("status_key_file", ["/run/a", "/run/b", "c"]),
    ("session_token_ttl_hours", ["1", "8760", "7"]),
    ("localhost_auth_bypass", ["true", "false", "true"]),
    ("url_tokens", ["false", "true", "false"]),
    ("trusted_proxies", ["127.0.0.1", "10.0.0.0/8,::1", "fd00::/8"]),
    ("allowed_hosts", ["paw", "a.example,::1", "192.168.1.2"]),
    ("cors_origins", ["http://a", "https://a,tauri://localhost", "http://a:1"]),
    ("rate_limit_api", ["0", "1/1", "0.5/2"]),
    ("rate_limit_auth", ["0.01/1", "0", "1/2"]),
    ("rate_limit_ws", ["100000/100000", "1/1", "0"]),
    ("rate_limit_key", ["0", "3/4", "5/6"]),
    ("agent_command", ["paw", "paw -x", "/a/b 'c d'"]),
    ("system_prompt_file", ["/run/a", "/run/b", "c"]),
    ("embedding_model_dir", ["/srv/a", "relative/b", "c d"]),
    ("max_concurrent", ["1", "100", "7"]),
    ("queue_capacity", ["1", "1000000", "7"]),
    ("mcp_start_timeout", ["1", "3600", "7"]),
    ("mcp_test_timeout", ["1", "600", "7"]),
    ("shutdown_timeout", ["1", "300", "7"]),
    ("log", ["off", "warn,pawport=debug", "trace"]),
    ("log_format", ["json", "text", "json"]),
];

proptest! {
    /// Whatever subset of sources gives a key, the strongest of them wins, and its value is shown with its origin.
    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults(
        given in prop::array::uniform27((any::<bool>(), any::<bool>(), any::<bool>()))
    ) {
        let (mut flags, mut environment, mut text) = (values(&[]), environment_with(&[]), String::new());
        let mut expected = Vec::new();
        for ((name, texts), (in_flags, in_environment, in_file)) in ALLOWED.into_iter().zip(given) {
            let [by_flag, by_variable, by_file] = texts;
            let key = keys::ALL.into_iter().find(|key| key.name == name).unwrap();
            let mut source = Source::Default;
            if in_file {
                writeln!(text, "{name} = {by_file:?}").unwrap();
                source = Source::File { path: FILE.into(), line: text.lines().count() };
            }
            if in_environment {
                environment.insert(key.variable.to_owned(), by_variable.to_owned());
                source = Source::Variable(key.variable);
            }
            if let Some(flag) = key.flag.filter(|_| in_flags) {
                flags.insert(name.to_owned(), by_flag.to_owned());
                source = Source::Flag(flag);
            }
            let value = match source {
                Source::Flag(_) => Some(by_flag),
                Source::Variable(_) => Some(by_variable),
                Source::File { .. } => Some(by_file),
                Source::Default => None,
            };
            expected.push((key.name, value, source));
        }
        let config = resolve(&flags, &environment, Some(&file(&text).unwrap())).unwrap();
        let rows = config.effective();
        for (name, value, source) in expected {
            let row = rows.iter().find(|row| row.key == name).unwrap();
            prop_assert_eq!(&row.source, &source);
            if let Some(value) = value {
                prop_assert_eq!(&row.value, value);
            }
        }
    }

    /// No text at all makes the configuration panic, or end in a message of several lines.
    #[test]
    fn any_text_is_a_value_or_one_message(key in prop::sample::select(keys::ALL.to_vec()), text: String) {
        if let Err(error) = resolve(&values(&[]), &environment_with(&[(key.variable, &text)]), None) {
            prop_assert!(error.to_string().lines().count() == 1);
        }
    }
}

#[test]
fn what_is_not_allowed_is_refused_by_name() {
    let refused: [(&str, &[&str]); 29] = [
        ("host", &["", "localhost", "[::1]", "127.0.0.1:80", "256.0.0.1"]),
        ("port", &["", "-1", "65536", "http", "80 ", "8_000"]),
        (
            "public_url",
            &["", "paw.example.org", "ftp://a", "https://", "https://u:p@a", "https://a:", "https://a:99999"],
        ),
        ("public_url", &["https://a/", "https://a/b", "https://a?b", "https://a#b", "https://a b"]),
        ("data_dir", &["", "~", "~/paw", "a\0b"]),
        ("database_url", &["", "memory", "memory://", "sqlite:", "sqlite:x", "postgres:h", "mysql://h/d"]),
        ("database_url", &["postgres://h:99999/d", "postgres://[::1/d", "POSTGRES://h/d", "postgres://h/%zz"]),
        ("database_url", &["sqlite://", "sqlite://~/x", "sqlite://a/", "sqlite://:memory:", "sqlite://a?mode=rwc"]),
        ("config", &["", "~/c.toml"]),
        ("session_token_ttl_hours", &["", "0", "8761", "24h", "1.5"]),
        ("localhost_auth_bypass", &["", "1", "0", "yes", "True", " true"]),
        ("url_tokens", &["", "off", "FALSE"]),
        ("trusted_proxies", &["proxy", "10.0.0.0/33", "10.0.0/8", "::1/129", "127.0.0.1:80", "::1 ::2", "[::1]"]),
        ("allowed_hosts", &["http://paw", "paw:80", "[::1]:80", "paw/", "u@paw", "*.example.org", "*"]),
        ("allowed_hosts", &["a..b", ".a", "a.", "-a", "a-", "a b", "pöw", "10.0.0.256", "010.0.0.1", "[127.0.0.1]"]),
        ("cors_origins", &["paw", "null", "*", "https://*.example.org", "https://", "https://a/", "https://a/b"]),
        ("cors_origins", &["tauri://", "tauri:localhost", "file:///", "https://a:99999", "https://a https://b"]),
        ("rate_limit_api", &["", "10", "10/", "/30", "0/30", "10/0", "off", "00", "10 / 30", "10/30/1"]),
        ("rate_limit_api", &["0.009/1", "100000.1/1", "1/100001", "1/4294967296", "1/1.5"]),
        ("rate_limit_auth", &["-1/1", "+1/1", "1e3/1", "inf/1", "NaN/1", "1,5/1", "./1"]),
        ("rate_limit_ws", &["2:5"]),
        ("rate_limit_key", &["1/60s"]),
        ("max_concurrent", &["", "0", "101", "five"]),
        ("queue_capacity", &["", "0", "1000001"]),
        ("mcp_start_timeout", &["", "0", "3601", "10s"]),
        ("mcp_test_timeout", &["", "0", "601", "10s"]),
        ("shutdown_timeout", &["", "0", "301", "10s"]),
        ("log", &["", " ", "inof", "warn,", "pawport=loud", "a=b=c"]),
        ("log_format", &["", "JSON", "pretty"]),
    ];
    for (name, texts) in refused {
        let key = keys::ALL.into_iter().find(|key| key.name == name).unwrap();
        for text in texts {
            let message = message(from_flags(&[(name, text)]));
            let flag = key.flag.unwrap();
            assert!(message.starts_with(&format!("invalid {name} ")), "{text:?}: {message}");
            assert!(message.ends_with(&format!("from --{flag}: expected {}", key.allowed)), "{message}");
        }
    }
}

#[test]
fn messages_say_where_the_value_came_from_and_what_is_allowed() {
    insta::assert_snapshot!(message(from_flags(&[("port", "80a")])), @r#"invalid port "80a" from --port: expected a number from 0 to 65535"#);
    insta::assert_snapshot!(message(from_environment(&[("PAWPORT_HOST", "localhost")])), @r#"invalid host "localhost" from environment variable PAWPORT_HOST: expected an IP address such as 127.0.0.1 or ::1"#);
    insta::assert_snapshot!(message(from_file("# first\nport = 1\n\nmax_concurrent = 0")), @r#"invalid max_concurrent "0" from config file /etc/pawport.toml line 4: expected a number from 1 to 100"#);
    insta::assert_snapshot!(message(from_file("log_format = true")), @"invalid log_format (boolean) from config file /etc/pawport.toml line 1: expected text or json");
    insta::assert_snapshot!(message(from_file("host = [\"::1\"]")), @"invalid host (array) from config file /etc/pawport.toml line 1: expected an IP address such as 127.0.0.1 or ::1");
    insta::assert_snapshot!(message(from_file("url_tokens = 1")), @r#"invalid url_tokens "1" from config file /etc/pawport.toml line 1: expected true or false"#);
    insta::assert_snapshot!(message(from_file("url_tokens = [true]")), @"invalid url_tokens (array) from config file /etc/pawport.toml line 1: expected true or false");
    insta::assert_snapshot!(message(from_file("allowed_hosts = true")), @"invalid allowed_hosts (boolean) from config file /etc/pawport.toml line 1: expected host names or addresses such as paw.example.org, without scheme and port, with commas between them");
    insta::assert_snapshot!(message(from_file("allowed_hosts = ['a', 1]")), @"invalid allowed_hosts (array) from config file /etc/pawport.toml line 1: expected host names or addresses such as paw.example.org, without scheme and port, with commas between them");
    insta::assert_snapshot!(message(from_flags(&[("trusted_proxies", "::1,10.0.0.0/33")])), @r#"invalid trusted_proxies "::1,10.0.0.0/33" from --trusted-proxies: expected addresses or networks such as 127.0.0.1 or 10.0.0.0/8, with commas between them"#);
    insta::assert_snapshot!(message(from_flags(&[("cors_origins", "https://a/")])), @r#"invalid cors_origins "https://a/" from --cors-origins: expected origins such as https://paw.example.org or tauri://localhost, without a slash at the end, with commas between them"#);
    insta::assert_snapshot!(message(from_flags(&[("rate_limit_ws", "2")])), @r#"invalid rate_limit_ws "2" from --rate-limit-ws: expected a number from 0.01 to 100000, a slash and a burst from 1 to 100000, such as 10/30; or 0 for no limit"#);
    insta::assert_snapshot!(message(from_flags(&[("session_token_ttl_hours", "0")])), @r#"invalid session_token_ttl_hours "0" from --session-token-ttl-hours: expected a number of hours from 1 to 8760"#);
    insta::assert_snapshot!(message(from_flags(&[("log", "pawport=loud")])), @r#"invalid log "pawport=loud" from --log: expected error, warn, info, debug, trace or off, or a list by module such as warn,pawport=debug"#);
}

#[test]
fn the_password_of_a_database_is_not_shown() {
    let config = from_environment(&[("PAWPORT_DATABASE_URL", "postgres://ada:hunter2@db/paw")]).unwrap();
    let everything = format!("{config:?} {} {}", config.effective_table(), config.database_url);
    assert!(everything.contains("postgres://ada:***@db/paw") && !everything.contains("hunter2"), "{everything}");
    for password in ["hunter2@db:99999", "hunter2%zz@db", "hunter2%0@db", "hunter2%00@db", "hun/ter2@db"] {
        let url = format!("postgres://ada:{password}/paw");
        let refused = message(from_environment(&[("PAWPORT_DATABASE_URL", &url)]));
        assert!(refused.starts_with("invalid database_url from") && !refused.contains("ter2"), "{refused}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    insta::assert_snapshot!(message(from_environment(&[("PAWPORT_PROT", "1")])), @"unknown environment variable PAWPORT_PROT: did you mean PAWPORT_PORT? (known are PAWPORT_HOST, PAWPORT_PORT, PAWPORT_PUBLIC_URL, PAWPORT_DATA_DIR, PAWPORT_DATABASE_URL, PAWPORT_VAULT_KEY, PAWPORT_VAULT_KEY_FILE, PAWPORT_ACCESS_TOKEN, PAWPORT_ACCESS_TOKEN_FILE, PAWPORT_STATUS_KEY, PAWPORT_STATUS_KEY_FILE, PAWPORT_SESSION_TOKEN_TTL_HOURS, PAWPORT_LOCALHOST_AUTH_BYPASS, PAWPORT_URL_TOKENS, PAWPORT_TRUSTED_PROXIES, PAWPORT_ALLOWED_HOSTS, PAWPORT_CORS_ORIGINS, PAWPORT_RATE_LIMIT_API, PAWPORT_RATE_LIMIT_AUTH, PAWPORT_RATE_LIMIT_WS, PAWPORT_RATE_LIMIT_KEY, PAWPORT_AGENT, PAWPORT_MODEL, PAWPORT_MODEL_BASE_URL, PAWPORT_MODEL_API_KEY, PAWPORT_MODEL_API_KEY_FILE, PAWPORT_AGENT_COMMAND, PAWPORT_SYSTEM_PROMPT_FILE, PAWPORT_EMBEDDING_MODEL_DIR, PAWPORT_TUNNEL, PAWPORT_CLOUDFLARED, PAWPORT_TUNNEL_TOKEN, PAWPORT_TUNNEL_TOKEN_FILE, PAWPORT_TUNNEL_HOSTNAME, PAWPORT_MAX_CONCURRENT, PAWPORT_QUEUE_CAPACITY, PAWPORT_MCP_START_TIMEOUT, PAWPORT_MCP_TEST_TIMEOUT, PAWPORT_SHUTDOWN_TIMEOUT, PAWPORT_LOG, PAWPORT_LOG_FORMAT, PAWPORT_CONFIG)");
    assert!(!message(from_environment(&[("PAWPORT_FOO", "1")])).contains("did you mean"));
    insta::assert_snapshot!(message(from_file("port = 1\ndata-dir = '/srv'")), @"unknown key data-dir in config file /etc/pawport.toml line 2: did you mean data_dir? (known are host, port, public_url, data_dir, database_url, vault_key, vault_key_file, access_token, access_token_file, status_key, status_key_file, session_token_ttl_hours, localhost_auth_bypass, url_tokens, trusted_proxies, allowed_hosts, cors_origins, rate_limit_api, rate_limit_auth, rate_limit_ws, rate_limit_key, agent, model, model_base_url, model_api_key, model_api_key_file, agent_command, system_prompt_file, embedding_model_dir, tunnel, cloudflared, tunnel_token, tunnel_token_file, tunnel_hostname, max_concurrent, queue_capacity, mcp_start_timeout, mcp_test_timeout, shutdown_timeout, log, log_format)");
    insta::assert_snapshot!(message(from_file("[server]\nport = 1")), @"unknown key server in config file /etc/pawport.toml line 1: known are host, port, public_url, data_dir, database_url, vault_key, vault_key_file, access_token, access_token_file, status_key, status_key_file, session_token_ttl_hours, localhost_auth_bypass, url_tokens, trusted_proxies, allowed_hosts, cors_origins, rate_limit_api, rate_limit_auth, rate_limit_ws, rate_limit_key, agent, model, model_base_url, model_api_key, model_api_key_file, agent_command, system_prompt_file, embedding_model_dir, tunnel, cloudflared, tunnel_token, tunnel_token_file, tunnel_hostname, max_concurrent, queue_capacity, mcp_start_timeout, mcp_test_timeout, shutdown_timeout, log, log_format");
    insta::assert_snapshot!(message(from_flags(&[("access_token", TOKEN)])), @"unknown key access_token on the command line: known are host, port, public_url, data_dir, database_url, session_token_ttl_hours, localhost_auth_bypass, url_tokens, trusted_proxies, allowed_hosts, cors_origins, rate_limit_api, rate_limit_auth, rate_limit_ws, rate_limit_key, agent, model, model_base_url, agent_command, system_prompt_file, embedding_model_dir, tunnel, cloudflared, tunnel_hostname, max_concurrent, queue_capacity, mcp_start_timeout, mcp_test_timeout, shutdown_timeout, log, log_format, config");
}

#[test]
fn the_file_cannot_name_another_file() {
    assert!(message(from_file("config = '/etc/other.toml'")).starts_with("unknown key config in config file"));
}

#[test]
fn a_broken_file_is_refused_without_quoting_it() {
    insta::assert_snapshot!(message(from_file(&format!("port = 1\naccess_token = {TOKEN}"))), @"config file /etc/pawport.toml line 2 is not TOML: invalid float, expected nothing");
    insta::assert_snapshot!(message(from_file("port = 1\nport = 2")), @"config file /etc/pawport.toml line 2 is not TOML: duplicate key");
}

#[test]
fn numbers_in_the_file_may_be_written_as_toml_allows() {
    assert_eq!(from_file("port = 0x1F90\nqueue_capacity = 20_000").unwrap().port, 8080);
    assert!(message(from_file("port = -1")).starts_with("invalid port \"-1\""));
    assert!(message(from_file("port = 8.0")).starts_with("invalid port (float)"));
}

#[test]
fn lists_and_switches_in_the_file_may_be_written_as_toml_has_them() {
    let config = from_file("url_tokens = false\nlocalhost_auth_bypass = 'false'\nallowed_hosts = ['a', 'B']").unwrap();
    assert!(!config.url_tokens && !config.localhost_auth_bypass);
    assert_eq!(config.allowed_hosts, ["a", "b"]);
    let config = from_file("allowed_hosts = '''\na,\nb,\n'''\ncors_origins = []\nrate_limit_api = 0").unwrap();
    assert_eq!(config.allowed_hosts, ["a", "b"]);
    assert_eq!((config.cors_origins.len(), config.rate_limits.api), (0, None));
    let row = |key| config.effective().into_iter().find(|row| row.key == key).unwrap().value;
    assert_eq!((row("allowed_hosts").as_str(), row("cors_origins").as_str()), ("a,b", "[empty]"));
}

/// Whether a configuration has taken what it was given.
type IsTaken = fn(&Config) -> bool;

/// Every secret, with a text that is one.
const SECRETS: [(&str, &str, IsTaken); 3] = [
    ("vault_key", HEX, |config| config.vault_key.as_ref().unwrap().expose_secret()[..] == (0..32).collect::<Vec<_>>()),
    ("access_token", TOKEN, |config| config.access_token.as_ref().unwrap().expose() == TOKEN),
    ("status_key", "status-key-of-ada", |config| {
        config.status_key.as_ref().unwrap().expose_secret() == "status-key-of-ada"
    }),
];

#[test]
fn secrets_are_never_shown() {
    for (name, secret, is_taken) in SECRETS {
        let key = keys::ALL.into_iter().find(|key| key.name == name).unwrap();
        for config in
            [from_environment(&[(key.variable, secret)]).unwrap(), from_file(&format!("{name} = '{secret}'")).unwrap()]
        {
            assert!(is_taken(&config), "{name}");
            assert!(!format!("{config:?}").contains(&secret[..8]));
            assert!(!format!("{config:?}").contains("0, 1, 2, 3"));
            assert!(!config.effective_table().contains(&secret[..8]));
            assert!(config.effective().iter().any(|row| row.key == name && row.value == "[set]"));
        }
    }
}

#[test]
fn bad_secrets_are_refused_without_showing_them() {
    insta::assert_snapshot!(message(from_environment(&[("PAWPORT_ACCESS_TOKEN", "hunter2")])), @"invalid access_token from environment variable PAWPORT_ACCESS_TOKEN: expected 32 to 256 printable ASCII characters without spaces");
    insta::assert_snapshot!(message(from_file("access_token = 7777")), @"invalid access_token from config file /etc/pawport.toml line 1: expected 32 to 256 printable ASCII characters without spaces");
    insta::assert_snapshot!(message(from_environment(&[("PAWPORT_STATUS_KEY", "hunter2")])), @"invalid status_key from environment variable PAWPORT_STATUS_KEY: expected 16 to 256 printable ASCII characters without spaces");
    insta::assert_snapshot!(message(from_environment(&[("PAWPORT_VAULT_KEY", "hunter2")])), @"invalid vault_key from environment variable PAWPORT_VAULT_KEY: expected 64 hexadecimal digits");
    for (name, refused) in [
        ("PAWPORT_STATUS_KEY", ["fifteen-letters".to_owned(), "k".repeat(257), "sixteen letters!".to_owned()]),
        ("PAWPORT_VAULT_KEY", [HEX[1..].to_owned(), format!("{HEX}00"), HEX.replace('0', "g")]),
    ] {
        for text in refused {
            let message = message(from_environment(&[(name, &text)]));
            assert!(message.starts_with("invalid ") && !message.contains(&text), "{message}");
        }
    }
}

#[test]
fn a_secret_is_given_as_it_is_or_by_its_file() {
    let environment = environment_with(&[("PAWPORT_ACCESS_TOKEN_FILE", "/run/token")]);
    let file = file(&format!("access_token = '{TOKEN}'")).unwrap();
    insta::assert_snapshot!(message(resolve(&Values::new(), &environment, Some(&file))), @"both access_token (from config file /etc/pawport.toml line 1) and access_token_file (from environment variable PAWPORT_ACCESS_TOKEN_FILE) are given: keep one");
    for (name, secret, _) in SECRETS {
        let both = message(from_file(&format!("{name} = '{secret}'\n{name}_file = '/run/secret'")));
        assert!(
            both.starts_with(&format!("both {name} (from ")) && both.contains(&format!("{name}_file (from ")),
            "{both}"
        );
    }
}

#[test]
fn a_token_in_a_file_that_others_can_read_is_refused() {
    let read =
        |text: &str| ConfigFile::parse(Path::new(FILE), text, true).map(|_| ()).map_err(|error| error.to_string());
    insta::assert_snapshot!(read(&format!("port = 1\naccess_token = '{TOKEN}'")).unwrap_err(), @"access_token in config file /etc/pawport.toml line 2 can be read by other users: run `chmod 600 /etc/pawport.toml`, or use access_token_file instead");
    assert_eq!(read("access_token_file = '/run/token'\nport = 1"), Ok(()));
}

#[test]
fn the_table_has_one_line_a_key() {
    let environment = environment_with(&[("PAWPORT_ACCESS_TOKEN", TOKEN)]);
    let file = file("log_format = 'json'").unwrap();
    let config = resolve(&values(&[("port", "9000")]), &environment, Some(&file)).unwrap();
    insta::assert_snapshot!(config.effective_table(), @"
    host                     127.0.0.1                               default
    port                     9000                                    --port
    public_url               [not set]                               default
    data_dir                 /home/ada/.pawport                      default
    database_url             sqlite:///home/ada/.pawport/pawport.db  default
    vault_key                [not set]                               default
    vault_key_file           [not set]                               default
    access_token             [set]                                   environment variable PAWPORT_ACCESS_TOKEN
    access_token_file        [not set]                               default
    status_key               [not set]                               default
    status_key_file          [not set]                               default
    session_token_ttl_hours  24                                      default
    localhost_auth_bypass    true                                    default
    url_tokens               true                                    default
    trusted_proxies          [not set]                               default
    allowed_hosts            [not set]                               default
    cors_origins             [not set]                               default
    rate_limit_api           10/30                                   default
    rate_limit_auth          1/5                                     default
    rate_limit_ws            2/5                                     default
    rate_limit_key           1/60                                    default
    agent                    [not set]                               default
    model                    [not set]                               default
    model_base_url           [not set]                               default
    model_api_key            [not set]                               default
    model_api_key_file       [not set]                               default
    agent_command            [not set]                               default
    system_prompt_file       [not set]                               default
    embedding_model_dir      [not set]                               default
    tunnel                   false                                   default
    cloudflared              [not set]                               default
    tunnel_token             [not set]                               default
    tunnel_token_file        [not set]                               default
    tunnel_hostname          [not set]                               default
    max_concurrent           5                                       default
    queue_capacity           10000                                   default
    mcp_start_timeout        300                                     default
    mcp_test_timeout         60                                      default
    shutdown_timeout         10                                      default
    log                      info                                    default
    log_format               json                                    config file /etc/pawport.toml line 1
    config                   [not set]                               default
    ");
}
