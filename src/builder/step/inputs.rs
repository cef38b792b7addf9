//! The trees that a step reads, and which files of them: what a context scan digests and a copy selects.

use dhow_build::ast::CopyFlags;
use dhow_build::context::CopySpec;
use dhow_build::plan::{CopyOp, InputTree, Op};
use dhow_build::run_mount::RunMountKind;

/// The local sources of a copy.
pub(crate) fn copy_spec(copy: &CopyOp) -> CopySpec {
    let non_empty = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    CopySpec {
        sources: copy.local().map(str::to_owned).collect(),
        here_docs: copy.here_docs.clone(),
        target: copy.target.clone(),
        flags: CopyFlags {
            chown: non_empty(&copy.flags.chown),
            chmod: non_empty(&copy.flags.chmod),
            ..copy.flags.clone()
        },
        unpack: copy.unpack.unwrap_or(copy.add),
    }
}

/// The same, reduced to what decides which files are selected.
fn content_spec(copy: &CopyOp) -> CopySpec {
    let spec = copy_spec(copy);
    let flags = CopyFlags { chown: None, chmod: None, ..spec.flags };
    CopySpec { here_docs: Vec::new(), target: "/".into(), flags, ..spec }
}

/// All files below a path, for a mount.
fn subtree_spec(path: &str) -> CopySpec {
    CopySpec { sources: vec![path.to_owned()], target: "/".into(), ..CopySpec::default() }
}

/// The trees that a step reads, with the selected files of each. The order is that of the inputs in the cache
/// key.
pub(crate) fn input_trees(op: &Op) -> Vec<(&InputTree, CopySpec)> {
    match op {
        Op::Workdir(_) => Vec::new(),
        Op::Copy(copy) => match copy.local().next() {
            Some(_) => vec![(&copy.from, content_spec(copy))],
            None => Vec::new(),
        },
        Op::Run(run) => run
            .mounts
            .iter()
            .filter(|mount| matches!(mount.mount.kind, RunMountKind::Bind | RunMountKind::Cache))
            .map(|mount| (&mount.from, subtree_spec(&mount.mount.source)))
            .collect(),
    }
}
