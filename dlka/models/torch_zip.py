"""Reads the zip archive that ``torch.save`` writes, as bytes and within limits. Standard library only.

Layout: ``NAME/data.pkl`` is a pickle that names its storages by key, ``NAME/data/KEY`` are their raw values, and
``NAME/byteorder`` tells their byte order. All entries are stored uncompressed, so a file can never hold more than it
weighs; a compressed, encrypted or overlapping entry is refused.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

MAX_BYTES = 1 << 30
MAX_ENTRIES = 20_000
MAX_PICKLE = 4 << 20
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save wrote before torch 1.6


class CheckpointRefused(ValueError):
    """A checkpoint that is not read; the message is one sentence for the person who has the file."""


class TorchZip:
    """An open archive; use it in a ``with``. Raises CheckpointRefused for what torch.save does not write."""

    def __init__(self, path: str | Path) -> None:
        with open(path, "rb") as file:
            start = file.read(len(LEGACY_START))
        if start == LEGACY_START:
            raise CheckpointRefused(
                "it has the format from before torch 1.6; where it is trusted, load it and save it again"
            )
        if not start.startswith(b"PK\x03\x04"):
            raise CheckpointRefused("it is not a PyTorch checkpoint: expected the zip archive that torch.save writes")
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise CheckpointRefused("its zip archive is damaged or cut off; copy the file again") from None
        self._root = self._check()

    def __enter__(self) -> TorchZip:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def pickle(self) -> bytes:
        """The pickle of the saved object, at most MAX_PICKLE bytes."""
        if self._zip.getinfo(f"{self._root}/data.pkl").file_size > MAX_PICKLE:
            raise CheckpointRefused(
                f"its pickle is larger than {MAX_PICKLE >> 20} MB, too large for a model's structure"
            )
        return self._read("data.pkl")

    def storage(self, key: str, size: int) -> bytes:
        """The raw little-endian bytes of one storage, which must have the given size."""
        data = self._read(f"data/{key}")
        if len(data) != size:
            raise CheckpointRefused(f"storage {key} has {len(data)} bytes where its tensors say {size}")
        return data

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(f"{self._root}/{name}")
        except KeyError:
            raise CheckpointRefused(f"the entry {name} is missing from its archive") from None
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError):
            raise CheckpointRefused(f"the entry {name} of its archive is damaged; copy the file again") from None

    def _check(self) -> str:
        """Hold the limits, and return NAME, the folder that all entries lie in."""
        entries = self._zip.infolist()
        names = {entry.filename for entry in entries}
        if len(entries) > MAX_ENTRIES or len(names) != len(entries):
            raise CheckpointRefused(f"its archive has over {MAX_ENTRIES} entries or two of one name")
        roots = [
            name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        if len(roots) != 1:
            raise CheckpointRefused("its zip archive is not a PyTorch checkpoint: expected one entry NAME/data.pkl")
        if f"{roots[0]}/constants.pkl" in names:
            raise CheckpointRefused("it is a TorchScript archive; convert the checkpoint that it was exported from")
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
        if not stored or any(entry.flag_bits & 1 for entry in entries):
            raise CheckpointRefused("its archive has compressed or encrypted entries, which torch.save never writes")
        size = Path(str(self._zip.filename)).stat().st_size
        if sum(entry.file_size for entry in entries) > size or size > MAX_BYTES:
            raise CheckpointRefused(f"its entries overlap or are larger than {MAX_BYTES >> 30} GB in all")
        if f"{roots[0]}/byteorder" in names and self._zip.read(f"{roots[0]}/byteorder") != b"little":
            raise CheckpointRefused("it was saved on a big-endian machine; load it there and save it on another")
        return roots[0]
