//! The binary: static, self-contained, and usable without any other file.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Entry, Image, Layer, each_mode, fixtures};

/// The types of an ELF file's program headers (64 bits, little endian; see elf(5)).
fn segments(file: &[u8]) -> Vec<u32> {
    let number = |at: usize, length: usize| {
        file[at..at + length].iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte))
    };
    let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).map(|n| u32::try_from(number(offset + n * size, 4)).unwrap()).collect()
}

#[test]
fn the_binary_needs_no_loader_and_no_library() {
    let file = fs::read(fixtures::binary()).unwrap();
    assert_eq!(&file[..5], b"\x7fELF\x02");
    let interpreter = 3;
    assert!(!segments(&file).contains(&interpreter), "a dynamic loader is asked for");
    // ET_EXEC: nothing is relocated at the start (see .cargo/config.toml).
    let fixed_address = 2;
    assert_eq!(file[16], fixed_address, "the executable is relocated at every start");
}

each_mode! {
    fn the_built_in_image_shows_the_isolation(dhow) {
        let shown = dhow.cmd("run --rm --network none dhow.local/demo").ok().out();
        for part in ["start", "ms", "uid 0", "namespaces", "overlay", "capabilities", "seccomp", "interfaces: lo"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let plain = dhow.cmd("run --rm dhow.local/demo").ok();
        assert!(plain.out().contains("uid 0"));
    }

    fn it_runs_where_there_is_nothing_else(dhow) {
        let program = fs::read(fixtures::binary()).unwrap();
        let alone = Image::new([Layer::new([Entry::file("dhow", program).mode(0o755)])]);
        dhow.load(&alone, "alone:1");
        let version = dhow.run("alone:1 /dhow --version").ok().out();
        assert_eq!(version, dhow.cmd("--version").ok().out());
    }

    fn called_docker_it_answers_as_docker(dhow) {
        dhow.make_dir("bin");
        let link = dhow.dir().join("bin/docker");
        symlink(fixtures::binary(), &link).unwrap();
        let docker = |line: &str| dhow.tool(&format!("{} {line}", link.display()));
        assert!(docker("--version").ok().out().starts_with("Docker version "));
        docker("inspect absent").fails(1, &["absent"]);
        docker("run --pull never absent").fails(125, &["docker: "]);
    }

    fn what_is_unknown_is_refused(dhow) {
        dhow.cmd("imges").fails(1, &["imges", "images"]);
        dhow.cmd("images --no-such-flag").fails(125, &["--no-such-flag"]);
        let bare = dhow.cmd("").output();
        assert!(bare.out().contains("Usage") || bare.err().contains("Usage"), "{} {}", bare.out(), bare.err());
    }

    fn nothing_is_accepted_and_ignored_without_a_word(dhow) {
        dhow.with_busybox();
        let refused = ["--restart always", "--gpus all", "--mac-address x", "--runtime kata", "--storage-opt x=y",
            "--uts x"];
        for flag in refused {
            let name = flag.split(' ').next().unwrap().trim_start_matches('-');
            dhow.cmd(&format!("run --rm {flag} busybox true")).fails(125, &[name]);
        }
        for flag in ["-m 10m", "--cpus 1", "--pids-limit 5", "--blkio-weight 50"] {
            dhow.run(flag).args(["busybox", "true"]).warns("discarded").ok();
        }
    }
}
