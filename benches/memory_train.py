"""Memory that each process of a training run holds, tenth by tenth of its steps: whether it grows.

Small networks, so that there are many steps; two workers, history, checkpoints and pictures on the way. Prints a table; refuses to know
how much memory anything should take.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from memory import ENVIRONMENT, below, held

JOB = """
name = "long"
[data]
synthetic = "digits/synthetic"
real = "digits/real"
[model]
preset = "digits"
refiner = {{ width = 8, blocks = 1 }}
[train]
seed = 11
batch = 16
lanes = 4
steps = {steps}
history.size = 256
[output]
dir = "run"
checkpoint_every = "20s"
samples_every = 500
"""


def main():
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said.add_argument("--room", type=Path, required=True, help="a folder to work in; what it holds is removed")
    said.add_argument("--steps", type=int, default=10_000)
    said = said.parse_args()
    room, sumac = said.room.resolve(), os.environ["SUMAC"]
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    environment = dict(ENVIRONMENT, SUMAC_DEVICE="cpu", SUMAC_CACHE=str(room / "cache"))
    subprocess.run([sumac, "data", "demo", "digits", "digits", "--count", "512"], cwd=room, env=environment, check=True)
    (room / "long.toml").write_text(JOB.format(steps=said.steps))
    with open(room / "log", "w") as log:
        up = subprocess.Popen([sumac, "up", "long.toml", "--workers", "2"], cwd=room, env=environment, stdout=log, stderr=log)
    table, metrics = {}, room / "run/metrics.jsonl"
    for tenth in range(1, 11):
        due = max(said.steps * tenth // 10 - 50, 1)
        while up.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= due):
            time.sleep(0.1)
        for pid in below(up.pid):
            try:
                name, resident = held(pid, "VmRSS")
            except (FileNotFoundError, ProcessLookupError, StopIteration, IndexError):
                continue
            table.setdefault((name, pid), {})[tenth] = resident
    if up.wait() != 0:
        sys.exit(f"sumac up ended with {up.returncode}: {(room / 'log').read_text()}")
    print("MB after steps    ", *(f"{said.steps * tenth // 10:>7}" for tenth in range(1, 11)))
    for (name, _), row in sorted(table.items()):
        print(f"{name:18}", *(f"{row[tenth] / 1e6:7.1f}" if tenth in row else "      -" for tenth in range(1, 11)))


if __name__ == "__main__":
    main()
