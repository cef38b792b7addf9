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
        self.fresh()

    def fresh(self):
        """A new, empty data root."""
        self.dir = tempfile.mkdtemp(prefix=f"bench-{self.program}-", dir=os.environ["HOME"])
        self.env = dict(os.environ)
        if self.program == "dhow":
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


def interleaved(rounds, subjects):
    """Medians of calling each of `subjects` once a round, in changing order."""
    times = {name: [] for name in subjects}
    names = list(subjects)
    for _ in range(rounds):
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
    dhow = Engine("dhow")
    dhow.run("load", "-i", HERE + "/busybox.tar")
    words = ("run", "--rm", "--network", "none", BUSYBOX, "true")
    start = {"dhow": lambda: dhow.run(*words), "bwrap": bwrap()}
    rows = {}
    if mapped:
        podman = Engine("podman")
        podman.run("load", "-i", HERE + "/busybox.tar")
        start["podman"] = lambda: podman.run(*words)
        start["unshare"] = unshare("--map-auto")
        rows["version"] = interleaved(rounds, {
            "dhow": lambda: dhow.run("--version"), "podman": lambda: podman.run("--version"), "true": plain("true")})
        rows["images"] = interleaved(rounds, {
            "dhow": lambda: dhow.run("images"), "podman": lambda: podman.run("images"), "true": plain("true")})
    else:
        start["unshare"] = unshare()
    rows["start-mapped" if mapped else "start-single"] = interleaved(rounds, start)
    return rows


def fresh_each(engine, *words):
    """A subject that works on an empty data root each time; only the command is timed. Nothing is deleted meanwhile:
    a file system that has just deleted much is slow to create."""
    def once():
        engine.fresh()
        os.sync()
        return engine.run(*words)
    return once


def measure_store(mapped, rounds, remote):
    dhow = Engine("dhow")
    suffix = "mapped" if mapped else "single"
    archive = HERE + "/image.tar"
    pull = {"dhow": fresh_each(dhow, "pull", "-q", remote)}
    load = {"dhow": fresh_each(dhow, "load", "-q", "-i", archive)}
    save = {}
    engines = [dhow]
    if mapped:
        podman = Engine("podman")
        engines.append(podman)
        pull["podman"] = fresh_each(podman, "pull", "-q", "--tls-verify=false", remote)
        load["podman"] = fresh_each(podman, "load", "-q", "-i", archive)
    blobs = sorted(glob.glob(HERE + "/layout/blobs/sha256/*"), key=os.path.getsize)[-4:]
    pull["tar"] = lambda: tar_floor(blobs)
    rows = {"pull-" + suffix: interleaved(rounds, pull), "load-" + suffix: interleaved(rounds, load)}
    for engine in engines:
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
    ("start-mapped", "run --rm --network none, subordinate ids", "bwrap", 2.0, None),
    ("start-single", "run --rm --network none, one id", "bwrap", 1.5, None),
    ("version", "--version", "podman", None, 2.0),
    ("images", "images", "podman", None, 3.0),
    ("pull-mapped", "pull, subordinate ids", "podman", 0.4, None),
    ("pull-single", "pull, one id", "tar", None, None),
    ("load-mapped", "load, subordinate ids", "podman", 0.4, None),
    ("load-single", "load, one id", None, None, None),
    ("save-mapped", "save, subordinate ids", "podman", None, None),
    ("save-single", "save, one id", None, None, None),
    ("run-d-mapped", "run -d, subordinate ids", "podman", None, 12.0),
    ("run-d-single", "run -d, one id", None, None, 12.0),
    ("exec-mapped", "exec, subordinate ids", "bwrap", 1.2, None),
    ("exec-single", "exec, one id", "bwrap", 1.2, None),
    ("stop-mapped", "stop, subordinate ids", "podman", None, None),
    ("stop-single", "stop, one id", None, None, None),
    ("ps-100", "ps, 100 containers that have ended", "podman", None, 3.0),
    ("ps-a-100", "ps -a, the same", "podman", None, 3.0),
    ("ps-1000", "ps -a, 1,000 containers", None, None, None),
    ("many", "64 runs at once", "podman", None, None),
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
    ("build-copy-mapped", "COPY of 50,000 files, subordinate ids", "podman", 0.5, None),
    ("build-copy-single", "the same, one id", None, None, None),
    ("build-copied-mapped", "the same, cached, subordinate ids", "podman", None, None),
    ("build-copied-single", "the same, one id", None, None, None),
    ("build-commit-mapped", "commit of one file of a large image, subordinate ids", "podman", None, 20.0),
    ("build-commit-single", "the same, one id", None, None, 20.0),
    ("memory", "kB of memory for a detached container", "podman", None, 1024.0),
]
PEERS = ["podman", "bwrap", "unshare", "tar", "true"]


def show(value):
    return "" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def verdict(row, peer, ratio, limit):
    if limit is not None:
        return f"≤ {limit:g}", "met" if row["dhow"] <= limit else "NOT MET"
    if ratio is not None:
        return f"≤ {ratio:g} × {peer}", "met" if row["dhow"] <= ratio * row[peer] else "NOT MET"
    return "", ""


def report():
    results, phases = {}, {}
    for path in glob.glob(RESULTS + "/*.json"):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        results.update(data["rows"])
        if data["phases"]:
            phases[data["account"]] = data["phases"]
    with open(HERE + "/facts.json", encoding="utf-8") as file:
        facts = json.load(file)
    print(f"medians in milliseconds; pull, load, save: {facts['files']:,} files, {facts['bytes'] / 1e6:.0f} MB, "
          f"{facts['compressed'] / 1e6:.0f} MB gzip, {facts['layers']} layers; {os.cpu_count()} cores\n")
    table = [["", "dhow", *PEERS, "ratio", "budget", ""]]
    for key, title, peer, ratio, limit in BUDGETS:
        row = results.get(key)
        if row is None:
            continue
        shown = f"{row['dhow'] / row[peer]:.2f} × {peer}" if peer else ""
        table.append([title, show(row["dhow"]), *[show(row.get(name)) for name in PEERS], shown,
                      *verdict(row, peer, ratio, limit)])
    if len(table) > 1:
        print_table(table)
    networks = net.report(results, show)
    if networks:
        print()
        print_table(networks)
    for account, rows in phases.items():
        kind = "subordinate ids" if account == "bench-a" else "one id"
        print(f"\nphases of one start under strace, {kind}")
        print_table([["", "ms", "system calls"]] + [[name, show(ms), str(calls)] for name, ms, calls in rows])


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
    rows, phases, parts = {}, [], []
    if verb == "phases":
        phases = measure_phases(account)
    else:
        os.environ["USER"] = account
        remote, *rest = rest
        quick, mapped = "--quick" in rest, account == "bench-a"
        parts = [part for part in rest if not part.startswith("-")]
        if "start" in parts:
            rows.update(measure_start(mapped, 11 if quick else 61))
        if "store" in parts:
            rows.update(measure_store(mapped, 1 if quick else 5, remote))
        if "life" in parts:
            rows.update(life.measure(sys.modules["__main__"], mapped, 5 if quick else 31))
        if "build" in parts:
            rows.update(build.measure(sys.modules["__main__"], mapped, 3 if quick else 21, quick))
        if "net" in parts:
            rows.update(net.measure(sys.modules["__main__"], mapped, quick))
    with open(f"{RESULTS}/{verb}-{'-'.join(parts)}-{account}.json", "w", encoding="utf-8") as file:
        json.dump({"account": account, "rows": rows, "phases": phases}, file)


if __name__ == "__main__":
    main()
