"""The refiner of a Sumac run, for PyTorch.

    from refiner import load
    refiner = load()                    # a torch.nn.Module, its weights from refiner.safetensors beside this file
    refined = refiner(images)           # [batch, channels, height, width] in [-1, 1], in and out; any height and width

A refiner that was trained with chance (model.refiner.noise, .light, .match) draws it from torch's own generator: the same image
comes out in several ways, one after the other. `sumac refine` draws it by each image's key.

As a command it refines one picture: python refiner.py IN.png OUT.png
It needs torch and safetensors; the command also numpy and Pillow.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent


class Block(nn.Module):
    def __init__(self, width, kernel, mode):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel, padding=kernel // 2, padding_mode=mode)
        self.conv2 = nn.Conv2d(width, width, kernel, padding=kernel // 2, padding_mode=mode)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Light(nn.Module):
    """Of noise and of each channel's mean and deviation a gain and an offset for each channel."""

    NOISE = 4

    def __init__(self, channels):
        super().__init__()
        self.hidden = nn.Linear(self.NOISE + 2 * channels, 32)
        self.out = nn.Linear(32, 2 * channels)

    def forward(self, x, noise):
        mean = x.mean((2, 3))
        deviation = (x.var((2, 3), unbiased=False) + 1e-6).sqrt()
        gain, offset = self.out(F.leaky_relu(self.hidden(torch.cat([noise, mean, deviation], 1)), 0.2)).chunk(2, 1)
        return gain[..., None, None], offset[..., None, None]


class Match(nn.Module):
    """Each image gets each channel's mean and deviation of one real image, drawn by chance."""

    FLAT = 0.05

    def __init__(self, images, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(images, channels))
        self.register_buffer("deviation", torch.zeros(images, channels))

    def forward(self, x):
        lender = torch.randint(len(self.mean), (len(x),), device=x.device)
        lent_mean, lent = (table[lender][..., None, None] for table in (self.mean, self.deviation))
        mean = x.mean((2, 3), keepdim=True)
        deviation = x.var((2, 3), unbiased=False, keepdim=True).sqrt()
        return ((x - mean) / (deviation + self.FLAT) * lent + lent_mean).clamp(-1, 1)


class Refiner(nn.Module):
    def __init__(self, channels, width, blocks, kernel, output, padding, noise=None, light=False, matching="none", lights=0):
        super().__init__()
        mode = {"zeros": "zeros", "replicate": "replicate"}[padding]
        self.output = output
        self.noise = noise or {"image": 0, "pixel": 0}
        self.light = Light(channels) if light else None
        self.match = Match(lights, channels) if matching == "image" else None
        self.conv_in = nn.Conv2d(channels + sum(self.noise.values()), width, kernel, padding=kernel // 2, padding_mode=mode)
        self.blocks = nn.Sequential(*(Block(width, kernel, mode) for _ in range(blocks)))
        self.conv_out = nn.Conv2d(width, channels, 1)

    def forward(self, x):
        if self.match is not None:
            x = self.match(x)
        batch, _, height, width = x.shape
        of_image = torch.randn(batch, self.noise["image"], 1, 1, device=x.device).expand(-1, -1, height, width)
        of_pixel = torch.randn(batch, self.noise["pixel"], height, width, device=x.device)
        drawn = self.conv_out(self.blocks(F.relu(self.conv_in(torch.cat([x, of_image, of_pixel], 1)))))
        refined = drawn.tanh() if self.output == "tanh" else x + drawn
        if self.light is not None:
            gain, offset = self.light(x, torch.randn(batch, Light.NOISE, device=x.device))
            refined = (refined + 1) * gain.exp() + offset - 1
        return refined.clamp(-1, 1)


def load(folder=HERE):
    """The refiner of an exported folder, ready to refine."""
    folder = Path(folder)
    weights = load_file(folder / "refiner.safetensors")
    lights = len(weights.get("match.mean", ()))
    refiner = Refiner(**json.loads((folder / "refiner.json").read_text()), lights=lights)
    refiner.load_state_dict(weights)
    return refiner.eval()


def main(source, target):
    import numpy
    from PIL import Image

    refiner = load()
    mode = "L" if refiner.conv_out.out_channels == 1 else "RGB"
    pixels = numpy.asarray(Image.open(source).convert(mode), dtype=numpy.float32) / 127.5 - 1
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)[None]
    with torch.no_grad():
        refined = refiner(planes)[0].permute(1, 2, 0).numpy()
    refined = ((refined + 1) * 127.5).round().clip(0, 255).astype(numpy.uint8)
    Image.fromarray(refined.squeeze()).save(target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
