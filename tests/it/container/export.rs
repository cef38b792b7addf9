//! `export`: the whole file system of a container as an archive.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::support::containers::running;
use crate::support::{each_mode, fixtures};

/// Kind, mode, owner, link target and content of each member of an archive.
pub(super) fn members(archive: &[u8]) -> BTreeMap<String, String> {
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let (uid, gid, mode) = (header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap());
        let kind = char::from(header.entry_type().as_byte());
        let link = entry
            .link_name_bytes()
            .map(|link| String::from_utf8(link.into_owned()).unwrap())
            .unwrap_or_default();
        let xattrs = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .flatten()
            .filter(|record| record.key_bytes().starts_with(b"SCHILY.xattr."))
            .map(|record| String::from_utf8_lossy(&record.key_bytes()[13..]).into_owned())
            .collect::<Vec<_>>()
            .join(",");
        let mut content = Vec::new();
        if entry.size() < 4096 {
            entry.read_to_end(&mut content).unwrap();
        }
        let text =
            format!("{kind} {mode:o} {uid}:{gid} {link}{} {xattrs}", String::from_utf8_lossy(&content));
        let known = members.insert(name.trim_end_matches('/').to_owned(), text.trim_end().to_owned());
        assert!(known.is_none(), "{name} is there twice");
    }
    members
}

each_mode! {
    fn export_has_every_file_as_the_image_has_it(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        let script = "chmod 640 /data/high; echo mine >/home/new; ln /home/new /home/new-too; rm /data/setuid; mkdir /data/empty; \
            dd if=/dev/zero of=/data/sparse bs=1 count=1 seek=500000000 2>/dev/null; echo in >/vol/inside; echo tmp >/scratch/x";
        let check = |archive: &[u8]| {
            assert!(archive.len() < 20 << 20, "holes take no room: {}", archive.len());
            let found = members(archive);
            let expect = |name: &str, text: &str| assert_eq!(found.get(name).map(String::as_str), Some(text), "{name}");
            expect("data", "5 2775 0:50");
            expect("data/root", "0 644 0:0 root's, changed\n".trim_end());
            expect("data/high", "0 640 65534:65534 high");
            expect("data/worker", "0 600 1000:1000 worker's");
            assert!(found["data/worker-again"].starts_with("1 600 1000:1000 data/worker"), "{}", found["data/worker-again"]);
            expect("data/closed", "0 0 1000:1000 nobody reads");
            expect("data/private", "5 700 1000:1000");
            expect("data/private/file", "0 644 1000:1000 private");
            expect("data/xattr", "0 644 0:0 x\n user.colour");
            expect("data/capable", "0 755 0:0 c\n security.capability");
            assert!(found["data/null"].starts_with("3 666 0:0"));
            assert!(found["data/pipe"].starts_with("6 644"));
            assert!(found["data/link"].starts_with("2 777") && found["data/link"].ends_with("root"));
            expect("home/new", "0 644 0:0 mine");
            assert_eq!(found["home/new-too"], "1 644 0:0 home/new");
            expect("hidden/after", "0 644 0:0 after");
            expect("replaced/inside", "0 644 0:0 inside");
            for gone in ["data/setuid", "gone", "hidden/before", "vol/inside", "scratch/x", "proc/1", "dev/null"] {
                assert!(!found.contains_key(gone), "{gone}");
            }
            expect("vol", "5 755 0:0");
            assert!(found.contains_key("data/empty") && found.contains_key("bin/busybox"));
            assert!(found.keys().all(|name| !name.starts_with('/') && !name.starts_with("./")));
        };
        let run = running(dhow, "--name it -v /vol --tmpfs /scratch", "multi", script);
        check(&dhow.cmd("export it").ok().stdout);
        let file = dhow.home().join("it.tar");
        dhow.cmd("export it -o").arg(&file).ok();
        check(&std::fs::read(&file).unwrap());
        dhow.cmd("rm -fv it").ok();
        run.wait();
        dhow.cmd("run --network none --name dead -v /vol --tmpfs /scratch multi").sh(script).ok();
        check(&dhow.cmd("container export dead").ok().stdout);
        let changed = dhow.cmd("diff dead").ok().out();
        dhow.cmd("export -o").arg(&file).arg("dead").ok();
        assert_eq!(dhow.cmd("diff dead").ok().out(), changed, "a look changes nothing");
        dhow.cmd("import").arg(&file).arg("again").ok();
        assert_eq!(dhow.run("again cat /home/new").ok().out(), "mine");
        dhow.cmd("rm -v dead").ok();
    }

    fn what_cannot_be_exported_leaves_nothing(dhow) {
        let file = dhow.home().join("x.tar");
        dhow.cmd("export -o").arg(&file).arg("absent").fails(1, &["No such container: absent"]);
        assert!(!file.exists());
        dhow.with_busybox();
        dhow.cmd("run --network none --name box busybox true").ok();
        dhow.cmd("export -o /no/such/dir/x.tar box").fails(1, &["/no/such/dir/x.tar"]);
        let mut terminal = dhow.cmd("export box").pty(80, 24);
        terminal.expect("refusing");
        assert_ne!(terminal.wait().0, 0);
        dhow.cmd("rm box").ok();
    }
}
