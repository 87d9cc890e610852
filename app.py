"""Start the page: python app.py, with the flags of `python -m dlka serve`."""

import sys

from dlka.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
