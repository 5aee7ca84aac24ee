"""Run the steps of the Dockerfile in an empty folder; the result is a working server."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.faults.deployed import production
from tests.live.server import PROJECT, serving
from tests.smtp import free_port

pytestmark = pytest.mark.fault


def steps() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip()]


def test_server_responds_after_the_steps_of_the_dockerfile(tmp_path):
    app, venv = tmp_path / "app", tmp_path / "venv"
    kept = ["manage.py", "backend", "api", "deploy", "requirements.txt"]  # .dockerignore
    listed = subprocess.run(["git", "ls-files", *kept], cwd=PROJECT, capture_output=True, text=True, check=True)
    app.mkdir()
    python = str(venv / "bin/python")
    places = {
        "/venv": str(venv),
        "/app": str(app),
        "python -m venv": f"{sys.executable} -m venv",
        "install -d -o cosmo": "install -d",
    }

    def run(command: str) -> None:
        # Instead of root in an image: use this test's folders and add no user to this machine.
        for before, after in places.items():
            command = command.replace(before, after)
        command = re.sub(r"useradd .*", "true", command)
        subprocess.run(["bash", "-euc", command], cwd=app, check=True, capture_output=True, text=True)

    def copy(words: str) -> None:
        *sources, target = words.split()
        if sources[0].startswith("--from"):
            return  # both stages share a folder here
        for source in sources:
            for name in listed.stdout.split():
                if name == source or name.startswith(f"{source}/"):
                    place = app / name if target in {".", "./"} else app / target / name.removeprefix(f"{source}/")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(PROJECT / name, place)

    for instruction, rest in steps():
        if instruction == "RUN":
            run(rest)
        elif instruction == "COPY":
            copy(rest)

    assert list((app / "logs").iterdir()) == []
    assert (app / "static/staticfiles.json").exists()
    variables = production(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path / 'db'}", LOGS_DIR=str(app / "logs"))
    variables["WEB_BIND"] = f"127.0.0.1:{free_port()}"
    subprocess.run([python, "manage.py", "migrate", "-v", "0"], cwd=app, env=variables, check=True)
    with serving(variables, tmp_path / "console", project=app, python=python) as server:
        answer = server.request("GET", "/api/health/ready/")

    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
