"""A function's code: from the zip file of an API call to a read-only folder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import ApiError

LARGEST_ZIP = 52_428_800
"""Bytes of a directly uploaded zip file (row D5)."""
LARGEST_UNZIPPED = 262_144_000
"""Bytes of all files together (row D5)."""
_MOST_FILES = 50_000
_MOST_FOLDERS = 500_000
_ENTRY = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others could ask for any amount of memory."""


@dataclass(frozen=True)
class Code:
    """Code that can be run.

    Attributes
    ----------
    sha256 : str
        Base64 of the zip file's hash, as `CodeSha256`.
    size : int
        Bytes of the zip file.
    folder : Path
        The files, read-only.
    """

    sha256: str
    size: int
    folder: Path


def unpack(data: bytes, folder: Path) -> Code:
    """Unpack a zip file into a folder of its own below `folder`; the same bytes are unpacked once.

    Parameters
    ----------
    data : bytes
        The zip file.
    folder : Path
        Where the code of all functions is kept.

    Raises
    ------
    ApiError
        With AWS's text when it is no zip file, too large, or would write outside its folder (row D7).
    """
    if len(data) > LARGEST_ZIP:
        raise ApiError("RequestEntityTooLargeException", f"Zipped size must be smaller than {LARGEST_ZIP} bytes", 413)
    digest = hashlib.sha256(data).digest()
    code = Code(base64.b64encode(digest).decode(), len(data), folder / digest.hex()[:32])
    if code.folder.exists():
        return code
    if data.count(_ENTRY) > _MOST_FILES:
        # Reading the directory alone would take long.
        raise _not_unzippable()
    partial = code.folder.with_suffix(".partial")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _extract(archive, partial)
    except ApiError:
        _remove(partial)
        raise
    except Exception:
        # A file that is no archive fails in many ways: in its directory, its names, its compressed data, on this disk.
        _remove(partial)
        raise _not_unzippable() from None
    for path in partial.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    partial.rename(code.folder)
    code.folder.chmod(0o555)
    return code


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    if len(entries) > _MOST_FILES or sum(entry.filename.count("/") for entry in entries) > _MOST_FOLDERS:
        raise _not_unzippable()
    if sum(entry.file_size for entry in entries) > LARGEST_UNZIPPED:
        raise _too_large()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise _not_unzippable()
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or not path.parts or entry.compress_type not in _METHODS:
            raise _not_unzippable()
    folder.mkdir(parents=True)
    written = 0
    for entry in entries:
        target = folder.joinpath(*PurePosixPath(entry.filename).parts)
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as sink:
            while block := source.read(1 << 20):
                written += len(block)
                # What counts is what comes out; the sizes in the archive may lie.
                if written > LARGEST_UNZIPPED:
                    raise _too_large()
                sink.write(block)


def _remove(folder: Path) -> None:
    for top, folders, files in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            for name in files:
                os.unlink(os.path.join(top, name))
            for name in folders:
                os.rmdir(os.path.join(top, name))
    with contextlib.suppress(OSError):
        folder.rmdir()


def _too_large() -> ApiError:
    return ApiError("InvalidParameterValueException", f"Unzipped size must be smaller than {LARGEST_UNZIPPED} bytes")


def _not_unzippable() -> ApiError:
    return ApiError(
        "InvalidParameterValueException",
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )
