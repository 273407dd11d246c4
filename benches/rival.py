"""What one would write without Sumac: a DataLoader with Pillow and ToTensor, the exported refiner, Pillow to save.

    python benches/rival.py EXPORTED SRC DST --threads N     a folder of images with JSON beside them
    python benches/rival.py EXPORTED SRC --threads N --pure SECONDS     the same images from memory, nothing saved

Knows nothing of Sumac but the folder that `sumac export` wrote.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_pil_image, to_tensor

BATCH = 64


class Folder(Dataset):
    def __init__(self, root):
        self.paths = sorted(root.glob("*.png"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        with Image.open(self.paths[number]) as image:
            return to_tensor(image.convert("L")) * 2 - 1, self.paths[number].stem


def refine(net, source, target, threads):
    target.mkdir(parents=True)
    for batch, names in DataLoader(Folder(source), batch_size=BATCH, num_workers=threads):
        with torch.no_grad():
            refined = (net(batch) + 1) / 2
        for image, name in zip(refined, names):
            to_pil_image(image).save(target / f"{name}.png")
            shutil.copyfile(source / f"{name}.json", target / f"{name}.json")


def pure(net, source, seconds):
    """Images per second, from memory to memory: the best of two usual sizes of a batch."""
    folder = Folder(source)
    images = torch.stack([folder[number][0] for number in range(4 * BATCH)])
    rates = []
    with torch.no_grad():
        for batches in (images.split(16), images.split(BATCH)):
            net(batches[0])
            begun, done = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds / 2:
                net(batches[done % len(batches)])
                done += 1
            rates.append(done * len(batches[0]) / (time.perf_counter() - begun))
    return max(rates)


def main():
    said = argparse.ArgumentParser()
    said.add_argument("exported", type=Path)
    said.add_argument("source", type=Path)
    said.add_argument("target", type=Path, nargs="?")
    said.add_argument("--threads", type=int, required=True)
    said.add_argument("--pure", type=float, metavar="SECONDS")
    said = said.parse_args()
    torch.set_num_threads(said.threads)
    sys.path.insert(0, str(said.exported.resolve()))
    from refiner import load

    net = load()
    if said.pure:
        print(pure(net, said.source, said.pure))
    else:
        refine(net, said.source, said.target, said.threads)


if __name__ == "__main__":
    main()
