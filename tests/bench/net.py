"""Part of tests/bench/run: networks. Throughput, round trips, connections, datagrams, CPU time, memory and set-up of the
default network, beside slirp4netns, pasta and no network between at all (`raw`), in a network namespace of its own, in
which `probe` serves at an address of the host: all runs over the kernel's loopback, so raw is what there is to lose."""

import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PROBE = "/var/tmp/bench/probe"
HOST = "192.0.2.2"
# Of servers on the host, in what is measured, and where the latter is published.
PORT, INNER, OUTER = 7000, 7001, 8080
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def facts(command, env=None):
    """What the probe says, as a dictionary; the end of everything where it failed."""
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{' '.join(command)}: no end within 20 seconds") from late
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if found.get("result") != "ok":
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return found


def until(what, ready):
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection((HOST, port), 1).close()
        return True
    except OSError:
        return False


class Raw:
    """No network between: the probe as it is."""

    name, published = "raw", INNER

    def __init__(self):
        self.server = subprocess.Popen([PROBE, "net", "serve", str(INNER)], **QUIET)
        until("raw", lambda: listens(INNER))

    def probe(self, *words):
        return facts([PROBE, "net", *words])

    def close(self):
        self.server.kill()
        self.server.wait()


class Namespace:
    """A network namespace that a program connects."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", "sleep", "infinity"], **QUIET)
        own = os.readlink("/proc/self/ns/net")

        def entered():
            try:
                return os.readlink(f"/proc/{self.holder.pid}/ns/net") != own
            except OSError:
                return False
        until("a namespace", entered)
        self.inside("sh", "-c", "until echo reno >/proc/sys/net/ipv4/tcp_congestion_control; do sleep 0.01; done")
        self.program = self.connect()
        self.server = subprocess.Popen(self.enter(PROBE, "net", "serve", str(INNER)), **QUIET)
        until(self.name, lambda: listens(self.published))

    def enter(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-n", "--preserve-credentials", *command]

    def inside(self, *command):
        until("entry", lambda: subprocess.run(self.enter(*command), **QUIET, check=False).returncode == 0)

    def probe(self, *words):
        return facts(self.enter(PROBE, "net", *words))

    def close(self):
        for process in (self.server, self.program, self.holder):
            process.kill()
            process.wait()


class Slirp(Namespace):
    name, published = "slirp4netns", OUTER + 1

    def connect(self):
        api = tempfile.mktemp()
        program = subprocess.Popen(["slirp4netns", "--configure", "--mtu=65520", "--api-socket", api,
                                    str(self.holder.pid), "tap0"], **QUIET)
        until("the interface of slirp4netns", lambda: os.path.exists(api))
        order = {"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "0.0.0.0",
                 "host_port": self.published, "guest_addr": "10.0.2.100", "guest_port": INNER}}
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(api)
            control.sendall(json.dumps(order).encode())
            control.shutdown(socket.SHUT_WR)
            answer = control.recv(4096)
        if b"error" in answer:
            raise RuntimeError(answer)
        return program


class Pasta(Namespace):
    name, published = "pasta", OUTER + 2

    def connect(self):
        return subprocess.Popen(["pasta", "--config-net", "--foreground", "--quiet", "-a", "10.0.2.15", "-n", "24", "-g",
                                 "10.0.2.2", "-t", f"{self.published}:{INNER}", "-u", "none", "-T", "none", "-U", "none",
                                 str(self.holder.pid)], **QUIET)


class Dhow:
    name, published = "dhow", OUTER

    def __init__(self, engine, image):
        self.engine = engine
        self.command("run", "-d", "--name", "bench", "-p", f"{OUTER}:{INNER}", "-v", f"{PROBE}:/probe:ro", image,
                     "/probe", "net", "serve", str(INNER))
        until("dhow", lambda: listens(OUTER))

    def command(self, *words):
        return subprocess.run(self.engine.command(*words), env=self.engine.env, check=True, capture_output=True, text=True).stdout

    def probe(self, *words):
        return facts(self.engine.command("exec", "bench", "/probe", "net", *words), self.engine.env)

    def close(self):
        self.command("rm", "-f", "bench")


def busy():
    """CPU seconds that this machine has worked so far."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def flood(way, streams, milliseconds):
    def once(subject):
        before = busy()
        found = subject.probe("flood", way, f"{HOST}:{PORT}", str(milliseconds), str(streams))
        # The probe moves bytes for an eighth of the time before it counts them.
        moved = int(found["bytes"]) * 9 / 8
        rate = {"": float(found["gbit"])}
        # Some move nothing in a short round.
        return rate | {"-cpu": (busy() - before) / moved * 1e9} if moved else rate
    return once


