"""Makes the images that tests/bench/run measures with, as an OCI layout: `large` (10,000 files and about 284 MB of
programs and libraries in four layers, gzip) and `small` (busybox)."""

import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

FILES = 10_000
BYTES = 284_000_000
LARGE = 256 * 1024
LAYERS = 4
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def pick(top):
    """Regular files below `top` and their names in the image, in an order that mixes all kinds: the first up to the
    count that are not large, then large ones up to the size. Where there are too few, some come twice."""
    found = []
    for directory, _, names in os.walk(top):
        for path in (os.path.join(directory, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path):
                found.append((path, "usr/" + os.path.relpath(path, top), os.path.getsize(path)))
    found.sort(key=lambda item: hashlib.sha256(item[1].encode()).digest())
    small = [item for item in found if item[2] < LARGE]
    small += [(path, "again/" + name, size) for path, name, size in small]
    chosen = small[:FILES]
    total = sum(size for _, _, size in chosen)
    for item in found:
        if item[2] >= LARGE and total + item[2] <= BYTES:
            chosen.append(item)
            total += item[2]
    return [(path, name) for path, name, _ in chosen]


def clean(info):
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 1_700_000_000
    info.mode |= 0o444
    return info


def tar_of(entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        made = set()
        for path, name in entries:
            parents = name.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                parent = "/".join(parents[:depth])
                if parent not in made:
                    made.add(parent)
                    info = tarfile.TarInfo(parent)
                    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
                    archive.addfile(info)
            archive.add(path, name, recursive=False, filter=clean)
    return buffer.getvalue()


class Layout:
    def __init__(self, directory):
        self.directory = directory
        self.manifests = []
        os.makedirs(os.path.join(directory, "blobs/sha256"))

    def blob(self, media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.directory, "blobs/sha256", digest), "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    def image(self, name, layers):
        kind = "application/vnd.oci.image."
        diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        config = {"architecture": ARCHITECTURE, "os": "linux", "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"]},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        manifest = {
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
            "config": self.blob(kind + "config.v1+json", json.dumps(config).encode()),
            "layers": [self.blob(kind + "layer.v1.tar+gzip", gzip.compress(layer, 6, mtime=0)) for layer in layers],
        }
        descriptor = self.blob(manifest["mediaType"], json.dumps(manifest).encode())
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(descriptor)
        return sum(layer["size"] for layer in manifest["layers"])

    def close(self):
        with open(os.path.join(self.directory, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "manifests": self.manifests}, file)
        with open(os.path.join(self.directory, "oci-layout"), "w") as file:
            file.write('{"imageLayoutVersion":"1.0.0"}')


def main():
    top, busybox, out = sys.argv[1:]
    files = pick(top)
    layout = Layout(os.path.join(out, "layout"))
    # Dealt out like cards: layers of equal weight.
    layers = [tar_of(sorted(files[n::LAYERS], key=lambda item: item[1])) for n in range(LAYERS)]
    compressed = layout.image("large", layers)
    applets = io.BytesIO()
    with tarfile.open(fileobj=applets, mode="w") as archive:
        for name in ("bin", "etc", "proc", "dev", "sys", "tmp"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        archive.add(busybox, "bin/busybox", filter=clean)
        for name in ("sh", "true", "ls", "cat"):
            info = tarfile.TarInfo("bin/" + name)
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(info)
    layout.image("small", [applets.getvalue()])
    layout.close()
    with open(os.path.join(out, "small.tar"), "wb") as file:
        file.write(applets.getvalue())
    facts = {"files": len(files), "bytes": sum(os.path.getsize(path) for path, _ in files), "compressed": compressed,
             "layers": LAYERS}
    with open(os.path.join(out, "facts.json"), "w") as file:
        json.dump(facts, file)


if __name__ == "__main__":
    main()
