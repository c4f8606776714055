"""Start a student's kernel where it can harm nothing: no network, little memory, nothing to read that is not its own.

On Linux the kernel runs in namespaces of its own (unshare, of util-linux): it has no network, every file system is
read-only but the folder given, and the folders to hide are empty.  Where that is not allowed, as in some containers
and on macOS, Python's own sockets are switched off instead, which a student who tries can get around; the report of
`make lab-grade` says which of the two it was.

Used as a program in front of a kernel's command: python sandbox.py '{"hide": […], …}' COMMAND …
"""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# A user namespace gives the right to mount; a second one inside it takes that right away again, for good.
# Of its own too are the process numbers: it sees no other process, and what it starts ends with it.
OUTER = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
INNER = ("unshare", "--user", "--")
LEFT_ALONE = ("/dev", "/proc", "/sys")


def prefix(*, own: Path, work: Path, hide: list[Path], memory_bytes: int) -> list[str]:
    """Return what goes in front of a kernel's command.

    Args:
        own: The one folder that the kernel may write to.
        work: The folder that holds `own` and those of other submissions, which are hidden.
        hide: Folders that are to look empty.
        memory_bytes: The most memory that the kernel may take.

    Returns:
        The words of a command that takes the kernel's command as its last arguments.
    """
    settings = {
        "own": str(own.resolve()),
        "work": str(work.resolve()),
        "hide": [str(folder.resolve()) for folder in hide if folder.is_dir()],
        "memory_bytes": memory_bytes,
        "namespaces": has_namespaces(),
    }
    program = [sys.executable, str(Path(__file__).resolve()), json.dumps(settings)]
    return [*OUTER, "--", *program] if settings["namespaces"] else program


@functools.cache
def has_namespaces() -> bool:
    """Return whether a process may have its own network and mounts here."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        return False
    trial = [*OUTER, "--", "sh", "-c", "mount -t tmpfs none /mnt && exec unshare --user -- true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def main(settings: dict, command: list[str]) -> None:
    """Close the doors, and become the kernel."""
    limit_resources(settings["memory_bytes"])
    if settings["namespaces"]:
        arrange_mounts(settings["own"], settings["work"], settings["hide"])
        os.chdir(os.getcwd())  # the folder of before the mounts is another one now
        os.execvp(INNER[0], [*INNER, *command])
    guard = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import sandbox; sandbox.cut_sockets()"
    arguments = command[command.index("-m") + 2 :]
    run = f"import runpy; sys.argv[1:] = {arguments!r}; runpy.run_module('ipykernel_launcher', run_name='__main__')"
    os.execv(sys.executable, [sys.executable, "-c", f"{guard}; {run}"])


def limit_resources(memory_bytes: int) -> None:
    """Limit memory and the size of a file, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        # Data, not address space: TensorFlow reserves many times the addresses that it ever uses.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def arrange_mounts(own: str, work: str, hide: list[str]) -> None:
    """Hide folders, and make everything read-only but the own folder."""
    # The own folder waits elsewhere while the one around it is hidden.
    mount("-t", "tmpfs", "-o", "size=64k", "none", "/mnt")
    os.mkdir("/mnt/own")
    mount("--bind", own, "/mnt/own")
    for folder in (work, *hide):
        mount("-t", "tmpfs", "-o", "size=64k", "none", folder)
    os.makedirs(own)
    mount("--move", "/mnt/own", own)
    mount("-t", "tmpfs", "-o", "size=64m", "none", "/dev/shm", must=False)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4].encode().decode("unicode_escape")
        if place != own and not f"{place}/".startswith(tuple(f"{folder}/" for folder in LEFT_ALONE)):
            # Some mounts of a container may not be changed; the rest still are.
            mount("-o", "remount,bind,ro", place, must=False)


def mount(*arguments: str, must: bool = True) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *arguments], check=must, capture_output=True)


def cut_sockets() -> None:
    """Refuse every connection but those on this machine's own file sockets."""
    import socket

    connect = socket.socket.connect

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError("There is no network while a submission is marked.")
        return connect(self, address)

    socket.socket.connect = refuse


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
