"""Part of tests/bench/run: containers that live on: their start and end, exec, ps among many, memory, many at once."""

import concurrent.futures
import os
import random
import re
import statistics
import subprocess
import time

# Ends at once when it is asked to.
SLEEPER = ["sh", "-c", "trap exit TERM; sleep 1000 & wait"]


def measure(measure, mapped, rounds):
    """Rows of medians, by name; `measure` is the module of the same name."""
    engines = measure.engines(mapped)
    for engine in engines:
        engine.run("load", "-i", measure.HERE + "/busybox.tar")
    suffix = "mapped" if mapped else "single"
    rows = {"exec-" + suffix: execs(measure, engines, rounds)}
    rows.update({name + suffix: row for name, row in starts_and_stops(measure, engines, rounds).items()})
    if mapped:
        rows["many"] = many_at_once(measure, engines)
        rows["many-detached"] = many_detached(measure, engines)
        rows["memory"] = {engine.program: memory(measure, engine) for engine in engines}
        rows.update(listings(measure, engines, rounds))
    return rows


def remove(engine, names):
    subprocess.run(engine.command("rm", "-f", "-t", "0", *names) if engine.program == "podman"
                   else engine.command("rm", "-f", *names), env=engine.env, check=True, stdout=subprocess.DEVNULL)


def execs(measure, engines, rounds):
    """A command in a container that runs, beside bubblewrap, which makes its sandbox anew."""
    for engine in engines:
        engine.run("run", "-d", "--name", "ready", "--network", "none", measure.BUSYBOX, *SLEEPER)
    subjects = {engine.program: lambda engine=engine: engine.run("exec", "ready", "true") for engine in engines}
    subjects["bwrap"] = measure.bwrap()
    row = measure.interleaved(rounds, subjects)
    for engine in engines:
        remove(engine, ["ready"])
    return row


def starts_and_stops(measure, engines, rounds):
    """Both of the same containers, which are removed after."""
    times = {"run-d-": {}, "stop-": {}}
    for number in range(rounds):
        for engine in random.sample(engines, len(engines)):
            name = f"c{number}"
            started = engine.run("run", "-d", "--name", name, "--network", "none", measure.BUSYBOX, *SLEEPER)
            await_sleep(engine)
            stopped = engine.run("stop", name)
            times["run-d-"].setdefault(engine.program, []).append(started)
            times["stop-"].setdefault(engine.program, []).append(stopped)
            remove(engine, [name])
    return {name: {program: statistics.median(all_) for program, all_ in row.items()} for name, row in times.items()}


def await_sleep(engine):
    """Until the shell waits for its `sleep`: before, it has no trap yet."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if subprocess.run(["pgrep", "-u", str(os.getuid()), "-x", "sleep"], stdout=subprocess.DEVNULL,
                          check=False).returncode == 0:
            return
        time.sleep(0.001)
    raise TimeoutError(f"a container of {engine.program} does not get going")


def listings(measure, engines, rounds):
    """`ps` and `ps -a` among a hundred containers; for dhow among a thousand too, and an image among 2,000 names."""
    rows = {}
    for engine in engines:
        for _ in range(100):
            engine.run("create", "--network", "none", measure.BUSYBOX, "true")

    def row(engines, *words):
        subjects = {engine.program: lambda engine=engine: engine.run(*words) for engine in engines}
        return measure.interleaved(rounds, subjects | {"true": measure.plain("true")})

    rows["ps-100"] = row(engines, "ps")
    rows["ps-a-100"] = row(engines, "ps", "-a")
    dhows = [engine for engine in engines if engine.is_dhow]
    for engine in dhows:
        for _ in range(900):
            engine.run("create", "--network", "none", measure.BUSYBOX, "true")
        for number in range(2000):
            engine.run("tag", measure.BUSYBOX, f"bench/name-{number}")
    rows["ps-1000"] = row(dhows, "ps", "-a")
    rows["ps-filter-1000"] = row(dhows, "ps", "-a", "--filter", "name=nothing")
    rows["inspect-2000"] = row(dhows, "image", "inspect", "bench/name-1000")
    for engine in dhows:
        engine.run("run", "-d", "--name", "measured", "--network", "none", measure.BUSYBOX, *SLEEPER)
    rows["stats"] = row(dhows, "stats", "--no-stream")
    for engine in dhows:
        remove(engine, ["measured"])
    return rows


def many_detached(measure, engines):
    """Milliseconds for 50 detached containers, 8 of which are started at a time."""
    row = {}
    for engine in engines:
        command = engine.command("run", "-d", "--network", "none", measure.BUSYBOX, *SLEEPER)
        if not engine.is_dhow:
            command.insert(2, "--cgroups=disabled")
        begin = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            started = list(pool.map(lambda _: subprocess.run(command, env=engine.env, check=True, capture_output=True,
                                                             text=True).stdout.strip(), range(50)))
        row[engine.program] = (time.perf_counter() - begin) * 1000
        remove(engine, started)
    return row


def many_at_once(measure, engines):
    """Milliseconds for 64 runs started at once, and for one."""
    words = ("run", "--rm", "--network", "none", measure.BUSYBOX, "true")
    row = {"dhow-one": statistics.median(engines[0].run(*words) for _ in range(11))}
    for engine in engines:
        command = engine.command(*words)
        if engine.program == "podman":
            command.insert(2, "--cgroups=disabled")
        begin = time.perf_counter()
        running = [subprocess.Popen(command, env=engine.env, stdout=subprocess.DEVNULL) for _ in range(64)]
        codes = [process.wait() for process in running]
        row[engine.program] = (time.perf_counter() - begin) * 1000
        assert codes == [0] * 64, codes
    return row


def memory(measure, engine):
    """Kilobytes that each of ten detached containers takes beside its own processes: proportional set size."""
    names = [f"m{number}" for number in range(10)]
    for name in names:
        engine.run("run", "-d", "--name", name, "--network", "none", measure.BUSYBOX, *SLEEPER)
    await_sleep(engine)
    time.sleep(1)
    wanted = re.compile(rb"^dhow: m\d" if engine.is_dhow else rb"conmon")
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if not wanted.search(file.read().split(b"\0")[0]):
                    continue
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += int(re.search(r"^Pss: +(\d+)", file.read(), re.M)[1])
        except OSError:
            pass
    remove(engine, names)
    return total / len(names)
