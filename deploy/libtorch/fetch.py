#!/usr/bin/env python3
"""Puts libtorch where cargo finds it: into the user's cache, linked from third_party/libtorch.

Fetches the wheels named and hashed in cpu.lock with pip (mirrors, proxies and PIP_FIND_LINKS are honoured), unpacks the
tenth of them that a CPU worker needs, and deletes the wheels. Does nothing when that was done before, and nothing but a
version check when LIBTORCH is set. Knows nothing of cargo, Rust and GPUs; needs only Python's own library (3.9 or newer).
"""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.11.0"
ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).resolve().with_name("cpu.lock")
LINK = ROOT / "third_party" / "libtorch"

# Unpacked as they lie in the wheels: libtorch_cpu.so looks for the CUDA runtime at ../../nvidia/cu13/lib from its own place.
WANTED = re.compile(
    r"""torch/lib/(libc10\.so|libtorch_cpu\.so|libgomp\.so\.1)
      | torch/include/.+
      | nvidia/cu13/lib/(libcudart\.so\.13|libcupti\.so\.13)
      | [^/]+\.dist-info/licenses/.+""",
    re.VERBOSE,
)
NEEDED = [
    "torch/lib/libc10.so",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libgomp.so.1",
    "torch/include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
]
# The wheel's own libtorch.so is an empty library that pulls in CUDA. torch-sys always links it by name, and every linker
# takes a script in its place.
LINKER_SCRIPT = "INPUT(libtorch_cpu.so)\n"

# pip holds each wheel twice for a moment (0.55 GB of them); the unpacked tree is 0.5 GB.
SPACE_NEEDED = 1_200_000_000


class Stop(Exception):
    """Set-up cannot go on; the text says why and what to do."""


