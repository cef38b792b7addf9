"""Part of tests/bench/run: building images, beside podman (whose builder is buildah), and committing to them."""

import os
import shutil
import subprocess
import tempfile

# Nine steps: a program in a stage of its own, and a site around it.
STEPS = """FROM {base} AS tool
WORKDIR /src
COPY tool /src/tool
RUN cp tool /bin/tool && chmod 755 /bin/tool
FROM {base}
ENV SITE=/srv/site
RUN mkdir -p /srv/site/cache
WORKDIR /srv/site
COPY pages pages
COPY --from=tool /bin/tool /usr/bin/tool
RUN cat pages/* >all
LABEL kind=site
CMD ["cat", "/srv/site/all"]
"""
# One RUN is the first of its build; the cost of a step is that of the ten behind it.
ONE_RUN = "FROM {base}\nRUN true 0\n"
MANY_RUNS = ONE_RUN + "".join(f"RUN true {n}\n" for n in range(1, 11))
COPY = "FROM {base}\nCOPY . /srv/\n"
# The large image has no shell of its own.
SHELL = "FROM {base}\nCOPY --from=bench/busybox:latest /bin /bin\n"
FILES = 50_000
DIRECTORIES = 250


class Context:
    """A directory to build from."""

    def __init__(self, text, base):
        self.dir = tempfile.mkdtemp(prefix="context-", dir=os.environ["HOME"])
        self.write("Dockerfile", text.format(base=base))

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


def site(base):
    context = Context(STEPS, base)
    context.write("tool", "#!/bin/sh\necho tool\n")
    for page in range(20):
        context.write(f"pages/{page}.html", f"<p>page {page}</p>\n")
    return context


def many_files(base):
    context = Context(COPY, base)
    for number in range(FILES):
        context.write(f"d{number % DIRECTORIES}/f{number}", f"content {number}\n")
    return context


def build(engine, context, *options):
    """Milliseconds of one build."""
    if engine.program == "podman":
        options = ("--layers", *options)
    return engine.run("build", "-q", "-t", "bench/built", "--network", "none", *options, context.dir)


def measure(measure, mapped, rounds, quick):
    """Rows of medians, by name; `measure` is the module of the same name."""
    engines = measure.engines(mapped)
    for engine in engines:
        for archive in ("busybox.tar", "image.tar"):
            engine.run("load", "-q", "-i", f"{measure.HERE}/{archive}")
    suffix = "mapped" if mapped else "single"
    rows = sites(measure, engines, rounds)
    rows["run-step-"] = run_steps(measure, engines, rounds)
    rows["change-large-"] = changes(measure, engines, rounds)
    rows.update(copies(measure, engines, 1 if quick else 3))
    rows["commit-"] = commits(measure, engines, rounds)
    for engine in engines:
        shutil.rmtree(engine.dir, ignore_errors=True)
    return {"build-" + name + suffix: row for name, row in rows.items()}


def sites(measure, engines, rounds):
    """Everything built anew, nothing, and what a changed page brings with it."""
    contexts = {engine.program: site(measure.BUSYBOX) for engine in engines}
    cold = measure.interleaved(rounds, {
        engine.program: lambda engine=engine: build(engine, contexts[engine.program], "--no-cache") for engine in engines})
    for engine in engines:
        build(engine, contexts[engine.program])
    cached = measure.interleaved(rounds, {
        engine.program: lambda engine=engine: build(engine, contexts[engine.program]) for engine in engines})
    count = iter(range(1_000_000))

    def changed(engine):
        contexts[engine.program].write("pages/7.html", f"<p>changed {next(count)}</p>\n")
        return build(engine, contexts[engine.program])

    line = measure.interleaved(rounds, {engine.program: lambda engine=engine: changed(engine) for engine in engines})
    return {"cold-": cold, "cached-": cached, "line-": line}


def run_steps(measure, engines, rounds):
    """What one RUN adds to a build, the command `true` included; bubblewrap's own start beside it."""
    one, many = Context(ONE_RUN, measure.BUSYBOX), Context(MANY_RUNS, measure.BUSYBOX)
    subjects = {"bwrap": measure.bwrap()}
    for engine in engines:
        subjects[engine.program + " one"] = lambda engine=engine: build(engine, one, "--no-cache")
        subjects[engine.program + " many"] = lambda engine=engine: build(engine, many, "--no-cache")
    times = measure.interleaved(rounds, subjects)
    row = {engine.program: (times[engine.program + " many"] - times[engine.program + " one"]) / 10 for engine in engines}
    return {**row, "bwrap": times["bwrap"]}


def changes(measure, engines, rounds):
    """One RUN, another one each time, that changes one file of a large image."""
    contexts = {engine.program: Context(SHELL, measure.LARGE) for engine in engines}
    count = iter(range(1_000_000))

    def change(engine):
        context = contexts[engine.program]
        context.write("Dockerfile", SHELL.format(base=measure.LARGE) + f"RUN echo {next(count)} >/usr/changed\n")
        return build(engine, context)

    for engine in engines:
        change(engine)
    return measure.interleaved(rounds, {engine.program: lambda engine=engine: change(engine) for engine in engines})


def copies(measure, engines, rounds):
    """Many small files, copied, and found unchanged."""
    context = many_files(measure.BUSYBOX)
    for engine in engines:
        build(engine, context)
    cold = {engine.program: lambda engine=engine: build(engine, context, "--no-cache") for engine in engines}
    cached = {engine.program: lambda engine=engine: build(engine, context) for engine in engines}
    return {"copy-": measure.interleaved(rounds, cold), "copied-": measure.interleaved(rounds, cached)}


def commits(measure, engines, rounds):
    """One changed file of a large image."""
    for engine in engines:
        build(engine, Context(SHELL, measure.LARGE))
        engine.run("run", "--name", "changed", "--network", "none", "bench/built", "sh", "-c", "echo changed >/usr/changed")
    row = measure.interleaved(rounds, {
        engine.program: lambda engine=engine: engine.run("commit", "-q" if engine.program == "podman" else "--pause=true",
                                                         "changed") for engine in engines})
    for engine in engines:
        subprocess.run(engine.command("rm", "changed"), env=engine.env, check=True, stdout=subprocess.DEVNULL)
    return row
