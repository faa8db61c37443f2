"""Files of images that are not read here, with the line that converts each: LMDB, HDF5, TFRecord."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "'.png' if v[1:4]==b'PNG' else '.webp' if v[:4]==b'RIFF' else '.jpg'"
LMDB = (
    "python -c \"import lmdb; t=lmdb.open('PATH',readonly=True,lock=False).begin();"
    f" [open(f'OUT/{{i:07d}}'+({SUFFIX}),'wb').write(v) for i,(k,v) in enumerate(t.cursor())]\""
)
HDF5 = (
    "python -c \"import h5py,numpy as np; f=h5py.File('PATH'); print(list(f)); np.savez('OUT.npz',images=f['KEY'][:])\""
)
TFRECORD = (
    "python -c \"import tensorflow as tf; [open(f'OUT/{i:07d}.jpg','wb').write(tf.train.Example.FromString(r.numpy())"
    ".features.feature['image/encoded'].bytes_list.value[0]) for i,r in enumerate(tf.data.TFRecordDataset('PATH'))]\""
)


@dataclass(frozen=True)
class Container:
    """A kind of file that holds many images."""

    name: str  # with its article
    pattern: str  # of its name
    line: str  # of a shell, with PATH and OUT
    about: str = ""


CONTAINERS = (
    Container("an LMDB", r"(data\.mdb|.+\.(lmdb|mdb))", LMDB, "OUT is a new folder"),
    Container("an HDF5 file", r".+\.(h5|hdf5|hdf)", HDF5, "KEY is the one of the printed names that holds the images"),
    Container("a TFRecord", r".+\.(tfrecords?|tfrec)([-.].*)?|.+-\d{5}-of-\d{5}", TFRECORD, "OUT is a new folder"),
)


def conversion(files: Iterable[str], root: Path | None = None) -> str:
    """A sentence with the line that converts the first container among files; empty if there is none."""
    for file in files:
        for kind in CONTAINERS:
            if re.fullmatch(kind.pattern, file.rpartition("/")[2].lower()):
                path = Path(file) if root is None else root / file
                where = path.parent if path.name.lower() == "data.mdb" else path
                line = kind.line.replace("PATH", str(where))
                return f"{where} is {kind.name}, which is not read; this writes what is read ({kind.about}): {line}"
    return ""
