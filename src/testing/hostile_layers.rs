//! Malicious layers with the expected outcome of each, and functions that build more of them byte by byte.

/// What must happen when the layer is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is refused with a message that contains this.
    Refused(&'static str),
    /// It unpacks to something that stays inside, and packs to the same bytes again.
    Harmless,
}

/// One layer.
pub struct Case {
    /// What it tries.
    pub name: &'static str,
    /// The uncompressed archive.
    pub tar: Vec<u8>,
    /// The expected outcome.
    pub verdict: Verdict,
}

/// Type bytes of members.
pub mod kind {
    #![allow(missing_docs, reason = "the names say it")]

    pub const FILE: u8 = b'0';
    pub const HARD_LINK: u8 = b'1';
    pub const SYMLINK: u8 = b'2';
    pub const CHAR: u8 = b'3';
    pub const BLOCK: u8 = b'4';
    pub const DIR: u8 = b'5';
    pub const FIFO: u8 = b'6';
    pub const PAX: u8 = b'x';
    pub(crate) const PAX_GLOBAL: u8 = b'g';
    pub(crate) const LONG_NAME: u8 = b'L';
    pub(crate) const LONG_LINK: u8 = b'K';
}

/// A header block with a correct checksum. Names are cut at 100 bytes; `size` is what the header says.
pub fn header(kind: u8, name: &[u8], link: &[u8], size: u64) -> [u8; 512] {
    let mut block = [0u8; 512];
    let copy = |block: &mut [u8], text: &[u8]| {
        let length = text.len().min(block.len());
        block[..length].copy_from_slice(&text[..length]);
    };
    copy(&mut block[..100], name);
    copy(&mut block[100..108], b"0000755\0");
    copy(&mut block[108..116], b"0000000\0");
    copy(&mut block[116..124], b"0000000\0");
    // A constant time, so that the archives are the same in every run.
    copy(&mut block[136..148], b"14770463000\0");
    // Eleven octal digits hold 33 bits. GNU tar writes larger sizes in base 256, marked by the highest bit.
    if size < 1 << 33 {
        copy(&mut block[124..136], format!("{size:011o}\0").as_bytes());
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    block[156] = kind;
    copy(&mut block[157..257], link);
    copy(&mut block[257..265], b"ustar\x0000");
    with_checksum(block)
}

/// Recomputes the checksum of a changed header.
pub fn with_checksum(mut block: [u8; 512]) -> [u8; 512] {
    // By definition, the field itself counts as spaces.
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A member with its content and padding.
pub fn member(kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // GNU's form: the long name is the content of a member of its own, in front of the one that it names.
    if name.len() > 100 {
        bytes.extend(member(kind::LONG_NAME, b"././@LongLink", b"", &[name, b"\0"].concat()));
    }
    if link.len() > 100 {
        bytes.extend(member(kind::LONG_LINK, b"././@LongLink", b"", &[link, b"\0"].concat()));
    }
    bytes.extend(header(kind, name, link, content.len() as u64));
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A PAX header with these records.
pub fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits, and a further digit makes the record longer again.
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        content.extend(format!("{length} {key}=").bytes());
        content.extend(*value);
        content.push(b'\n');
    }
    member(kind::PAX, b"PaxHeaders/x", b"", &content)
}

/// Members and the end of the archive.
pub fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    // Two blocks of zeros end an archive.
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn file(name: &str, content: &str) -> Vec<u8> {
    member(kind::FILE, name.as_bytes(), b"", content.as_bytes())
}

fn dir(name: &str) -> Vec<u8> {
    member(kind::DIR, name.as_bytes(), b"", b"")
}

fn symlink(name: &str, target: &str) -> Vec<u8> {
    member(kind::SYMLINK, name.as_bytes(), target.as_bytes(), b"")
}

fn hard_link(name: &str, target: &str) -> Vec<u8> {
    member(kind::HARD_LINK, name.as_bytes(), target.as_bytes(), b"")
}

fn case(name: &'static str, verdict: Verdict, members: &[Vec<u8>]) -> Case {
    Case { name, tar: archive(members), verdict }
}

/// All cases. `outside` is the absolute path of a file that no case may touch.
pub fn corpus(outside: &str) -> Vec<Case> {
    let mut cases = escapes(outside);
    cases.extend(whiteouts());
    cases.extend(replacements());
    cases.extend(headers());
    cases.extend(broken());
    cases
}

fn escapes(outside: &str) -> Vec<Case> {
    use Verdict::{Harmless, Refused};
    let parent = outside.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let name = outside.rsplit_once('/').map_or(outside, |(_, name)| name);
    // More levels than any directory of a test is deep, so that an unchecked name would get to the root.
    let up = "../".repeat(30) + outside.trim_start_matches('/');
    vec![
        case("dot-dot name", Refused("leads out"), &[file(&up, "x")]),
        case("dot-dot in the middle", Refused("leads out"), &[file("a/../../x", "x")]),
        case("dot-dot that stays inside", Harmless, &[dir("a"), file("a/../b", "x")]),
        case("dot-dot directory", Refused("leads out"), &[dir("..")]),
        // Leading slashes are ignored, and symlinks are followed as if the layer were the root.
        case("absolute name", Harmless, &[file(outside, "x")]),
        case(
            "absolute symlink to a directory, then through it",
            Harmless,
            &[symlink("link", "/"), file("link/x", "x")],
        ),
        case(
            "symlink to a missing directory, then through it",
            Refused("on the way through"),
            &[symlink("link", parent), file(&format!("link/{name}"), "x")],
        ),
        case(
            "relative symlink out, then through it",
            Refused("on the way through"),
            &[
                symlink("link", &format!("{}{}", "../".repeat(30), parent.trim_start_matches('/'))),
                file(&format!("link/{name}"), "x"),
            ],
        ),
        case(
            "symlink out, then a file of its name",
            Harmless,
            &[symlink("link", outside), file("link", "x")],
        ),
        case(
            "symlink out, then a directory of its name",
            Harmless,
            &[symlink("link", parent), dir("link"), file(&format!("link/{name}"), "x")],
        ),
        case(
            "symlink loop, then through it",
            Refused("on the way through"),
            &[symlink("a", "b"), symlink("b", "a"), file("a/x", "x")],
        ),
        case(
            // Resolved outside of the layer, this is the root of the process that unpacks.
            "magic link, then through it",
            Refused("on the way through"),
            &[symlink("link", "/proc/self/root"), file("link/x", "x")],
        ),
        case("hard link out by name", Refused("leads out"), &[hard_link("x", &up)]),
        case("hard link to an absolute name", Refused("cannot link"), &[hard_link("x", outside)]),
        case(
            "hard link through a symlink",
            Refused("cannot link"),
            &[symlink("link", parent), hard_link("x", &format!("link/{name}"))],
        ),
        case(
            "hard link to a symlink out, then over it",
            Harmless,
            &[symlink("a", outside), hard_link("b", "a"), file("b", "x")],
        ),
        case("hard link to itself", Harmless, &[file("a", "x"), hard_link("a", "a")]),
        case("hard link to the root", Refused("root"), &[hard_link("x", "./")]),
        case("hard link to a directory", Refused("cannot link"), &[dir("d"), hard_link("x", "d")]),
        case("file as root", Refused("not a directory"), &[file("./", "x")]),
        case("file as a directory", Refused("on the way through"), &[file("a", "x"), file("a/b", "x")]),
        case(
            "devices",
            Harmless,
            &[
                member(kind::CHAR, b"null", b"", b""),
                member(kind::BLOCK, b"disk", b"", b""),
                member(kind::FIFO, b"pipe", b"", b""),
            ],
        ),
    ]
}

fn whiteouts() -> Vec<Case> {
    use Verdict::{Harmless, Refused};
    vec![
        case("whiteout of nothing", Refused("does not say"), &[file("a/.wh.", "")]),
        case("whiteout of the directory", Refused("does not say"), &[file("a/.wh..", "")]),
        case("whiteout of the parent", Refused("does not say"), &[file("a/.wh...", "")]),
        case("whiteout with content", Harmless, &[file(".wh.a", "content")]),
        case("whiteout before its file", Harmless, &[file(".wh.a", ""), file("a", "x")]),
        case("whiteout after its file", Harmless, &[file("a", "x"), file(".wh.a", "")]),
        case("whiteout of a directory with files", Harmless, &[file("a/b", "x"), file(".wh.a", "")]),
        case("file below a whiteout", Harmless, &[file(".wh.a", ""), file("a/b", "x")]),
        case("hard link to a whiteout", Refused("cannot link"), &[file(".wh.a", ""), hard_link("b", "a")]),
        case("opaque directory", Harmless, &[file("a/.wh..wh..opq", ""), file("a/b", "x")]),
        case("opaque root", Harmless, &[file(".wh..wh..opq", "")]),
        case(
            // AUFS kept its own records under these names; docker's unpacker skips them.
            "names of AUFS",
            Harmless,
            &[dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", "")],
        ),
        case("whiteout through a symlink", Harmless, &[dir("d"), symlink("l", "/d"), file("l/.wh.x", "")]),
        case("directory named as a whiteout", Harmless, &[dir(".wh.d"), file(".wh.d/x", "x")]),
        case("device 0:0 as a member", Harmless, &[member(kind::CHAR, b"x", b"", b"")]),
        case(
            // Taken over as they are, they would redirect overlayfs to other files, or forge the owner that
            // dhow records.
            "attributes of overlayfs",
            Harmless,
            &[
                pax(&[
                    ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.user.overlay.metacopy", b""),
                    ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                    ("SCHILY.xattr.user.dhow.owner", b"1:1"),
                    ("SCHILY.xattr.user.fine", b"a\nb\0c"),
                ]),
                file("x", "x"),
            ],
        ),
    ]
}

fn replacements() -> Vec<Case> {
    use Verdict::{Harmless, Refused};
    vec![
        case("a file twice", Harmless, &[file("a", "one"), file("a", "three")]),
        case("a file of the same content many times", Harmless, &vec![file("a", "same"); 20]),
        case(
            "a file over a hard link",
            Harmless,
            &[file("a", "one"), hard_link("b", "a"), file("b", "two"), file("a", "three")],
        ),
        case(
            "a file over a directory with files",
            Harmless,
            &[file("d/e/f", "one"), file("d/g", "two"), file("d", "three")],
        ),
        // docker fails with ENOTDIR here.
        case(
            "a file below a file that replaced its directory",
            Refused("File exists"),
            &[file("d/g", "one"), file("d", "two"), file("d/x", "three")],
        ),
        case("a directory over a file", Harmless, &[file("a", "one"), dir("a"), file("a/b", "two")]),
        case(
            "a file written through a symlink that then changes",
            Harmless,
            &[
                dir("d"),
                dir("e"),
                symlink("l", "d"),
                file("l/f", "one"),
                file("l", "two"),
                file("d/f", "three"),
            ],
        ),
        case(
            "a symlink over a directory",
            Harmless,
            &[file("d/f", "one"), dir("e"), symlink("d", "e"), file("d/f", "two")],
        ),
        case("nothing at all", Harmless, &[]),
        case(
            // A mode that applies at once would keep an unprivileged unpacker from writing the files below.
            "a directory that nobody may enter",
            Harmless,
            &[
                with_mode(&dir("d"), "0000000"),
                file("d/f", "x"),
                with_mode(&file("g", "x"), "0000200"),
                with_mode(&dir("./"), "0000700"),
            ],
        ),
        // Linux has names of up to 255 bytes (NAME_MAX) and paths of up to 4096 (PATH_MAX).
        case("a name of 255 bytes", Harmless, &[file(&"n".repeat(255), "x")]),
        case("a name of 256 bytes", Refused("too long"), &[file(&"n".repeat(256), "x")]),
        case("a path of 5000 bytes", Refused("too long"), &[file(&"n/".repeat(2500), "x")]),
        case(
            "odd bytes",
            Harmless,
            &[
                member(kind::FILE, b"\xff\xfe\n\t\x01 \x7f", b"", b"x"),
                member(kind::FILE, b"\xff\xfe\n\t\x02 \x7f", b"", b"x"),
                member(kind::SYMLINK, b"l", b"\xff\n/../..", b""),
            ],
        ),
    ]
}

fn with_mode(member: &[u8], mode: &str) -> Vec<u8> {
    let mut changed = member.to_vec();
    let mut block: [u8; 512] = changed[..512].try_into().unwrap();
    block[100..107].copy_from_slice(mode.as_bytes());
    changed[..512].copy_from_slice(&with_checksum(block));
    changed
}

fn headers() -> Vec<Case> {
    use Verdict::{Harmless, Refused};
    let big = vec![b'a'; 2 << 20];
    vec![
        case("PAX path out", Refused("leads out"), &[pax(&[("path", b"../../x")]), file("a", "x")]),
        case("PAX path with a zero byte", Refused("zero byte"), &[pax(&[("path", b"a\0b")]), file("a", "x")]),
        case(
            "PAX link out",
            Refused("leads out"),
            &[pax(&[("linkpath", b"../../etc/passwd")]), hard_link("a", "b")],
        ),
        case(
            "PAX size that lies",
            Refused("truncated"),
            &[pax(&[("size", b"99999999999999")]), file("a", "x")],
        ),
        case(
            // The content that is left over is read as a header.
            "PAX size that is smaller",
            Refused("checksum"),
            &[pax(&[("size", b"0")]), file("a", "content")],
        ),
        case(
            "PAX numbers out of range",
            Harmless,
            &[
                pax(&[("uid", b"99999999999"), ("gid", b"4294967295"), ("mtime", b"-1.000000001")]),
                file("a", "x"),
            ],
        ),
        case("PAX time that is none", Refused("PAX"), &[pax(&[("mtime", b"soon")]), file("a", "x")]),
        case("PAX header without a member", Refused("truncated"), &[pax(&[("path", b"a")])]),
        case(
            "PAX header larger than allowed",
            Refused("extension header"),
            &[pax(&[("comment", &big)]), file("a", "x")],
        ),
        case(
            "global PAX header",
            Harmless,
            &[
                member(
                    kind::PAX_GLOBAL,
                    b"pax_global_header",
                    b"",
                    b"52 comment=0123456789012345678901234567890123456789\n",
                ),
                file("a", "x"),
            ],
        ),
        case("GNU long name out", Refused("leads out"), &[file(&"../".repeat(60), "x")]),
        case(
            "sparse file, PAX 1.0",
            Harmless,
            &[
                pax(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.name", b"sparse"),
                    ("GNU.sparse.realsize", b"1048576"),
                ]),
                file("GNUSparseFile.0/sparse", &format!("{:\0<512}abcd", "1\n4096\n4\n")),
            ],
        ),
        case(
            "sparse file whose map lies",
            Refused("sparse"),
            &[
                pax(&[("GNU.sparse.map", b"0,4,2,4"), ("GNU.sparse.size", b"100")]),
                file("sparse", "abcdefgh"),
            ],
        ),
        case(
            "sparse file larger than any disk",
            Refused("sparse"),
            &[
                pax(&[("GNU.sparse.map", b"0,4"), ("GNU.sparse.size", b"18446744073709551615")]),
                file("sparse", "abcd"),
            ],
        ),
        case(
            "sparse file without content of its own",
            Refused("sparse"),
            &[
                pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1")]),
                file("sparse", ""),
            ],
        ),
        case("unknown member", Refused("entry type"), &[member(b'V', b"volume", b"", b"")]),
        case("symlink without a target", Refused("target"), &[symlink("a", "")]),
        case("symlink with a target too long", Refused("too long"), &[symlink("a", &"t".repeat(5000))]),
        case(
            "hard link that claims content",
            Harmless,
            &[file("a", "x"), header(kind::HARD_LINK, b"b", b"a", 5).to_vec(), file("c", "x")],
        ),
    ]
}

fn broken() -> Vec<Case> {
    use Verdict::{Harmless, Refused};
    let good = archive(&[dir("d"), file("d/f", &"content ".repeat(100))]);
    let mut flipped = good.clone();
    flipped[3] ^= 0x20;
    let mut negative = header(kind::FILE, b"a", b"", 0);
    // In base 256, all bits set is -1.
    negative[124..136].fill(0xff);
    let mut junk_number = header(kind::FILE, b"a", b"", 0);
    // 9 is no octal digit.
    junk_number[124..136].copy_from_slice(b"99999999999\0");
    let mut trailing = good.clone();
    trailing.extend([7; 700]);
    let raw = |name, verdict, tar: Vec<u8>| Case { name, tar, verdict };
    vec![
        raw("cut inside a header", Refused("truncated"), good[..300].to_vec()),
        raw("cut inside content", Refused("truncated"), good[..1400].to_vec()),
        // Go's archive/tar, and so docker, takes the end of the file for the end of the archive.
        raw("cut before the end marker", Harmless, good[..good.len() - 1024].to_vec()),
        raw("half an end marker", Harmless, good[..good.len() - 512].to_vec()),
        raw("a flipped bit in a header", Refused("checksum"), flipped),
        raw("bytes after the end", Harmless, trailing),
        raw("text", Refused("truncated"), b"this is not an archive".to_vec()),
        raw("noise", Refused("checksum"), vec![0x55; 4096]),
        raw("a size beyond all", Refused("truncated"), header(kind::FILE, b"a", b"", u64::MAX / 2).to_vec()),
        raw("a negative size", Refused("negative"), with_checksum(negative).to_vec()),
        raw("a size that is no number", Refused("number"), with_checksum(junk_number).to_vec()),
        raw("zeros in the middle", Refused("zeros"), [&[0u8; 512][..], &good].concat()),
    ]
}
