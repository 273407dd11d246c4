"""What is refined: drawn data sets of every form, and three refiners that were trained for a moment. Checks nothing."""

import gzip
import io
import json
import struct

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image

from sumac import sumac

CLASSES = ("give way", "keep left", "stop")
IMAGES = 60

JOB = """
name = "{name}"
[data]
synthetic = "{synthetic}"
real = "{real}"
{image}
[model]
preset = "{preset}"
{model}
[train]
seed = 11
batch = 16
lanes = 2
steps = {steps}
pretrain = {{ refiner = 2, discriminator = 2 }}
history.size = 32
{training}
[output]
dir = "runs/{name}"
checkpoint_every = "1h"
samples_every = 6
"""
NARROW = """refiner.width = 4
refiner.blocks = 1
discriminator.layers = [{ conv = 3, stride = 2, maps = 4 }, { conv = 3, stride = 2, maps = 4 }, { conv = 1, maps = 2 }]"""
# A residual that changed nothing would equal every other: it has to be seen.
HASTY = """lambda = 0.0
optimizer = { kind = "adam", refiner = { lr = 0.004 }, discriminator = { lr = 0.004 } }"""
REFINERS = {
    # Grey, residual, edges repeated.
    "narrow": {"synthetic": "digits/synthetic", "real": "digits/real", "preset": "digits", "model": NARROW, "steps": 12, "training": HASTY},
    # Grey, tanh, zeros around: the paper's own.
    "eyes": {"synthetic": "eyes/synthetic", "real": "eyes/real", "preset": "paper-eyes", "model": "", "steps": 2},
    # Colour, tanh, edges repeated.
    "colour": {
        "synthetic": "signs",
        "real": "signs",
        "preset": "digits",
        "model": NARROW + '\nrefiner.output = "tanh"',
        "steps": 2,
        "image": "image = { size = [32, 32], channels = 3 }",
    },
}


def lay(room):
    """Draws everything below the folder `room`, and trains."""
    room.mkdir(parents=True)
    sumac("data", "demo", "digits", "digits", "--count", 200, at=room)
    sumac("data", "demo", "eyes", "eyes", "--count", 64, at=room)
    dice = numpy.random.default_rng(7)
    class_folders(room / "signs", dice)
    table(room / "table-csv", dice, "csv")
    table(room / "table-jsonl", dice, "jsonl")
    stacks(room, dice)
    sheets(room / "parquet", dice)
    for name, job in REFINERS.items():
        (room / f"{name}.toml").write_text(JOB.format(name=name, **{"image": "", "training": "", **job}))
        sumac("up", f"{name}.toml", "--workers", 1, at=room)


def picture(dice, height, width, channels=3):
    """A slope with a disc on it: something with edges and without noise."""
    y, x = numpy.mgrid[:height, :width]
    slopes, middle = dice.uniform(-3, 3, (channels, 2)), dice.uniform(0.3, 0.7, 2) * (height, width)
    ground = 128 + slopes[:, 0, None, None] * (y - height / 2) + slopes[:, 1, None, None] * (x - width / 2)
    disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < (min(height, width) / 4) ** 2
    paint = dice.uniform(0, 255, (channels, 1, 1))
    return numpy.where(disc, paint, ground).clip(0, 255).astype(numpy.uint8).transpose(1, 2, 0)


def class_folders(folder, dice):
    for number in range(IMAGES):
        path = folder / CLASSES[number % len(CLASSES)] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(dice, 32, 32)).save(path)


def table(folder, dice, ending):
    """Images of several forms and sizes, and a table that names each."""
    (folder / "images").mkdir(parents=True)
    names = [f"images/{number:03}.{('png', 'jpg', 'bmp')[number % 3]}" for number in range(IMAGES)]
    for number, name in enumerate(names):
        Image.fromarray(picture(dice, 24 + number % 5, 40)).save(folder / name)
    rows = [{"file_name": name, "angle": f"{number / 7:.4f}"} for number, name in enumerate(names)]
    if ending == "csv":
        # Whatever a table is like, it stays: the ends of its lines, the quotes that were not needed.
        lines = ["file_name,angle,note", *(f'{row["file_name"]},{row["angle"]},"a, b"' for row in rows)]
        (folder / "metadata.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    else:
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def sheets(folder, dice):
    """As Hugging Face has them, with what it notes about them: one file by the book, one as pyarrow writes it if it is let."""
    folder.mkdir()
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": CLASSES},
        "boxes": {"_type": "List", "feature": {"_type": "List", "feature": {"_type": "Value", "dtype": "float32"}}},
        "note": {"_type": "Value", "dtype": "string"},
    }
    fields = [("image", image), ("label", pyarrow.int64()), ("boxes", pyarrow.list_(pyarrow.list_(pyarrow.float32()))), ("note", pyarrow.string())]
    schema = pyarrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    for part, written in enumerate(({"row_group_size": 20, "write_page_index": True, "use_dictionary": ["label"]}, {})):
        rows = []
        for number in range(IMAGES):
            held = io.BytesIO()
            Image.fromarray(picture(dice, 32, 32)).save(held, "png")
            boxes = [[0.5, float(number)]] * (number % 3)
            rows.append({"image": {"bytes": held.getvalue(), "path": f"{number}.png"}, "label": number % 3, "boxes": boxes, "note": f'no "{number}"'})
        table = pyarrow.Table.from_pylist(rows, schema=schema)
        pyarrow.parquet.write_table(table, folder / f"train-{part:05}-of-00002.parquet", **written)


def stacks(room, dice):
    grey = numpy.stack([picture(dice, 28, 28, 1)[:, :, 0] for _ in range(IMAGES)])
    colour = numpy.stack([picture(dice, 32, 32) for _ in range(IMAGES)])
    classes = numpy.arange(IMAGES, dtype=numpy.int64) % 10
    gaze = dice.normal(size=(IMAGES, 2)).astype(numpy.float32)
    for name in ("npy", "npy-float", "npz", "npz-deflated", "idx", "idx-gz"):
        (room / name).mkdir()
    numpy.save(room / "npy/images.npy", grey)
    numpy.save(room / "npy/labels.npy", classes)
    numpy.save(room / "npy-float/x_train.npy", (grey / 255).astype(numpy.float32)[:, None])
    numpy.save(room / "npy-float/y_train.npy", gaze)
    numpy.savez(room / "npz/eyes.npz", images=colour, labels=classes, gaze=gaze)
    numpy.savez_compressed(room / "npz-deflated/eyes.npz", images=(colour.astype(numpy.uint16) * 257), gaze=gaze)
    images, labels = (struct.pack(">4B3I", 0, 0, 8, 3, *grey.shape) + grey.tobytes(), struct.pack(">4BI", 0, 0, 8, 1, IMAGES))
    labels += classes.astype(numpy.uint8).tobytes()
    for name, opened, ending in (("idx", open, ""), ("idx-gz", gzip.open, ".gz")):
        for part, held in (("images-idx3", images), ("labels-idx1", labels)):
            with opened(room / name / f"train-{part}-ubyte{ending}", "wb") as file:
                file.write(held)
