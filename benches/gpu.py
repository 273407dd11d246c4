"""What `benches/gpu.sh` runs, on a machine with a card. Knows Sumac by its command line and by the files of its runs alone."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
SUMAC = ROOT / "target/release/sumac"
BATCH, LANES, IMAGES = 512, 4, 2048
# Losses of a card and of a CPU over the same steps, as a share of them: they add up in another order, and with fewer bits.
ALIKE = {"f32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
# A cycle of 2 refiner updates and 1 discriminator update, in forward passes of either network, per image of the batch.
REFINER_FLOP = 2 * 1925 * (576 + 8 * 36864 + 64)
DISCRIMINATOR_FLOP = 2 * (504 * 864 + 126 * (55296 + 18432 + 1024 + 64))
CYCLE_FLOP = 6.5 * REFINER_FLOP + 10 * DISCRIMINATOR_FLOP

JOB = """
name = "gpu"
model.preset = "paper-eyes"
[data]
synthetic = "eyes/synthetic"
real = "eyes/real"
[train]
seed = 7
batch = {batch}
lanes = {lanes}
steps = {steps}
precision = "{precision}"
pretrain = {{ refiner = 0, discriminator = 0 }}
history.size = {history}
[output]
dir = "{name}"
checkpoint_every = "1h"
samples_every = 1_000_000
"""


class Room:
    """A folder in which runs are made one after the other."""

    def __init__(self, folder):
        self.folder, self.runs = Path(folder), 0
        self.do("data", "demo", "eyes", "eyes", "--count", str(IMAGES))

    def do(self, *arguments):
        environment = dict(os.environ, SUMAC_CACHE=str(self.folder / "cache"))
        done = subprocess.run([SUMAC, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"sumac {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")

    def train(self, device, precision, batch, lanes, steps, workers=1):
        """What the run left: its rows, its summary, the largest memory of the card meanwhile, in bytes."""
        self.runs += 1
        name = f"run{self.runs}"
        job = JOB.format(name=name, precision=precision, batch=batch, lanes=lanes, steps=steps, history=2 * batch)
        (self.folder / f"{name}.toml").write_text(job)
        with Memory() as memory:
            self.do("up", f"{name}.toml", "--device", device, "--workers", str(workers), "--state", f"{name}-state")
        rows = [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]
        return rows, json.loads((self.folder / name / "summary.json").read_text()), memory.most


class Memory:
    """The most that the first card was seen to have given since."""

    def __enter__(self):
        import threading

        torch.cuda.empty_cache()
        self.before, self.most, self.over = self.taken(), 0, threading.Event()
        self.watch = threading.Thread(target=self.look)
        self.watch.start()
        return self

    @staticmethod
    def taken():
        free, total = torch.cuda.mem_get_info(0)
        return total - free

    def look(self):
        while not self.over.wait(0.1):
            self.most = max(self.most, self.taken() - self.before)

    def __exit__(self, *_):
        self.over.set()
        self.watch.join()


def apart(rows, others):
    """By how much losses differ at most, as a share of them."""
    worst = 0.0
    for row, other in zip(rows, others, strict=True):
        for name in ("realism", "regularisation", "discriminator"):
            if row.get(name) is not None:
                worst = max(worst, abs(row[name] - other[name]) / abs(row[name]))
    return worst


def rate_of_products(precision):
    """Operations per second of large products, the most of three."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    n, best = 8192, 0.0
    one, other = (torch.randn(n, n, device="cuda", dtype=kind) for _ in range(2))
    for _ in range(4):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(10):
            one @ other
        torch.cuda.synchronize()
        best = max(best, 10 * 2 * n**3 / (time.perf_counter() - begun))
    return best


def pytorch(precision, cycles):
    script = [sys.executable, ROOT / "benches/simgan.py", "optimised", "--device", "cuda", "--precision", precision]
    done = subprocess.run([*script, "--batch", str(BATCH), "--cycles", str(cycles)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    seconds = sorted(told["seconds"][1:])
    return 3 * BATCH / seconds[len(seconds) // 2], told["peak"]


def main():
    wrong, table = [], []
    with tempfile.TemporaryDirectory() as folder:
        room = Room(folder)
        short = {"batch": 64, "lanes": 2, "steps": 12}
        on_cpu, _, _ = room.train("cpu", "f32", **short)
        agreement = {}
        for precision, most in ALIKE.items():
            rows, summary, _ = room.train("cuda", precision, **short)
            again, summary_again, _ = room.train("cuda", precision, **short)
            agreement[precision] = apart(on_cpu, rows)
            if not agreement[precision] <= most:
                wrong.append(f"{precision}: losses differ from the CPU's by {agreement[precision]:.1e}, more than {most:.0e}")
            if rows != again or summary["state_sha256"] != summary_again["state_sha256"]:
                wrong.append(f"{precision}: two runs of one spec differ")
        cards = torch.cuda.device_count()
        if cards > 1:
            rows, alone, _ = room.train("cuda", "f32", **short)
            _, together, _ = room.train("cuda", "f32", **short, workers=2)
            if alone["state_sha256"] != together["state_sha256"]:
                wrong.append("one card and two cards differ")
        for precision in ALIKE:
            _, summary, memory = room.train("cuda", precision, BATCH, LANES, steps=300)
            theirs, their_memory = pytorch(precision, cycles=60)
            ours, limit = summary["images_per_second"], rate_of_products(precision)
            share = ours / 3 * CYCLE_FLOP / limit
            table.append(
                {"precision": precision, "images_per_second": ours, "pytorch": theirs, "share_of_products": share, "products_per_second": limit}
                | {"memory": memory, "pytorch_memory": their_memory, "apart_from_cpu": agreement[precision]}
            )
    card = torch.cuda.get_device_name(0)
    report = {"card": card, "cards": cards, "torch": torch.__version__, "batch": BATCH, "lanes": LANES, "rows": table, "wrong": wrong}
    (ROOT / "docs/gpu.json").write_text(json.dumps(report, indent=2) + "\n")
    text = [
        "# Speed on a card",
        "",
        f"Written by `benches/gpu.sh`. The paper's networks for eyes, a batch of {BATCH} in {LANES} lanes; {cards} x {card}; torch {torch.__version__}.",
        "",
        "| precision | images/s | PyTorch, optimised | Sumac over it | of large products | MiB of the card | losses apart from the CPU's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        ours, theirs = row["images_per_second"], row["pytorch"]
        text.append(
            f"| {row['precision']} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} | {row['share_of_products']:.0%} "
            f"| {row['memory'] >> 20} | {row['apart_from_cpu']:.0e} |"
        )
    same = "Two runs of one spec have the same bits in each precision" + (", and so have one card and two." if cards > 1 else ".")
    text += ["", *(f"* {sentence}" for sentence in (wrong or [same]))]
    (ROOT / "docs/gpu.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