def published(way, milliseconds):
    """From the host to the server inside, or back."""
    def once(subject):
        found = facts([PROBE, "net", "flood", way, f"{HOST}:{subject.published}", str(milliseconds), "1"])
        return {"": float(found["gbit"])}
    return once


def ask(key, scale, *words):
    return lambda subject: {"": float(subject.probe(*words)[key]) * scale}


def measures(milliseconds):
    target = f"{HOST}:{PORT}"
    return {
        "net-out": flood("out", 1, milliseconds),
        "net-in": flood("in", 1, milliseconds),
        "net-out-4": flood("out", 4, milliseconds),
        "net-published-in": published("out", milliseconds),
        "net-published-out": published("in", milliseconds),
        "net-connections": ask("per_second", 0.001, "crr", target, str(milliseconds), "8"),
        "net-rtt": ask("us_p50", 1, "rr", target, "1000"),
        "net-udp": ask("gbit", 1, "udp-flood", target, str(milliseconds), "1400"),
        "net-udp-large": ask("gbit", 1, "udp-flood", target, str(milliseconds), "32000"),
        "net-udp-rtt": ask("us_p50", 1, "udp-rr", target, "1000"),
    }


def throughput(subjects, rounds, milliseconds):
    """Medians by row and subject; all subjects one after another in each round, in changing order."""
    times = {}
    for _ in range(rounds):
        for key, once in measures(milliseconds).items():
            for subject in random.sample(subjects, len(subjects)):
                try:
                    values = once(subject)
                except RuntimeError as error:
                    if subject.name == "dhow":
                        raise
                    # A peer that loses a connection has no figure of this round.
                    print(f"{key}: {subject.name}: {error}", file=sys.stderr)
                    continue
                for suffix, value in values.items():
                    times.setdefault(key + suffix, {}).setdefault(subject.name, []).append(value)
    return {key: {name: statistics.median(values) for name, values in row.items()} for key, row in times.items()}


