"""Holds what Sumac writes against the programs that are to read it: torch, torchvision, webdataset, numpy, pyarrow, Pillow.

A row for each comparison; ends with 1 if any differs. `make compat` runs it. Data sets that are not there are skipped.
"""

import argparse
import gzip
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import numpy
import pyarrow.parquet
import torch
import webdataset
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.datasets import ImageFolder, mnist

import sources
from sumac import Failed, refine, sumac

LEVELS_MAX = 1  # of 255, of 65535: the engines add up in another order
FLOAT_LEVEL = 1e-5  # what stands for a level where there are none


class Differs(Exception):
    """What was to be equal is not."""


def same(what, one, other):
    if one != other:
        raise Differs(f"{what}: {str(one)[:200]} and {str(other)[:200]}")


def files(folder, *endings):
    """Below `folder`, by name relative to it."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in endings)
    return {str(path.relative_to(folder)): path for path in sorted(found)}


IMAGES = (".png", ".jpg", ".bmp")

# === an exported refiner in torch ===


def exported(room, run):
    """The module that `sumac export` wrote, as whoever unpacks it imports it."""
    folder = room / "exported" / run
    sumac("export", f"runs/{run}", folder, at=room)
    described = importlib.util.spec_from_file_location(f"exported_{run}", folder / "refiner.py")
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return folder, module.load()


def in_torch(net, values):
    """One image `[height, width(, channels)]` through `net`; in 0..1, in and out."""
    channels = net.conv_in.in_channels
    planes = torch.from_numpy(values.astype(numpy.float32) * 2 - 1).reshape(*values.shape[:2], channels).permute(2, 0, 1)
    with torch.no_grad():
        refined = net(planes[None])[0].permute(1, 2, 0).numpy()
    return ((refined.astype(numpy.float64) + 1) / 2).clip(0, 1).reshape(values.shape)


class Likeness:
    """Values that Sumac wrote beside those that torch computes, both in levels of their depth."""

    def __init__(self, net):
        self.net, self.images, self.total, self.differing, self.most, self.moved = net, 0, 0, 0, 0.0, 0.0

    def add(self, before, now):
        """Arrays of one form, whose values go up to 1 if they are floats, else to the most there is."""
        white = 1.0 if before.dtype.kind == "f" else numpy.iinfo(before.dtype).max
        wanted = in_torch(self.net, before / white) * white
        levels = numpy.abs(now - (wanted if before.dtype.kind == "f" else wanted.round()))
        if before.dtype.kind == "f":
            levels /= FLOAT_LEVEL
        self.images += 1
        self.total += levels.size
        self.differing += int((levels >= 1).sum())
        self.most = max(self.most, levels.max())
        self.moved += numpy.abs(now.astype(float) - before).mean() / white * 255

    def told(self):
        moved = self.moved / self.images
        if not 2 <= moved <= 100:
            raise Differs(f"this refiner moves a value by {moved:.1f} of 255: too little or too much to notice anything")
        if self.most > LEVELS_MAX:
            raise Differs(f"{self.differing:,} of {self.total:,} values differ, by up to {self.most:.0f} levels")
        return f"{self.images} images, {self.differing:,} of {self.total:,} values off by a level; moved by {moved:.0f} of 255"


def equal_images(room, run, source):
    """What was refined as PNG, and what refiner.py computes, as a module and as a command."""
    folder, net = exported(room, run)
    refined = refine(source, f"out/{run}-png", f"runs/{run}", "--format", "png", at=room)
    likeness, images = Likeness(net), files(Path(room / source), *IMAGES)
    mode = "L" if net.conv_in.in_channels == 1 else "RGB"
    for name, path in images.items():
        now = numpy.asarray(Image.open((refined / name).with_suffix(".png")))
        likeness.add(numpy.asarray(Image.open(path).convert(mode)), now.astype(int))
    name, path = next(iter(images.items()))
    alone = room / "exported" / f"{run}.png"
    subprocess.run([sys.executable, folder / "refiner.py", path, alone], check=True)
    one, other = (numpy.asarray(Image.open(path)).astype(int) for path in (alone, (refined / name).with_suffix(".png")))
    if numpy.abs(one - other).max() > LEVELS_MAX:
        raise Differs(f"`python refiner.py` makes another {name}")
    return likeness.told()


# === class folders ===


def equal_class_folders(room, run, source):
    refined = refine(source, f"out/{Path(source).name}-classes", f"runs/{run}", at=room)
    before, now = ImageFolder(room / source), ImageFolder(refined)
    same("classes", before.class_to_idx, now.class_to_idx)
    relative = lambda found: [(str(Path(path).relative_to(found.root)), label) for path, label in found.samples]
    same("names and labels", relative(before), relative(now))
    for (one, _), (other, _) in zip(before, now):
        same("size and mode", one.size, other.size)
    return f"{len(now)} images in {len(now.classes)} classes"


# === shards ===


def in_shards(room, run, source, name):
    refined = refine(source, f"out/{name}-shards", f"runs/{run}", "--layout", "shards", at=room)
    tars = [str(tar) for tar in sorted(refined.glob("*.tar"))]
    return list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False))


def keyed(samples):
    by_key = {sample["__key__"]: sample for sample in samples}
    same("keys, each once", len(by_key), len(samples))
    return by_key


def opened(sample):
    (image,) = (sample[ending] for ending in ("png", "jpg", "bmp") if ending in sample)
    Image.open(io.BytesIO(image)).load()


def equal_classes_in_shards(room, run, source):
    before = ImageFolder(room / source)
    samples = keyed(in_shards(room, run, source, Path(source).name))
    labels = {str(Path(path).relative_to(before.root).with_suffix("")): label for path, label in before.samples}
    same("keys", sorted(labels), sorted(samples))
    for key, sample in samples.items():
        same(f"label of {key}", str(labels[key]).encode(), sample["cls"])
        opened(sample)
    return f"{len(samples)} samples"


def equal_sidecars_in_shards(room, run, source):
    folder = room / source
    samples = keyed(in_shards(room, run, source, "sidecars"))
    images = files(folder, *IMAGES)
    same("keys", sorted(str(Path(name).with_suffix("")) for name in images), sorted(samples))
    for key, sample in samples.items():
        same(f"json of {key}", (folder / f"{key}.json").read_bytes(), sample["json"])
        opened(sample)
    return f"{len(samples)} samples, their json byte for byte"


def equal_stack_in_shards(room, run, source, arrays):
    samples = keyed(in_shards(room, run, source, Path(source).name))
    same("number", len(arrays["gaze"]), len(samples))
    for number, key in enumerate(sorted(samples)):
        gaze = numpy.load(io.BytesIO(samples[key]["gaze.npy"]))
        same(f"gaze of {key}", (arrays["gaze"][number].tolist(), "float32"), (gaze.tolist(), str(gaze.dtype)))
        opened(samples[key])
    return f"{len(samples)} samples with an array each"


# === stacks ===


def equal_arrays(room, run, before, now, images):
    """Of the same names and forms; the images refined, all others byte for byte."""
    same("arrays", sorted(before), sorted(now))
    for name in before:
        same(f"{name}, its form", (before[name].shape, before[name].dtype), (now[name].shape, now[name].dtype))
        if name != images:
            same(f"{name}, its bytes", before[name].tobytes(), now[name].tobytes())
    likeness = Likeness(exported(room, run)[1])
    for one, other in zip(before[images], now[images]):
        # [1, height, width] is one grey image.
        form = one.shape[1:] if one.shape[0] == 1 else one.shape
        likeness.add(one.reshape(form), other.reshape(form))
    others = ", ".join(sorted(set(now) - {images}))
    return f"{now[images].dtype}, {others} equal; {likeness.told()}"


def equal_npy(room, run, source, images):
    refined = refine(source, f"out/{source}", f"runs/{run}", at=room)
    load = lambda folder: {path.stem: numpy.load(path) for path in files(folder, ".npy").values()}
    return equal_arrays(room, run, load(room / source), load(refined), images)


def equal_npz(room, run, source):
    refined = refine(source, f"out/{source}", f"runs/{run}", at=room)
    load = lambda folder: dict(numpy.load(folder / "eyes.npz"))
    return equal_arrays(room, run, load(room / source), load(refined), "images")


def equal_idx(room, run, source, ending=""):
    refined = refine(source, f"out/{source}", f"runs/{run}", at=room)

    def load(folder):
        return {
            "images": mnist.read_image_file(plain(folder / f"train-images-idx3-ubyte{ending}")).numpy(),
            "labels": mnist.read_label_file(plain(folder / f"train-labels-idx1-ubyte{ending}")).numpy(),
        }

    return equal_arrays(room, run, load(room / source), load(refined), "images")


def plain(path):
    """torchvision reads idx files unpacked only."""
    if path.suffix != ".gz":
        return str(path)
    unpacked = path.with_name(f"unpacked-{path.stem}")
    unpacked.write_bytes(gzip.decompress(path.read_bytes()))
    return str(unpacked)


# === parquet ===


def equal_rows(before, now):
    """Two parquet files that differ in their images only; gives these in pairs, as bytes."""
    before, now = pyarrow.parquet.ParquetFile(before), pyarrow.parquet.ParquetFile(now)
    if not before.schema_arrow.equals(now.schema_arrow, check_metadata=True):
        raise Differs("the schema, or what is noted about it")
    same("notes", before.metadata.metadata, now.metadata.metadata)
    lengths = lambda file: [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    same("row groups", lengths(before), lengths(now))
    before, now = before.read(), now.read()
    for name in before.column_names:
        if name != "image" and not before[name].equals(now[name]):
            raise Differs(f"column {name}")
    images = [column.combine_chunks().to_pylist() for column in (before["image"], now["image"])]
    for one, other in zip(*images):
        same("path", one["path"], other["path"])
    return [(one["bytes"], other["bytes"]) for one, other in zip(*images)]


def equal_parquet(room, run, source):
    folder = room / source
    refined = refine(source, f"out/{source}", f"runs/{run}", at=room)
    sheets = files(folder, ".parquet")
    same("files", sorted(sheets), sorted(files(refined, ".parquet")))
    likeness, pixels = Likeness(exported(room, run)[1]), lambda image: numpy.asarray(Image.open(io.BytesIO(image)))
    for name, path in sheets.items():
        for one, other in equal_rows(path, refined / name):
            likeness.add(pixels(one), pixels(other).astype(int))
    return f"{len(sheets)} files, all other columns equal; {likeness.told()}"


def equal_parquet_in_shards(room, run, source):
    samples = keyed(in_shards(room, run, source, source))
    rows = {}
    for name, path in files(room / source, ".parquet").items():
        table = pyarrow.parquet.read_table(path).drop_columns("image").to_pylist()
        rows.update({f"{name}/{number:08}": row for number, row in enumerate(table)})
    same("keys", sorted(rows), sorted(samples))
    for key, row in rows.items():
        same(f"class of {key}", str(row["label"]).encode(), samples[key]["cls"])
        told = json.loads(samples[key]["json"])
        same(f"row of {key}", {name: told[name] for name in row}, row)
        opened(samples[key])
    return f"{len(samples)} samples, each with its row"


# === trees ===


def equal_tree(room, run, source, name):
    """The same names; every file that is no image byte for byte, every image of the same size."""
    folder = Path(room / source)
    refined = refine(source, f"out/{name}", f"runs/{run}", at=room)
    images, labels = 0, 0
    for path in (path for path in sorted(folder.rglob("*")) if path.is_file()):
        now = refined / path.relative_to(folder)
        if path.suffix in IMAGES:
            with Image.open(path) as before, Image.open(now) as after:
                after.load()
                same(f"form and size of {path.name}", (before.format, before.size), (after.format, after.size))
            images += 1
        else:
            same(f"bytes of {path.name}", path.read_bytes(), now.read_bytes())
            labels += 1
    if images == 0:
        raise Differs("no images at all")
    return f"{images} images, {labels} other files byte for byte"


def whole(room, *sets):
    """`sumac verify` agrees."""
    for destination, source in sets:
        try:
            sumac("verify", f"out/{destination}", "--source", source, at=room)
        except Failed as failed:
            raise Differs(f"{destination}: {str(failed).splitlines()[-1].strip()}") from None
    return f"{len(sets)} refined data sets, with their sources"


# === curves ===


def seen_in_tensorboard(room, run):
    """The curves that TensorBoard shows are the rows of metrics.jsonl, each step once; pictures and the job beside them."""
    folder = room / "runs" / run
    shown = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    points = 0
    for tag, field in [("loss/realism", "realism"), ("loss/discriminator", "discriminator"), ("right/on_real", "accuracy_on_real")]:
        wanted = [(row["step"], numpy.float32(row[field])) for row in rows if row.get(field) is not None]
        same(tag, wanted, [(event.step, numpy.float32(event.value)) for event in shown.Scalars(tag)])
        points += len(wanted)
    pictures = [Image.open(io.BytesIO(event.encoded_image_string)).size for event in shown.Images("samples")]
    same("sizes of pictures", pictures, [(event.width, event.height) for event in shown.Images("samples")])
    job = shown.Tensors("job")[0].tensor_proto.string_val[0].decode()
    same("the job", True, (folder / "spec.toml").read_text().strip() in job)
    return f"{points} points of 3 curves, {len(pictures)} pictures, the job"


# === the table ===


def checks(room, packs):
    gaze = dict(numpy.load(room / "npz-deflated/eyes.npz"))
    yield "curves and pictures of a run", "tensorboard", lambda: seen_in_tensorboard(room, "narrow")
    yield "exported refiner, grey", "torch", lambda: equal_images(room, "narrow", "digits/synthetic")
    yield "exported refiner, paper-eyes", "torch", lambda: equal_images(room, "eyes", "eyes/synthetic")
    yield "exported refiner, colour", "torch", lambda: equal_images(room, "colour", "signs")
    yield "class folders, grey", "torchvision", lambda: equal_class_folders(room, "narrow", "digits/synthetic")
    yield "class folders, colour", "torchvision", lambda: equal_class_folders(room, "colour", "signs")
    yield "class folders as shards", "webdataset", lambda: equal_classes_in_shards(room, "colour", "signs")
    yield "sidecars as shards", "webdataset", lambda: equal_sidecars_in_shards(room, "eyes", "eyes/synthetic")
    yield "npz as shards", "webdataset", lambda: equal_stack_in_shards(room, "colour", "npz-deflated", gaze)
    yield "npy with classes", "numpy", lambda: equal_npy(room, "narrow", "npy", "images")
    yield "npy in floating point", "numpy", lambda: equal_npy(room, "narrow", "npy-float", "x_train")
    yield "npz, stored", "numpy", lambda: equal_npz(room, "colour", "npz")
    yield "npz, 16 bits, deflated", "numpy", lambda: equal_npz(room, "colour", "npz-deflated")
    yield "idx", "torchvision", lambda: equal_idx(room, "narrow", "idx")
    yield "idx, compressed", "torchvision", lambda: equal_idx(room, "narrow", "idx-gz", ".gz")
    yield "parquet", "pyarrow", lambda: equal_parquet(room, "colour", "parquet")
    yield "parquet as shards", "webdataset", lambda: equal_parquet_in_shards(room, "colour", "parquet")
    yield "metadata.csv", "Pillow", lambda: equal_tree(room, "colour", "table-csv", "table-csv")
    yield "metadata.jsonl", "Pillow", lambda: equal_tree(room, "colour", "table-jsonl", "table-jsonl")
    mirrors = [("signs-classes", "signs"), ("npy", "npy"), ("npz", "npz"), ("table-csv", "table-csv"), ("parquet", "parquet")]
    yield "mirrors, verified", "sumac", lambda: whole(room, *mirrors)
    shards = [("signs-shards", "signs"), ("sidecars-shards", "eyes/synthetic"), ("npz-deflated-shards", "npz-deflated"), ("parquet-shards", "parquet")]
    yield "shards, verified", "sumac", lambda: whole(room, *shards)
    for name, tool, folder, check in (
        ("pack: eyes, jpg + json", "Pillow", "eyes/unityeyes-style-folder", lambda at: equal_tree(room, "narrow", at, "pack-eyes")),
        ("pack: digits in fonts", "torchvision", "digits/synthetic-fonts", lambda at: equal_class_folders(room, "narrow", at)),
        ("pack: traffic signs", "torchvision", "traffic-signs/synthetic", lambda at: equal_class_folders(room, "colour", at)),
        ("pack: signs as shards", "webdataset", "traffic-signs/synthetic", lambda at: equal_classes_in_shards(room, "colour", at)),
        ("pack: signs in torch", "torch", "traffic-signs/real-test", lambda at: equal_images(room, "colour", at)),
        ("pack: roads, colour", "Pillow", "driving/synthetic-roads", lambda at: equal_tree(room, "colour", at, "pack-roads")),
        ("pack: a tub", "Pillow", "driving/sim-donkey-tub", lambda at: equal_tree(room, "colour", at, "pack-tub")),
    ):
        there = packs / folder
        yield name, tool, (lambda check=check, there=there: check(there)) if there.exists() else None


def main():
    said = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said.add_argument("--room", type=Path, required=True, help="a folder to work in; what it holds is removed")
    said.add_argument("--packs", type=Path, required=True, help="image packs; skipped where they are not")
    said = said.parse_args()
    room, packs = said.room.resolve(), said.packs.resolve()
    shutil.rmtree(room, ignore_errors=True)
    sources.lay(room)
    torch.set_num_threads(1)
    different = 0
    for name, tool, check in checks(room, packs):
        try:
            verdict, told = ("equal", check()) if check else ("skipped", "not there")
        except Differs as difference:
            verdict, told = "DIFFERS", str(difference)
        except Exception:
            # A reader that cannot read it at all.
            verdict, told = "FAILS", traceback.format_exc(limit=-2)
        different += verdict in ("DIFFERS", "FAILS")
        print(f"{name:30} {tool:12} {verdict:8} {told}", flush=True)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
