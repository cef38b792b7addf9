//! An assembler for the classic BPF that seccomp runs: labels, and jumps of any distance.
//!
//! Code is written **back to front**: BPF only jumps forward, so a target always exists before the jump to it, and
//! whether it is within a conditional jump's 8 bits is known at once. Only instructions are used that the kernel can
//! evaluate without a call at hand (loads of the number and the architecture, comparisons, `and`), because it
//! evaluates a new filter for every number to find those that need not run it again.

/// One instruction, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// What to do.
    pub(super) code: u16,
    /// Instructions to skip when the comparison holds.
    pub(super) jt: u8,
    /// Instructions to skip when it does not.
    pub(super) jf: u8,
    /// The operand.
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

/// A place in the program: how many instructions were written before it, that is, follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Where a decision leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a verdict.
    Return(u32),
    /// To code.
    Code(Label),
}

/// A program in the making, last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// Where each value is returned, as last written: the nearest.
    returns: Vec<(u32, Label)>,
}

/// The furthest a conditional jump can go.
const REACH: usize = u8::MAX as usize;

impl Assembler {
    /// The finished program.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, k: u32, (jt, jf): (u8, u8)) -> Label {
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions the next one would have to skip to reach `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// Code that loads a word and goes on with `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Label {
        self.then(LOAD, offset, next)
    }

    /// Code that masks the loaded word and goes on with `next`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Label {
        self.then(AND, mask, next)
    }

    fn then(&mut self, code: u16, k: u32, next: Target) -> Label {
        let next = self.place(next);
        if self.distance(next) > 0 {
            self.goto(next);
        }
        self.push(code, k, (0, 0))
    }

    fn goto(&mut self, label: Label) -> Label {
        let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
        self.push(JA, distance, (0, 0))
    }

    /// Code that compares the loaded word with `k` and goes one way or the other.
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: Target, no: Target) -> Label {
        if yes == no {
            return self.place(yes);
        }
        let (yes, no) = (self.place(yes), self.place(no));
        // A detour put in for one side moves the jump away from the other, which the second pass sees.
        let yes = self.reachable(yes, 1);
        let no = self.reachable(no, 0);
        let (jt, jf) = (self.skip(yes), self.skip(no));
        self.push(code, k, (jt, jf))
    }

    /// `label`, or a detour to it if it is out of reach of a jump that comes up to `later` instructions later.
    fn reachable(&mut self, label: Label, later: usize) -> Label {
        if self.distance(label) + later <= REACH { label } else { self.goto(label) }
    }

    fn skip(&self, label: Label) -> u8 {
        u8::try_from(self.distance(label)).unwrap_or(u8::MAX)
    }

    /// The label of a target; a return in reach is used again rather than written again.
    fn place(&mut self, target: Target) -> Label {
        match target {
            Target::Code(label) => label,
            Target::Return(value) => {
                let written = self.returns.iter().position(|(other, _)| *other == value);
                match written.and_then(|index| self.returns.get(index)) {
                    // Two instructions may come before the jump: the other side's return, and a detour to one.
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

    /// Code that finds the piece which the loaded word falls into, by bisection. `pieces` are sorted starts with
    /// what holds from there up to the next start; the first one starts at 0 whatever it says.
    pub(super) fn bisect(&mut self, pieces: &[(u32, Target)]) -> Target {
        let middle = pieces.len() / 2;
        match pieces {
            [] => Target::Return(0),
            [(_, only)] => *only,
            _ => {
                let (below, above) = pieces.split_at(middle);
                let start = above.first().map_or(0, |(start, _)| *start);
                let above = self.bisect(above);
                let below = self.bisect(below);
                Target::Code(self.branch(JGE, start, above, below))
            }
        }
    }
}
