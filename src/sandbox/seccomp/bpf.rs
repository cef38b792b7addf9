//! An assembler for the classic BPF of seccomp: labels, and jumps over any distance.
//!
//! Code is emitted **back to front**: BPF jumps forward only, so a target always exists before the jump to it, and
//! whether it is within the 8 bits of a conditional jump is known at once. Only instructions that the kernel can
//! emulate without an actual call are used (loads of number and architecture, comparisons, `and`), because it
//! emulates a new filter for every number to find those that are always allowed (`seccomp_is_const_allow`, Linux
//! 5.11).

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BpfInstruction {
    pub(super) code: u16,
    /// Instructions to skip if the comparison holds.
    pub(super) jt: u8,
    /// Instructions to skip if it does not.
    pub(super) jf: u8,
    pub(super) k: u32,
}

/// `A = *(u32 *)(data + k)`
pub(super) const LOAD: u16 = 0x20;
/// `A &= k`
pub(super) const AND: u16 = 0x54;
/// `if (A == k)`
pub(super) const JEQ: u16 = 0x15;
/// `if (A > k)`
pub(super) const JGT: u16 = 0x25;
/// `if (A >= k)`
pub(super) const JGE: u16 = 0x35;
/// `goto`
pub(super) const JA: u16 = 0x05;
/// `return k`
pub(super) const RET: u16 = 0x06;

/// Offset of the call's number in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
/// Offset of the audit architecture.
pub(super) const ARCH: u32 = 4;

/// Offset of the lower half of an argument (0 to 5), on the little-endian machines that dhow runs on.
pub(super) const fn low(argument: u8) -> u32 {
    16 + 8 * argument as u32
}

/// Offset of the upper half.
pub(super) const fn high(argument: u8) -> u32 {
    low(argument) + 4
}

/// A position in the program, as the number of instructions emitted before it, which are those that follow
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeLabel(usize);

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JumpTarget {
    /// Return this value.
    Return(u32),
    /// Continue at this position.
    Code(CodeLabel),
}

/// A program under construction, last instruction first.
#[derive(Debug, Default)]
pub(super) struct BpfAssembler {
    reversed: Vec<BpfInstruction>,
    /// Where each value is returned; only the instruction emitted last, which is the nearest.
    returns: Vec<(u32, CodeLabel)>,
}

/// The longest conditional jump.
const REACH: usize = u8::MAX as usize;

impl BpfAssembler {
    /// The finished program, in execution order.
    pub(super) fn finish(mut self) -> Vec<BpfInstruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, k: u32, (jt, jf): (u8, u8)) -> CodeLabel {
        self.reversed.push(BpfInstruction { code, jt, jf, k });
        CodeLabel(self.reversed.len() - 1)
    }

    /// How many instructions the next one would skip to reach `label`.
    fn distance(&self, label: CodeLabel) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// Emits a load of a word, then `next`.
    pub(super) fn load(&mut self, offset: u32, next: JumpTarget) -> CodeLabel {
        self.then(LOAD, offset, next)
    }

    /// Emits a mask of the loaded word, then `next`.
    pub(super) fn and(&mut self, mask: u32, next: JumpTarget) -> CodeLabel {
        self.then(AND, mask, next)
    }

    fn then(&mut self, code: u16, k: u32, next: JumpTarget) -> CodeLabel {
        let next = self.place(next);
        if self.distance(next) > 0 {
            self.goto(next);
        }
        self.push(code, k, (0, 0))
    }

    fn goto(&mut self, label: CodeLabel) -> CodeLabel {
        let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
        self.push(JA, distance, (0, 0))
    }

    /// Emits a comparison of the loaded word with `k`.
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: JumpTarget, no: JumpTarget) -> CodeLabel {
        if yes == no {
            return self.place(yes);
        }
        let (yes, no) = (self.place(yes), self.place(no));
        // A detour inserted for one side moves the other side further away, which the second call takes into
        // account.
        let yes = self.reachable(yes, 1);
        let no = self.reachable(no, 0);
        let (jt, jf) = (self.skip(yes), self.skip(no));
        self.push(code, k, (jt, jf))
    }

    /// `label`, or a detour if it is out of reach of a jump emitted up to `later` instructions later.
    fn reachable(&mut self, label: CodeLabel, later: usize) -> CodeLabel {
        if self.distance(label) + later <= REACH { label } else { self.goto(label) }
    }

    fn skip(&self, label: CodeLabel) -> u8 {
        u8::try_from(self.distance(label)).unwrap_or(u8::MAX)
    }

    /// The label of a target; reuses a return instruction in reach.
    fn place(&mut self, target: JumpTarget) -> CodeLabel {
        match target {
            JumpTarget::Code(label) => label,
            JumpTarget::Return(value) => {
                let written = self.returns.iter().position(|(other, _)| *other == value);
                match written.and_then(|index| self.returns.get(index)) {
                    // Up to two instructions may be emitted before the jump: the other side's return, and a
                    // detour to one of them.
                    Some((_, label)) if self.distance(*label) + 2 <= REACH => return *label,
                    _ => {}
                }
                let label = self.push(RET, value, (0, 0));
                match written.and_then(|index| self.returns.get_mut(index)) {
                    Some((_, nearest)) => *nearest = label,
                    None => self.returns.push((value, label)),
                }
                label
            }
        }
    }

    /// Emits a bisection that finds the piece that contains the loaded word. `pieces` are sorted starts, each
    /// with the target up to the next start; the first one is treated as starting at 0.
    pub(super) fn bisect(&mut self, pieces: &[(u32, JumpTarget)]) -> JumpTarget {
        let middle = pieces.len() / 2;
        match pieces {
            [] => JumpTarget::Return(0),
            [(_, only)] => *only,
            _ => {
                let (below, above) = pieces.split_at(middle);
                let start = above.first().map_or(0, |(start, _)| *start);
                let above = self.bisect(above);
                let below = self.bisect(below);
                JumpTarget::Code(self.branch(JGE, start, above, below))
            }
        }
    }
}
