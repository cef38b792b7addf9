//! Compiles a filter to a BPF program.
//!
//! When a filter is installed, the kernel runs it once for each of some 450 call numbers per architecture to find
//! those that are always allowed, and the launch waits for it; afterwards it runs for the others only. So numbers are
//! looked up by bisection over runs with equal verdict, not by a linear search. Layout:
//!
//! ```text
//! architecture? ──► number ≥ x32's bit? ──► bisection of the numbers ──► verdict
//!                                                                    └──► conditions on arguments ──► verdict
//! ```

use super::bpf::{self, BpfAssembler, BpfInstruction, JumpTarget};
use super::rule::{ArgCondition, CompareOp, FilterAction, SyscallFilter, SyscallRule};
use super::syscalls::{Arch, X32_BIT, multiplexed};

/// The longest program that the kernel accepts (`BPF_MAXINSNS`).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// Compiles `filter`. The program may exceed [`MAX_INSTRUCTIONS`]; the caller has to check.
pub(super) fn compile(filter: &SyscallFilter) -> Vec<BpfInstruction> {
    let mut compiler = FilterCompiler { filter, assembler: BpfAssembler::default(), conditions: Vec::new() };
    // The numbers first, since code is emitted back to front.
    let mut audits: Vec<(u32, JumpTarget)> = Vec::new();
    for audit in audit_values(&filter.arches) {
        let target = compiler.numbers_of(audit);
        audits.push((audit, target));
    }
    let mut next = JumpTarget::Return(FilterAction::KILL_THREAD.value());
    for (audit, target) in audits {
        next = JumpTarget::Code(compiler.assembler.branch(bpf::JEQ, audit, target, next));
    }
    compiler.assembler.load(bpf::ARCH, next);
    compiler.assembler.finish()
}

/// The audit architectures, with that of `arches[0]` last: it is emitted last, hence tested first and
/// nearest.
fn audit_values(arches: &[Arch]) -> Vec<u32> {
    let mut values = Vec::new();
    for arch in arches {
        if !values.contains(&arch.audit()) {
            values.insert(0, arch.audit());
        }
    }
    values
}

/// A rule without its call: conditions and action.
type RuleCase = (Vec<ArgCondition>, FilterAction);

/// What happens to a call number, and to those after it up to the next entry.
#[derive(Clone, PartialEq)]
enum CallVerdict {
    Fixed(FilterAction),
    Cases(Vec<RuleCase>),
}

struct FilterCompiler<'f> {
    filter: &'f SyscallFilter,
    assembler: BpfAssembler,
    /// Condition code emitted so far, by argument width: architectures of one width share it.
    conditions: Vec<(bool, Vec<RuleCase>, JumpTarget)>,
}