def main() -> int:
    try:
        own = os.environ.get("LIBTORCH")
        if own:
            print(f"libtorch {accept(Path(own))}: using LIBTORCH={own}, nothing fetched")
            return 0
        tree = cache() / f"libtorch-{VERSION}-cpu"
        if not complete(tree):
            check_machine(tree.parent)
            with only_one_at_a_time(tree.with_name(f"{tree.name}.lock")):
                if not complete(tree):
                    fetch(tree)
        link(tree)
        print(f"libtorch {VERSION} (cpu): {tree}")
        return 0
    except Stop as stop:
        print(f"libtorch {VERSION} not set up: {stop}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"libtorch {VERSION} not set up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nlibtorch {VERSION} not set up: interrupted, nothing left behind; the same command starts again", file=sys.stderr)
        return 130


def accept(own: Path) -> str:
    """The version of a libtorch the user brought; a wrong one would fail much later, in a thousand lines of C++."""
    found = None
    for file, pattern in [("build-version", r"^(\S+)"), ("version.py", r"__version__ = '([^']+)'")]:
        if (own / file).is_file():
            match = re.search(pattern, (own / file).read_text(), re.MULTILINE)
            found = match and match.group(1)
            break
    if not (own / "lib").is_dir() or found is None:
        raise Stop(f"LIBTORCH={own} holds no libtorch (no lib/ with build-version or version.py): correct it, or unset it")
    if found.split("+")[0] != VERSION:
        raise Stop(f"LIBTORCH={own} is version {found}, the worker needs {VERSION}: set another, or unset it")
    return found


def cache() -> Path:
    # The XDG rule: a relative value is to be ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "sumac"


def complete(tree: Path) -> bool:
    """A tree appears by one rename, so it is whole; it is stale when the lock has changed since."""
    made_from = tree / "cpu.lock"
    return (
        made_from.is_file()
        and made_from.read_bytes() == LOCK.read_bytes()
        and all((tree / name).is_file() for name in NEEDED)
    )


def check_machine(where: Path) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Stop(f"no wheels are locked for {sys.platform} {platform.machine()}: set LIBTORCH to a libtorch {VERSION} of your own")
    if not shutil.which(os.environ.get("CXX", "g++").split()[0]):
        raise Stop("no C++ compiler (g++) in PATH, the worker's build needs one: apt install g++")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise Stop(f"{sys.executable} has no pip: apt install python3-pip")
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free
    if free < SPACE_NEEDED:
        raise Stop(
            f"{where} has {free / 1e9:.1f} GB free, {SPACE_NEEDED / 1e9:.1f} GB are needed for a moment (0.5 GB stay): "
            "make room, or set XDG_CACHE_HOME"
        )


@contextlib.contextmanager
def only_one_at_a_time(path: Path):
    """Held by the kernel, so a killed set-up leaves nothing to clear away."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up is fetching libtorch; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch(tree: Path) -> None:
    print(f"fetching libtorch {VERSION} (cpu): 0.55 GB to download, 0.5 GB kept in {tree}", flush=True)
    for abandoned in tree.parent.glob(f".{tree.name}-*"):  # of a set-up that was killed; we hold the lock
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(prefix=f".{tree.name}-", dir=tree.parent) as scratch:
        wheels, fresh = Path(scratch, "wheels"), Path(scratch, "tree")
        download(wheels, Path(scratch))
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, fresh)
        missing = [name for name in NEEDED if not (fresh / name).is_file()]
        if missing:
            raise Stop(f"the wheels lack {', '.join(missing)}: cpu.lock and fetch.py do not fit together")
        (fresh / "torch/lib/libtorch.so").write_text(LINKER_SCRIPT)
        (fresh / "torch/build-version").write_text(VERSION + "\n")
        shutil.copyfile(LOCK, fresh / "cpu.lock")
        if tree.exists():  # stale or damaged: moved aside first, for a rename cannot replace a full folder
            tree.rename(Path(scratch, "stale"))
        fresh.rename(tree)


def download(wheels: Path, scratch: Path) -> None:
    """pip checks every hash. The tags are pinned, so that any Python here fetches the same files."""
    command = [
        sys.executable, "-m", "pip", "download",
        "--requirement", str(LOCK), "--dest", str(wheels),
        "--require-hashes", "--no-deps", "--only-binary=:all:",
        "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--abi", "none",
        "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_25_x86_64",
        "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
        "--no-cache-dir", "--disable-pip-version-check", "--retries", "2",
    ]  # fmt: skip
    # pip's own scratch goes beside ours: a small temporary file system could not hold the wheel.
    pip = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "0"},
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if pip.returncode != 0:
        raise Stop(explain(pip.stderr))


def explain(stderr: str) -> str:
    """One line for what pip says in thirty."""
    if "DO NOT MATCH THE HASHES" in stderr:
        return "a downloaded wheel does not match its hash in cpu.lock, nothing was kept: the download was damaged or altered; try again, or look at the mirror"
    if "No space left" in stderr:
        return "the disk filled up while downloading, nothing was kept: make room, or set XDG_CACHE_HOME"
    if re.search(r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|name resolution|Connection (refused|reset|aborted)", stderr):
        return "the package index cannot be reached: check the network or proxy, or set PIP_FIND_LINKS to a folder with the wheels of cpu.lock"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    return "pip download failed: " + (errors[-1][len("ERROR:"):].strip() if errors else "it said nothing on stderr")


def unpack(wheel: Path, tree: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if WANTED.fullmatch(name) and not name.endswith("/"):
                archive.extract(name, tree)


def link(tree: Path) -> None:
    LINK.parent.mkdir(exist_ok=True)
    if LINK.is_symlink() and os.readlink(LINK) == str(tree):
        return
    if LINK.exists() and not LINK.is_symlink():
        raise Stop(f"{LINK} is not a link made by this script: move it away")
    fresh = LINK.with_name(f".libtorch-{os.getpid()}")
    fresh.symlink_to(tree)
    fresh.replace(LINK)


if __name__ == "__main__":
    sys.exit(main())
