//! Seccomp filters in the kernel: the result of each system call under them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::library::sandbox::caps;
use crate::library::sandbox::caps::CapSet;
use crate::library::sandbox::seccomp;
use crate::library::sandbox::seccomp::SeccompProgram;
use crate::support::docker_profile::{self, number};
use crate::support::probe::{self, Facts};

const EPERM: &str = "1";
const ENOSYS: &str = "38";

/// The probe's output under `programs`, loaded in this order, as an unprivileged user.
fn under(programs: &[SeccompProgram], arguments: &[&str]) -> Facts {
    let programs = programs.to_vec();
    let mut command = Command::new(probe::binary());
    command.args(arguments);
    if crate::support::account::is_root() {
        command.uid(65_534).gid(65_534);
    }
    // The user is set before, so `no_new_privs` is what lets the filters be loaded.
    let load = move || -> io::Result<()> {
        caps::set_no_new_privs()?;
        programs.iter().try_for_each(SeccompProgram::load)
    };
    #[allow(unsafe_code, reason = "a test loads filters between fork and exec, as dhow does")]
    // SAFETY: loading neither allocates nor locks, which is all that a forked child must not do.
    unsafe {
        command.pre_exec(load)
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Facts::parse(&String::from_utf8(output.stdout).unwrap())
}

fn call(programs: &[SeccompProgram], name: &str, arguments: &[&str]) -> String {
    under(programs, &[&["call", &number(name)], arguments].concat()).get("call").to_owned()
}

fn docker() -> SeccompProgram {
    seccomp::default_filter(CapSet::DOCKER)
}

/// Compares each call number with the result of the same call without a filter.
#[test]
fn every_call_is_answered_as_under_docker() {
    let (free, filtered) = (under(&[], &["calls"]), under(&[docker()], &["calls"]));
    docker_profile::check(&free, &filtered, &["CAP_SYS_CHROOT", "CAP_CHOWN"]);
}

#[test]
fn arguments_decide() {
    let filter = [docker()];
    for (family, denied) in
        [(1, false), (2, false), (10, false), (16, false), (12, true), (38, true), (40, true)]
    {
        let got = call(&filter, "socket", &[&family.to_string(), "-1", "0"]);
        assert_eq!(got == EPERM, denied, "socket of family {family}: {got}");
    }
    assert_eq!(call(&filter, "personality", &["0xffffffff"]), "0");
    assert_eq!(call(&filter, "personality", &["0x40000"]), EPERM);
    assert_eq!(call(&filter, "clone3", &["0", "0"]), ENOSYS);
    for namespace in
        ["0x10000000", "0x20000", "0x2000000", "0x4000000", "0x8000000", "0x20000000", "0x40000000"]
    {
        assert_eq!(call(&filter, "clone", &[namespace]), EPERM, "clone with {namespace}");
        assert_eq!(call(&filter, "unshare", &[namespace]), EPERM, "unshare with {namespace}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn other_architectures_of_the_machine_are_filtered_too() {
    let of = |number: &str, arguments: &[&str]| {
        under(&[docker()], &[&["call32", number], arguments].concat()).get("call32").to_owned()
    };
    if under(&[], &["call32", "20"]).get("call32") != "0" {
        return crate::support::leave_out("needs a kernel that runs 32-bit programs");
    }
    assert_eq!(of("20", &[]), "0", "getpid");
    assert_eq!(of("21", &["0", "0", "0"]), EPERM, "mount");
    assert_eq!(of("359", &["40", "1", "0"]), EPERM, "socket of AF_VSOCK");
    assert_eq!(of("435", &["0", "0"]), ENOSYS, "clone3");
    let x32 = |number: &str| under(&[docker()], &["call", number]).get("call").to_owned();
    assert_eq!(x32("0x400000a5"), EPERM, "mount");
    assert_eq!(x32("0x40000400"), ENOSYS, "beyond the table");
}

#[test]
fn emulation_pretends_what_a_single_user_cannot_do() {
    let filters = [docker(), seccomp::root_emulation()];
    let privileged = [
        ("fchownat", &["-1", "0", "7", "7", "0"][..]),
        ("fchown", &["-1", "7", "7"]),
        ("setresuid", &["7", "7", "7"]),
        ("setgid", &["7"]),
        ("setgroups", &["1", "0"]),
        ("capset", &["0", "0"]),
        ("mknodat", &["-1", "0", "0x21b6", "259"]),
        ("mknodat", &["-1", "0", "0x61b6", "259"]),
    ];
    for (name, arguments) in privileged {
        assert_eq!(call(&filters, name, arguments), "0", "{name} {arguments:?}");
        assert_ne!(call(&filters[..1], name, arguments), "0", "{name} {arguments:?} without emulation");
    }
    let bad_address = "14";
    assert_eq!(
        call(&filters, "mknodat", &["-100", "0", "0x11b6", "0"]),
        bad_address,
        "a fifo is made for real"
    );
    assert_eq!(call(&filters, "mknodat", &["-100", "0", "0x81b6", "0"]), bad_address, "so is a file");
    assert_eq!(call(&filters, "mount", &["0", "0"]), EPERM, "what the profile denies stays denied");
    assert_eq!(under(&filters, &["capabilities"]).get("seccomp_filters"), "2");
    if cfg!(target_arch = "x86_64") && under(&[], &["call32", "20"]).get("call32") == "0" {
        for (number, what) in
            [("212", "chown32"), ("208", "setresuid32"), ("206", "setgroups32"), ("16", "lchown")]
        {
            assert_eq!(under(&filters, &["call32", number, "0", "7", "7"]).get("call32"), "0", "{what}");
        }
    }
}

#[test]
fn a_profile_of_the_user_does_what_it_says() {
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"name":"getppid","action":"SCMP_ACT_ERRNO","errnoRet":77},
        {"name":"umask","action":"SCMP_ACT_KILL_PROCESS"},
        {"name":"getpgid","action":"SCMP_ACT_TRAP","args":[{"index":0,"value":7,"op":"SCMP_CMP_GT"}]},
        {"name":"getsid","action":"SCMP_ACT_LOG"}]}"#;
    let filter = [seccomp::from_json(text, CapSet::DOCKER).unwrap().unwrap()];
    let of =
        |number: &str, argument: &str| under(&filter, &["call", number, argument]).get("call").to_owned();
    assert_eq!(of(&number("getppid"), "0"), "77");
    assert_eq!(of(&number("umask"), "18"), "signal 31");
    assert_eq!(of(&number("getpgid"), "8"), "signal 31");
    assert_eq!(of(&number("getpgid"), "0x100000000"), "signal 31");
    assert_eq!(of(&number("getpgid"), "0"), "0");
    assert_eq!(of(&number("getsid"), "0"), "0");
}

#[test]
fn a_filter_wants_no_new_privileges_or_power_over_the_namespace() {
    let loaded = std::thread::spawn(|| {
        caps::set_process_caps(CapSet::EMPTY, true).unwrap();
        docker().load()
    });
    let error = loaded.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
}
