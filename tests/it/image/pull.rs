//! `pull`, `login` and `logout` with Debian's registry, and with one that misbehaves.

use std::fs;
use std::path::PathBuf;

use super::id_of;
use crate::support::faulty_proxy::{Action, FaultyProxy};
use crate::support::registry::{Options, PASSWORD, USER};
use crate::support::{Compression, Entry, Image, Layer, Registry, each_mode, fixtures};

/// Several layers, one of them large enough to be interrupted; `salt` makes it differ from others.
fn sizeable(salt: &str) -> Image {
    // Bytes that do not compress, so that the blob is as large as the file.
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = (0..400_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    Image::new([
        fixtures::busybox_layer(),
        Layer::new([Entry::file("noise", noise), Entry::file("salt", salt)]),
        Layer::new([Entry::file("last", salt)]),
    ])
}

each_mode! {
    fn pulls_by_tag_and_by_digest(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let image = fixtures::multi_user();
        registry.push(image, "fleet/multi:1");
        let name = registry.name("fleet/multi:1");
        let output = dhow.cmd("pull").arg(&name).ok().lines();
        let digest = output.iter().find_map(|line| line.strip_prefix("Digest: ")).expect("a digest").to_owned();
        assert_eq!(output.last(), Some(&name));
        assert!(output.contains(&format!("Status: Downloaded newer image for {name}")), "{output:?}");
        assert_eq!(id_of(dhow, &name), image.id());
        let again = dhow.cmd("pull").arg(&name).ok().out();
        assert!(again.contains(&format!("Status: Image is up to date for {name}")), "{again}");
        let pinned = format!("{}@{digest}", registry.name("fleet/multi"));
        dhow.cmd("pull -q").arg(&pinned).ok();
        assert_eq!(id_of(dhow, &pinned), image.id());
        let both = format!("{name}@{digest}");
        dhow.cmd("pull -q").arg(&both).ok();
        let digests = dhow.cmd("images --digests --format {{.Digest}}").ok().out();
        assert!(digests.contains(&digest), "{digests}");
        dhow.cmd("rmi -f").arg(image.id()).ok();
        assert_eq!(dhow.run(&format!("{name} cat /hidden/after")).output().out(), "after");
    }

    fn a_terminal_gets_a_line_per_layer_and_keeps_its_cursor(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let image = sizeable("drawn").compressed(Compression::Gzip);
        registry.push(&image, "drawn:1");
        let front = FaultyProxy::before(&registry, |_| Action::Pass);
        let name = front.name("drawn:1");
        let (code, shown) = dhow.cmd("pull").arg(&name).pty(100, 40).wait();
        assert_eq!(code, 0, "{shown}");
        let place = |text: &str| shown.rfind(text).unwrap_or_else(|| panic!("no {text:?} in {shown:?}"));
        assert!(shown.matches(": Pull complete").count() >= 3, "{shown:?}");
        assert!(place("1: Pulling from drawn") < place(": Pull complete"), "{shown:?}");
        assert!(place(": Pull complete") < place("Digest: sha256:"), "{shown:?}");
        assert!(place("Digest: ") < place("Status: Downloaded newer image"), "{shown:?}");
        assert!(!shown.contains("\x1b[?25l"), "the cursor is never hidden: {shown:?}");
        let (code, shown) = dhow.cmd("pull -q").arg(&name).pty(100, 40).wait();
        assert_eq!((code, shown.trim()), (0, name.as_str()));
    }

    fn pulls_whatever_the_manifest_and_compression(dhow) {
        let Some(registry) = Registry::plain() else { return };
        for (compression, tag) in [(Compression::None, "none"), (Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
            let image = fixtures::multi_user().clone().compressed(compression);
            registry.push(&image, &format!("oci:{tag}"));
            dhow.cmd("pull -q").arg(registry.name(&format!("oci:{tag}"))).ok();
            assert_eq!(id_of(dhow, &registry.name(&format!("oci:{tag}"))), image.id(), "{tag}");
            dhow.cmd("rmi -f").arg(image.id()).ok();
        }
        registry.push_schema2(fixtures::multi_user(), "schema:2");
        dhow.cmd("pull -q").arg(registry.name("schema:2")).ok();
        assert_eq!(id_of(dhow, &registry.name("schema:2")), fixtures::multi_user().id());
    }

    fn what_was_pulled_is_saved_byte_by_byte(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let image = fixtures::multi_user();
        registry.push(image, "multi:1");
        dhow.cmd("pull -q").arg(registry.name("multi:1")).ok();
        let saved = dhow.cmd("save").arg(registry.name("multi:1")).ok().stdout;
        for layer in &image.layers {
            assert!(crate::support::process::contains(&saved, &layer.0[..layer.0.len() - 1024]));
        }
    }

    fn the_platform_is_selected_from_an_index(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let native = Image::new([fixtures::busybox_layer()]);
        let foreign = Image::new([Layer::new([Entry::file("foreign", "x")])]).set_top("architecture", "s390x");
        let dir = dhow.make_dir("index");
        crate::support::image::write_multi_platform(&dir, &[&foreign, &native], "latest");
        registry.copy(&dir, "multi:1", &[]);
        let name = registry.name("multi:1");
        dhow.cmd("pull -q").arg(&name).ok();
        assert_eq!(id_of(dhow, &name), native.id());
        dhow.cmd("pull -q --platform linux/s390x").arg(&name).ok();
        assert_eq!(id_of(dhow, &name), foreign.id());
        dhow.cmd("pull --platform linux/riscv64").arg(&name).fails(1, &["linux/riscv64"]);
        dhow.cmd("pull --platform nonsense/and/more/parts").arg(&name).fails(1, &["nonsense"]);
    }

    fn all_tags_are_pulled_where_asked(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let (one, two) = (sizeable("one"), sizeable("two"));
        registry.push(&one, "tags:1");
        registry.push(&two, "tags:2");
        dhow.cmd("pull -q -a").arg(registry.name("tags")).ok();
        assert_eq!(id_of(dhow, &registry.name("tags:1")), one.id());
        assert_eq!(id_of(dhow, &registry.name("tags:2")), two.id());
        dhow.cmd("pull -a").arg(registry.name("tags:1")).fails(1, &["tag"]);
    }

    fn what_is_not_there_is_said(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(fixtures::busybox(), "there:1");
        dhow.cmd("pull").arg(registry.name("there:2")).fails(1, &["there:2", "not found"]);
        dhow.cmd("pull").arg(registry.name("elsewhere:1")).fails(1, &["elsewhere", "not found"]);
        let digest = crate::support::image::digest(b"nothing");
        dhow.cmd("pull").arg(format!("{}@{digest}", registry.name("there"))).fails(1, &["not found"]);
        let nobody = format!("127.0.0.1:{}/x", crate::support::registry::free_port());
        dhow.cmd("pull").arg(nobody).fails(1, &["127.0.0.1", "refused"]);
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
    }

    fn run_pulls_what_is_missing(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(fixtures::busybox(), "busy:1");
        let name = registry.name("busy:1");
        let output = dhow.run("").args([&name, "echo", "pulled"]).output();
        assert_eq!((output.code, output.out().as_str()), (0, "pulled"), "{}", output.err());
        assert!(output.err().contains(&format!("Unable to find image '{name}' locally")), "{}", output.err());
        assert_eq!(dhow.run("").args([&name, "echo", "there"]).ok().out(), "there");
        registry.push(&sizeable("newer"), "busy:1");
        let newer = dhow.run("--pull always -q").args([&name, "cat", "/salt"]).output();
        assert_eq!(newer.out(), "newer", "{}", newer.err());
    }

    fn an_own_authority_is_trusted_where_configured(dhow) {
        let Some(registry) = Registry::with(Options { tls: true, password: false }) else { return };
        registry.push(fixtures::busybox(), "secure:1");
        let name = registry.name("secure:1");
        dhow.cmd("pull").arg(&name).fails(1, &["certificate"]);
        if !crate::support::account::is_root() {
            crate::support::leave_out("certificates below /etc/docker/certs.d need root to put there");
            return;
        }
        for place in ["/etc/docker/certs.d", "/etc/containers/certs.d"] {
            let _guard = Placed::new(PathBuf::from(place).join(registry.host()).join("ca.crt"), &fs::read(registry.ca()).unwrap());
            dhow.cmd("pull -q").arg(&name).ok();
            dhow.cmd("rmi").arg(&name).ok();
        }
        let localhost = name.replace("127.0.0.1", "localhost");
        dhow.cmd("pull -q").arg(&localhost).env("SSL_CERT_FILE", registry.ca()).ok();
    }

    fn a_password_is_asked_for_remembered_and_forgotten(dhow) {
        let Some(registry) = Registry::with(Options { tls: false, password: true }) else { return };
        registry.push(fixtures::busybox(), "closed:1");
        let name = registry.name("closed:1");
        dhow.cmd("pull").arg(&name).fails(1, &["login"]);
        dhow.cmd("login -u captain --password-stdin").arg(registry.host()).stdin("wrong").fails(1, &[&registry.host()]);
        dhow.cmd("login -u captain --password-stdin").arg(registry.host()).stdin(vec![b'x'; 70_000]).fails(1, &["more than a password"]);
        assert!(!dhow.home().join(".docker/config.json").exists());
        let login = dhow.cmd("login -u").args([USER, "--password-stdin"]).arg(registry.host()).stdin(PASSWORD).output();
        assert_eq!(login.code, 0, "{}", login.err());
        assert_eq!(login.out(), "Login Succeeded");
        let config = dhow.home().join(".docker/config.json");
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&config).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        dhow.cmd("pull -q").arg(&name).ok();
        let logout = dhow.cmd("logout").arg(registry.host()).ok();
        assert!(logout.out().contains(&registry.host()), "{}", logout.out());
        dhow.cmd("rmi").arg(&name).ok();
        dhow.cmd("pull").arg(&name).fails(1, &["login"]);
    }

    fn the_credential_helper_that_matches_is_run(dhow) {
        let Some(registry) = Registry::with(Options { tls: false, password: true }) else { return };
        registry.push(fixtures::busybox(), "helped:1");
        let helper = |name: &str, user: &str| {
            let script = format!(
                "#!/bin/sh\necho \"$1\" >>{}/calls-{name}\ncat >/dev/null\nprintf '%s' '{{\"Username\":\"{user}\",\"Secret\":\"{PASSWORD}\"}}'\n",
                dhow.home().display()
            );
            let path = dhow.write(&format!("home/bin/docker-credential-{name}"), script);
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        helper("right", USER);
        helper("wrong", "stranger");
        let config = serde_json::json!({"credsStore": "wrong", "credHelpers": {registry.host(): "right", "example.org": "wrong"}});
        dhow.write("home/.docker/config.json", config.to_string());
        let path = format!("{}/bin:{}", dhow.home().display(), crate::support::runner::PATH);
        dhow.cmd("pull -q").arg(registry.name("helped:1")).env("PATH", path).ok();
        assert_eq!(fs::read_to_string(dhow.home().join("calls-right")).unwrap().lines().next(), Some("get"));
        assert!(!dhow.home().join("calls-wrong").exists(), "only the helper of this registry is run");
    }

    fn configured_mirrors_are_used(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(fixtures::busybox(), "library/busy:1");
        let settings = format!(
            "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
            registry.host()
        );
        dhow.write("home/.config/containers/registries.conf", settings);
        dhow.cmd("pull -q busy:1").ok();
        assert_eq!(id_of(dhow, "busy:1"), fixtures::busybox().id());
    }

    fn a_cut_connection_is_resumed_where_it_broke(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let image = sizeable("cut").compressed(Compression::Gzip);
        registry.push(&image, "cut:1");
        let front = FaultyProxy::before(&registry, |request| match request {
            request if request.is_blob() && request.repeated < 2 => Action::Cut(100_000),
            _ => Action::Pass,
        });
        dhow.cmd("pull -q").arg(front.name("cut:1")).ok();
        assert_eq!(id_of(dhow, &front.name("cut:1")), image.id());
        let resumed = front.requests().iter().any(|request| request.is_blob() && request.head.to_lowercase().contains("\r\nrange: bytes=100000-"));
        assert!(resumed, "{:?}", front.requests());
    }

    fn a_busy_registry_is_asked_again(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(fixtures::busybox(), "busy:1");
        let front = FaultyProxy::before(&registry, |request| match request.repeated {
            0 if request.is_blob() => Action::Refuse("503 Service Unavailable", ""),
            0 if request.line.contains("/manifests/") => Action::Refuse("429 Too Many Requests", "Retry-After: 0\r\n"),
            1 if request.is_blob() => Action::HangUp,
            _ => Action::Pass,
        });
        dhow.cmd("pull -q").arg(front.name("busy:1")).ok();
        assert_eq!(id_of(dhow, &front.name("busy:1")), fixtures::busybox().id());
    }

    fn changed_content_is_refused_and_nothing_is_left(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(&sizeable("flipped"), "flipped:1");
        let front = FaultyProxy::before(&registry, |request| if request.is_blob() { Action::Flip(200) } else { Action::Pass });
        dhow.cmd("pull").arg(front.name("flipped:1")).fails(1, &["flipped:1"]);
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
        let layers = fs::read_dir(dhow.root().join("layers")).map_or(0, Iterator::count);
        assert_eq!(layers, 0);
        let temporary = fs::read_dir(dhow.root().join("tmp")).map_or(0, Iterator::count);
        assert_eq!(temporary, 0);
    }

    fn malformed_manifests_are_refused_with_a_reason(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(fixtures::busybox(), "odd:1");
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let bodies: [&[u8]; 8] = [
            b"", b"not JSON", b"[]", b"{}", br#"{"schemaVersion":2}"#, br#"{"schemaVersion":1,"fsLayers":[]}"#,
            br#"{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":1},"layers":[]}"#,
            br#"{"schemaVersion":2,"config":{"mediaType":"m","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":-1},"layers":[]}"#,
        ];
        for body in bodies {
            let said = body.to_vec();
            let front = FaultyProxy::before(&registry, move |request| match request {
                request if request.line.contains("/manifests/") => Action::Say(manifest, said.clone()),
                _ => Action::Pass,
            });
            let output = dhow.cmd("pull").arg(front.name("odd:1")).output();
            assert_eq!(output.code, 1, "{}", String::from_utf8_lossy(body));
            assert!(output.err().contains("odd:1") && !output.err().contains("panicked"), "{}", output.err());
            assert!(output.err().lines().count() <= 2, "{}", output.err());
        }
    }

    fn layers_that_are_here_are_not_fetched_again(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let (one, two) = (sizeable("first"), sizeable("second"));
        registry.push(&one, "shared:1");
        registry.push(&two, "shared:2");
        let front = FaultyProxy::before(&registry, |_| Action::Pass);
        dhow.cmd("pull -q").arg(front.name("shared:1")).ok();
        let before = front.requests().iter().filter(|request| request.is_blob()).count();
        dhow.cmd("pull -q").arg(front.name("shared:2")).ok();
        let after = front.requests().iter().filter(|request| request.is_blob()).count();
        // The configuration and the two layers that differ; busybox is here.
        assert_eq!(after - before, 3);
    }

    fn progress_shows_on_a_terminal(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(&sizeable("progress"), "progress:1");
        let name = registry.name("progress:1");
        let (code, shown) = dhow.cmd("pull").arg(&name).pty(100, 30).wait();
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("Pull complete") && shown.contains("Digest: sha256:"), "{shown}");
    }

    fn several_pulls_of_one_image_fetch_each_layer_once(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(&sizeable("together"), "together:1");
        let front = FaultyProxy::before(&registry, |_| Action::Pass);
        let pulls: Vec<_> = (0..4).map(|_| dhow.cmd("pull -q").arg(front.name("together:1")).start()).collect();
        for pull in pulls {
            let output = pull.wait();
            assert_eq!(output.code, 0, "{}", output.err());
        }
        let requests = front.requests();
        let mut layers: Vec<_> = requests.iter().filter(|request| request.is_blob()).map(|request| request.line.clone()).collect();
        layers.sort();
        let all = layers.len();
        layers.dedup();
        // Each process reads the small configuration for itself; the three layers come once.
        assert!(all <= layers.len() + 3, "{all} requests for {} blobs", layers.len());
        assert_eq!(dhow.run("").arg(front.name("together:1")).args(["cat", "/salt"]).ok().out(), "together");
    }
}

/// A file of the machine, removed with the test together with its directory.
struct Placed(PathBuf);

impl Placed {
    fn new(path: PathBuf, content: &[u8]) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}
