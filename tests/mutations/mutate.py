#!/usr/bin/env python3
"""Breaks one rule at a time and asks whether the tests of membership notice.

Each mutation of mutations.toml is made in a copy of the tree; there the rules' own tests, the scripts or the simulation must fail. A mutation that
nobody notices, and one whose text is no longer there, fail the run. Name some to try only those.
"""

import os
import pathlib
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COPY = ROOT / "target" / "mutants"
TESTS = ["cargo", "test", "--release", "--locked", "-p", "sumac-common", "--lib", "--test", "membership", "--test", "simulation", "--no-fail-fast"]


def copy_tree():
    """What git tracks, as it lies here."""
    COPY.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        source, target = ROOT / name, COPY / name
        if source.is_file() and (not target.exists() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def tested():
    """Whether the tests pass, and what they print."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(COPY / "target"), "RUST_BACKTRACE": "0"}
    run = subprocess.run(TESTS, cwd=COPY, env=environment, capture_output=True, text=True)
    return run.returncode == 0, run.stdout + run.stderr


def noticed_by(output):
    names = {line.split()[1] for line in output.splitlines() if line.startswith("test ") and line.endswith("FAILED")}
    return sorted(names)


def main():
    mutations = tomllib.loads((HERE / "mutations.toml").read_text())["mutation"]
    wanted = [m for m in mutations if not sys.argv[1:] or any(name in m["rule"] for name in sys.argv[1:])]
    copy_tree()
    passes, output = tested()
    if not passes:
        sys.exit(f"the tests fail without any mutation:\n{output[-3000:]}")
    faults = 0
    for mutation in wanted:
        file = COPY / mutation["file"]
        text = file.read_text()
        if text.count(mutation["text"]) != 1:
            print(f"STALE    {mutation['rule']}: its text is {text.count(mutation['text'])} times in {mutation['file']}", flush=True)
            faults += 1
            continue
        file.write_text(text.replace(mutation["text"], mutation["instead"]))
        passes, output = tested()
        file.write_text(text)
        names = noticed_by(output)
        if passes:
            print(f"MISSED   {mutation['rule']}", flush=True)
            faults += 1
        elif not names:
            print(f"BROKEN   {mutation['rule']}: it does not compile\n{output[-1500:]}", flush=True)
            faults += 1
        else:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            print(f"noticed  {mutation['rule']}: {names[0]}{others}", flush=True)
    print(f"{len(wanted)} mutations, {faults} at fault")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
