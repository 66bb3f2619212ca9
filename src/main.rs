//! The program: arguments, configuration, log, then [`pawport::app`]. Whatever fails ends here, in one line.

mod arguments;

use anyhow::{Context, anyhow, ensure};
use arguments::{
    Arguments, Command, ConfigCommand, McpCommand, MemoryCommand, SecretsCommand, TokenCommand, TunnelCommand,
};
use clap::Parser;
use pawport::adapters::data_dir::credential_file::CredentialFile;
use pawport::app::{self, ChatOptions, McpTarget};
use pawport::config::{Config, LogFormat, read_vault_key};
use pawport::ports::credentials::CredentialStore;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
        Command::Tunnel(TunnelCommand::Start(flags)) => {
            print(&runtime()?.block_on(app::start_tunnel(&Config::load(&flags)?))?)
        }
        Command::Tunnel(TunnelCommand::Stop(flags)) => {
            print(&runtime()?.block_on(app::stop_tunnel(&Config::load(&flags)?))?)
        }
        Command::Tunnel(TunnelCommand::Status(flags)) => {
            print(&runtime()?.block_on(app::tunnel_status(&Config::load(&flags)?))?)
        }
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
        Command::Memory(MemoryCommand::Export { owner, flags }) => {
            print(&runtime()?.block_on(app::export_memories(&Config::load(&flags)?, owner.as_deref()))?)
        }
        Command::Memory(MemoryCommand::Delete { owner, yes, flags }) => {
            print(&runtime()?.block_on(app::delete_memories(&Config::load(&flags)?, &owner, yes))?)
        }
        Command::Chat { message, session, flags } => {
            let options = ChatOptions { session, message };
            runtime()?.block_on(app::chat(&Config::load(&flags)?, options))
        }
        Command::Doctor(flags) => print(&runtime()?.block_on(app::doctor(&Config::load(&flags)?))?),
        Command::Config(ConfigCommand::Show(flags)) => print(&Config::load(&flags)?.effective_table()),
        Command::Config(ConfigCommand::Check(flags)) => {
            Config::load(&flags)?;
            print("The configuration is valid.\n")
        }
        Command::Openapi => print(&pawport::http::openapi::document_json()?),
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
    use pawport::config::Flags;

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
