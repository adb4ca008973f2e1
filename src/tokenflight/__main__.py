"""`python -m tokenflight` is the `tokenflight` command."""

import sys

from tokenflight.cli import main

if __name__ == "__main__":
    sys.exit(main())
