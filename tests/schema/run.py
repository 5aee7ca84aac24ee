"""`make test-schema`: run schemathesis against a server. Every response must match the OpenAPI document."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.live.server import PROJECT, Server, environment, fill_with_demo, fresh_database, serving

# A body that fits the schema can still be rejected: an unknown property, a weak password.
EXCLUDED_CHECKS = "positive_data_acceptance"
ONE_OF_EACH_ROLE = ("henry.owner", "carla.cleaner", "maria.manager", "root.admin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="examples for each operation")
    parser.add_argument("--usernames", nargs="+", default=ONE_OF_EACH_ROLE)
    parser.add_argument("arguments", nargs="*", help="arguments of `st run`")
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
        passwords = fill_with_demo(folder, database)
        with serving(variables, folder / "server.log") as server:
            statuses = [_run_schemathesis(server, name, passwords[name], options) for name in options.usernames]
            tracebacks = [line for line in (folder / "server.log").read_text().splitlines() if "Traceback" in line]
    if tracebacks:
        sys.stderr.write(f"{len(tracebacks)} tracebacks in the server's log\n")
    return max(statuses) or bool(tracebacks)


def _run_schemathesis(server: Server, username: str, password: str, options: argparse.Namespace) -> int:
    sys.stdout.write(f"\nAs {username}\n")
    sys.stdout.flush()
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{server.url}/api/schema/",
        "--checks=all",
        f"--exclude-checks={EXCLUDED_CHECKS}",
        f"--max-examples={options.examples}",
        "--workers=1",
        "--no-color",
        "--warnings=off",
        *options.arguments,
    ]
    variables = {
        "SCHEMATHESIS_HOOKS": "tests.schema.hooks",
        "COSMO_URL": server.url,
        "COSMO_USERNAME": username,
        "COSMO_PASSWORD": password,
        "PYTHONPATH": str(PROJECT),
    }
    folder = server.environment["LOGS_DIR"]
    return subprocess.run(command, cwd=folder, env=server.environment | variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
