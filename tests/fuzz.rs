//! Parsers of what strangers wrote, fed with damaged input: none may panic, hang or believe nonsense.
//!
//! By default each target gets a fixed number of inputs, the same each time. `DHOW_FUZZ_SECONDS=N` feeds each for so
//! long, from a seed that is printed and can be given again as `DHOW_FUZZ_SEED`. An input that fails is kept in a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "fuzz/build_checks.rs"]
#[allow(unreachable_pub, reason = "shared with the coverage-guided targets")]
mod build_checks;
#[path = "fuzz/checks.rs"]
#[allow(unreachable_pub, reason = "shared with the coverage-guided targets")]
mod checks;
#[path = "support/hostile.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the library's own tests")]
mod hostile;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dhow::error::{FailureKind, kind_of};
use dhow::image::manifest::Manifest;
use dhow::image::pack::pack_layer;
use dhow::image::recipe::{TarSplitReader, TarSplitRecord, TarSplitWriter};
use dhow::image::registry::challenge;
use dhow::image::registry::text::{printable, resolve_location, split_port};
use dhow::image::tar::TarReader;
use dhow::image::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow::model::digest::Digest;
use dhow::model::image::ImageConfig;
use dhow::model::layer::LayerOwnership;
use dhow::model::platform::Platform;
use dhow::model::progress::SilentProgress;
use dhow::model::reference::ImageReference;
use dhow::network::dns::message;
use dhow::network::packet::build::IpFields;
use dhow::network::packet::checksum::InternetChecksum;
use dhow::network::packet::{icmp, protocol, tcp, udp};
use dhow::store::Store;

/// Inputs for each target where no time is given.
const INPUTS: u64 = 20_000;

/// A generator of numbers that are random enough (xorshift64*).
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

/// Bytes that mean something to one of the parsers.
const TELLING: &[u8] = b"\0\n\r\t \"%*+,-./0179:;<=>@AZ[\\]_az{}~\x7f\x80\xc3\xff";

/// Pieces that mean something to one of the parsers.
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

/// Feeds `target` with damaged `seeds`, and with the seeds themselves.
fn feed(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    feed_some(name, INPUTS, seeds, target);
}

/// [`feed`] for slow targets: `inputs` are enough where no time is given.
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
    let config = support::Image::new([support::Layer::new([])])
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
fn what_registries_say() {
    let seeds = seeds(&[
        r#"Bearer realm="https://auth.example/token?a=b",service="fleet",scope="repository:a/b:pull,push""#,
        r#"Negotiate YWJj==, Basic realm="a \"b\", c", charset=UTF-8"#,
        "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
        "https://storage.example:8443/data?signature=%2F#end",
        "//storage.example/x",
        "../x",
        "\u{1b}[2J\u{202e}denied\r\n",
    ]);
    let base: ureq::http::Uri = "https://registry.example:5000/v2/a/tags/list?n=1".parse().unwrap();
    feed("header", &seeds, |input| {
        let text = String::from_utf8_lossy(input);
        for challenge in challenge::parse_challenges(&text) {
            assert!(
                !challenge.scheme.is_empty() && challenge.scheme == challenge.scheme.to_ascii_lowercase()
            );
        }
        if let Some(uri) = resolve_location(&base, &text) {
            assert!(matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        }
        assert!(!printable(&text).contains(char::is_control));
        let (host, _) = split_port(&text);
        assert!(text.contains(host));
    });
}

/// Archives that are as they should be and ones that are not.
fn archives() -> Vec<Vec<u8>> {
    hostile::corpus("/tmp/outside")
        .into_iter()
        .map(|case| case.tar)
        .filter(|tar| tar.len() < 16 << 10)
        .collect()
}

#[test]
fn tar_archives() {
    feed("tar", &archives(), |input| {
        let mut reader = TarReader::new(input);
        let mut members = 0;
        while let Ok(Some(member)) = reader.next_member() {
            members += 1;
            assert!(member.mode <= 0o7777 && member.mtime.nanos < 1_000_000_000);
            let mut content = 0;
            while let Ok(part) = reader.content() {
                let length = part.len();
                content += length as u64;
                if length == 0 {
                    break;
                }
                reader.consume_content(length);
            }
            assert!(content <= member.size);
        }
        assert!(members <= input.len() / 512, "a member has a block at least");
    });
}

#[test]
fn layers() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = Store::open(root.clone()).unwrap();
    let identity = LayerOwnership::Single;
    let limits = UnpackLimits { bytes: 1 << 24, entries: 1 << 10 };
    let options = UnpackOptions { identity, limits, label: String::new(), compressed_size: 0 };
    feed_some("layer", 400, &archives(), |input| {
        let draft = store.begin_layer_without_digest().unwrap();
        match unpack_layer(input, &draft, &options, &SilentProgress) {
            Err(_) => drop(draft),
            Ok(record) => {
                let lease = draft.commit(record).unwrap();
                let mut again = Vec::new();
                match pack_layer(&store, &lease.diff_id, &mut again) {
                    Ok(()) => assert_eq!(Digest::of(&again), lease.diff_id),
                    // Outside a user namespace modes may keep us from reading.
                    Err(error) => assert_eq!(kind_of(&error), FailureKind::Denied, "{error:#}"),
                }
            }
        }
        store.prune_layers().unwrap();
        let around: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(around.len(), 1, "nothing beside the store");
        for left in ["tmp", "layers", "trash"] {
            let found = std::fs::read_dir(root.join(left)).map_or(0, |entries| entries.count());
            assert_eq!(found, 0, "{left}");
        }
    });
}

