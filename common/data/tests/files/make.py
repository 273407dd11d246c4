"""Makes the HDF5 files of these tests: `pip install h5py numpy`, then `python make.py`."""

from pathlib import Path

import h5py
import numpy as np

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
