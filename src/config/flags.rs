//! The keys as flags of the command line.

use super::keys::Kind;
use super::{Values, keys};
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags that were given, by the name of their key. Flatten it into any command that needs the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags(pub Values);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        keys::ALL.iter().fold(command, |command, key| match key.flag {
            Some(flag) => command.arg(argument(key, flag)),
            None => command,
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for key in keys::ALL.iter().filter(|key| key.flag.is_some()) {
            if let Some(text) = matches.get_one::<String>(key.name) {
                self.0.insert(key.name.to_owned(), text.clone());
            }
        }
        Ok(())
    }
}

fn argument(key: &keys::Key, flag: &'static str) -> Arg {
    let argument = Arg::new(key.name).long(flag).value_name(key.placeholder).help(help(key));
    let argument = argument.help_heading("Configuration");
    match (key.kind, key.default) {
        // What is off can be switched on by saying its name.
        (Kind::Switch, Some("false")) => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        // So that `--port -1` is told what is allowed, and not that -1 is unknown.
        _ => argument.allow_negative_numbers(true),
    }
}

/// In the words and brackets that clap itself would use. It cannot do it: it would take a default for a given flag.
fn help(key: &keys::Key) -> String {
    let default = key.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    format!("{}{default} [env: {}]", key.help, key.variable)
}
