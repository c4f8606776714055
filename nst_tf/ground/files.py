"""Files that are written whole or not at all, and what tells one array from another."""

import contextlib
import hashlib
import os
import platform
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from nst_tf.ground.checks import shown


def user_path(path: str | os.PathLike) -> Path:
    """Return the path that a person means; ~ at its beginning is the home folder, as in a shell."""
    return Path(os.path.expanduser(path))


def check_writable(path: str | os.PathLike) -> None:
    """Raise ValueError if a file could not be written, before the hour that would be lost."""
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        if target.exists() and _is_guarded(target):
            raise PermissionError(0, "it is somebody else's file")
    except OSError as error:
        raise ValueError(f"Cannot write {shown(path)}: {error.strerror}. Choose another place.") from error


class OverwriteError(ValueError):
    """An output would take the place of a file that is read."""


class OverwriteGuard:
    """Which files are read and which are written, so that no output replaces an input or another output.

    Only hashes of the paths are kept, so that those of a million jobs fit into memory.
    """

    def __init__(self):
        self._read: set[bytes] = set()
        self._written: set[bytes] = set()

    def reads(self, path: str | os.PathLike) -> None:
        """Note an input; raise OverwriteError if it is an output too."""
        names = _names(path)
        if names & self._written:
            raise _overwrites(path)
        self._read |= names

    def writes(self, path: str | os.PathLike) -> None:
        """Note an output; raise OverwriteError if it is an input too, ValueError if it is noted already."""
        names = _names(path)
        if names & self._read:
            raise _overwrites(path)
        if names & self._written:
            raise ValueError(f"{shown(path)} is written twice, so the first would be lost; choose another name.")
        self._written |= names


def _overwrites(path: str | os.PathLike) -> OverwriteError:
    return OverwriteError(f"{shown(path)} is an input and an output, and would be lost; choose another output.")


def _names(path: str | os.PathLike) -> set[bytes]:
    """Return hashes by which a file is known, whatever link or spelling leads to it."""
    real = os.path.normcase(os.path.realpath(user_path(path)))
    names = [os.fsencode(real)]
    with contextlib.suppress(OSError):
        state = os.stat(real)
        names += [f"{state.st_dev} {state.st_ino}".encode()] if state.st_ino else []
    return {hashlib.blake2b(name, digest_size=8).digest() for name in names}


def check_no_overwrite(outputs: Iterable[str | os.PathLike | None], inputs: Iterable[str | os.PathLike | None]) -> None:
    """Raise ValueError if a file to be written is one that is read, by a link too, is written twice, or cannot be.

    Inputs may be addresses; None is passed over in both.
    """
    guard = OverwriteGuard()
    for path in filter(None, inputs):
        guard.reads(path)
    for path in filter(None, outputs):
        guard.writes(path)
        check_writable(path)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there when the block ends well.

    A reader never sees half a file, and what stood at `path` before stays until the new file is complete, or if the
    block raises.  Missing parent folders are made; raises OSError if they cannot be.
    """
    path = _target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            # Without this a crash of the machine could leave the new name on an empty file.
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove temporary files for `path` whose process, on this machine, was killed before it could."""
    path = Path(path)
    # In a folder that may not be listed or written to they stay.
    with contextlib.suppress(OSError):
        for leftover in path.parent.iterdir():
            owner = re.fullmatch(re.escape(_prefix(path)) + r"(\d+)-[0-9a-f]{8}\.part", leftover.name)
            if owner and not psutil.pid_exists(int(owner[1])):
                leftover.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    # A file system counts bytes, of which it takes 255.
    shortened = os.fsencode(path.name)[:64].decode(sys.getfilesystemencoding(), errors="ignore")
    return f".{shortened}.{platform.node()[:32]}-"


def _target(path: str | os.PathLike) -> Path:
    """Return where a file will stand, behind any links; raise OSError if a folder or a device stands there."""
    target = Path(os.path.realpath(user_path(path)))
    if target.exists() and not target.is_file():
        raise IsADirectoryError(0, "it is a folder" if target.is_dir() else "it is no ordinary file")
    return target


def _is_guarded(path: Path) -> bool:
    """Whether a file lies in a folder such as /tmp, in which people may not replace each other's files."""
    if not hasattr(os, "geteuid"):
        return False
    folder = path.parent.stat()
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (0, path.stat().st_uid, folder.st_uid)


def file_signature(path: str) -> str:
    """Return what tells a file from itself after it was replaced; what is no file, such as an address, as it is."""
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        return path
    state = os.stat(path)
    return repr((path, state.st_mtime_ns, state.st_size))


def fingerprint(*arrays: Any) -> str | None:
    """Return a hash of arrays or tensors, their shapes included; some may be None, and if all are it is None."""
    if all(array is None for array in arrays):
        return None
    digest = hashlib.sha256()
    for given in arrays:
        array = np.zeros(0, np.float32) if given is None else np.asarray(given)
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
