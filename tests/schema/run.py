"""`make test-schema`: schemathesis against a real server; every answer must be one that the schema names."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.live.server import PROJECT, environment, fresh_database, manage, serving

# A 400 for a property that does not exist, or for a weak password, is no fault, though the body fits the schema.
NOT_FAULTS = "positive_data_acceptance"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="for each operation")
    parser.add_argument("--username", default="maria.manager")
    parser.add_argument("arguments", nargs="*", help="for `st run`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, fresh_database(Path(name)) as database:
        folder = Path(name)
        variables = environment(
            folder,
            DATABASE_URL=database,
            DJANGO_ENVIRONMENT="development",
            DEBUG="off",
            SECURE_SSL_REDIRECT="off",
            TRUSTED_PROXY_COUNT="1",
        )
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "seed_demo", "--accounts", str(folder / "accounts"))
        passwords = dict(line.split() for line in (folder / "accounts").read_text().splitlines())
        with serving(variables, folder / "server.log") as server:
            command = [
                *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}/api/schema/"),
                *("--checks", "all", "--exclude-checks", NOT_FAULTS, "--max-examples", str(options.examples)),
                *("--workers", "1", "--no-color", "--warnings", "off", *options.arguments),
            ]
            hooks = {
                "SCHEMATHESIS_HOOKS": "tests.schema.hooks",
                "COSMO_URL": server.url,
                "COSMO_USERNAME": options.username,
                "COSMO_PASSWORD": passwords[options.username],
                "PYTHONPATH": str(PROJECT),
            }
            status = subprocess.run(command, cwd=folder, env=os.environ | hooks, check=False).returncode
            faults = [line for line in (folder / "server.log").read_text().splitlines() if "Traceback" in line]
    if faults:
        sys.stderr.write(f"{len(faults)} tracebacks in the server's log\n")
    return status or bool(faults)


if __name__ == "__main__":
    sys.exit(main())
