"""Files that are either written whole or not at all."""

import contextlib
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil


def check_writable(path: str | os.PathLike) -> None:
    """Find out whether a file could be written, before the hour that would be lost if not.

    Raises:
        ValueError: If it could not; the message says why.
    """
    try:
        if Path(path).is_dir():
            raise IsADirectoryError(0, "it is a folder")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise ValueError(f"Cannot write {os.fspath(path)!r}: {error.strerror}. Choose another place.") from error


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there when the block ends well.

    A reader never sees half a file, and what stood at `path` before stays until the new file is complete.  Missing
    parent folders are made.

    Args:
        path: Where the file is to stand.

    Yields:
        A path in the same folder, to be written to; it is removed if the block raises.

    Raises:
        OSError: If the folder cannot be made or written to.
    """
    path = Path(path)
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
    for leftover in path.parent.iterdir():
        owner = re.fullmatch(re.escape(_prefix(path)) + r"(\d+)-[0-9a-f]{8}\.part", leftover.name)
        # In a folder that may only be read they stay.
        if owner and not psutil.pid_exists(int(owner[1])):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name[:64]}.{platform.node()[:32]}-"
