#!/usr/bin/env bash
# What a card does: whether it computes what a CPU computes, the same bits each time, how fast, beside PyTorch and beside its own limit.
#
#   benches/gpu.sh [PYTHON]      a Python with torch 2.11.0 and CUDA 13 [default: python3]
#
# Needs no Rust: programs that were built elsewhere (`make build nccl`, on the same kind of Linux) may lie in target/release. Writes
# docs/gpu.md and docs/gpu.json, and ends with 1 if something is not as it must be.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}

fail() { echo "$1" >&2; exit 1; }
[ -x target/release/sumac ] && [ -x target/release/sumac-worker ] || fail "target/release has no sumac and sumac-worker: make build, or bring them"
[ -e target/release/libsumac_nccl.so ] || echo "no libsumac_nccl.so beside sumac-worker: several cards will not work together (make nccl)" >&2
libraries=$("$python" -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parent / "lib")') || fail "$python has no torch: pip install torch==2.11.0"
"$python" -c 'import torch, sys; sys.exit(0 if torch.__version__.startswith("2.11.0") else f"torch {torch.__version__} is not the 2.11.0 that Sumac is built for")'
"$python" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "torch sees no card")' || exit 1

# libtorch's half for cards lies there; what it needs it finds from there.
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$python" benches/gpu.py