#[test]
fn recipes() {
    let mut writer = TarSplitWriter::new(Vec::new()).unwrap();
    writer.raw(&[0; 512]).unwrap();
    writer.file(b"usr/bin/x", 300).unwrap();
    writer.raw(b"rest").unwrap();
    // Damage goes below the compression, which would notice most of it.
    let plain = zstd::decode_all(&writer.finish().unwrap()[..]).unwrap();
    feed("recipe", &[plain], |input| {
        let Ok(mut reader) = TarSplitReader::new(std::io::Cursor::new(zstd::encode_all(input, 1).unwrap()))
        else {
            return;
        };
        while let Ok(Some(record)) = reader.next_record() {
            let TarSplitRecord::Raw(length) = record else { continue };
            let mut buffer = vec![0; length.min(1 << 16) as usize];
            if reader.read(&mut buffer).is_err() {
                return;
            }
        }
    });
}

/// Bytes with their length before them.
fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat()).collect()
}

/// A SYN, a datagram, a ping and a packet in fragments, of one family.
fn packets(source: &str, target: &str) -> Vec<Vec<u8>> {
    let (source, target) = (source.parse().unwrap(), target.parse().unwrap());
    let ip = |protocol| IpFields::reply(source, target, protocol);
    let mut syn = ip(protocol::TCP).header(24).unwrap().to_vec();
    let start = syn.len();
    syn.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 6 << 4, tcp::SYN, 0xff, 0xff, 0, 0, 0, 0]);
    syn.extend([2, 4, 5, 0xb4]);
    let sum = InternetChecksum::pseudo(source, target, protocol::TCP, 24).with(&syn[start..]).finish();
    syn[start + 16..start + 18].copy_from_slice(&sum);
    let mut datagram = udp::build_headers(&ip(protocol::UDP), (4000, 53), 5).unwrap().to_vec();
    datagram.extend(b"hello");
    let v4 = source.is_ipv4();
    let echo = if v4 { protocol::ICMP } else { protocol::ICMPV6 };
    let ping = icmp::build_echo(&ip(echo), icmp::EchoKind::Request, 7, 1, b"ping").unwrap();
    let mut all = vec![framed(&[syn]), framed(&[datagram]), framed(&[ping])];
    let payload = [7; 3000];
    if v4 {
        let parts = [(0_u16, 1480), (1480, 2960), (2960, 3000)].map(|(from, to)| {
            let part = &payload[usize::from(from)..to];
            let mut packet =
                IpFields { id: Some(9), ..ip(protocol::UDP) }.header(part.len()).unwrap().to_vec();
            packet.extend(part);
            let more = if to < 3000 { 0x2000 } else { 0 };
            packet[6..8].copy_from_slice(&((from / 8) | more).to_be_bytes());
            packet
        });
        all.push(framed(&parts));
    } else {
        let ip = ip(protocol::UDP);
        let parts = ip.fragments_v6(&payload, 1500, 9);
        all.push(framed(&parts.map(|(header, part)| [&header[..], part].concat()).collect::<Vec<_>>()));
    }
    all
}

#[test]
fn packets_of_containers() {
    let mut seeds = packets("192.0.2.2", "198.51.100.1");
    seeds.extend(packets("2001:db8::2", "2001:db8:1::1"));
    let whole = std::cell::Cell::new(0);
    feed("packet", &seeds, |input| whole.set(whole.get() + checks::packets(input)));
    assert!(whole.get() > 2, "the seeds are put together, and damaged ones at times");
}

/// Questions of several kinds, and a reply.
fn messages() -> Vec<Vec<u8>> {
    use hickory_proto::op::{Edns, Message, Query};
    use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
    let ask = |name: &str, kind| {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    };
    let mut extended = ask("web.example.org.", RecordType::AAAA);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    extended.set_edns(edns);
    let mut reply = ask("www.example.org.", RecordType::A).into_response();
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let target = RData::CNAME(rdata::CNAME(name("real.example.net.")));
    reply.add_answer(Record::from_rdata(name("www.example.org."), 60, target));
    let address = RData::A(rdata::A::new(192, 0, 2, 1));
    reply.add_answer(Record::from_rdata(name("real.example.net."), 60, address));
    let pointer = ask("1.2.0.192.in-addr.arpa.", RecordType::PTR);
    let all = [ask("web.", RecordType::A), extended, pointer, ask(".", RecordType::ANY), reply];
    all.iter().map(|message| message.to_vec().unwrap()).collect()
}

#[test]
fn questions_and_replies_of_dns() {
    let seeds = messages();
    let asked = message::parse_query(&{
        let mut query = seeds[4].clone();
        query[2] &= 0x7f;
        query
    })
    .unwrap();
    feed("dns", &seeds, |input| {
        // As what a server replied.
        let _ = message::reply_code(input, message::id(input), &seeds[4], &asked);
        assert!(message::answer_addresses(input, asked.end).len() <= 256);
        checks::question(input);
    });
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
