"""`make bench`: what Cosmo's answers cost, in one run; the report is Markdown, on standard output."""

import argparse
import os

from bench.compare import compare
from bench.scaling import grow
from bench.setup import scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of each server and address")
    parser.add_argument("--seconds", type=int, default=3, help="of a round; 0: do not compare")
    parser.add_argument("--copies", type=int, default=99, help="of each of the 10,000 tasks; 0: do not grow")
    options = parser.parse_args()
    if options.seconds:
        with scene() as here:
            print(*compare(here, rounds=options.rounds, seconds=options.seconds), sep="\n")
    if options.copies and os.environ.get("DATABASE_URL", "").startswith("postgres"):
        with scene() as small, scene() as large:
            print("", *grow(small, large, copies=options.copies, rounds=3 * options.rounds), sep="\n")


if __name__ == "__main__":
    main()
