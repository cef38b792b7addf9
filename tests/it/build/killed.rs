//! Builds that are killed at random moments: later builds are correct, and nothing is left behind.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Cmd, Dhow, each_mode, fixtures};
use rustix::process::Signal;

const DOCKERFILE: &str = r#"FROM busybox AS left
RUN mkdir /left && for n in 1 2 3 4 5 6 7 8; do seq 1 2000 >/left/$n; done
COPY files /left/files
FROM busybox AS right
WORKDIR /right
RUN --mount=type=cache,target=/cache echo kept >/cache/kept && cp -r /bin /right/bin
RUN rm -rf /right/bin/sh && echo right >/right/name
FROM busybox
COPY --from=left /left /left
COPY --from=right /right /right
ADD files.tar /unpacked/
RUN cat /left/1 /right/name >/all && rm -rf /left/files/d1 && chmod 700 /unpacked
LABEL made=whole
"#;

fn prepare(dhow: &Dhow) {
    dhow.with_busybox();
    dhow.make_dir("context");
    dhow.write("context/Dockerfile", DOCKERFILE);
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..200_usize {
        let (name, text) = (format!("files/d{}/f{number}", number % 5), format!("{number}\n").repeat(number));
        let path = dhow.write(&format!("context/{name}"), &text);
        dhow.give(path.parent().unwrap());
        dhow.give(path.parent().unwrap().parent().unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        header.set_mtime(1_600_000_000);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    dhow.write("context/files.tar", archive.into_inner().unwrap());
}

fn build(dhow: &Dhow) -> Cmd {
    // Whatever was killed between, the same comes out to the last byte.
    dhow.cmd("build -q -t built --network none")
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .arg(dhow.dir().join("context"))
        .limit(Duration::from_secs(120))
}

fn forget(dhow: &Dhow) {
    dhow.cmd("rmi -f built").ok();
    dhow.cmd("builder prune -a -f").ok();
}

/// A seeded generator of random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

each_mode! {
    fn what_is_built_after_killed_builds_is_right(dhow) {
        prepare(dhow);
        let begin = Instant::now();
        let right = build(dhow).ok().out();
        let length = u64::try_from(begin.elapsed().as_micros()).unwrap();
        let seed = std::env::var("DHOW_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & 0xffff_ffff).unwrap()
        });
        let mut random = Random(seed);
        for round in 0..12 {
            if round % 3 == 0 {
                forget(dhow);
            }
            // A moment of the build, not a wait for anything.
            let moment = Duration::from_micros(random.below(length));
            let running = build(dhow).start();
            std::thread::sleep(moment);
            running.signal(Signal::KILL);
            running.wait();
            if round % 3 == 2 {
                assert_eq!(build(dhow).ok().out(), right, "DHOW_TEST_SEED={seed}, round {round}, killed after {moment:?}");
                let list = dhow.run("built").sh("cat /all | wc -l; cat /right/name; ls /left/files /unpacked/files | tr '\\n' ' '").ok().out();
                assert!(list.starts_with("2001\nright\n"), "{list}");
            }
        }
        dhow.cmd("build --no-cache -q -t fresh --network none").env("SOURCE_DATE_EPOCH", "1700000000").arg(dhow.dir().join("context")).ok();
        assert_eq!(dhow.cmd("image inspect -f {{.Id}} fresh").ok().out(), right);
        dhow.settle();
    }

    fn two_builds_at_once_make_the_same(dhow) {
        prepare(dhow);
        let running: Vec<_> = (0..3).map(|_| build(dhow).start()).collect();
        let ids: Vec<String> = running.into_iter().map(|one| {
            let output = one.wait();
            assert_eq!(output.code, 0, "{}", output.err());
            output.out()
        }).collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        assert_eq!(build(dhow).ok().out(), ids[0]);
    }

    fn interrupted_a_build_says_so_and_goes(dhow) {
        dhow.with_busybox();
        dhow.make_dir("context");
        dhow.write("context/Dockerfile", "FROM busybox\nRUN echo under way; sleep 1000\n");
        let running = dhow
            .tool("sh -c")
            .arg("exec \"$0\" build --progress plain --network none \"$1\" 2>&1")
            .arg(fixtures::binary())
            .arg(dhow.dir().join("context"))
            .start();
        running.expect("#5 0.");
        running.signal(Signal::INT);
        let output = running.wait();
        assert_eq!(output.code, 130, "{}", output.out());
        assert!(output.out().contains("canceled"), "{}", output.out());
        dhow.settle();
    }
}
