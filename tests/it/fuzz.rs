//! Parsers of untrusted input, fed with damaged input: none may panic, hang or accept nonsense.
//!
//! By default each target gets a fixed number of inputs from a fixed seed. `DHOW_FUZZ_SECONDS=N` feeds each target for N
//! seconds from a random seed, which is printed and can be repeated with `DHOW_FUZZ_SEED`. A failing input is written to
//! a file. `tests/fuzz` has the same targets for cargo-fuzz.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dhow_testing::hostile_layers;

use crate::library::build::fuzz_checks as build_checks;
use crate::library::image::fuzz_checks as image_checks;
use crate::library::image::manifest::Manifest;
use crate::library::model::digest::Digest;
use crate::library::model::image::ImageConfig;
use crate::library::model::platform::Platform;
use crate::library::model::reference::ImageReference;
use crate::library::network::fuzz_checks as network_checks;

/// Inputs for each target without `DHOW_FUZZ_SECONDS`.
const INPUTS: u64 = 20_000;

/// A xorshift64* generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Bytes with a meaning to one of the parsers.
const TELLING: &[u8] = b"\0\n\r\t \"%*+,-./0179:;<=>@AZ[\\]_az{}~\x7f\x80\xc3\xff";

/// Strings with a meaning to one of the parsers.
const PIECES: &[&str] = &[
    "sha256:",
    "..",
    "//",
    "null",
    "{}",
    "[]",
    "-1",
    "18446744073709551616",
    "1e999",
    "\\u0000",
    "\\ud800",
    "@",
    "::",
    "localhost:",
];

/// One of `seeds`, damaged in one to eight places.
fn damaged(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(16)).min(input.len());
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => drop(input.splice(at..end, PIECES[random.below(PIECES.len())].bytes())),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                input.splice(at.., other[from..].iter().copied());
            }
        }
    }
    input
}

/// Feeds `seeds` to `target`, intact and damaged.
fn feed(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    feed_some(name, INPUTS, seeds, target);
}

/// [`feed`] for slow targets: `inputs` damaged inputs without `DHOW_FUZZ_SECONDS`.
fn feed_some(name: &str, inputs: u64, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let enough = inputs;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("DHOW_FUZZ_SECONDS");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("DHOW_FUZZ_SEED").unwrap_or(if seconds.is_some() { now } else { 1 });
    let mut random = Random(seed | 1);
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let more = |count: u64| if seconds.is_some() { Instant::now() < until } else { count < enough };
    let mut inputs: Vec<Vec<u8>> = seeds.to_vec();
    let mut count = 0;
    while more(count) {
        let input = inputs.pop().unwrap_or_else(|| damaged(&mut random, seeds));
        let begin = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        if outcome.is_err() || begin.elapsed() > Duration::from_secs(5) {
            let file = std::env::temp_dir().join(format!("dhow-fuzz-{name}-{seed}-{count}"));
            std::fs::write(&file, &input).unwrap();
            panic!("{name} fails or hangs, seed {seed}: the input is in {}", file.display());
        }
        count += 1;
    }
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn references() {
    let pinned = format!("registry.example.org:5000/team/app:v1.2@sha256:{HEX}");
    let seeds = seeds(&[
        "busybox",
        "library/busybox:latest",
        "localhost:5000/a/b_c__d-e.f:T-1.0",
        "[::1]:5000/x",
        &pinned,
    ]);
    feed("reference", &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(reference) = text.parse::<ImageReference>() else { return };
        // What was accepted means the same when it is read again, in both of its forms.
        assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
        assert_eq!(reference.familiar().parse::<ImageReference>().unwrap(), reference);
        let path = reference.repository();
        assert!(!path.split('/').any(|part| part.is_empty() || part == "." || part == ".."), "{path:?}");
    });
}

#[test]
fn digests_and_platforms() {
    let digest = format!("sha256:{HEX}");
    feed(
        "digest",
        &seeds(&[&digest, "sha512:00", "linux/arm64/v8", "linux/amd64", "arm", "windows(10.0)/amd64"]),
        |input| {
            let Ok(text) = std::str::from_utf8(input) else { return };
            if let Ok(digest) = text.parse::<Digest>() {
                assert!(
                    digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()) && digest.hex().len() >= 64
                );
            }
            if let Ok(platform) = text.parse::<Platform>() {
                assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
            }
        },
    );
}

#[test]
fn manifests() {
    let descriptor = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:{HEX}","size":32}}"#
    );
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{descriptor},"layers":[{descriptor},{descriptor}]}}"#
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"digest":"sha256:{HEX}","size":7,"platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}]}}"#
    );
    let old = r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"x"}]}"#;
    feed("manifest", &seeds(&[&image, &index, old]), |input| {
        for declared in ["", "application/vnd.oci.image.index.v1+json", "text/html"] {
            let _ = Manifest::parse(input, declared).map_err(|error| error.to_string());
        }
    });
}

