//! `completion`: print the completion script of a shell.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult, CommandTable};
use crate::frame::help;
use crate::output;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<CompletionArgs>(&["completion"], "SHELL", "Print the completion script of a shell")
        .without_engine();

/// Arguments of `completion`.
#[derive(Args)]
struct CompletionArgs {
    /// Whose script to print
    #[arg(value_name = "SHELL", value_parser = shell)]
    shell: Shell,
}

impl CommandArgs for CompletionArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        output::print(&script(self.shell, context.table, &context.program))?;
        Ok(0)
    }
}

fn shell(text: &str) -> Result<Shell, String> {
    Shell::from_str(text, false).map_err(|_| "expected one of bash, zsh, fish, powershell or elvish".into())
}

fn script(shell: Shell, table: &CommandTable, program: &str) -> String {
    let mut script = Vec::new();
    // For the name that dhow was called by, which may be `docker`.
    clap_complete::generate(shell, &mut help::command_tree(table), program, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell, &crate::cmd::TABLE, "dhow");
            assert!(script.contains("run") && script.contains("read-only"), "{shell}");
        }
    }
}
