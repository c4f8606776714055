"""The door of the command line: python -m nst_tf COMMAND."""

import sys

from nst_tf.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
