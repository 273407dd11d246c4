"""Gloo's plain all-reduce, as PyTorch has it: what Sumac's exact reduction is held against.

    python benches/reduce.py --processes 2 4 --bytes 4096 1184516

Says a list of JSON: workers, bytes and the median of microseconds. Knows nothing of Sumac.
"""

import argparse
import json
import os
import statistics
import tempfile
import time

import torch
import torch.distributed as dist

TIMES = 30


def one_of(rank, processes, sizes, told):
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE=str(processes), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(told + "/store", processes), rank=rank, world_size=processes)
    medians = []
    for size in sizes:
        gradient, times = torch.ones(size // 4), []
        for _ in range(TIMES):
            dist.barrier()
            begun = time.perf_counter()
            dist.all_reduce(gradient)
            times.append(1e6 * (time.perf_counter() - begun))
            gradient.fill_(1)
        medians.append({"workers": processes, "bytes": size, "us": statistics.median(times)})
    if rank == 0:
        with open(f"{told}/told", "w") as file:
            json.dump(medians, file)
    dist.destroy_process_group()


def main():
    said = argparse.ArgumentParser()
    said.add_argument("--processes", type=int, nargs="+", required=True)
    said.add_argument("--bytes", type=int, nargs="+", required=True)
    said = said.parse_args()
    medians = []
    for processes in said.processes:
        with tempfile.TemporaryDirectory() as told:
            torch.multiprocessing.spawn(one_of, (processes, said.bytes, told), processes)
            with open(f"{told}/told") as file:
                medians += json.load(file)
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
