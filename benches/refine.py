"""Images per second of refining a folder: Sumac, a plain PyTorch script, and PyTorch on images in memory.

Interleaved rounds, since machines are shared and drift; medians. Start-up is not counted: each whole command is timed on two
sizes of folder, and the rate is the images between them over the seconds between them. Writes FOLDER/bench-refine.json and
FOLDER/bench-refine.md. Refuses to know how fast anything should be.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALL, LARGE = 256, 1_024
# Whole sittings of 16: by default the size of a shard follows from the number of images, and the two sizes would differ.
SHARD = 64
THREADS = (1, 2)
JOB = """
name = "eyes"
model.preset = "paper-eyes"
[data]
synthetic = "small/synthetic"
real = "small/real"
[train]
seed = 7
steps = 2
batch = 16
lanes = 2
pretrain = { refiner = 0, discriminator = 0 }
history.size = 32
[output]
dir = "run"
checkpoint_every = "1h"
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SUMAC_") or name == "SUMAC_WORKER_BIN"}


class Failed(Exception):
    """A command did not end well; with what it said, and the seconds that it took."""

    def __init__(self, what, seconds):
        super().__init__(what)
        self.seconds = seconds


def run(*words, at):
    """Seconds that the command takes, and what it prints."""
    begun = time.perf_counter()
    ended = subprocess.run([*map(str, words)], cwd=at, env=ENVIRONMENT, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if ended.returncode != 0:
        what = f"`{' '.join(map(str, words))}` ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        raise Failed(what, seconds)
    return seconds, ended.stdout


class Track:
    """A folder with both data sets, a refiner of the paper's networks for eyes, and what is measured on them."""

    def __init__(self, room):
        self.room, self.sumac = room, os.environ.get("SUMAC", "sumac")
        self.failures = []
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        for name, count in (("small", SMALL), ("large", LARGE)):
            run(self.sumac, "data", "demo", "eyes", name, "--count", count, at=room)
        (room / "job.toml").write_text(JOB)
        run(self.sumac, "up", "job.toml", "--workers", 1, at=room)
        run(self.sumac, "export", "run", "exported", at=room)

    def sloped(self, command):
        """Images per second between the small folder and the large one; `command` makes the words for a folder."""
        seconds = {}
        for name in ("small", "large"):
            try:
                seconds[name] = self.timed(command(name))
            except Failed as failed:
                # One that has sealed its data set has done what is timed; that it then failed is told.
                if not (self.room / "out/MANIFEST.json").exists():
                    raise
                self.failures.append(str(failed))
                print(failed, file=sys.stderr, flush=True)
                seconds[name] = failed.seconds
        return (LARGE - SMALL) / (seconds["large"] - seconds["small"])

    def timed(self, words):
        shutil.rmtree(self.room / "out", ignore_errors=True)
        return run(*words, at=self.room)[0]

    def of_sumac(self, threads):
        words = ["--checkpoint", "run", "--workers", threads, "--shard-images", SHARD]
        return self.sloped(lambda name: [self.sumac, "refine", f"{name}/synthetic", "out", *words])

    def of_torch(self, threads):
        rival = [sys.executable, HERE / "rival.py", "exported"]
        return self.sloped(lambda name: [*rival, f"{name}/synthetic", "out", "--threads", threads])

    def of_inference(self, threads):
        words = [sys.executable, HERE / "rival.py", "exported", "small/synthetic", "--threads", threads, "--pure", 6]
        return float(run(*words, at=self.room)[1])

    def stages(self):
        """How busy each stage of one worker is, asked twice a second in the midst of the large folder; medians."""
        shutil.rmtree(self.room / "out", ignore_errors=True)
        words = ["--checkpoint", "run", "--workers", "1", "--shard-images", str(SHARD)]
        command = [self.sumac, "refine", "large/synthetic", "out", *words]
        address, seen = self.room / "out/.sumac/state/address", []
        with subprocess.Popen(command, cwd=self.room, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                time.sleep(0.5)
                seen += self.ask(address)
        if process.returncode != 0:
            sys.exit(f"`{' '.join(command)}` ended with {process.returncode}")
        # The first and the last are of when it began and ended.
        seen = seen[len(seen) // 4 : -len(seen) // 4] or seen
        return {stage: statistics.median(shares[stage] for shares in seen) for stage in (seen[0] if seen else {})}

    def ask(self, address):
        try:
            url = address.read_text().strip()
        except FileNotFoundError:
            return []
        words = [self.sumac, "jobs", "-o", "json", "--coordinator", url]
        asked = subprocess.run(words, cwd=self.room, env=ENVIRONMENT, capture_output=True, text=True)
        if asked.returncode != 0:
            return []
        jobs = json.loads(asked.stdout)["items"]
        return [dict(job["pieces"]["stages"]) for job in jobs if (job.get("pieces") or {}).get("stages")]


def machine():
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    versions = subprocess.run(
        [sys.executable, "-c", "import torch, torchvision; print(torch.__version__, torchvision.__version__)"],
        capture_output=True,
        text=True,
    )
    return {"processor": model.split(":")[-1].strip(), "cores": os.cpu_count(), "torch": versions.stdout.strip()}


def table(figures):
    rates, machine = figures["rates"], figures["machine"]
    lines = [
        "# Refining, images per second",
        "",
        "Written by `make bench-refine`. The paper's refiner for eyes (4 blocks of 64 maps), grey PNG of 55x35 pixels with a",
        "JSON beside each, from disk to disk. Rates are of the steady state: seconds for "
        f"{LARGE:,} images less those for {SMALL:,}.",
        "",
        "| threads that compute | Sumac | PyTorch script | inference alone | Sumac / script | Sumac / inference |",
        "|---|---|---|---|---|---|",
    ]
    for threads in THREADS:
        sumac, script, pure = (statistics.median(rates[f"{kind} {threads}"]) for kind in ("sumac", "script", "inference"))
        lines.append(f"| {threads} | {sumac:.1f} | {script:.1f} | {pure:.1f} | {sumac / script:.2f} | {sumac / pure:.2f} |")
    stages = ", ".join(f"{stage} {share:.0%}" for stage, share in figures["stages"].items()) or "not seen"
    loads = ", ".join(f"{load:.1f}" for load in figures["loads"])
    if figures["failures"]:
        lines += ["", f"{len(figures['failures'])} commands failed after they had sealed their data set; `bench-refine.json` has what they said."]
    lines += [
        "",
        f"Medians of {figures['rounds']} interleaved rounds on {machine['cores']} cores ({machine['processor']}). Load before",
        f"each round: {loads}. Every rate that was measured is in `bench-refine.json`.",
        "",
        f"* *Sumac*: `sumac refine SRC DST --checkpoint RUN --workers N --shard-images {SHARD}`, a thread that computes in",
        "  each worker; reading, decoding, encoding and writing have threads beside it.",
        f"* *PyTorch script*: [`benches/rival.py`](../benches/rival.py), torch {machine['torch'].split()[0]}, "
        "`set_num_threads(N)`, a `DataLoader` with",
        "  N processes, Pillow to read and to save.",
        "* *Inference alone*: the same module and threads on images in memory; nothing is read, decoded or saved. The better",
        "  of batches of 16 and of 64.",
        f"* How busy the stages of one worker of Sumac are: {stages}. What *refine* lacks of 100% is what Sumac loses to",
        "  everything that is not inference.",
        "",
    ]
    return "\n".join(lines)


def main():
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said.add_argument("--room", type=Path, required=True, help="a folder to work in; what it holds is removed")
    said.add_argument("--into", type=Path, required=True, help="the folder for bench-refine.json and bench-refine.md")
    said.add_argument("--rounds", type=int, default=3)
    said = said.parse_args()
    track = Track(said.room.resolve())
    kinds = {"sumac": track.of_sumac, "script": track.of_torch, "inference": track.of_inference}
    rates = {f"{kind} {threads}": [] for kind in kinds for threads in THREADS}
    loads = []
    for number in range(said.rounds):
        loads.append(os.getloadavg()[0])
        for threads in THREADS:
            for kind, measure in kinds.items():
                rates[f"{kind} {threads}"].append(measure(threads))
        latest = ", ".join(f"{kind}: {values[-1]:.1f}" for kind, values in rates.items())
        print(f"round {number + 1} of {said.rounds}, load {loads[-1]:.1f}: {latest}", file=sys.stderr, flush=True)
    figures = {"machine": machine(), "rounds": said.rounds, "loads": loads, "rates": rates, "stages": track.stages()}
    figures["failures"] = track.failures
    said.into.mkdir(parents=True, exist_ok=True)
    (said.into / "bench-refine.json").write_text(json.dumps(figures, indent=2) + "\n")
    (said.into / "bench-refine.md").write_text(table(figures))
    print(table(figures))


if __name__ == "__main__":
    main()
