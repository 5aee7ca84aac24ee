"""`make bench`: measure the response times and CPU of Cosmo, and print a Markdown report."""

import argparse
import os

from bench.compare import compare
from bench.scaling import measure_scaling
from bench.setup import set_up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds for each server and endpoint")
    parser.add_argument("--seconds", type=int, default=3, help="length of a round; 0 skips the comparison")
    parser.add_argument(
        "--copies", type=int, default=99, help="copies of each of the 10,000 tasks; 0 skips the scaling report"
    )
    options = parser.parse_args()
    if options.seconds:
        with set_up() as setup:
            print(*compare(setup, rounds=options.rounds, seconds=options.seconds), sep="\n")
    if options.copies and os.environ.get("DATABASE_URL", "").startswith("postgres"):
        with set_up() as small, set_up() as large:
            print("", *measure_scaling(small, large, copies=options.copies, rounds=3 * options.rounds), sep="\n")


if __name__ == "__main__":
    main()
