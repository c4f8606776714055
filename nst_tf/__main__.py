"""The door of the command line: python -m nst_tf COMMAND."""

import contextlib
import os
import sys
from typing import NoReturn

from nst_tf.cli.parser import main


def run() -> NoReturn:
    """Run one command, and end the process without TensorFlow's clearing up, which takes a second."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