impl FilterCompiler<'_> {
    /// Emits the decision by call number, for all architectures with one audit value.
    fn numbers_of(&mut self, audit: u32) -> JumpTarget {
        let mut targets = [JumpTarget::Return(FilterAction::KILL_THREAD.value()); 2];
        for arch in self.filter.arches.iter().filter(|arch| arch.audit() == audit) {
            targets[usize::from(*arch == Arch::X32)] = self.bisection(*arch);
        }
        let [plain, x32] = targets;
        let decide = if audit == Arch::X32.audit() {
            JumpTarget::Code(self.assembler.branch(bpf::JGE, X32_BIT, x32, plain))
        } else {
            plain
        };
        JumpTarget::Code(self.assembler.load(bpf::NUMBER, decide))
    }

    fn bisection(&mut self, arch: Arch) -> JumpTarget {
        let verdicts = verdicts(self.filter, arch);
        let mut pieces: Vec<(u32, JumpTarget)> = Vec::with_capacity(verdicts.len());
        for (start, verdict) in verdicts {
            let target = match verdict {
                CallVerdict::Fixed(action) => JumpTarget::Return(action.value()),
                CallVerdict::Cases(cases) => self.cases(arch.wide(), cases),
            };
            if pieces.last().is_none_or(|(_, last)| *last != target) {
                pieces.push((start, target));
            }
        }
        self.assembler.bisect(&pieces)
    }

    fn cases(&mut self, wide: bool, cases: Vec<RuleCase>) -> JumpTarget {
        let emitted = self.conditions.iter().find(|(width, other, _)| *width == wide && *other == cases);
        if let Some((_, _, target)) = emitted {
            return *target;
        }
        let target = match ValueSpans::of(&cases, self.filter.default, wide) {
            Some(spans) => self.spans(&spans),
            None => self.chain(&cases, wide),
        };
        self.conditions.push((wide, cases, target));
        target
    }

    /// Emits the cases one after the other.
    fn chain(&mut self, cases: &[RuleCase], wide: bool) -> JumpTarget {
        let mut next = JumpTarget::Return(self.filter.default.value());
        for (tests, action) in cases.iter().rev() {
            let mut yes = JumpTarget::Return(action.value());
            for test in tests.iter().rev() {
                yes = self.test(test, wide, yes, next);
            }
            next = yes;
        }
        next
    }

    /// Emits one condition. On 64-bit architectures the upper half decides, unless it equals the value's.
    fn test(&mut self, test: &ArgCondition, wide: bool, yes: JumpTarget, no: JumpTarget) -> JumpTarget {
        let (code, yes, no) = match test.compare {
            CompareOp::Eq => (bpf::JEQ, yes, no),
            CompareOp::Ne => (bpf::JEQ, no, yes),
            CompareOp::Gt => (bpf::JGT, yes, no),
            CompareOp::Le => (bpf::JGT, no, yes),
            CompareOp::Ge => (bpf::JGE, yes, no),
            CompareOp::Lt => (bpf::JGE, no, yes),
            CompareOp::Masked(mask) => return self.masked(test, mask, wide, yes, no),
        };
        let (high, low) = halves(test.value);
        let lower = self.assembler.branch(code, low, yes, no);
        let lower = JumpTarget::Code(self.assembler.load(bpf::low(test.argument), JumpTarget::Code(lower)));
        if !wide {
            return lower;
        }
        // BPF words have 32 bits, so a 64-bit comparison is one of the upper halves, then one of the lower
        // ones.
        let equal = self.assembler.branch(bpf::JEQ, high, lower, no);
        let upper = match code {
            bpf::JEQ => equal,
            _ => self.assembler.branch(bpf::JGT, high, yes, JumpTarget::Code(equal)),
        };
        JumpTarget::Code(self.assembler.load(bpf::high(test.argument), JumpTarget::Code(upper)))
    }

    fn masked(
        &mut self,
        test: &ArgCondition,
        mask: u64,
        wide: bool,
        yes: JumpTarget,
        no: JumpTarget,
    ) -> JumpTarget {
        let (mask_high, mask_low) = halves(mask);
        let (high, low) = halves(test.value & mask);
        let lower = self.masked_half(bpf::low(test.argument), mask_low, low, yes, no);
        if wide { self.masked_half(bpf::high(test.argument), mask_high, high, lower, no) } else { lower }
    }

    fn masked_half(
        &mut self,
        offset: u32,
        mask: u32,
        value: u32,
        yes: JumpTarget,
        no: JumpTarget,
    ) -> JumpTarget {
        if mask == 0 {
            return yes;
        }
        let compare = self.assembler.branch(bpf::JEQ, value, yes, no);
        let mask = self.assembler.and(mask, JumpTarget::Code(compare));
        JumpTarget::Code(self.assembler.load(offset, JumpTarget::Code(mask)))
    }

    fn spans(&mut self, spans: &ValueSpans) -> JumpTarget {
        let pieces: Vec<_> =
            spans.low.iter().map(|(start, action)| (*start, JumpTarget::Return(action.value()))).collect();
        let lower = self.assembler.bisect(&pieces);
        let lower = match lower {
            JumpTarget::Return(_) => lower,
            JumpTarget::Code(_) => JumpTarget::Code(self.assembler.load(bpf::low(spans.argument), lower)),
        };
        let Some(above) = spans.above else { return lower };
        let upper = self.assembler.branch(bpf::JEQ, 0, lower, JumpTarget::Return(above.value()));
        JumpTarget::Code(self.assembler.load(bpf::high(spans.argument), JumpTarget::Code(upper)))
    }
}

fn halves(value: u64) -> (u32, u32) {
    let low = value & u64::from(u32::MAX);
    (u32::try_from(value >> 32).unwrap_or(u32::MAX), u32::try_from(low).unwrap_or(u32::MAX))
}

/// Cases that all test the same argument, as sorted starts from which each action holds: long lists of `==`
/// (the address families of socket(2)) can then be bisected too.
struct ValueSpans {
    argument: u8,
    low: Vec<(u32, FilterAction)>,
    /// The action where the upper half is not 0; `None` on 32-bit architectures.
    above: Option<FilterAction>,
}

