//! The program: arguments, configuration, log, then [`pawport::app`]. Whatever fails ends here, in one line.

use anyhow::{Context, anyhow, ensure};
use clap::{Parser, Subcommand};
use pawport::adapters::data_dir::credential_file::CredentialFile;
use pawport::app::{self, ImportOptions, McpTarget};
use pawport::config::{Config, Flags, LogFormat, read_vault_key};
use pawport::ports::credentials::CredentialStore;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The control plane of a self-hosted AI agent: one binary that serves the REST API PocketPaw's clients speak.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = PROGRAM_EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it gets SIGINT or SIGTERM.
    ///
    /// Everything it keeps is in one folder, which is made at the first start, together with the access token that
    /// clients need. Once it is ready it prints `listening on` and its address. A second signal stops it at once.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Flags),
    /// Show the access token that clients need.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Let a phone in: show a code to scan, which is good once and for a minute.
    ///
    /// The server must be running on this machine. Whoever opens the address in the code is logged in as the owner.
    #[command(after_help = PAIR_EXAMPLES)]
    Pair(Flags),
    /// Write everything in the database to one file. The server may run.
    ///
    /// The file holds what there is at one moment, whatever is written meanwhile. Any database can be filled from it with
    /// `restore`. Secrets stay encrypted in it: keep a copy of vault.key, too.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup {
        /// The file to write.
        file: PathBuf,
        /// Replace the file if it is there already.
        #[arg(long)]
        overwrite: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Fill the database from a file that `backup` wrote. The server must be stopped.
    ///
    /// The database may be of another kind than the one that was backed up. All of the file is stored or nothing.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore {
        /// The file to read.
        file: PathBuf,
        /// Remove everything that the database holds now.
        #[arg(long)]
        replace: bool,
        /// File with the vault key of the server that was backed up, if this one has another: 64 hexadecimal digits.
        #[arg(long, value_name = "FILE")]
        vault_key_file: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Bring the database's schema up to date, as every start of the server does. The server must be stopped.
    ///
    /// There is no way back: an older program refuses a newer database.
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Only say what would be done, and fail if that is something.
        #[arg(long, conflicts_with = "dry_run")]
        check: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Look after the key that secrets in the database are encrypted with.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Take over what a PocketPaw left: sessions, memories, webhooks, API keys, settings and more.
    ///
    /// Its folder is only read. The server must be stopped, and so must the PocketPaw. Run again, or after it was cut short,
    /// the command adds what is missing. It ends with a table of what was taken, and with what was not and why.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArguments),
    /// Look at MCP servers, test them, and call their tools.
    ///
    /// The server must be running on this machine: it is what starts and reaches them.
    #[command(subcommand)]
    Mcp(McpCommand),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document of the REST API, as JSON.
    #[command(after_help = OPENAPI_EXAMPLES)]
    Openapi,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print the access token: the configured one, or else the one in the data directory.
    #[command(after_help = TOKEN_EXAMPLES)]
    Show(Flags),
}

