//! Which stages a target needs, from the syntax tree alone (checks and outlines; a build uses the graph).

use std::collections::BTreeSet;

use super::ast::{Dockerfile, Instruction, Stage};
use super::expand::{self, Variables};
use super::suggest::did_you_mean;
use dhow_error::{Failure, not_found};

/// The stage that the one at `index` is based on; `None` for an image. `globals` is the scope that `FROM`
/// sees.
pub(crate) fn base_stage(file: &Dockerfile, index: usize, globals: &dyn Variables) -> Option<usize> {
    let stage = file.stages.get(index)?;
    let name = expand::expand_word(&stage.base, file.directives.escape, globals).ok()?.text;
    // Only stages above are in scope; of several with one name the last counts.
    file.stages.iter().take(index).rposition(|other| has_name(other, &name))
}

/// The stage that `--from` names, by name or index.
pub(crate) fn find_stage(file: &Dockerfile, from: &str) -> Option<usize> {
    let named = file.stages.iter().rposition(|stage| has_name(stage, from));
    named.or_else(|| from.parse().ok().filter(|index| *index < file.stages.len()))
}

fn has_name(stage: &Stage, name: &str) -> bool {
    stage.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

/// The stage that `--target` names; the last one without it.
pub(crate) fn target_stage(file: &Dockerfile, target: Option<&str>) -> Result<usize, Failure> {
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Ok(file.stages.len().saturating_sub(1));
    };
    find_stage(file, target).ok_or_else(|| {
        let message = format!("target stage \"{}\" could not be found", target.escape_debug());
        let names = file.stages.iter().filter_map(|stage| stage.name.as_deref());
        not_found(did_you_mean(message, target, names))
    })
}

/// The stage at `target` and all that it needs.
pub(crate) fn needed_stages(file: &Dockerfile, target: usize, globals: &dyn Variables) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let mut pending = vec![target];
    while let Some(index) = pending.pop() {
        // Also ends on cycles, which the build reports later.
        if !needed.insert(index) {
            continue;
        }
        pending.extend(base_stage(file, index, globals));
        let statements = file.stages.get(index).into_iter().flat_map(|stage| &stage.statements);
        for statement in statements {
            pending.extend(
                from_references(&statement.instruction).into_iter().filter_map(|from| find_stage(file, from)),
            );
        }
    }
    needed
}

/// The `--from` values of COPY, and `from=` of mounts.
fn from_references(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
        Instruction::Run(run) => {
            let fields = run.mounts.iter().flatten();
            fields.filter(|(key, _)| key == "from").filter_map(|(_, value)| value.as_deref()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn file() -> Dockerfile {
        parse(
            b"ARG BASE=one\nFROM a AS one\nFROM $BASE AS two\nFROM b AS Three\nCOPY --from=0 x y\n\
              FROM scratch\nCOPY --from=THREE / /\nFROM c AS five\nRUN --mount=from=two,target=/x true\n",
        )
        .unwrap()
    }

    fn of(name: Option<&str>) -> Vec<usize> {
        let (file, globals) = (file(), vec![("BASE".to_owned(), "one".to_owned())]);
        needed_stages(&file, target_stage(&file, name).unwrap(), &globals).into_iter().collect()
    }

    #[test]
    fn a_target_needs_what_it_stands_on_copies_and_mounts() {
        assert_eq!(of(None), [0, 1, 4]);
        assert_eq!(of(Some("two")), [0, 1]);
        assert_eq!(of(Some("3")), [0, 2, 3]);
        assert_eq!(of(Some("ONE")), [0]);
    }

    #[test]
    fn a_target_that_is_none_may_be_a_slip() {
        let failure = target_stage(&file(), Some("thre")).unwrap_err().to_string();
        assert_eq!(failure, "target stage \"thre\" could not be found (did you mean three?)");
        assert!(target_stage(&file(), Some("9")).is_err());
    }
}