impl ValueSpans {
    fn of(cases: &[RuleCase], default: FilterAction, wide: bool) -> Option<Self> {
        let mut tests = Vec::new();
        for (conditions, action) in cases {
            let [test] = conditions.as_slice() else { return None };
            if matches!(test.compare, CompareOp::Masked(_)) {
                return None;
            }
            tests.push((*test, *action));
        }
        let argument = tests.first()?.0.argument;
        if tests.iter().any(|(test, _)| test.argument != argument) {
            return None;
        }
        // Comparisons with larger values cannot be expressed by the lower half alone.
        let beyond = 1_u64 << 32;
        let mut starts: Vec<u64> = vec![0];
        starts.extend(tests.iter().flat_map(|(test, _)| [test.value, test.value.saturating_add(1)]));
        starts.sort_unstable();
        starts.dedup();
        if wide && starts.last().is_some_and(|last| *last > beyond) {
            return None;
        }
        let action_at =
            |value| tests.iter().find(|(test, _)| test.holds(value)).map_or(default, |(_, action)| *action);
        let mut low: Vec<(u32, FilterAction)> = Vec::new();
        for start in starts.into_iter().filter_map(|start| u32::try_from(start).ok()) {
            let action = action_at(u64::from(start));
            if low.last().is_none_or(|(_, last)| *last != action) {
                low.push((start, action));
            }
        }
        Some(Self { argument, low, above: wide.then(|| action_at(beyond)) })
    }
}

/// The verdict on each number of `arch`: sorted starts, each valid up to the next.
fn verdicts(filter: &SyscallFilter, arch: Arch) -> Vec<(u32, CallVerdict)> {
    let mut cases = numbered(filter, arch);
    cases.sort_by_key(|(number, _)| *number);
    let first = if arch == Arch::X32 { X32_BIT } else { 0 };
    let Some(last) = cases.last().map(|(number, _)| *number) else {
        return vec![(first, CallVerdict::Fixed(filter.default))];
    };
    let mut pieces = Vec::with_capacity(cases.len() + 2);
    let mut next = first;
    for group in cases.chunk_by(|(one, _), (other, _)| one == other) {
        let Some((number, _)) = group.first() else { continue };
        if *number > next {
            pieces.push((next, CallVerdict::Fixed(filter.default)));
        }
        pieces.push((*number, verdict(filter.default, group)));
        next = number.saturating_add(1);
    }
    // Beyond the highest number with a rule: calls newer than the profile.
    pieces.push((last.saturating_add(1), CallVerdict::Fixed(filter.beyond())));
    pieces
}

/// The rules that apply to calls of `arch`, by number, in their order.
fn numbered(filter: &SyscallFilter, arch: Arch) -> Vec<(u32, RuleCase)> {
    let mut cases = Vec::with_capacity(filter.rules.len());
    for rule in &filter.rules {
        if let Some(number) = rule.call.number(arch) {
            let narrow = |test: &ArgCondition| if arch.wide() { *test } else { test.narrowed() };
            cases.push((number, (rule.tests.iter().map(narrow).collect(), rule.action)));
        }
        if arch == Arch::X86 {
            cases.extend(through_multiplexer(rule));
        }
    }
    cases
}

/// On 32-bit x86, socket and System V IPC calls can also be made through a multiplexer, with the call in its
/// first argument. Rules with conditions cannot be carried over, since the arguments are behind a pointer.
fn through_multiplexer(rule: &SyscallRule) -> Option<(u32, RuleCase)> {
    if !rule.tests.is_empty() {
        return None;
    }
    let (call, subcall) = multiplexed(rule.call.name())?;
    let test = ArgCondition { argument: 0, compare: CompareOp::Eq, value: subcall };
    Some((call.number(Arch::X86)?, (vec![test], rule.action)))
}

fn verdict(default: FilterAction, group: &[(u32, RuleCase)]) -> CallVerdict {
    // As runc: a rule with the default action is dropped.
    let decisive = || group.iter().map(|(_, case)| case).filter(|(_, action)| *action != default);
    if let Some((_, action)) = decisive().find(|(tests, _)| tests.is_empty()) {
        return CallVerdict::Fixed(*action);
    }
    let cases: Vec<RuleCase> = decisive().cloned().collect();
    if cases.is_empty() { CallVerdict::Fixed(default) } else { CallVerdict::Cases(cases) }
}