#[derive(Subcommand)]
enum SecretsCommand {
    /// Encrypt every secret in the database anew, with a new key. The server must be stopped.
    ///
    /// The new key replaces the one in the data directory, unless you keep keys elsewhere and name a file with the new one.
    #[command(after_help = ROTATE_KEY_EXAMPLES)]
    RotateKey {
        /// File with the new key: 64 hexadecimal digits. Without it a key is made and kept in the data directory.
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(clap::Args)]
struct ImportArguments {
    /// The folder of the PocketPaw, usually ~/.pocketpaw.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Zone of the times that have none, such as Europe/Lisbon [default: that of this machine].
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Where the folder was when it was used, if this is a copy; for the ids by which clients know memories.
    #[arg(long, value_name = "DIR")]
    home_was: Option<PathBuf>,
    /// What /etc/machine-id says on the machine where secrets were encrypted, if that is another.
    #[arg(long, value_name = "ID")]
    machine_id: Option<String>,
    /// The hardware id of that machine, if it has one.
    #[arg(long, value_name = "ID")]
    hardware_id: Option<String>,
    /// The login name on that machine.
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
    /// Go on although something listens where the PocketPaw would.
    #[arg(long)]
    although_running: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum McpCommand {
    /// List the servers with their state, or the tools of one.
    #[command(after_help = MCP_LIST_EXAMPLES)]
    List {
        /// The server whose tools to list.
        server: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Say whether a server works, and what tools it has. Nothing is stored.
    #[command(after_help = MCP_TEST_EXAMPLES)]
    #[group(id = "target", required = true, multiple = false)]
    Test {
        /// A server that is configured.
        #[arg(group = "target")]
        server: Option<String>,
        /// The address of a server.
        #[arg(long, value_name = "URL", group = "target")]
        url: Option<String>,
        /// A program and its arguments, after two dashes.
        #[arg(last = true, value_name = "COMMAND", group = "target")]
        command: Vec<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Call a tool, and print what it gives.
    #[command(after_help = MCP_CALL_EXAMPLES)]
    Call {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// Its arguments, as a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print every key with the value in force and where it came from. Secrets are shown as `[set]`.
    #[command(after_help = CONFIG_SHOW_EXAMPLES)]
    Show(Flags),
    /// Say whether `serve` would accept this configuration. Nothing is started and nothing is written.
    #[command(after_help = CONFIG_CHECK_EXAMPLES)]
    Check(Flags),
}

const PROGRAM_EXAMPLES: &str = "\
Examples:
  pawport serve                    Listen on http://127.0.0.1:8000, keep everything in ~/.pawport
  pawport token show               Print the access token that clients need
  pawport pair                     Show a code that lets a phone in
  pawport backup pawport.backup    Write everything in the database to one file
  pawport config show              Print the configuration and where each value comes from
  pawport help serve               Explain a command and its flags";

const SERVE_EXAMPLES: &str = "\
Every flag is also an environment variable and a key of the file that --config names: --data-dir is PAWPORT_DATA_DIR \
and data_dir. Flags win over variables, variables over the file, the file over the defaults.

Secrets have no flag, because process lists show flags. To choose the access token yourself, put it into a file and name \
that file in PAWPORT_ACCESS_TOKEN_FILE or access_token_file; or set PAWPORT_ACCESS_TOKEN. PAWPORT_VAULT_KEY and \
PAWPORT_STATUS_KEY have such files too.

Examples:
  pawport serve
  pawport serve --port 9000 --data-dir /srv/pawport
  pawport serve --config /etc/pawport.toml --log debug
  PAWPORT_ACCESS_TOKEN_FILE=/run/secrets/token pawport serve --host 0.0.0.0";

const TOKEN_EXAMPLES: &str = "\
Examples:
  pawport token show
  curl -H \"Authorization: Bearer $(pawport token show)\" http://127.0.0.1:8000/api/sessions";

const PAIR_EXAMPLES: &str = "\
Examples:
  pawport pair
  pawport pair --data-dir /srv/pawport";

const BACKUP_EXAMPLES: &str = "\
Examples:
  pawport backup pawport.backup
  pawport backup --overwrite --data-dir /srv/pawport /mnt/nas/pawport.backup
  zcat pawport.backup | head        Look at what is in it";

const RESTORE_EXAMPLES: &str = "\
Examples:
  pawport restore pawport.backup --data-dir /srv/new --vault-key-file ~/.pawport/vault.key
  pawport restore pawport.backup --replace
  PAWPORT_DATABASE_URL=postgres://paw:secret@db.example.org/paw pawport restore pawport.backup";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  pawport migrate
  pawport migrate --dry-run
  pawport migrate --check && systemctl restart pawport";

const ROTATE_KEY_EXAMPLES: &str = "\
Examples:
  pawport secrets rotate-key
  openssl rand -hex 32 > /run/secrets/new-key && pawport secrets rotate-key --new-key-file /run/secrets/new-key";

const IMPORT_EXAMPLES: &str = "\
Examples:
  pawport import ~/.pocketpaw --dry-run
  pawport import ~/.pocketpaw
  pawport import /mnt/old/home/ana/.pocketpaw --home-was /home/ana/.pocketpaw --login ana \\
      --machine-id \"$(cat /mnt/old/etc/machine-id)\" --zone Europe/Lisbon";

const MCP_LIST_EXAMPLES: &str = "\
Examples:
  pawport mcp list
  pawport mcp list filesystem";

const MCP_TEST_EXAMPLES: &str = "\
Examples:
  pawport mcp test filesystem
  pawport mcp test --url https://mcp.example.org/mcp
  pawport mcp test -- npx -y @modelcontextprotocol/server-everything";

const MCP_CALL_EXAMPLES: &str = "\
Examples:
  pawport mcp call filesystem list_directory '{\"path\": \"/srv/files\"}'
  pawport mcp call time get_current_time '{\"timezone\": \"Europe/Lisbon\"}'";

const CONFIG_SHOW_EXAMPLES: &str = "\
Examples:
  pawport config show
  pawport config show --config /etc/pawport.toml --port 9000";

const CONFIG_CHECK_EXAMPLES: &str = "\
Examples:
  pawport config check --config /etc/pawport.toml && systemctl restart pawport";

const OPENAPI_EXAMPLES: &str = "\
Examples:
  pawport openapi > openapi.json
  pawport openapi | jq '.paths | keys'";

fn main() -> ExitCode {
    // A wrong command line ends inside `parse`, with status 2. A wrong value ends with 1, wherever it was given.
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if this cannot be written.
            let _ = writeln!(std::io::stderr(), "pawport: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(flags) => serve(Config::load(&flags)?),
        Command::Token(TokenCommand::Show(flags)) => show_token(&Config::load(&flags)?),
        Command::Pair(flags) => print(&runtime()?.block_on(app::pair(&Config::load(&flags)?))?),
        Command::Backup { file, overwrite, flags } => {
            print(&runtime()?.block_on(app::backup(&Config::load(&flags)?, file, overwrite))?)
        }
        Command::Restore { file, replace, vault_key_file, flags } => {
            let vault_key = vault_key_file.map(|file| read_vault_key(&file)).transpose()?;
            let options = app::RestoreOptions { replace, vault_key };
            print(&runtime()?.block_on(app::restore(&Config::load(&flags)?, file, options))?)
        }
        Command::Migrate { dry_run: false, check: false, flags } => {
            print(&runtime()?.block_on(app::migrate(&Config::load(&flags)?))?)
        }
        Command::Migrate { check, flags, .. } => {
            let (said, count) = runtime()?.block_on(app::pending(&Config::load(&flags)?))?;
            print(&said)?;
            ensure!(!check || count == 0, "the database is not up to date; run pawport migrate");
            Ok(())
        }
        Command::Secrets(SecretsCommand::RotateKey { new_key_file, flags }) => {
            let config = Config::load(&flags)?;
            let new_key = new_key_file.map(|file| read_vault_key(&file)).transpose()?;
            print(&runtime()?.block_on(app::rotate_key(&config, new_key))?)
        }
        Command::Import(arguments) => {
            let config = Config::load(&arguments.flags)?;
            print(&runtime()?.block_on(app::import(&config, arguments.into()))?)
        }
        Command::Mcp(command) => print(&runtime()?.block_on(mcp(command))?),
        Command::Config(ConfigCommand::Show(flags)) => print(&Config::load(&flags)?.effective_table()),
        Command::Config(ConfigCommand::Check(flags)) => {
            Config::load(&flags)?;
            print("The configuration is valid.\n")
        }
        Command::Openapi => print(&pawport::http::openapi::document_json()?),
    }
}

impl From<ImportArguments> for ImportOptions {
    fn from(arguments: ImportArguments) -> Self {
        Self {
            folder: arguments.folder,
            dry_run: arguments.dry_run,
            although_running: arguments.although_running,
            zone: arguments.zone,
            home_was: arguments.home_was,
            machine_id: arguments.machine_id,
            hardware_id: arguments.hardware_id,
            login: arguments.login,
        }
    }
}

async fn mcp(command: McpCommand) -> anyhow::Result<String> {
    match command {
        McpCommand::List { server: None, flags } => app::list_mcp_servers(&Config::load(&flags)?).await,
        McpCommand::List { server: Some(server), flags } => app::list_mcp_tools(&Config::load(&flags)?, &server).await,
        McpCommand::Test { server, url, command, flags } => {
            let target = match (server, url) {
                (Some(name), _) => McpTarget::Stored(name),
                (None, Some(url)) => McpTarget::Url(url),
                (None, None) => McpTarget::Program(command),
            };
            app::test_mcp_server(&Config::load(&flags)?, target).await
        }
        McpCommand::Call { server, tool, arguments, flags } => {
            app::call_mcp_tool(&Config::load(&flags)?, &server, &tool, &arguments).await
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    start_log(&config)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(app::serve(config));
    // The server has waited for its work as long as it may. What hangs now must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn show_token(config: &Config) -> anyhow::Result<()> {
    let kept = CredentialFile::new(config.data_dir.join(CredentialFile::NAME));
    let token = match &config.access_token {
        Some(token) => Some(token.clone()),
        None => runtime()?.block_on(kept.load())?,
    };
    let token = token.ok_or_else(|| {
        let folder = config.data_dir.display();
        anyhow!("there is no access token in {folder} yet; start the server once to make one: pawport serve")
    })?;
    print(token.expose())
}

/// At least two workers, so that one long computation never stops everything else.
fn runtime() -> anyhow::Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Sends the log to standard error. Colors only for a terminal, and not if `NO_COLOR` is set.
fn start_log(config: &Config) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_writer(std::io::stderr)
        // It would say so on standard error, and panic if that is closed.
        .log_internal_errors(false);
    let builder = if std::io::stderr().is_terminal() { builder } else { builder.with_ansi(false) };
    let started = match config.log_format {
        LogFormat::Text => builder.finish().with(filter_fn(holds_no_secret)).try_init(),
        LogFormat::Json => builder.json().finish().with(filter_fn(holds_no_secret)).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}

/// Whether something may be logged whatever the configuration says. The libraries that speak to MCP servers write what these
/// say, codes and tokens; what matters of that is in the state of the server.
fn holds_no_secret(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("rmcp") && !metadata.target().starts_with("oauth2")
}

/// Writes to standard output, with a line end. A reader that has seen enough, like `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.trim_end().as_bytes()).and_then(|()| output.write_all(b"\n"));
    match written.and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration_by_the_name_of_their_key() {
        let arguments = Arguments::try_parse_from(["pawport", "serve", "--data-dir", "/srv/paw", "--port=-1"]).unwrap();
        let Command::Serve(Flags(values)) = arguments.command else { panic!("not serve") };
        let given: Vec<_> = values.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(given, [("data_dir", "/srv/paw"), ("port", "-1")]);
    }

    #[test]
    fn every_command_that_reads_the_configuration_takes_its_flags() {
        for command in [["serve", ""], ["token", "show"], ["config", "show"], ["config", "check"]] {
            let words = command.into_iter().filter(|word| !word.is_empty());
            let line = ["pawport"].into_iter().chain(words).chain(["--config", "/etc/pawport.toml"]);
            assert!(Arguments::try_parse_from(line).is_ok(), "{command:?}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error() {
        for line in [&["pawport"][..], &["pawport", "token"], &["pawport", "serve", "--access-token", "x"]] {
            let error = Arguments::try_parse_from(line).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
