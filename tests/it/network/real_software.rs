//! Real software over networks: servers reached from other machines and by name, and package managers that download.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::support::world::*;
use crate::support::{World, debian, find_program, have_programs};

/// Runs a program of this machine in the peer's network; returns its output.
fn at_peer(world: &World, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    world.peer.run(command).out()
}

/// Starts a server of this machine in the peer's network and waits until it listens on `port`.
fn serve_at_peer(world: &World, program: &str, arguments: &[&str], port: u16) -> Running {
    let mut command = Command::new(find_program(program).unwrap_or_else(|| program.into()));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start_in(Some(&world.peer), command, None, Duration::from_secs(600));
    until("the peer's server listens", || {
        world.peer.call(move || std::net::TcpStream::connect((FAR, port))).is_ok()
    });
    running
}

/// Runs a shell script in `dir` to prepare the test.
fn prepare(dir: &Path, script: &str) {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(dir).env("HOME", dir);
    crate::support::process::must_run(&mut command);
}

const PACKAGE: &str = "mkdir -p pool/DEBIAN pool/usr/share/harbour
printf 'Package: harbour\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: Nobody <nobody@example.org>\\nDescription: a test\\n' >pool/DEBIAN/control
head -c 3000000 /dev/urandom >pool/usr/share/harbour/chart
mkdir -p apt
dpkg-deb -b -Zgzip pool apt/harbour.deb >/dev/null
cd apt
{ dpkg-deb -f harbour.deb; echo Filename: ./harbour.deb; echo Size: $(stat -c %s harbour.deb)
  echo SHA256: $(sha256sum harbour.deb | cut -d' ' -f1); echo; } >Packages
{ echo Suite: ./; echo SHA256:; echo \" $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages\"; } >Release";

const REPOSITORY: &str = "git init -q work
cd work
git config user.email nobody@example.org
git config user.name Nobody
head -c 5000000 /dev/urandom >cargo
git add cargo
git commit -q -m first
git clone -q --bare . ../work.git
cd ../work.git
git update-server-info
touch git-daemon-export-ok";

const WHEEL: &str = "mkdir -p simple/harbour
cat >make.py <<'END'
import zipfile
with zipfile.ZipFile('simple/harbour/harbour-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('harbour.py', 'pilot = \"on board\"\\n')
    info = 'harbour-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: harbour\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', 'harbour.py,,\\n' + ''.join(info + name + ',,\\n' for name in ('METADATA', 'WHEEL', 'RECORD')))
END
python3 make.py
echo '<a href=\"harbour-1.0-py3-none-any.whl\">harbour-1.0-py3-none-any.whl</a>' >simple/harbour/index.html";

each_mode_in_world! {
    fn servers_are_called_from_beyond_and_by_name(dhow, world) {
        let Some(image) = debian::with_servers() else { return };
        if !have_programs(&["ab"]) {
            return;
        }
        dhow.load(&image, "debian:net");
        dhow.cmd("network create crew").ok();
        dhow.cmd("run -d --name web -p 8080:80 debian:net nginx -g").arg("daemon off;").ok();
        // Its sockets listen before it writes this.
        until("nginx runs", || dhow.cmd("exec web test -s /run/nginx.pid").output().code == 0);
        let report = at_peer(world, "ab", &["-q", "-n", "3000", "-c", "50", &format!("http://{HOST}:8080/")]);
        for line in ["Complete requests:      3000", "Failed requests:        0"] {
            assert!(report.contains(line), "{report}");
        }
        let log = dhow.cmd("exec web tail -n 1 /var/log/nginx/access.log").ok().out();
        assert!(log.starts_with(PEER), "the log says who called: {log}");

        let path = "PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin";
        let script = "initdb -D /tmp/data -A trust >/dev/null && echo 'host all all all trust' >>/tmp/data/pg_hba.conf && \
            exec postgres -D /tmp/data -k /tmp -c listen_addresses='*' -c jit=off -c fsync=off";
        dhow.cmd("run -d --name db --network crew -u postgres -e").arg(path).arg("debian:net").sh(script).ok();
        dhow.cmd("run -d --name cache --network crew debian:net redis-server --protected-mode no --save").arg("").ok();
        dhow.cmd("run -d --name client --network crew -e").arg(path).words("debian:net sleep 1000").ok();
        until("the database is ready", || dhow.cmd("exec client pg_isready -q -h db").output().code == 0);
        let psql = |sql: &str| dhow.cmd("exec client psql -h db -U postgres -q -t -A -c").arg(sql).ok().out();
        psql("create table log as select n, md5(n::text) as hash from generate_series(1, 100000) n");
        let script = "psql -h db -U postgres -q -t -A -c 'copy log to stdout' | psql -h db -U postgres -q -c 'create table copy (like log)' -c 'copy copy from stdin'";
        dhow.cmd("exec client").sh(script).ok();
        assert_eq!(psql("select count(*), sum(n) from (select * from copy intersect select * from log) both_have"), "100000|5000050000");
        until("redis answers", || dhow.cmd("exec client redis-cli -h cache ping").output().out() == "PONG");
        let report = dhow.cmd("exec client redis-benchmark -h cache -n 10000 -c 30 -d 500 -t set,get -q").output();
        assert!(report.code == 0 && report.out().contains("requests per second"), "{} {}", report.out(), report.err());
        dhow.cmd("exec client redis-cli -h cache set ship sambuk").ok();
        dhow.cmd("restart -t 1 client").ok();
        assert_eq!(dhow.cmd("exec client redis-cli -h cache get ship").ok().out(), "sambuk");
        end(dhow, "web db cache client");
        dhow.cmd("network rm crew").ok();
    }

    fn packages_sources_and_wheels_are_fetched(dhow, world) {
        let Some(image) = debian::with_servers() else { return };
        if !have_programs(&["git", "dpkg-deb", "python3"]) {
            return;
        }
        dhow.load(&image, "debian:net");
        let dir = tempfile::Builder::new().prefix("dhow-served-").tempdir_in("/var/tmp").unwrap();
        for script in [PACKAGE, REPOSITORY, WHEEL] {
            prepare(dir.path(), script);
        }
        let served = dir.path().to_str().unwrap();
        world.names.set("files.example", &[FAR, FAR6]);
        let _files = serve_at_peer(world, "python3", &["-m", "http.server", "--bind", "::", "--directory", served, "8000"], 8000);
        let base = format!("--base-path={served}");
        // The program itself: `git daemon` would leave it behind when it is killed.
        let daemon = format!("{}/git-daemon", at_peer(world, "git", &["--exec-path"]).trim());
        let _git = serve_at_peer(world, &daemon, &[&base, "--reuseaddr", "--port=9418", served], 9418);

        let script = "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
            echo 'deb [trusted=yes] http://files.example:8000/apt ./' >/etc/apt/sources.list
            apt-get update -q && apt-get install -q -y harbour && sha256sum </usr/share/harbour/chart";
        let output = dhow.cmd("run --rm -e DEBIAN_FRONTEND=noninteractive debian:net").sh(script).output();
        assert!(output.out().contains(&hash(&dir.path().join("pool/usr/share/harbour/chart"))), "{}\n{}", output.out(), output.err());

        let cargo = hash(&dir.path().join("work/cargo"));
        for url in ["git://files.example/work.git", "http://files.example:8000/work.git"] {
            let script = format!("git clone -q {url} /tmp/work && git -C /tmp/work fsck && sha256sum </tmp/work/cargo");
            let output = dhow.cmd("run --rm debian:net").sh(&script).output();
            assert!(output.out().contains(&cargo), "{url}: {}\n{}", output.out(), output.err());
        }

        let script = "pip install -q --break-system-packages --root-user-action ignore --disable-pip-version-check \
            --index-url http://files.example:8000/simple --trusted-host files.example harbour && \
            python3 -c 'import harbour; print(harbour.pilot)'";
        let output = dhow.cmd("run --rm debian:net").sh(script).output();
        assert!(output.out().contains("on board"), "{}\n{}", output.out(), output.err());
    }
}

/// The SHA-256 of a file in hexadecimal.
fn hash(path: &Path) -> String {
    let digest = crate::support::image::digest(&fs::read(path).unwrap());
    crate::support::image::hex(&digest).to_owned()
}
