//! The command line: what can be said, and the help about it.

use clap::{Parser, Subcommand};
use pawport::app::ImportOptions;
use pawport::config::Flags;
use std::path::PathBuf;

/// The control plane of a self-hosted AI agent: one binary that serves the REST API PocketPaw's clients speak.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = PROGRAM_EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
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
    /// Let the running server be reached from elsewhere, by a Cloudflare tunnel.
    ///
    /// Needs the program cloudflared, and for a tunnel under a random name nothing else. While there is a tunnel every
    /// request needs a credential, also from this machine. `pawport serve --tunnel` opens one with the server.
    #[command(subcommand)]
    Tunnel(TunnelCommand),
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
    /// Look at what is remembered of somebody, or delete it.
    ///
    /// The server must be running on this machine.
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// Talk to the agent in the terminal.
    ///
    /// The server must be running on this machine. Without a message, lines are read: Ctrl-C stops an answer, Ctrl-D ends
    /// the chat, /help lists what else can be said.
    #[command(after_help = CHAT_EXAMPLES)]
    Chat {
        /// What to say; then that is all.
        message: Option<String>,
        /// The chat to go on with, instead of a new one.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Look whether everything works, and say what to do about what does not.
    ///
    /// Configuration, database, agent and model, MCP servers, and what is needed for a tunnel. A model is asked for a word,
    /// and to call a tool, which takes some tokens. Fails if something is wrong.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Flags),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document of the REST API, as JSON.
    #[command(after_help = OPENAPI_EXAMPLES)]
    Openapi,
}

#[derive(Subcommand)]
pub enum TunnelCommand {
    /// Open the tunnel, and print the address once others reach it.
    #[command(after_help = TUNNEL_EXAMPLES)]
    Start(Flags),
    /// End the tunnel. If there is none, that is fine.
    Stop(Flags),
    /// Show what the tunnel is doing, and the last lines that cloudflared wrote.
    Status(Flags),
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Print the access token: the configured one, or else the one in the data directory.
    #[command(after_help = TOKEN_EXAMPLES)]
    Show(Flags),
}

#[derive(Subcommand)]
pub enum SecretsCommand {
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
pub struct ImportArguments {
    /// The folder of the PocketPaw, usually ~/.pocketpaw.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Zone of the times that have none, such as Europe/Lisbon [default: that of this machine].
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Where the folder was when it was used, if this is a copy; for the ids by which clients know memories.
    #[arg(long, value_name = "DIR")]
    pub home_was: Option<PathBuf>,
    /// What /etc/machine-id says on the machine where secrets were encrypted, if that is another.
    #[arg(long, value_name = "ID")]
    pub machine_id: Option<String>,
    /// The hardware id of that machine, if it has one.
    #[arg(long, value_name = "ID")]
    pub hardware_id: Option<String>,
    /// The login name on that machine.
    #[arg(long, value_name = "NAME")]
    pub login: Option<String>,
    /// Go on although something listens where the PocketPaw would.
    #[arg(long)]
    pub although_running: bool,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Subcommand)]
pub enum McpCommand {
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
pub enum MemoryCommand {
    /// Print everything that is remembered of somebody, or of everybody, as JSON: facts and daily notes, oldest first.
    #[command(after_help = MEMORY_EXPORT_EXAMPLES)]
    Export {
        /// Whose memories; `default` is you.
        #[arg(long)]
        owner: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Delete everything that is remembered of somebody, for ever.
    #[command(after_help = MEMORY_DELETE_EXAMPLES)]
    Delete {
        /// Whose memories; `default` is you.
        #[arg(long)]
        owner: String,
        /// Delete them without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Subcommand)]
pub enum ConfigCommand {
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
  pawport chat                     Talk to the agent
  pawport doctor                   Look whether everything works
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

const TUNNEL_EXAMPLES: &str = "\
Examples:
  pawport tunnel start     an address under trycloudflare.com, another one each time
  pawport pair             show it to a phone

A tunnel of your own, with an address that stays: configure it with Cloudflare to lead to this server, then
  PAWPORT_TUNNEL_TOKEN_FILE=token PAWPORT_TUNNEL_HOSTNAME=paw.example.org pawport serve --tunnel

docs/remote.md says more.";

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

const MEMORY_EXPORT_EXAMPLES: &str = "\
Examples:
  pawport memory export --owner default > memories.json
  pawport memory export | jq '.[].content'";

const MEMORY_DELETE_EXAMPLES: &str = "\
Examples:
  pawport memory export --owner 36986f1f4abd2117 > theirs.json
  pawport memory delete --owner 36986f1f4abd2117 --yes";

const CHAT_EXAMPLES: &str = "\
Examples:
  pawport chat
  pawport chat \"What time is it in Lisbon?\"
  pawport chat --session websocket_1d61e8dc1c60
  echo \"Say hello\" | pawport chat";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  pawport doctor
  pawport doctor --data-dir /srv/pawport";

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
