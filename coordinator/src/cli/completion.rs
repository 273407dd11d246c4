//! `completion`: what a shell needs to complete this command line. Written from the arguments themselves, so it cannot differ.

use super::{
    args::{Args, Completion},
    failure::{Exit, Failure},
};
use clap::CommandFactory as _;
use clap_complete::generate;
use std::io::{self, Write as _};

pub(super) fn completion(asked: &Completion) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(asked.shell, &mut Args::command(), "sumac", &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|error| Failure::new(Exit::Failed, "the script could not be written").because(Some(&error)))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    #[test]
    fn every_shell_is_told_of_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            generate(shell, &mut Args::command(), "sumac", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Args::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
