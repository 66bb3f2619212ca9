//! The program: arguments, configuration, log, then [`pawport::app`]. Whatever fails ends here, in one line.

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use pawport::adapters::data_dir::credential_file::CredentialFile;
use pawport::config::{Config, Flags, LogFormat, read_vault_key};
use pawport::ports::credentials::CredentialStore;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

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
    /// Look after the key that secrets in the database are encrypted with.
    #[command(subcommand)]
    Secrets(SecretsCommand),
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

const ROTATE_KEY_EXAMPLES: &str = "\
Examples:
  pawport secrets rotate-key
  openssl rand -hex 32 > /run/secrets/new-key && pawport secrets rotate-key --new-key-file /run/secrets/new-key";

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
        Command::Pair(flags) => print(&runtime()?.block_on(pawport::app::pair(&Config::load(&flags)?))?),
        Command::Secrets(SecretsCommand::RotateKey { new_key_file, flags }) => {
            let config = Config::load(&flags)?;
            let new_key = new_key_file.map(|file| read_vault_key(&file)).transpose()?;
            print(&runtime()?.block_on(pawport::app::rotate_key(&config, new_key))?)
        }
        Command::Config(ConfigCommand::Show(flags)) => print(&Config::load(&flags)?.effective_table()),
        Command::Config(ConfigCommand::Check(flags)) => {
            Config::load(&flags)?;
            print("The configuration is valid.\n")
        }
        Command::Openapi => print(&pawport::http::openapi::document_json()?),
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    start_log(&config)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(pawport::app::serve(config));
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
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
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
