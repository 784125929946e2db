//! Command lines for tests: options as a command reads them.

use clap::{Args, Command, Error};

/// Reads the arguments of a command that has these options and nothing else.
pub fn options<O: Args>(arguments: &[&str]) -> Result<O, Error> {
    let command = O::augment_args(Command::new("loadtest").no_binary_name(true));
    O::from_arg_matches(&command.try_get_matches_from(arguments)?)
}
