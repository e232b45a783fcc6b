"""`python -m gumbelrao_edu`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
