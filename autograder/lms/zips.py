"""Zips that are handed out: the same files make the same zip."""

import pathlib
import zipfile
from collections.abc import Collection, Iterable
from typing import IO


def write(
    to: pathlib.Path | IO[bytes], files: Iterable[tuple[str, bytes]], executable: Collection[str] = (), comment: bytes = b""
) -> None:
    """Writes a zip.

    Args:
        files: (path there, what is in it), in their order.
        executable: the paths of those that can be run.
    """
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for path, data in files:
            entry = zipfile.ZipInfo(path)  # without a time
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
