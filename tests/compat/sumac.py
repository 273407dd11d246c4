"""The command line, as these checks use it. Knows nothing of what comes out."""

import os
import shutil
import subprocess

# The coordinator and the workers of whoever runs this are left alone.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SUMAC_") or name == "SUMAC_WORKER_BIN"}


class Failed(Exception):
    """A command that was to succeed did not; with what it said."""


def sumac(*words, at):
    """Runs `sumac WORDS` in the folder `at`; gives what it printed."""
    command = [os.environ.get("SUMAC", "sumac"), *map(str, words)]
    ended = subprocess.run(command, cwd=at, env=ENVIRONMENT, capture_output=True, text=True)
    if ended.returncode != 0:
        raise Failed(f"`{' '.join(command)}` ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def refine(source, destination, run, *words, at):
    """`source` through the refiner of `run`; gives the folder."""
    shutil.rmtree(at / destination, ignore_errors=True)
    sumac("refine", source, destination, "--checkpoint", run, "--workers", 1, *words, at=at)
    return at / destination
