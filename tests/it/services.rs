//! A real web server (nginx) and a real database (PostgreSQL), used as in production: detached, health-checked, updated,
//! killed and restarted, without loss of data.

use std::time::{Duration, Instant};

use crate::support::containers::inspect;
use crate::support::{Dhow, debian, each_mode};
use rustix::process::{Pid, Signal, kill_process};

fn until_healthy(dhow: &Dhow, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while inspect(dhow, name, ".State.Health.Status") != "healthy" {
        let log = dhow.cmd("logs -n 5").arg(name).output();
        assert!(Instant::now() < deadline, "{name} is not healthy: {} {}", log.out(), log.err());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Kills a process and waits until the container runs again and is healthy.
fn until_back(dhow: &Dhow, name: &str, started: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while inspect(dhow, name, ".State.StartedAt") == started {
        assert!(Instant::now() < deadline, "{name} does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    until_healthy(dhow, name);
}

fn query(dhow: &Dhow, sql: &str) -> String {
    dhow.cmd("exec -u postgres db psql -h /tmp -q -t -A -c").arg(sql).ok().out()
}

/// The web server's answer to a request from inside the container, which has no other network.
fn fetch(dhow: &Dhow, name: &str) -> String {
    let ask = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new("127.0.0.1:80") or die $!; print $s "GET / HTTP/1.0\r\n\r\n"; print <$s>;"#;
    dhow.cmd("exec").args([name, "perl", "-e", ask]).ok().out()
}

each_mode! {
    fn a_database_keeps_its_data(dhow) {
        let Some(image) = debian::with_servers() else { return };
        dhow.load(&image, "services:1");
        let script = "test -d $PGDATA/base || initdb -A trust >/dev/null; exec postgres -k /tmp -c jit=off";
        dhow.cmd("run -d --name db --network none --restart on-failure:5 --stop-signal INT -u postgres -v data:/var/lib/postgresql")
            .args(["-e", "PGDATA=/var/lib/postgresql/data", "-e", "PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin"])
            .args(["--health-cmd", "pg_isready -q -h /tmp", "--health-interval", "100ms", "services:1", "sh", "-c", script])
            .ok();
        until_healthy(dhow, "db");
        query(dhow, "create table ships (name text); insert into ships values ('sambuk')");

        // Its main process is killed: the policy brings it back.
        let (pid, started) = (inspect(dhow, "db", ".State.Pid"), inspect(dhow, "db", ".State.StartedAt"));
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
        until_back(dhow, "db", &started);
        assert_eq!(inspect(dhow, "db", ".RestartCount"), "1");
        assert_eq!(query(dhow, "insert into ships values ('boom'); select count(*) from ships"), "2");

        // Its supervisor is killed, and everything with it: a start brings it back.
        let status = std::fs::read_to_string(format!("/proc/{}/status", inspect(dhow, "db", ".State.Pid"))).unwrap();
        let supervisor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
        dhow.settle();
        assert_eq!(inspect(dhow, "db", ".State.Status"), "exited");
        dhow.cmd("start db").ok();
        until_healthy(dhow, "db");
        assert_eq!(query(dhow, "select string_agg(name, ',' order by name) from ships"), "boom,sambuk");

        // An orderly stop, a copy of its settings, another container on the same data.
        dhow.cmd("stop db").ok();
        assert_eq!(inspect(dhow, "db", ".State.ExitCode"), "0");
        let log = dhow.cmd("logs db").output();
        assert!(log.err().contains("received fast shutdown request"), "{}", log.err());
        dhow.cmd("cp db:/var/lib/postgresql/data/postgresql.conf copied.conf").ok();
        assert!(std::fs::read_to_string(dhow.home().join("copied.conf")).unwrap().contains("max_connections"));
        let other = dhow.cmd("run --rm --network none --volumes-from db -u postgres -e PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin services:1")
            .sh("echo 'select count(*) from ships' | postgres --single -D /var/lib/postgresql/data postgres 2>/dev/null").ok();
        assert!(other.out().contains("count = \"2\""), "{}", other.out());
        dhow.cmd("rm -v db").ok();
        assert_eq!(dhow.cmd("volume ls -q").ok().out(), "data");
    }

    fn a_web_server_is_changed_and_kept(dhow) {
        let Some(image) = debian::with_servers() else { return };
        dhow.load(&image, "services:1");
        dhow.cmd("run -d --name web --network none --restart always --health-interval 100ms")
            .args(["--health-cmd", "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"127.0.0.1:80\") or exit 1'"])
            .args(["services:1", "sh", "-c", "ln -sf /dev/stdout /var/log/nginx/access.log; exec nginx -g 'daemon off;'"])
            .ok();
        until_healthy(dhow, "web");
        assert!(fetch(dhow, "web").contains("Welcome to nginx"));
        let page = dhow.write("home/index.html", "made by hand\n");
        dhow.cmd("cp").arg(&page).arg("web:/var/www/html/index.html").ok();
        assert!(fetch(dhow, "web").ends_with("made by hand"));
        while !dhow.cmd("logs web").output().out().contains("GET / HTTP/1.0") {}
        assert!(dhow.cmd("diff web").ok().out().lines().any(|line| line == "A /var/www/html/index.html"));

        dhow.cmd("commit -m by-hand web kept:1").ok();
        dhow.cmd("restart -t 5 web").ok();
        until_healthy(dhow, "web");
        assert!(fetch(dhow, "web").ends_with("made by hand"));
        dhow.cmd("rm -f web").ok();

        dhow.cmd("run -d --name again --network none kept:1 nginx -g").arg("daemon off;").ok();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !dhow.cmd("top again").ok().out().contains("worker process") {
            assert!(Instant::now() < deadline, "nginx does not start");
        }
        assert!(fetch(dhow, "again").ends_with("made by hand"));
        dhow.cmd("rm -f again").ok();
    }
}