#[test]
fn configurations() {
    let config = crate::support::Image::new([crate::support::Layer::new([])])
        .set("Env", vec!["A=b"])
        .set("Volumes", serde_json::json!({"/v": {}}))
        .set("Labels", serde_json::json!({"a": "b"}))
        .set("Healthcheck", serde_json::json!({"Test": ["CMD", "true"], "Interval": 5}));
    feed("configuration", &[config.config_bytes()], |input| {
        if let Ok(config) = serde_json::from_slice::<ImageConfig>(input) {
            assert!(
                config
                    .rootfs
                    .diff_ids
                    .iter()
                    .all(|digest| digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()))
            );
        }
    });
}

#[test]
fn registry_headers() {
    let seeds = seeds(&[
        r#"Bearer realm="https://auth.example/token?a=b",service="fleet",scope="repository:a/b:pull,push""#,
        r#"Negotiate YWJj==, Basic realm="a \"b\", c", charset=UTF-8"#,
        "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
        "https://storage.example:8443/data?signature=%2F#end",
        "//storage.example/x",
        "../x",
        "\u{1b}[2J\u{202e}denied\r\n",
    ]);
    feed("header", &seeds, image_checks::registry_header);
}

#[test]
fn tar_archives() {
    feed("tar", &archives(), image_checks::tar_archive);
}

#[test]
fn layers() {
    let check = image_checks::LayerCheck::default();
    feed_some("layer", 400, &archives(), |input| check.layer(input));
}

#[test]
fn tar_splits() {
    feed("tar-split", &[image_checks::tar_split_seed()], image_checks::tar_split);
}

/// Valid and invalid archives.
fn archives() -> Vec<Vec<u8>> {
    hostile_layers::corpus("/tmp/outside")
        .into_iter()
        .map(|case| case.tar)
        .filter(|tar| tar.len() < 16 << 10)
        .collect()
}

#[test]
fn packets_of_containers() {
    let mut seeds = network_checks::packet_seeds("192.0.2.2", "198.51.100.1");
    seeds.extend(network_checks::packet_seeds("2001:db8::2", "2001:db8:1::1"));
    let whole = std::cell::Cell::new(0);
    feed("packet", &seeds, |input| whole.set(whole.get() + network_checks::packets(input)));
    assert!(whole.get() > 2, "the seeds are put together, and damaged ones at times");
}

#[test]
fn questions_and_replies_of_dns() {
    let seeds = network_checks::message_seeds();
    feed("dns", &seeds, |input| network_checks::reply_and_question(input, &seeds[4]));
}

#[test]
fn dockerfiles() {
    let seeds = seeds(&[
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM a AS b\nRUN c `\n  d\n",
        "# check=skip=all;error=true\nARG A=1\nFROM --platform=$BUILDPLATFORM a:$A AS b\nARG A\nENV C=$A D=\"${C:-x}\"\n",
        "FROM a\nRUN --mount=type=cache,target=/c,sharing=locked --network=none <<EOF\n\tx\nEOF\nUSER b\n",
        "FROM a\nCOPY --from=0 --chmod=u+x --exclude=*.o <<-'A' <<B c /d/\n\t1\n\tA\n2\nB\n",
        "FROM a\nADD --checksum=sha256:1 [\"b c\", \"d\"]\nVOLUME [\"/v\"]\nEXPOSE 80-81/udp $P\n",
        "from a as b\ncmd [\"x\", \"y\"]\nentrypoint z\nshell [\"/bin/sh\", \"-c\"]\nlabel a b\nmaintainer c\n",
        "FROM a\nHEALTHCHECK --interval=1m --retries=3 CMD x\nSTOPSIGNAL 9\nONBUILD RUN <<E\ny\nE\nWORKDIR z\n",
        "FROM a\nRUN x \\\n# why\n\n  y\nFROM b\nCOPY --from=c d e\n# f g\nFROM scratch AS f\n",
    ]);
    let read = std::cell::Cell::new(0);
    feed_some("dockerfile", 5_000, &seeds, |input| {
        read.set(read.get() + u32::from(build_checks::dockerfile(input)))
    });
    assert!(read.get() > 8, "the seeds are read, and damaged ones at times");
}

#[test]
fn expansions() {
    let seeds = seeds(&[
        "a $A ${A} \"$A\" '$A' \\$A",
        "${A:-b} ${EMPTY:+c} ${X:?d} ${X-e} ${A+f} ${EMPTY?g}",
        "${PATH#*/} ${PATH##*/} ${PATH%:*} ${PATH%%:*} ${PATH/bin/sbin} ${PATH//\\//-}",
        "${X:-${A:-${EMPTY:-\"${PATH##*[}\"}}}",
        "${A:-'}'}`$A``\"`\"\"",
        "$É ${É} $1 $@ $$ ${?}",
    ]);
    feed("expansion", &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        build_checks::expansion(text);
    });
}

#[test]
fn ignore_files() {
    let seeds = seeds(&[
        "# all\n*\n!src\nsrc/**/*.o\n\0src/a/b.o",
        "**/node_modules\n!keep/node_modules\n\0keep/node_modules/x",
        "a/b\n!a/b/c\na/b/c/d\n\0a/b/c/d/e",
        "/x/../y\n./z/\n[a-c]?\n\\*\n\0bz/y",
        "**\n!**/*.md\nREADME*.md\n!README-secret.md\n\0a/README-x.md",
        "!a\na\n!a/b*\n\0a/bc/d",
    ]);
    feed("ignore", &seeds, build_checks::ignore);
}
