//! The argv of a `RUN`, with here-documents treated as BuildKit's frontend does (`dispatchRun` in
//! `frontend/dockerfile/dockerfile2llb/convert.go`).

use serde::{Deserialize, Serialize};

use super::ast::{CommandLine, HereDoc};
use super::dockerfile::is_here_doc;

/// The directory in the container for scripts from here-documents.
pub const SCRIPTS: &str = "/dev/pipes";
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a `RUN` executes. Part of the cache key in its serialised form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunArgv {
    pub args: Vec<String>,
    /// Executable files below [`SCRIPTS`], as name and content.
    pub scripts: Vec<(String, String)>,
}

/// An empty `shell` means the default, `/bin/sh -c`.
pub(crate) fn run_argv(command: &CommandLine, shell: &[String]) -> RunArgv {
    let (line, here_docs) = match command {
        CommandLine::Exec(args) => return RunArgv { args: args.clone(), scripts: Vec::new() },
        CommandLine::Shell { line, here_docs } => (line, here_docs),
    };
    let mut scripts = Vec::new();
    let text = match here_docs.as_slice() {
        [] => line.clone(),
        // `RUN <<EOF` with a `#!` line is executed itself; without one it is the text for the shell.
        [only] if is_here_doc(line) => match only.content.starts_with("#!") {
            true => {
                scripts.push((only.name.clone(), only.content.clone()));
                format!("{SCRIPTS}/{}", only.name)
            }
            false => only.content.clone(),
        },
        // The shell parses here-documents of a longer line itself.
        docs => docs.iter().fold(line.clone(), |text, doc| text + "\n" + &with_end(doc)),
    };
    let mut args: Vec<String> = match shell {
        [] => SHELL.map(str::to_owned).to_vec(),
        shell => shell.to_vec(),
    };
    args.push(text);
    RunArgv { args, scripts }
}

/// The document followed by its end marker.
fn with_end(doc: &HereDoc) -> String {
    let newline = if doc.content.is_empty() || doc.content.ends_with('\n') { "" } else { "\n" };
    format!("{}{newline}{}", doc.content, doc.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(content: &str) -> HereDoc {
        HereDoc { name: "EOF".into(), content: content.into(), expand: true, descriptor: 0 }
    }

    fn shell(line: &str, docs: &[&str]) -> RunArgv {
        let here_docs = docs.iter().map(|text| doc(text)).collect();
        run_argv(&CommandLine::Shell { line: line.into(), here_docs }, &[])
    }

    #[test]
    fn a_line_goes_to_the_shell_and_words_do_not() {
        assert_eq!(shell("echo $A", &[]).args, ["/bin/sh", "-c", "echo $A"]);
        let words = vec!["a".to_owned(), "$b".to_owned()];
        assert_eq!(run_argv(&CommandLine::Exec(words.clone()), &["x".into()]).args, words);
        let line = CommandLine::Shell { line: "l".into(), here_docs: vec![] };
        assert_eq!(run_argv(&line, &["bash".into(), "-ec".into()]).args, ["bash", "-ec", "l"]);
    }

    #[test]
    fn a_document_alone_is_the_script() {
        for line in ["<<EOF", "<<-EOF", "<<'EOF'", "<<\"EOF\"", "3<<EOF"] {
            assert_eq!(shell(line, &["a\nb\n"]).args, ["/bin/sh", "-c", "a\nb\n"], "{line}");
        }
        let script = shell("<<EOF", &["#!/usr/bin/env python3\nprint(1)\n"]);
        assert_eq!(script.args, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
        assert_eq!(script.scripts, [("EOF".into(), "#!/usr/bin/env python3\nprint(1)\n".into())]);
    }

    #[test]
    fn a_document_of_a_command_is_left_to_the_shell() {
        let command = shell("python3 <<EOF", &["print(1)\n"]);
        assert_eq!(command.args[2], "python3 <<EOF\nprint(1)\nEOF");
        let two = shell("cat <<EOF 3<<EOF", &["a\n", ""]);
        assert_eq!(two.args[2], "cat <<EOF 3<<EOF\na\nEOF\nEOF");
        assert_eq!(shell("<<EOF cat", &["a\n"]).args[2], "<<EOF cat\na\nEOF");
    }
}
