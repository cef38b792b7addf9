//! Tests of the test support: a check that never fails proves nothing.

use crate::support::{Compression, Entry, Image, Layer, Registry, each_mode, fixtures};

each_mode! {
    fn commands_run_as_the_account_in_a_clean_environment(dhow) {
        let output = dhow.tool("id -u").ok();
        assert_eq!(output.out(), dhow.account.uid.to_string());
        let groups = dhow.tool("id -G").ok();
        assert_eq!(groups.out(), dhow.account.gid.to_string());
        let environment = dhow.tool("env").env_remove("TERM").ok().lines();
        assert!(environment.contains(&format!("HOME={}", dhow.home().display())), "{environment:?}");
        assert!(!environment.iter().any(|line| line.starts_with("CARGO") || line.starts_with("TERM=")), "{environment:?}");
        let descriptors = dhow.tool("ls /proc/self/fd").ok().out();
        assert_eq!(descriptors, "0\n1\n2\n3", "only the standard ones and that of the directory");
    }

    fn a_command_that_hangs_or_warns_or_fails_is_noticed(dhow) {
        let brief = std::time::Duration::from_millis(50);
        let failed = |run: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
        assert!(failed(&|| drop(dhow.tool("sleep 1000").limit(brief).output())));
        assert!(failed(&|| drop(dhow.tool("sh -c").arg("echo careful >&2").ok())));
        assert!(failed(&|| drop(dhow.tool("false").ok())));
    }

    fn what_outlives_a_command_is_found(dhow) {
        let script = "setsid sleep 1000 >/dev/null 2>&1 & echo started";
        dhow.tool("sh -c").arg(script).ok();
        let found = dhow.processes();
        assert!(found.iter().any(|process| process.command.contains("sleep 1000")), "{found:?}");
        crate::support::leaks::kill(&dhow.account, dhow.dir());
    }

    fn terminals_talk_both_ways(dhow) {
        let mut terminal = dhow.tool("sh -c").arg("stty size; tty; read line; echo \"got $line\"; stty size; exit 7").pty(91, 17);
        terminal.expect("17 91");
        terminal.expect("/dev/pts/");
        terminal.resize(100, 30);
        terminal.send("hello\n");
        terminal.expect("got hello");
        terminal.expect("30 100");
        assert_eq!(terminal.wait().0, 7);
    }
}

#[test]
fn registries_serve_what_was_pushed() {
    for (tls, password) in [(false, false), (true, true)] {
        let Some(registry) = Registry::with(crate::support::registry::Options { tls, password }) else {
            return;
        };
        let image = Image::new([Layer::new([Entry::file("hello", "hello\n")])]).compressed(Compression::Zstd);
        registry.push(&image, "some/image:1");
        let layout = fixtures::oci_layout(&image);
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        let manifest = index["manifests"][0]["digest"].as_str().unwrap();
        assert!(registry.blob(manifest).exists(), "{}", registry.log());
    }
}
