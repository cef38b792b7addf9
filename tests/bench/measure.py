"""The inner half of tests/bench/run: measures as an unprivileged account, then reports medians, ratios and budgets."""

import glob
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import build
import life
import net

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = HERE + "/results"
ROOTFS = HERE + "/rootfs"
BUSYBOX = "bench/busybox:latest"
LARGE = "bench/large:latest"
# An earlier dhow, measured beside the present one where there is one.
BEFORE = "dhow-before"
# How many files are made and removed before a round on a disk that is in use.
WORN_FILES = 20_000


def timed(command, env):
    """Milliseconds from the start of `command` to its end."""
    null = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    program = shutil.which(command[0])
    begin = time.perf_counter()
    pid = os.posix_spawn(program, command, env, file_actions=null)
    _, status = os.waitpid(pid, 0)
    elapsed = (time.perf_counter() - begin) * 1000
    if status != 0:
        again = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        sys.exit(f"failed ({os.waitstatus_to_exitcode(status)}): {' '.join(command)}\n{again.stdout}{again.stderr}")
    return elapsed


class Engine:
    """An engine with a data root that can be emptied."""

    def __init__(self, program):
        self.program = program
        self.is_dhow = program in ("dhow", BEFORE)
        self.fresh()

    def fresh(self):
        """A new, empty data root."""
        self.dir = tempfile.mkdtemp(prefix=f"bench-{self.program}-", dir=os.environ["HOME"])
        self.env = dict(os.environ)
        if self.is_dhow:
            self.env["DHOW_ROOT"] = self.dir + "/root"
        else:
            self.env["CONTAINERS_STORAGE_CONF"] = self.dir + "/storage.conf"
            self.env["XDG_DATA_HOME"] = self.dir
            with open(self.env["CONTAINERS_STORAGE_CONF"], "w", encoding="ascii") as file:
                file.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.dir}/root"\nrunroot = "{self.dir}/run"\n')
        return self

    def command(self, *words):
        return [self.program, *words]

    def run(self, *words):
        if self.program == "podman" and words[0] == "run":
            # Its cgroup set-up needs a systemd session or version 2 alone; without it podman has less to do.
            words = ("run", "--cgroups=disabled", *words[1:])
        return timed(self.command(*words), self.env)


def engines(mapped):
    """Every engine to measure, each with an empty data root; the first is dhow."""
    programs = ["dhow"] + [BEFORE] * bool(shutil.which(BEFORE)) + ["podman"] * mapped
    return [Engine(program) for program in programs]


class UsedDisk:
    """Makes the file system one that is in use: ext4 passes over inodes that were deleted lately, one by one."""

    def __init__(self, mapped):
        self.engines = engines(mapped)

    def wear(self):
        for engine in self.engines:
            engine.run("load", "-q", "-i", HERE + "/image.tar")
            engine.run("rmi", "-f", LARGE)
        target = tempfile.mkdtemp(prefix="worn-", dir=os.environ["HOME"])
        for number in range(WORN_FILES):
            os.close(os.open(f"{target}/{number}", os.O_CREAT | os.O_WRONLY, 0o644))
        shutil.rmtree(target)


# The disk to wear before each round; None on a fresh one.
used_disk = None


def interleaved(rounds, subjects):
    """Medians of calling each of `subjects` once a round, in changing order."""
    times = {name: [] for name in subjects}
    names = list(subjects)
    for _ in range(rounds):
        if used_disk:
            used_disk.wear()
        random.shuffle(names)
        for name in names:
            times[name].append(subjects[name]())
    return {name: statistics.median(values) for name, values in times.items()}


def plain(*command):
    return lambda: timed(list(command), dict(os.environ))


def bwrap():
    return plain("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", ROOTFS, "/", "--proc", "/proc", "--dev",
                 "/dev", "/bin/true")


def unshare(*options):
    return plain("unshare", "--user", "--map-root-user", *options, "--mount", "--pid", "--ipc", "--uts", "--net",
                 "--cgroup", "--fork", "true")


