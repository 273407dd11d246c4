"""Makes the files of these tests: `pip install h5py numpy pyarrow datasets pillow`, then `python make.py`."""

import datetime
import decimal
import io
import zlib
from pathlib import Path

import datasets
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = Path(__file__).resolve().parent


def pixels(*shape, kind=np.uint8):
    """Values that differ from each other as long as there are few."""
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(kind)


# As Kaggle's gaze.h5: an array for each image; `c` has no look_vec.
with h5py.File(HERE / "groups.h5", "w") as file:
    for at, name in enumerate(["b", "a", "c"]):
        file[f"image/{name}"] = pixels(4, 6) + at
        file[f"path/{name}"] = f"/somewhere/{name}.png"
        if name != "c":
            file[f"look_vec/{name}"] = np.float32([at, 0.5, -1])

# Many images in one array, compressed in pieces, with a class for each.
with h5py.File(HERE / "classes.h5", "w") as file:
    file.create_dataset("images", data=pixels(5, 4, 6, 3), chunks=(2, 4, 6, 3), compression="gzip", shuffle=True)
    file["labels"] = np.int64([3, 1, 2, 1, 0])

# Floating point below a group, with numbers and texts beside it; the newest form of file.
with h5py.File(HERE / "floats.h5", "w", libver="latest") as file:
    file["set/x"] = (pixels(3, 4, 6) / 71).astype(np.float32)
    file["set/pose"] = np.float64([[1, 2], [3, 4], [5, 6]]).astype(">f8")
    file["set/name"] = ["one", "two", "drei und vierzig"]
    file["set/other"] = np.arange(7)

# Two arrays that may be meant.
with h5py.File(HERE / "two.h5", "w") as file:
    for part in ["train", "test"]:
        file[f"x_{part}"] = pixels(2, 4, 6)
        file[f"y_{part}"] = np.uint8([1, 0])

# Of a quarter of a tebibyte, as it says, none of which was ever written.
with h5py.File(HERE / "sparse.h5", "w") as file:
    file.create_dataset("images", shape=(2**26, 64, 64), dtype=np.uint8, chunks=(1, 64, 64))

# A text for each image, all of them the same bytes of the file.
with h5py.File(HERE / "texts.h5", "w") as file:
    count = 1 << 18
    file.create_dataset("images", data=np.zeros((count, 2, 2), np.uint8), chunks=(count, 2, 2), compression=9)
    texts = file.create_dataset("texts", shape=(count,), dtype=h5py.string_dtype(), chunks=(count,), compression=9)
    texts[0] = "a" * 1100
    _, packed = texts.id.read_direct_chunk((0,))
    texts.id.write_direct_chunk((0,), zlib.compress(zlib.decompress(packed)[:16] * count, 9))


# === parquet ===


def picture(number, form="png"):
    """4x3 grey, from ten times the number on."""
    held = io.BytesIO()
    Image.fromarray((np.arange(12) + 10 * number).reshape(3, 4).astype(np.uint8)).save(held, form)
    return held.getvalue()


def cell(number, path=True):
    return {"bytes": picture(number), "path": f"{number}.png" if path else None}


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# As `datasets` itself writes it: row groups of three, an index of pages, classes; nobody knows that of row 5.
features = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "gaze": datasets.List(datasets.Value("float32")),
    }
)
rows = [{"image": cell(at), "label": -1 if at == 5 else at % 2, "gaze": [at / 10, -1.0]} for at in range(7)]
datasets.Dataset.from_list(rows, features=features).to_parquet(HERE / "classes.parquet", batch_size=3)

# Nothing but classes beside the images, and no paths.
features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
rows = [{"image": cell(at, path=False), "label": at % 2} for at in range(3)]
datasets.Dataset.from_list(rows, features=features).to_parquet(HERE / "bare.parquet")

# As pyarrow writes it if it is let: all images in a dictionary, packed. Two files, row groups of two, one image that is not
# there, one of which only the path is.
TOLD = pa.schema(
    [
        ("name", pa.string()),
        ("image", IMAGE),
        ("pose", pa.struct([("yaw", pa.float64()), ("seen", pa.bool_())])),
        ("boxes", pa.list_(pa.list_(pa.int32()))),
    ]
)
rows = [
    {
        "name": None if at == 4 else f'number "{at}"',
        "image": None if at == 3 else {"bytes": None, "path": "lost.png"} if at == 6 else cell(at),
        "pose": None if at == 1 else {"yaw": at / 4, "seen": at % 2 == 0},
        "boxes": None if at == 2 else [[at, 1], []][: at % 3],
    }
    for at in range(8)
]
(HERE / "rows").mkdir(exist_ok=True)
for part in range(2):
    table = pa.Table.from_pylist(rows[part * 5 : part * 5 + 5], schema=TOLD)
    pq.write_table(table, HERE / f"rows/train-{part:05}-of-00002.parquet", row_group_size=2)

# Bare bytes under a name, with a mask and some other bytes, long ones; pages of the second version, a row in each.
table = pa.table(
    {
        "image": pa.array([picture(at, "ppm") for at in range(4)], pa.large_binary()),
        "mask": pa.array([picture(9), None, picture(8), picture(7)], pa.binary()),
        "notes": pa.array([b"a" * 400, b"b\0", None, b""], pa.binary()),
    }
)
pq.write_table(
    table, HERE / "plain.parquet", compression="zstd", data_page_version="2.0", write_batch_size=1, data_page_size=1, use_dictionary=False
)

# Two columns that may be meant.
schema = pa.schema([pa.field("left", IMAGE), pa.field("right", pa.struct([pa.field("bytes", pa.binary(), False)]), False)])
table = pa.Table.from_pylist([{"left": cell(at), "right": cell(at + 5)} for at in range(3)], schema=schema)
pq.write_table(table, HERE / "two.parquet")

# No room for what is missing, and unpacked.
schema = pa.schema([pa.field("image", pa.struct([pa.field("bytes", pa.binary(), False)]), False)])
table = pa.Table.from_pylist([{"image": {"bytes": picture(at)}} for at in range(3)], schema=schema)
pq.write_table(table, HERE / "required.parquet", compression="none", use_dictionary=False, write_statistics=False)

# Every coding and packing that is met seldom, and values of every kind.
table = pa.table(
    {
        "image": pa.array([cell(at) for at in range(5)], IMAGE),
        "text": pa.array([f"prefix-{at}" for at in range(5)]),
        "code": pa.array([f"code-{at}" for at in range(5)]),
        "day": pa.array([datetime.date(2020, 1, 1 + at) for at in range(5)]),
        "when": pa.array([datetime.datetime(2020, 1, 1, 12, at) for at in range(5)], pa.timestamp("us")),
        "price": pa.array([decimal.Decimal(f"{at}.50") for at in range(5)], pa.decimal128(9, 2)),
        "small": pa.array(range(5), pa.uint8()),
        "half": pa.array(np.float16([at / 2 for at in range(5)])),
        "near": pa.array(np.float32([at / 10 for at in range(5)])),
        "id": pa.array([bytes([at] * 4) for at in range(5)], pa.binary(4)),
        "tags": pa.array([[("a", at), ("b", None)] for at in range(5)], pa.map_(pa.string(), pa.int64())),
    }
)
pq.write_table(
    table,
    HERE / "codings.parquet",
    use_dictionary=["tags.key_value.key"],
    column_encoding={
        "image.bytes": "DELTA_LENGTH_BYTE_ARRAY",
        "image.path": "DELTA_BYTE_ARRAY",
        "text": "DELTA_BYTE_ARRAY",
        "code": "DELTA_LENGTH_BYTE_ARRAY",
        "small": "DELTA_BINARY_PACKED",
        "near": "BYTE_STREAM_SPLIT",
    },
    compression={"image.bytes": "gzip", "image.path": "lz4", "text": "snappy", "code": "zstd", "near": "lz4"},
)
