//! System calls tried out, each in a process of its own, as some end it.

use std::ffi::c_long;

use crate::fact;
use crate::sys;

/// The highest number tried: somewhat beyond the last call that the newest kernel has.
const LAST: c_long = 480;

/// What a call with useless arguments does, for every number: an error number, 0 for success, or the signal it dies of.
///
/// Left out are those that would act without looking at arguments (pause and sync take long, vfork shares the stack).
pub fn every() {
    let skipped: &[c_long] = if cfg!(target_arch = "x86_64") { &[34, 58, 162] } else { &[81] };
    let useless = [-1; 6];
    for number in (0..=LAST).filter(|number| !skipped.contains(number)) {
        fact(&format!("call.{number}"), outcome(|| raw(number, useless)));
    }
}

/// One call: number and arguments.
pub fn one(arguments: &[String]) {
    let (number, words) = numbers(arguments);
    fact("call", outcome(|| raw(number, words)));
}

/// One call of 32-bit x86, made from this 64-bit program.
pub fn one_of_32_bit(arguments: &[String]) {
    let (number, words) = numbers(arguments);
    fact("call32", outcome(|| raw_of_32_bit(number, words)));
}

/// Decimal, or hexadecimal after `0x`.
fn numbers(arguments: &[String]) -> (c_long, [c_long; 6]) {
    let mut numbers = arguments.iter().map(|text| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map_or(0, u64::cast_signed),
        None => text.parse().unwrap_or(0),
    });
    let number = numbers.next().unwrap_or(0);
    let mut words = [0; 6];
    words.iter_mut().zip(numbers).for_each(|(word, value)| *word = value);
    (number, words)
}

fn raw(number: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> i32 {
    // SAFETY: made in a forked process that does nothing else, so whatever the call does to memory hurts nobody.
    let result = unsafe { sys::syscall(number, a, b, c, d, e, f) };
    let [msgget, msgctl]: [c_long; 2] = if cfg!(target_arch = "x86_64") { [68, 71] } else { [186, 187] };
    if number == msgget && result >= 0 {
        // Useless arguments make a queue, and the next try would find it there.
        // SAFETY: removes the queue just made; numbers only.
        unsafe { sys::syscall(msgctl, result, 0, 0) };
    }
    if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
}

#[cfg(target_arch = "x86_64")]
fn raw_of_32_bit(number: c_long, [a, b, c, d, _, _]: [c_long; 6]) -> i32 {
    let mut result = number;
    // SAFETY: as for `raw`; rbx is put back, and the kernel clobbers r8 to r11 on this entry.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {a}", "int 0x80", "xchg rbx, {a}",
            a = inout(reg) a => _, inout("rax") result, in("rcx") b, in("rdx") c, in("rsi") d,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // A 32-bit result in a 64-bit register, whose upper half may be zero.
    let result = result as i32;
    if (-4095..0).contains(&result) { -result } else { 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn raw_of_32_bit(_: c_long, _: [c_long; 6]) -> i32 {
    38
}

/// Runs `call` in a process of its own: the error number it returns, or the signal that ends it.
fn outcome(call: impl FnOnce() -> i32) -> String {
    // SAFETY: the probe has one thread, so the child may do anything.
    let child = unsafe { sys::fork() };
    if child == 0 {
        // A call that waits for ever ends by the alarm.
        // SAFETY: plain numbers; `_exit` runs no handlers.
        unsafe {
            sys::alarm(1);
            sys::_exit(call());
        }
    }
    let mut status = 0;
    // SAFETY: stores an integer.
    if child < 0 || unsafe { sys::waitpid(child, &raw mut status, 0) } != child {
        return "!".to_owned();
    }
    match status & 0x7f {
        0 => (status >> 8 & 0xff).to_string(),
        signal => format!("signal {signal}"),
    }
}