def measure_start(mapped, rounds):
    compared = engines(mapped)
    for engine in compared:
        engine.run("load", "-i", HERE + "/busybox.tar")

    def subjects(*words):
        return {engine.program: lambda engine=engine: engine.run(*words) for engine in compared}

    rows = {}
    if mapped:
        for name, word in (("version", "--version"), ("images", "images")):
            rows[name] = interleaved(rounds, subjects(word) | {"true": plain("true")})
    floors = {"bwrap": bwrap(), "unshare": unshare("--map-auto") if mapped else unshare()}
    start = subjects("run", "--rm", "--network", "none", BUSYBOX, "true")
    rows["start-mapped" if mapped else "start-single"] = interleaved(rounds, start | floors)
    # Each run is the only one on its network: it is set up and taken down every time.
    network = subjects("run", "--rm", BUSYBOX, "true")
    rows["start-network-mapped" if mapped else "start-network-single"] = interleaved(rounds, network | floors)
    return rows


def fresh_each(engine, *words):
    """A subject that works on an empty data root each time; only the command is timed. Nothing is deleted meanwhile."""
    def once():
        engine.fresh()
        os.sync()
        return engine.run(*words)
    return once


def measure_store(mapped, rounds, remote):
    compared = engines(mapped)
    suffix = "mapped" if mapped else "single"
    archive = HERE + "/image.tar"
    pull, load, save = {}, {}, {}
    for engine in compared:
        plain_http = [] if engine.is_dhow else ["--tls-verify=false"]
        pull[engine.program] = fresh_each(engine, "pull", "-q", *plain_http, remote)
        load[engine.program] = fresh_each(engine, "load", "-q", "-i", archive)
    blobs = sorted(glob.glob(HERE + "/layout/blobs/sha256/*"), key=os.path.getsize)[-4:]
    pull["tar"] = lambda: tar_floor(blobs)
    rows = {"pull-" + suffix: interleaved(rounds, pull), "load-" + suffix: interleaved(rounds, load)}
    for engine in compared:
        engine.fresh().run("load", "-q", "-i", archive)
        target = tempfile.mkdtemp(dir=os.environ["HOME"])
        save[engine.program] = lambda engine=engine, target=target: save_once(engine, target)
    rows["save-" + suffix] = interleaved(rounds, save)
    return rows


def save_once(engine, target):
    os.sync()
    elapsed = engine.run("save", "-o", target + "/out.tar", LARGE)
    os.unlink(target + "/out.tar")
    return elapsed


def tar_floor(blobs):
    """The layers unpacked by `tar`, two at a time, from files: no registry, no verification."""
    target = tempfile.mkdtemp(dir=os.environ["HOME"])
    os.sync()
    script = f"printf '%s\\n' {' '.join(blobs)} | xargs -P 2 -I B tar -C {target} -xzf B"
    return timed(["sh", "-c", script], dict(os.environ))


PHASES = [
    ("read the image, make the container, fork", r"(clone3?|unshare)\(.*NEWUSER"),
    ("map users, mount", r"pivot_root\("),
    ("confine", r'execve\("[^"]*/?true"'),
    ("the command", r"exit_group\("),
    ("clean up", None),
]


def measure_phases(account):
    """Where the time of one start goes, seen by strace, which slows all of it: shares and counts are what to read.

    Runs as root, for only root's strace lets `newuidmap` keep its privilege; dhow itself runs as `account`."""
    scratch = tempfile.mkdtemp(dir="/home")
    shutil.chown(scratch, account, account)
    env = {"HOME": scratch, "USER": account, "PATH": os.environ["PATH"], "DHOW_ROOT": scratch + "/root"}
    subprocess.run(["dhow", "load", "-q", "-i", HERE + "/busybox.tar"], env=env, user=account, group=account,
                   extra_groups=[], stdout=subprocess.DEVNULL, check=True)
    trace = tempfile.mktemp()
    command = ["dhow", "run", "--rm", "--network", "none", BUSYBOX, "/bin/true"]
    subprocess.run(["strace", "-u", account, "-f", "-ttt", "-o", trace, *command], env=env, check=True)
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = [line.split(None, 2) for line in file]
    os.unlink(trace)
    rows, at, begin = [], 0, float(lines[0][1])
    for name, pattern in PHASES:
        first = at
        while at < len(lines) - 1 and not (pattern and re.search(pattern, lines[at][2])):
            at += 1
        end = float(lines[at][1])
        calls = sum("resumed>" not in line[2] and "(" in line[2] for line in lines[first:at])
        rows.append((name, (end - begin) * 1000, calls))
        begin, at = end, min(at + 1, len(lines) - 1)
    return rows


