//! `help`: a command's own text, or a topic. Its texts are promises: tests hold them against what is so.

use super::{
    args::Args,
    failure::{Exit, Failure},
};
use clap::CommandFactory as _;

const TOPICS: [(&str, &str); 3] = [("exit-codes", EXIT_CODES), ("environment", ENVIRONMENT), ("json", JSON)];
/// What `-o json` prints, as a JSON schema.
const JSON: &str = include_str!("../../../docs/output.schema.json");

pub(super) fn help(named: &[String]) -> Result<Exit, Failure> {
    if let [name] = named
        && let Some((_, text)) = TOPICS.iter().find(|(topic, _)| topic == name)
    {
        anstream::print!("{text}");
        return Ok(Exit::Done);
    }
    let mut command = Args::command();
    command.build();
    let mut found = &mut command;
    for name in named {
        found = found.find_subcommand_mut(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no command or topic `{}`", named.join(" ")))
                .hint(format!("`sumac help` lists the commands; topics: {}", TOPICS.map(|(topic, _)| topic).join(", ")))
        })?;
    }
    anstream::print!("{}", found.render_long_help().ansi());
    if named.is_empty() {
        anstream::println!("\nTopics: {}", TOPICS.map(|(topic, _)| format!("sumac help {topic}")).join(", "));
    }
    Ok(Exit::Done)
}

const EXIT_CODES: &str = "\
Exit codes of sumac

    0  done; of serve and dashboard also: ended by ctrl-C
    1  failed
    2  usage, or an invalid file
    3  the coordinator cannot be reached
    5  the job ended unsuccessfully (wait, submit -f, up JOB)
    6  timed out (wait --timeout)
  130  interrupted by ctrl-C

Exit codes of sumac-worker

    0  stopped as asked, let go of what it had
    1  something that doctor looked at failed
    2  usage: do not restart
   75  a passing trouble: restart
   78  the configuration is at fault: do not restart
  130  stopped at once by a second signal
";

const ENVIRONMENT: &str = "\
Environment of sumac; a flag wins over it

  SUMAC_COORDINATOR  --coordinator of the commands that ask a coordinator
  SUMAC_STATE_DIR    --state of up and serve
  SUMAC_LISTEN       --listen of up and serve
  SUMAC_HTTP         --http of serve
  SUMAC_INSECURE     --insecure of up and serve
  SUMAC_DEVICE       --device of up
  SUMAC_WORKER_BIN   the worker that up starts [default: sumac-worker beside sumac, else the one in PATH]
  SUMAC_LOG          what is logged to stderr: error, warn, info, debug or trace, or a filter such as warn,sumac=debug
                     [default: RUST_LOG, else warn, with -v info]
  SUMAC_LOG_FORMAT   how it is logged: human or json [default: human on a terminal, json elsewhere]
  NO_COLOR           no colours; CLICOLOR_FORCE=1 keeps them where there is no terminal

Environment of sumac-worker

  SUMAC_COORDINATOR  --coordinator
  SUMAC_CACHE        --cache
  SUMAC_DEVICE       --device
  SUMAC_NCCL_PLUGIN  libsumac_nccl.so, which connects cards [default: the one beside sumac-worker; `make nccl` builds it]
  SUMAC_DATA_ROOT    --data-root, several with commas between them
  SUMAC_LOG          as above [default: RUST_LOG, else info; up asks for what it logs itself]
  SUMAC_LOG_FORMAT   as above
";

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all environment variables that stand for arguments of this command and those below it.
    fn variables(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }

    #[test]
    fn every_variable_that_stands_for_an_argument_is_explained() {
        let variables = variables(&Args::command());
        assert!(variables.len() > 3, "{variables:?}");
        for variable in variables {
            assert!(ENVIRONMENT.contains(&format!("  {variable} ")), "{variable}");
        }
    }

    #[test]
    fn every_argument_says_what_it_is() {
        fn silent(command: &clap::Command) -> Vec<String> {
            let name = |arg: &clap::Arg| format!("{} {}", command.get_name(), arg.get_id());
            let own = command.get_arguments().filter(|arg| arg.get_help().is_none()).map(name);
            own.chain(command.get_subcommands().flat_map(silent)).collect()
        }
        assert_eq!(silent(&Args::command()), Vec::<String>::new());
    }

    #[test]
    fn only_the_commands_that_dial_ask_where_the_coordinator_is() {
        let command = Args::command();
        let dials = |command: &&clap::Command| command.get_arguments().any(|arg| arg.get_id() == "coordinator");
        assert!(!dials(&&command));
        let names: Vec<&str> = command.get_subcommands().filter(dials).map(clap::Command::get_name).collect();
        assert_eq!(
            names,
            [
                "submit",
                "status",
                "jobs",
                "job",
                "watch",
                "samples",
                "checkpoints",
                "nodes",
                "node",
                "workers",
                "logs",
                "events",
                "dashboard",
                "wait",
                "cancel",
                "pause",
                "resume",
                "scale",
                "drain",
                "undrain",
                "evict",
                "give-up",
                "refine",
                "evaluate",
                "sweep",
                "compare",
                "export",
                "doctor",
                "version"
            ]
        );
    }
}
