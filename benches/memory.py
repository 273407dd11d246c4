"""Most memory that each process of a refinement ever held, for a small and a large number of tiny images.

A process says the peak of its resident memory itself (VmHWM), and is asked until it ends. Prints a table; refuses to know how
much memory anything should take.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

JOB = """
name = "net"
[data]
synthetic = "few/synthetic"
real = "few/real"
[model]
preset = "digits"
refiner = { width = 4, blocks = 1 }
discriminator.layers = [{ conv = 3, stride = 2, maps = 4 }, { conv = 3, stride = 2, maps = 4 }, { conv = 1, maps = 2 }]
[train]
seed = 11
batch = 32
lanes = 8
steps = 6
pretrain = { refiner = 2, discriminator = 2 }
history.size = 32
[output]
dir = "run"
checkpoint_every = "1h"
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SUMAC_") or name == "SUMAC_WORKER_BIN"}
ASK_EVERY = 0.02


def below(pid):
    """This process and all that it started, still alive."""
    try:
        started = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid, *(found for child in started for found in below(child))]


def held(pid, figure="VmHWM"):
    """What it is called, and its peak, or another figure of its memory, in bytes."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    status = Path(f"/proc/{pid}/status").read_text()
    size = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(figure))
    program = Path(words[0].decode()).name
    return (f"{program} {words[1].decode()}", size)


def watched(*words, at):
    """Seconds, and the peak of each process by its name."""
    begun, peaks = time.perf_counter(), {}
    with subprocess.Popen([*map(str, words)], cwd=at, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in below(process.pid):
                try:
                    name, peak = held(pid)
                # It ended while it was asked.
                except (FileNotFoundError, ProcessLookupError, StopIteration, IndexError):
                    continue
                peaks[name] = max(peak, peaks.get(name, 0))
            time.sleep(ASK_EVERY)
    if process.returncode != 0:
        sys.exit(f"`{' '.join(map(str, words))}` ended with {process.returncode}")
    return time.perf_counter() - begun, peaks


def main():
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said.add_argument("--room", type=Path, required=True, help="a folder to work in; what it holds is removed")
    said.add_argument("--images", type=int, nargs=2, default=(1_000, 100_000), metavar=("FEW", "MANY"))
    said = said.parse_args()
    room, sumac = said.room.resolve(), os.environ.get("SUMAC", "sumac")
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    (room / "job.toml").write_text(JOB)
    few, many = said.images
    rows = {}
    for name, count in (("few", few), ("many", many)):
        seconds, _ = watched(sumac, "data", "demo", "digits", name, "--count", count, at=room)
        print(f"drew {count:,} images in {seconds:.1f} s", file=sys.stderr, flush=True)
        if name == "few":
            watched(sumac, "up", "job.toml", "--workers", 1, at=room)
        ways = (("a folder", f"{name}/synthetic", "mirror"), ("into tars", f"{name}/synthetic", "shards"), ("from tars", f"{name}-shards", "shards"))
        for way, source, layout in ways:
            into = f"{name}-again" if way == "from tars" else f"{name}-{layout}"
            words = ["--checkpoint", "run", "--workers", 1, "--layout", layout]
            seconds, peaks = watched(sumac, "refine", source, into, *words, at=room)
            print(f"refined {count:,} images, {way}, in {seconds:.1f} s", file=sys.stderr, flush=True)
            for process, peak in peaks.items():
                rows.setdefault((way, process), {})[count] = peak
    print(f"\n{'peak, MB':34} {few:>12,} {many:>12,}   a further image")
    for (way, process), peaks in sorted(rows.items()):
        if few in peaks and many in peaks:
            growth = (peaks[many] - peaks[few]) / (many - few)
            print(f"{f'{process} ({way})':34} {peaks[few] / 1e6:12.1f} {peaks[many] / 1e6:12.1f}   {growth:,.0f} bytes")
    found = [{"way": way, "process": process, "peaks": peaks} for (way, process), peaks in rows.items()]
    (room / "memory-refine.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