# What is measured, for whom, what to compare with, the largest ratio allowed, or the largest number of milliseconds.
BUDGETS = [
    ("start-mapped", "run --rm --network none, subordinate ids", "bwrap", 1.7, None),
    ("start-single", "run --rm --network none, one id", "bwrap", 1.15, None),
    ("start-network-mapped", "run --rm, first of its network, subordinate ids", "bwrap", 2.5, None),
    ("start-network-single", "run --rm, first of its network, one id", "bwrap", 2.0, None),
    ("version", "--version", "podman", None, 2.0),
    ("images", "images", "podman", None, 3.0),
    ("pull-mapped", "pull, subordinate ids", "podman", 0.33, None),
    ("pull-single", "pull, one id", "tar", None, None),
    ("load-mapped", "load, subordinate ids", "podman", 0.2, None),
    ("load-single", "load, one id", None, None, None),
    ("save-mapped", "save, subordinate ids", "podman", None, None),
    ("save-single", "save, one id", None, None, None),
    ("run-d-mapped", "run -d, subordinate ids", "podman", None, 12.0),
    ("run-d-single", "run -d, one id", None, None, 12.0),
    ("exec-mapped", "exec, subordinate ids", "bwrap", 0.5, None),
    ("exec-single", "exec, one id", "bwrap", 0.5, None),
    ("stop-mapped", "stop, subordinate ids", "podman", None, None),
    ("stop-single", "stop, one id", None, None, None),
    ("ps-100", "ps, 100 containers that have ended", "podman", None, 3.0),
    ("ps-a-100", "ps -a, the same", "podman", None, 3.0),
    ("ps-1000", "ps -a, 1,000 containers", None, None, 12.0),
    ("ps-filter-1000", "ps -a --filter name=, the same", None, None, 12.0),
    ("inspect-2000", "image inspect, 2,000 names", None, None, 3.0),
    ("stats", "stats --no-stream", None, None, 1100.0),
    ("many", "64 runs at once", "podman", None, None),
    ("many-detached", "50 × run -d, 8 at once", "podman", 0.12, None),
    ("build-cold-mapped", "build of 11 steps, nothing cached, subordinate ids", "podman", 0.5, None),
    ("build-cold-single", "the same, one id", None, None, None),
    ("build-cached-mapped", "the same, all cached, subordinate ids", "podman", None, 30.0),
    ("build-cached-single", "the same, one id", None, None, 30.0),
    ("build-line-mapped", "the same, one page changed, subordinate ids", "podman", None, None),
    ("build-line-single", "the same, one id", None, None, None),
    ("build-run-step-mapped", "what one RUN adds, subordinate ids", "bwrap", None, 20.0),
    ("build-run-step-single", "what one RUN adds, one id", "bwrap", None, 20.0),
    ("build-change-large-mapped", "one file of a large image changed by RUN, subordinate ids", "podman", None, None),
    ("build-change-large-single", "the same, one id", None, None, None),
    ("build-copy-mapped", "COPY of 50,000 files, subordinate ids", "podman", 0.12, None),
    ("build-copy-single", "the same, one id", None, None, None),
    ("build-copied-mapped", "the same, cached, subordinate ids", "podman", None, None),
    ("build-copied-single", "the same, one id", None, None, None),
    ("build-commit-mapped", "commit of one file of a large image, subordinate ids", "podman", None, 20.0),
    ("build-commit-single", "the same, one id", None, None, 20.0),
    ("memory", "kB of memory for a detached container", "podman", None, 1024.0),
]
PEERS = [BEFORE, "podman", "bwrap", "unshare", "tar", "true"]
DISKS = ["fresh", "used"]


