//! Which words of which instructions are expanded.

use super::{ReferencedNames, Variables, expand_here_doc, expand_word};
use crate::ast::{CopyInstruction, Instruction, NameValue};
use dhow_error::Failure;

/// A copy of `instruction` with everything expanded that BuildKit expands: names and values of `ENV` and
/// `LABEL`; sources, destination, owner, mode, checksum and here-documents of `COPY` and `ADD`; `WORKDIR`,
/// `USER`, `VOLUME`, `STOPSIGNAL`; the values of `RUN --mount` and `--device`; and `EXPOSE`, which is split
/// into words afterwards. `ARG` is left alone: whether its default is used depends on the build arguments
/// (see `crate::arguments`).
pub(crate) fn expand_instruction(
    instruction: &Instruction,
    escape: char,
    variables: &dyn Variables,
) -> Result<(Instruction, ReferencedNames), Failure> {
    let mut expander = InstructionExpander { escape, variables, names: ReferencedNames::default() };
    let mut instruction = instruction.clone();
    match &mut instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => expander.pairs(pairs)?,
        Instruction::Copy(copy) | Instruction::Add(copy) => expander.copy(copy)?,
        Instruction::Workdir(text) | Instruction::User(text) | Instruction::StopSignal(text) => {
            expander.expand(text)?;
        }
        Instruction::Volume(paths) => expander.expand_each(paths)?,
        // One variable may hold several ports.
        Instruction::Expose(ports) => *ports = expander.split(ports)?,
        Instruction::Run(run) => {
            for value in run.mounts.iter_mut().flatten().filter_map(|(_, value)| value.as_mut()) {
                expander.expand(value)?;
            }
            expander.expand_each(&mut run.devices)?;
        }
        Instruction::Arg(_)
        | Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::Shell(_)
        | Instruction::HealthCheck(_)
        | Instruction::OnBuild(_)
        | Instruction::Maintainer(_) => {}
    }
    Ok((instruction, expander.names))
}

struct InstructionExpander<'a> {
    escape: char,
    variables: &'a dyn Variables,
    names: ReferencedNames,
}

impl InstructionExpander<'_> {
    fn expand(&mut self, text: &mut String) -> Result<(), Failure> {
        let expanded = expand_word(text, self.escape, self.variables)?;
        self.names.extend(expanded.names);
        *text = expanded.text;
        Ok(())
    }

    fn expand_each<'t>(&mut self, texts: impl IntoIterator<Item = &'t mut String>) -> Result<(), Failure> {
        texts.into_iter().try_for_each(|text| self.expand(text))
    }

    fn split(&mut self, texts: &[String]) -> Result<Vec<String>, Failure> {
        let mut words = Vec::new();
        for text in texts {
            let expanded = expand_word(text, self.escape, self.variables)?;
            self.names.extend(expanded.names);
            words.extend(expanded.words);
        }
        Ok(words)
    }

    fn pairs(&mut self, pairs: &mut [NameValue]) -> Result<(), Failure> {
        for pair in pairs {
            self.expand(&mut pair.name)?;
            self.expand(&mut pair.value)?;
        }
        Ok(())
    }

    fn copy(&mut self, copy: &mut CopyInstruction) -> Result<(), Failure> {
        // Without `from`: which stages are built must not depend on variables.
        self.expand_each(
            [&mut copy.flags.chown, &mut copy.flags.chmod, &mut copy.checksum].into_iter().flatten(),
        )?;
        self.expand_each(&mut copy.sources)?;
        self.expand(&mut copy.target)?;
        for doc in copy.here_docs.iter_mut().filter(|doc| doc.expand) {
            let expanded = expand_here_doc(&doc.content, self.variables)?;
            self.names.extend(expanded.names);
            doc.content = expanded.text;
        }
        Ok(())
    }
}
