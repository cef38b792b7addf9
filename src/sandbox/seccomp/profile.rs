//! Docker's default profile, as rules for a set of capabilities.
//!
//! Taken from `seccomp/default.json` in moby/profiles as published with Docker Engine 29 in 2026, the revision that
//! lists the address families for socket(2) (earlier ones only denied AF_VSOCK). Every call that is not allowed here
//! fails with `EPERM`. Omitted: architectures that dhow does not run on, and the condition on kernels before 4.8,
//! which cannot run dhow. `seccomp-default.json` of the crate `dhow-testing` is the same profile in docker's notation; the tests
//! keep the two in step.

use super::rule::{ArgCondition, CompareOp, ENOSYS, EPERM, FilterAction, SyscallFilter, SyscallRule};
use super::syscalls::{Arch, Syscall};

/// Docker's default capabilities, for which the profile is compiled at build time.
pub(super) const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// The profile for a container of architecture `native` whose bounding set is `capabilities` (bit *n* is
/// number *n*).
pub(super) fn default_profile(native: Arch, capabilities: u64) -> SyscallFilter {
    let mut rules = Vec::with_capacity(480);
    for group in GROUPS.iter().filter(|group| group.when.met(native, capabilities)) {
        for call in group.names.split_ascii_whitespace().filter_map(Syscall::find) {
            rules.push(SyscallRule { call, action: group.action, tests: group.tests.to_vec() });
        }
    }
    for (name, values) in [("socket", ADDRESS_FAMILIES), ("personality", PERSONALITIES)] {
        let Some(call) = Syscall::find(name) else { continue };
        for value in values {
            let test = ArgCondition { argument: 0, compare: CompareOp::Eq, value: *value };
            rules.push(SyscallRule { call, action: FilterAction::ALLOW, tests: vec![test] });
        }
    }
    SyscallFilter { default: EPERM, arches: native.family().to_vec(), rules }
}

/// Calls with the same condition and action.
struct CallGroup {
    when: GroupCondition,
    action: FilterAction,
    tests: &'static [ArgCondition],
    /// Separated by white space; names that an architecture lacks are skipped there.
    names: &'static str,
}

/// When a group applies to a container.
enum GroupCondition {
    Always,
    /// On one of these machines, whatever the sub-architecture of the process.
    On(&'static [Arch]),
    /// With the capability of this number.
    With(u8),
    /// Without the capability of this number.
    Without(u8),
}

impl GroupCondition {
    fn met(&self, native: Arch, capabilities: u64) -> bool {
        let has = |number: u8| capabilities & (1 << number) != 0;
        match self {
            Self::Always => true,
            Self::On(arches) => arches.contains(&native),
            Self::With(number) => has(*number),
            Self::Without(number) => !has(*number),
        }
    }
}

const fn allow(when: GroupCondition, names: &'static str) -> CallGroup {
    CallGroup { when, action: FilterAction::ALLOW, tests: &[], names }
}

const DAC_READ_SEARCH: u8 = 2;
const SYS_MODULE: u8 = 16;
const SYS_RAWIO: u8 = 17;
const SYS_CHROOT: u8 = 18;
const SYS_PTRACE: u8 = 19;
const SYS_PACCT: u8 = 20;
const SYS_ADMIN: u8 = 21;
const SYS_BOOT: u8 = 22;
const SYS_NICE: u8 = 23;
const SYS_TIME: u8 = 25;
const SYS_TTY_CONFIG: u8 = 26;
const SYSLOG: u8 = 34;
const PERFMON: u8 = 38;
const BPF: u8 = 39;

/// Every `CLONE_NEW*` flag of clone(2) (CLONE_NEWTIME exists for clone3(2) only).
const CLONE_NEW: u64 = 0x7e02_0000;
const NO_NAMESPACES: &[ArgCondition] =
    &[ArgCondition { argument: 0, compare: CompareOp::Masked(CLONE_NEW), value: 0 }];

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the value that queries the current one.
const PERSONALITIES: &[u64] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// All `AF_*` except those removed from the kernel, AF_ALG (38, attack surface) and AF_VSOCK (40, reaches the
/// host). AF_UNSPEC (0) cannot make a socket; it passes so that the kernel reports its own error.
const ADDRESS_FAMILIES: &[u64] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33,
    35, 36, 39, 41, 42, 43, 44, 45,
];

const GROUPS: &[CallGroup] = &[
    allow(GroupCondition::Always, ALWAYS),
    // docker allows these from Linux 4.8 on, where ptrace(2) no longer evades a filter.
    allow(GroupCondition::Always, "process_vm_readv process_vm_writev ptrace"),
    allow(
        GroupCondition::On(&[Arch::Arm, Arch::Aarch64]),
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    allow(GroupCondition::On(&[Arch::X86_64, Arch::X32]), "arch_prctl"),
    allow(GroupCondition::On(&[Arch::X86_64, Arch::X32, Arch::X86]), "modify_ldt"),
    allow(GroupCondition::With(DAC_READ_SEARCH), "open_by_handle_at"),
    allow(
        GroupCondition::With(SYS_ADMIN),
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    CallGroup {
        when: GroupCondition::Without(SYS_ADMIN),
        action: FilterAction::ALLOW,
        tests: NO_NAMESPACES,
        names: "clone",
    },
    // Its flags are behind a pointer, which a filter cannot read. On ENOSYS, C libraries fall back to clone.
    CallGroup { when: GroupCondition::Without(SYS_ADMIN), action: ENOSYS, tests: &[], names: "clone3" },
    allow(GroupCondition::With(SYS_BOOT), "reboot"),
    allow(GroupCondition::With(SYS_CHROOT), "chroot"),
    allow(GroupCondition::With(SYS_MODULE), "delete_module init_module finit_module"),
    allow(GroupCondition::With(SYS_PACCT), "acct"),
    allow(
        GroupCondition::With(SYS_PTRACE),
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    allow(GroupCondition::With(SYS_RAWIO), "iopl ioperm"),
    allow(GroupCondition::With(SYS_TIME), "settimeofday stime clock_settime clock_settime64"),
    allow(GroupCondition::With(SYS_TTY_CONFIG), "vhangup"),
    allow(GroupCondition::With(SYS_NICE), "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    allow(GroupCondition::With(SYSLOG), "syslog"),
    allow(GroupCondition::With(BPF), "bpf"),
    allow(GroupCondition::With(PERFMON), "perf_event_open"),
];

/// Allowed unconditionally.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
    ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
    getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
    getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt
    get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount
    listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
    mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
    munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64
    preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
    sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
    setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32
    setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
    sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat
    sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask
    uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid
    waitpid write writev
";
