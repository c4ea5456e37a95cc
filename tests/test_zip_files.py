"""Deployment packages that are broken or hostile: refused in AWS's words, or unpacked in the function's own folder."""

from __future__ import annotations

import io
import stat
import struct
import time
import tracemalloc
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path

import pytest

from helpers.local_aws.errors import ApiError
from helpers.local_aws.function_code import unpack

from .conftest import Aws, zipped
from .lambda_calls import create, invoke, refusal

SOURCE = "def handler(event, context): return event"
NOT_UNZIPPABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"


def archive(*entries: tuple[str, str, int], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of names, contents and modes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as made:
        warnings.simplefilter("ignore")  # Of duplicate names.
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = method, mode << 16
            made.writestr(entry, content)
    return buffer.getvalue()


def one(name: str, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of one entry."""
    return archive((name, "out", mode), method=method)


def encrypted() -> bytes:
    """Return a zip file that says that its entry is encrypted."""
    data = bytearray(one("app.py"))
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(start) + flags] |= 1
    return bytes(data)


def spoilt() -> bytes:
    """Return a zip file whose compressed data is not."""
    data = bytearray(one("app.py"))
    data[30 + len("app.py")] = 0xFF
    return bytes(data)


@lru_cache
def bomb(size: int = 400 * 2**20) -> bytes:
    """Return a zip file of zeros, small as it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made, made.open("zeros", "w") as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    return buffer.getvalue()


def lying_bomb() -> bytes:
    """Return a bomb that says that it is small."""
    data = bytearray(bomb())
    for start, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.find(start) + size
        data[place : place + 4] = struct.pack("<I", 1000)
    return bytes(data)


@lru_cache
def entries(number: int, name: str = "f{}") -> bytes:
    """Return a zip file of many empty files, in which every entry of the directory means the same data."""
    first = archive((name.format("00000"), "", 0))
    begin, end = first.find(b"PK\x01\x02"), first.find(b"PK\x05\x06")
    plain = first[begin:end]
    directory = b"".join(plain.replace(b"00000", b"%05x" % index) for index in range(number))
    tail = bytearray(first[end:])
    tail[8:12] = struct.pack("<HH", number & 0xFFFF, number & 0xFFFF)
    tail[12:16] = struct.pack("<I", len(directory))
    return first[:begin] + directory + bytes(tail)


REFUSED = {
    "nothing": (b"", NOT_UNZIPPABLE),
    "text": (b"def handler(event, context): pass", NOT_UNZIPPABLE),
    "cut off": (zipped(SOURCE)[:-10], NOT_UNZIPPABLE),
    "half": (zipped(SOURCE)[:60], NOT_UNZIPPABLE),
    "encrypted": (encrypted(), NOT_UNZIPPABLE),
    "spoilt": (spoilt(), NOT_UNZIPPABLE),
    "other bytes than its checksum's": (
        archive(("app.py", SOURCE, 0), method=zipfile.ZIP_STORED).replace(b"handler", b"hendler"),
        NOT_UNZIPPABLE,
    ),
    "up": (one("../out.py"), NOT_UNZIPPABLE),
    "down and up": (one("a/../../out.py"), NOT_UNZIPPABLE),
    "a folder up": (one("../out/"), NOT_UNZIPPABLE),
    "absolute": (one("/out.py"), NOT_UNZIPPABLE),
    "drive": (one("C:/out.py"), NOT_UNZIPPABLE),
    "backslashes": (one("..\\out.py"), NOT_UNZIPPABLE),
    "link": (one("link", stat.S_IFLNK | 0o777), NOT_UNZIPPABLE),
    "link as a folder": (archive(("a", "/tmp", stat.S_IFLNK | 0o777), ("a/out.py", "x", 0)), NOT_UNZIPPABLE),
    "pipe": (one("pipe", stat.S_IFIFO | 0o644), NOT_UNZIPPABLE),
    "device": (one("zero", stat.S_IFCHR | 0o644), NOT_UNZIPPABLE),
    "file and folder": (archive(("a", "x", 0), ("a/b", "y", 0)), NOT_UNZIPPABLE),
    "no name": (one(""), NOT_UNZIPPABLE),
    "a name that is its folder's": (one("."), NOT_UNZIPPABLE),
    "long name": (one("n" * 5000), NOT_UNZIPPABLE),
    "long path": (one("/".join(["d" * 200] * 40)), NOT_UNZIPPABLE),
    "another method": (one("app.py", method=zipfile.ZIP_LZMA), NOT_UNZIPPABLE),
}
UNPACKED = {
    "no files": (b"PK\x05\x06" + bytes(18), []),
    "setuid": (one("app.py", 0o104755), ["app.py"]),
    "without rights": (one("app.py", stat.S_IFREG), ["app.py"]),
    "twice": (archive(("app.py", "a = 1", 0), ("app.py", "a = 2", 0)), ["app.py"]),
    "another archive": (archive(("in.zip", one("../out.py").decode("latin-1"), 0)), ["in.zip"]),
    "a name with NUL": (one("aXb.py").replace(b"aXb", b"a\0b"), ["a"]),
    "bytes before it": (b"#!/bin/sh\n" + one("app.py"), ["app.py"]),
}


@pytest.mark.behaviour("D7")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_unpacked_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    data, text = REFUSED[name]
    folder = tmp_path / "code"
    folder.mkdir()
    with pytest.raises(ApiError) as refused:
        unpack(data, folder)
    assert (refused.value.code, refused.value.message) == ("InvalidParameterValueException", text)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("name", UNPACKED)
def test_what_is_only_strange_stays_in_its_folder_and_can_be_read_only(tmp_path: Path, name: str) -> None:
    data, files = UNPACKED[name]
    folder = tmp_path / "code"
    folder.mkdir()
    code = unpack(data, folder)
    found = [path for path in tmp_path.rglob("*") if path not in (folder, code.folder)]
    assert [str(path.relative_to(code.folder)) for path in found] == files
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in found)


@pytest.mark.behaviour("D7")
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bomb(), TOO_LARGE),
        (lying_bomb(), NOT_UNZIPPABLE),
        (entries(100_000), NOT_UNZIPPABLE),
        (entries(26_000, "/".join(["d{}"] + ["d"] * 20)), NOT_UNZIPPABLE),
    ],
    ids=["bomb", "bomb that lies", "100,000 entries", "a million folders"],
)
def test_bombs_cost_neither_time_nor_memory(tmp_path: Path, data: bytes, text: str) -> None:
    began = time.monotonic()
    tracemalloc.start()
    with pytest.raises(ApiError) as refused:
        unpack(data, tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.message == text
    assert time.monotonic() - began < 10
    assert most < 200 * 2**20
    assert not list(tmp_path.iterdir())


@pytest.mark.behaviour("D7")
def test_a_refused_package_leaves_the_function_as_it_was(aws: Aws) -> None:
    client = aws.client("lambda")
    name, absent = aws.function(SOURCE), aws.name("f")
    before = client.get_function_configuration(FunctionName=name)
    for data, text in (REFUSED["up"], REFUSED["no name"], REFUSED["spoilt"], (bomb(), TOO_LARGE)):
        expected = (400, "InvalidParameterValueException", text)
        assert refusal(client.update_function_code, FunctionName=name, ZipFile=data) == expected
        assert refusal(create, aws, data, FunctionName=absent, Role=before["Role"]) == expected
    after = client.get_function_configuration(FunctionName=name)
    assert (after["CodeSha256"], after["RevisionId"]) == (before["CodeSha256"], before["RevisionId"])
    assert refusal(client.get_function, FunctionName=absent)[0] == 404
    assert invoke(aws, name, 7) == 7
