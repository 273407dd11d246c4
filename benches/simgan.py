"""What one would train without Sumac: SimGAN in PyTorch, in the two ways it is written.

    python benches/simgan.py ordinary  --threads N --cycles C        as scripts for it are written
    python benches/simgan.py optimised --threads N --cycles C        as somebody writes it who measures
    python benches/simgan.py optimised --processes N --cycles C      the same under DistributedDataParallel, a thread each
    python benches/simgan.py optimised --refine eager|compiled       the refiner alone
    python benches/simgan.py KIND --losses START                     no clock: the losses of one cycle from a given start
    ... --batch N --image CHANNELS HEIGHT WIDTH --device cuda --precision f32|tf32|bf16

The networks, losses and updates are those of Sumac's preset `paper-eyes`; a cycle is two updates of the refiner and one of the
discriminator. Images come from memory, the card's where there is one. Says a line of JSON: seconds of each cycle after the first and the largest
size in memory of all processes together, in bytes; or images per second; or the losses. Knows nothing of Sumac but the names in its saved states.
"""

import argparse
import json
import os
import resource
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

HISTORY = 1024
LAMBDA, RATE = 0.5, 0.001
REAL, REFINED = 0, 1


class Setting:
    """Of this process, as it was told."""

    batch, shape, device, bf16 = 64, (1, 35, 55), "cpu", False


def cast():
    return torch.autocast(Setting.device, torch.bfloat16, enabled=Setting.bf16)


class Block(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.conv1 = nn.Conv2d(maps, maps, 3, padding=1)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Refiner(nn.Module):
    def __init__(self, maps=64, blocks=4):
        super().__init__()
        self.conv_in = nn.Conv2d(Setting.shape[0], maps, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(maps) for _ in range(blocks)))
        self.conv_out = nn.Conv2d(maps, Setting.shape[0], 1)

    def forward(self, x):
        return torch.tanh(self.conv_out(self.blocks(F.relu(self.conv_in(x)))))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(Setting.shape[0], 96, 3, 2, 1),
                nn.Conv2d(96, 64, 3, 2, 1),
                nn.MaxPool2d(3, 1, 1),
                nn.Conv2d(64, 32, 3, 1, 1),
                nn.Conv2d(32, 32, 1),
                nn.Conv2d(32, 2, 1),
            ]
        )

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x)) if isinstance(layer, nn.Conv2d) else layer(x)
        return self.layers[-1](x)


def local(logits, label):
    """Cross-entropy of every local patch, their mean."""
    target = torch.full((len(logits), *logits.shape[2:]), label, device=logits.device)
    return F.cross_entropy(logits.float(), target)


class Ordinary:
    """Whatever autograd does by itself: gradients of both networks in either step, whole batches refined with a graph, losses read
    at every step."""

    def __init__(self, share=1):
        self.refiner, self.discriminator = Refiner().to(Setting.device), Discriminator().to(Setting.device)
        self.batch = Setting.batch // share
        self.optimise()

    def optimise(self):
        self.of_refiner = torch.optim.SGD(self.refiner.parameters(), RATE)
        self.of_discriminator = torch.optim.SGD(self.discriminator.parameters(), RATE)

    def refine(self, synthetic):
        self.of_refiner.zero_grad()
        with cast():
            refined = self.refiner(synthetic)
            realism = local(self.discriminator(refined), REAL)
        regularisation = (refined.float() - synthetic).abs().mean()
        (realism + LAMBDA * regularisation).backward()
        self.of_refiner.step()
        return realism.item(), regularisation.item()

    def discriminate(self, synthetic, old, real):
        """What of the fresh ones the history takes, and the losses."""
        self.of_discriminator.zero_grad()
        with cast():
            fresh = self.refiner(synthetic).detach().float()[: self.batch - len(old)]
            on_refined = local(self.discriminator(torch.cat([fresh, old])), REFINED)
            on_real = local(self.discriminator(real), REAL)
        ((on_refined + on_real) / 2).backward()
        self.of_discriminator.step()
        return fresh, (on_refined.item(), on_real.item())


class Optimised(Ordinary):
    """Channels last, no gradient that nobody uses, half a batch refined, one forward pass for all that is judged, one kernel for
    all parameters; gradients stay where they are."""

    def __init__(self, share=1):
        super().__init__(share)
        self.refiner.to(memory_format=torch.channels_last)
        self.discriminator.to(memory_format=torch.channels_last)
        if share > 1:
            self.refiner = DistributedDataParallel(self.refiner, gradient_as_bucket_view=True)
            self.discriminator = DistributedDataParallel(self.discriminator, gradient_as_bucket_view=True)
            self.optimise()

    def optimise(self):
        self.of_refiner = torch.optim.SGD(self.refiner.parameters(), RATE, foreach=True)
        self.of_discriminator = torch.optim.SGD(self.discriminator.parameters(), RATE, foreach=True)

    def refine(self, synthetic):
        plain = getattr(self.discriminator, "module", self.discriminator)
        plain.requires_grad_(False)
        self.of_refiner.zero_grad(set_to_none=False)
        with cast():
            refined = self.refiner(synthetic)
            realism = local(plain(refined), REAL)
        regularisation = (refined.float() - synthetic).abs().mean()
        (realism + LAMBDA * regularisation).backward()
        self.of_refiner.step()
        plain.requires_grad_(True)
        return realism.detach(), regularisation.detach()

    def discriminate(self, synthetic, old, real):
        self.of_discriminator.zero_grad(set_to_none=False)
        with torch.no_grad(), cast():
            fresh = getattr(self.refiner, "module", self.refiner)(synthetic[: self.batch - len(old)]).float()
        refined = self.batch
        with cast():
            logits = self.discriminator(torch.cat([fresh, old, real]))
        on_refined, on_real = local(logits[:refined], REFINED), local(logits[refined:], REAL)
        ((on_refined + on_real) / 2).backward()
        self.of_discriminator.step()
        return fresh, (on_refined.detach(), on_real.detach())


KINDS = {"ordinary": Ordinary, "optimised": Optimised}


def cycles(trainer, count):
    """Seconds of each cycle but the first, whose history is empty."""
    where = {"device": Setting.device}
    images = {kind: torch.rand(1024, *Setting.shape, **where) * 2 - 1 for kind in ("synthetic", "real")}
    history, seconds = torch.empty(HISTORY, *Setting.shape, **where), []
    half = trainer.batch // 2

    def some(kind):
        return images[kind][torch.randint(len(images[kind]), (trainer.batch,), **where)]

    for cycle in range(count + 1):
        begun = time.perf_counter()
        for _ in range(2):
            trainer.refine(some("synthetic"))
        old = history[torch.randint(HISTORY, (half,), **where)] if cycle else history[:0]
        fresh, _ = trainer.discriminate(some("synthetic"), old, some("real"))
        history[torch.randperm(HISTORY, **where)[:half] if cycle else slice(0, len(fresh))] = fresh[:half] if cycle else fresh
        if Setting.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return seconds[1:]


def losses(trainer, start):
    """Of one cycle whose every step sees the same images."""
    from safetensors.torch import load_file

    given = load_file(start)
    for name in ("refiner", "discriminator"):
        weights = {key.removeprefix(f"{name}."): value for key, value in given.items() if key.startswith(f"{name}.")}
        getattr(trainer, name).load_state_dict(weights)
    synthetic, old, real = given["synthetic"], given["history"], given["real"]
    told = [trainer.refine(synthetic) for _ in range(2)]
    told.append(trainer.discriminate(synthetic, old, real)[1])
    return [[float(loss) for loss in step] for step in told]


def refine(trainer, how, seconds):
    """Images per second, from memory: the better of two usual sizes of a batch."""
    net, rates = trainer.refiner.eval(), []
    if how == "compiled":
        from torch._inductor import config

        config.freezing = True
        net = torch.compile(net, dynamic=False)
    with torch.inference_mode() if how == "eager" else torch.no_grad():
        for size in (16, Setting.batch):
            images = torch.rand(size, *Setting.shape) * 2 - 1
            for _ in range(2):
                net(images)
            begun, done = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds / 2:
                net(images)
                done += size
            rates.append(done / (time.perf_counter() - begun))
    return max(rates)


def peak():
    if Setting.device != "cpu":
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one_of(rank, processes, count, told, batch, shape):
    Setting.batch, Setting.shape = batch, shape
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE=str(processes), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(told + "/store", processes), rank=rank, world_size=processes)
    torch.manual_seed(rank)
    seconds = cycles(Optimised(processes), count)
    with open(f"{told}/{rank}", "w") as file:
        json.dump({"seconds": seconds, "peak": peak()}, file)
    dist.destroy_process_group()


def together(processes, count):
    """The first one's clock: they wait for each other in every step."""
    import tempfile

    with tempfile.TemporaryDirectory() as told:
        torch.multiprocessing.spawn(one_of, (processes, count, told, Setting.batch, Setting.shape), processes)
        of_all = [json.load(open(f"{told}/{rank}")) for rank in range(processes)]
    return {"seconds": of_all[0]["seconds"], "peak": sum(one["peak"] for one in of_all)}


def main():
    said = argparse.ArgumentParser()
    said.add_argument("kind", choices=KINDS)
    said.add_argument("--threads", type=int, default=1)
    said.add_argument("--processes", type=int, default=1)
    said.add_argument("--cycles", type=int, default=3)
    said.add_argument("--refine", choices=("eager", "compiled"))
    said.add_argument("--seconds", type=float, default=5)
    said.add_argument("--losses", metavar="START")
    said.add_argument("--batch", type=int, default=64)
    said.add_argument("--image", type=int, nargs=3, default=(1, 35, 55), metavar=("CHANNELS", "HEIGHT", "WIDTH"))
    said.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    said.add_argument("--precision", choices=("f32", "tf32", "bf16"), default="f32")
    said = said.parse_args()
    Setting.batch, Setting.shape, Setting.device, Setting.bf16 = said.batch, tuple(said.image), said.device, said.precision == "bf16"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = said.precision == "tf32"
    torch.set_num_interop_threads(1)
    torch.set_num_threads(said.threads)
    torch.manual_seed(7)
    if said.losses:
        told = losses(KINDS[said.kind](), said.losses)
    elif said.refine:
        told = refine(KINDS[said.kind](), said.refine, said.seconds)
    elif said.processes > 1:
        told = together(said.processes, said.cycles)
    else:
        told = {"seconds": cycles(KINDS[said.kind](), said.cycles), "peak": peak()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