def between_containers(dhow, image, rounds, milliseconds):
    """From one container to the server of the other, past everything but the kernel."""
    dhow.command("run", "-d", "--name", "other", "-v", f"{PROBE}:/probe:ro", image, "/probe", "net", "serve", "7000")
    address = dhow.command("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "other").strip()
    target = f"{address}:7000"
    until("the other container", lambda: "serving=" in dhow.command("logs", "other"))
    values = [float(dhow.probe("flood", "out", target, str(milliseconds), "1")["gbit"]) for _ in range(rounds)]
    dhow.command("rm", "-f", "other")
    return {"dhow": statistics.median(values)}


def memory(dhow, image):
    """Kilobytes (PSS) that the network's helper takes with one container and for each of ten more, supervisors aside."""
    def helper():
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if not file.read().startswith(b"dhow: network"):
                        continue
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    total += int(re.search(r"^Pss: +(\d+)", file.read(), re.M)[1])
            except OSError:
                pass
        return total
    names = [f"m{number}" for number in range(10)]
    one = helper()
    for name in names:
        dhow.command("run", "-d", "--name", name, image, "sh", "-c", "sleep 1000")
    eleven = helper()
    dhow.command("rm", "-f", *names)
    return {"net-memory": {"dhow": one}, "net-memory-each": {"dhow": (eleven - one) / 10}}


def starts(measure, engine, mapped, rounds):
    """`run --rm IMAGE true`: where nothing else is on a network, and where something is."""
    words = ("run", "--rm", measure.BUSYBOX, "true")
    subjects = {"dhow": lambda: engine.run(*words), "bwrap": measure.bwrap(),
                "none": lambda: engine.run("run", "--rm", "--network", "none", measure.BUSYBOX, "true")}
    if mapped:
        podman = measure.Engine("podman")
        podman.run("load", "-i", measure.HERE + "/busybox.tar")
        subjects["podman"] = lambda: podman.run("run", "--rm", "--network", "pasta", measure.BUSYBOX, "true")
    suffix = "mapped" if mapped else "single"
    rows = {"net-cold-" + suffix: measure.interleaved(rounds, subjects)}
    subprocess.run(engine.command("run", "-d", "--name", "anchor", measure.BUSYBOX, "sh", "-c", "sleep 1000"), env=engine.env,
                   check=True, stdout=subprocess.DEVNULL)
    rows["net-warm-" + suffix] = measure.interleaved(rounds, subjects)
    subprocess.run(engine.command("rm", "-f", "anchor"), env=engine.env, check=True, stdout=subprocess.DEVNULL)
    return rows


def measure(measure, mapped, quick):
    """Rows of medians, by name; `measure` is the module of the same name."""
    engine = measure.Engine("dhow")
    engine.run("load", "-i", measure.HERE + "/busybox.tar")
    rows = starts(measure, engine, mapped, 5 if quick else 41)
    if not mapped:
        return rows
    rounds, milliseconds = (1, 500) if quick else (9, 700)
    server = subprocess.Popen([PROBE, "net", "serve", str(PORT)], **QUIET)
    until("the server", lambda: listens(PORT))
    subjects = [Raw(), Slirp(), Pasta(), Dhow(engine, measure.BUSYBOX)]
    dhow = subjects[-1]
    rows.update(memory(dhow, measure.BUSYBOX))
    rows.update(throughput(subjects, rounds, milliseconds))
    rows["net-between"] = between_containers(dhow, measure.BUSYBOX, rounds, milliseconds)
    rows["net-between"]["raw"] = rows["net-out"]["raw"]
    for subject in reversed(subjects):
        subject.close()
    server.kill()
    server.wait()
    return rows


# What is measured, its unit, whether more is better, and the factors to hold against others.
BUDGETS = [
    ("net-out", "TCP out", "Gbit/s", True, {"raw": 0.6, "slirp4netns": 2}),
    ("net-in", "TCP in", "Gbit/s", True, {"raw": 0.6, "slirp4netns": 2, "pasta": 1.3}),
    ("net-out-4", "TCP out, 4 streams", "Gbit/s", True, {"slirp4netns": 2}),
    ("net-published-in", "TCP to a published port", "Gbit/s", True, {"raw": 0.6, "pasta": 1.3}),
    ("net-published-out", "TCP from a published port", "Gbit/s", True, {"raw": 0.6}),
    ("net-between", "TCP between containers", "Gbit/s", True, {}),
    ("net-connections", "connections, 8 at once", "1,000/s", True, {"pasta": 1}),
    ("net-rtt", "TCP round trip", "µs", False, {}),
    ("net-udp", "UDP received, 1,400 bytes", "Gbit/s", True, {"pasta": 1}),
    ("net-udp-large", "UDP received, 32,000 bytes", "Gbit/s", True, {"pasta": 1}),
    ("net-udp-rtt", "UDP round trip", "µs", False, {}),
    ("net-out-cpu", "CPU time of all, TCP out", "s/GB", False, {}),
    ("net-in-cpu", "CPU time of all, TCP in", "s/GB", False, {}),
    ("net-memory", "memory of the helper, one container", "kB", False, {}),
    ("net-memory-each", "memory of the helper for each more", "kB", False, {}),
    ("net-cold-mapped", "run --rm, first of its network, subordinate ids", "ms", False, {"bwrap": 3}),
    ("net-cold-single", "run --rm, first of its network, one id", "ms", False, {"bwrap": 3}),
    ("net-warm-mapped", "run --rm beside another, subordinate ids", "ms", False, {"bwrap": 3}),
    ("net-warm-single", "run --rm beside another, one id", "ms", False, {"bwrap": 3}),
]
PEERS = ["raw", "slirp4netns", "pasta", "podman", "bwrap", "none"]


def report(results, show):
    """The table's rows, the first of which is its head."""
    table = [["network", "unit", "dhow", *PEERS, "ratios", "budget", ""]]
    for key, title, unit, more, factors in BUDGETS:
        row = results.get(key)
        if row is None:
            continue
        ratios = {peer: row["dhow"] / row[peer] for peer in PEERS if row.get(peer)}
        held = [ratios[peer] >= factor if more else ratios[peer] <= factor for peer, factor in factors.items()]
        budget = ", ".join(f"{'≥' if more else '≤'} {factor:g} × {peer}" for peer, factor in factors.items())
        table.append([title, unit, show(row["dhow"]), *[show(row.get(peer)) for peer in PEERS],
                      ", ".join(f"{ratio:.2f} × {peer}" for peer, ratio in ratios.items()), budget,
                      ("met" if all(held) else "NOT MET") if held else ""])
    return table if len(table) > 1 else []