def show(value):
    return "" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def verdict(row, peer, ratio, limit):
    if limit is not None:
        return f"≤ {limit:g}", "met" if row["dhow"] <= limit else "NOT MET"
    if ratio is not None:
        return f"≤ {ratio:g} × {peer}", "met" if row["dhow"] <= ratio * row[peer] else "NOT MET"
    return "", ""


def report():
    results, phases = {disk: {} for disk in DISKS}, {}
    for path in glob.glob(RESULTS + "/*.json"):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        results[data["disk"]].update(data["rows"])
        if data["phases"]:
            phases[data["account"]] = data["phases"]
    with open(HERE + "/facts.json", encoding="utf-8") as file:
        facts = json.load(file)
    print(f"medians in milliseconds; pull, load, save: {facts['files']:,} files, {facts['bytes'] / 1e6:.0f} MB, "
          f"{facts['compressed'] / 1e6:.0f} MB gzip, {facts['layers']} layers; {os.cpu_count()} cores")
    titles = {"fresh": "a fresh ext4", "used": "an ext4 in use: before each round the image is loaded and removed, and "
              f"{WORN_FILES:,} files are made and removed"}
    for disk in DISKS:
        if any(key in results[disk] for key, *_ in BUDGETS):
            print(f"\non {titles[disk]}")
            print_table(budget_table(results[disk]))
    networks = net.report(results["fresh"], show)
    if networks:
        print()
        print_table(networks)
    for account, rows in phases.items():
        kind = "subordinate ids" if account == "bench-a" else "one id"
        print(f"\nphases of one start under strace, {kind}")
        print_table([["", "ms", "system calls"]] + [[name, show(ms), str(calls)] for name, ms, calls in rows])


def budget_table(results):
    peers = [peer for peer in PEERS if any(peer in row for row in results.values())]
    table = [["", "dhow", *peers, "ratio", "budget", ""]]
    for key, title, peer, ratio, limit in BUDGETS:
        row = results.get(key)
        if row is None:
            continue
        ratios = [other for other in (BEFORE, peer) if other in row]
        shown = ", ".join(f"{row['dhow'] / row[other]:.2f} × {other}" for other in ratios)
        table.append([title, show(row["dhow"]), *[show(row.get(name)) for name in peers], shown,
                      *verdict(row, peer, ratio, limit)])
    return table


def print_table(table):
    widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
    for index, row in enumerate(table):
        print("| " + " | ".join(cell.ljust(widths[n]) if n == 0 else cell.rjust(widths[n])
                                for n, cell in enumerate(row)) + " |")
        if index == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def main():
    verb, account, *rest = sys.argv[1:] + [""]
    if verb == "report":
        report()
        return
    rows, phases, parts, disk = {}, [], [], "fresh"
    if verb == "phases":
        phases = measure_phases(account)
    else:
        os.environ["USER"] = account
        remote, disk, *rest = rest
        quick, mapped = "--quick" in rest, account == "bench-a"
        parts = [part for part in rest if part and not part.startswith("-")]
        rows = measure_parts(parts, remote, disk, mapped, quick)
    with open(f"{RESULTS}/{verb}-{'-'.join(parts)}-{disk}-{account}.json", "w", encoding="utf-8") as file:
        json.dump({"account": account, "disk": disk, "rows": rows, "phases": phases}, file)


def measure_parts(parts, remote, disk, mapped, quick):
    global used_disk
    this, rows = sys.modules["__main__"], {}
    if disk == "used":
        used_disk = UsedDisk(mapped)
    if "start" in parts:
        rows.update(measure_start(mapped, 11 if quick else 61))
    if "store" in parts:
        rows.update(measure_store(mapped, 1 if quick else 5, remote))
    if "life" in parts:
        rows.update(life.measure(this, mapped, 5 if quick else 31))
    if "build" in parts:
        rows.update(build.measure(this, mapped, 3 if quick else 21, quick))
    if "net" in parts:
        rows.update(net.measure(this, mapped, quick))
    return rows


if __name__ == "__main__":
    main()
