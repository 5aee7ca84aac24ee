"""The README's session, as it is printed, against a server that `make run` would start."""

import json
import re
import subprocess
import sys

from tests.live.server import PROJECT, environment, manage, serving


def test_the_session_of_the_readme_does_what_it_says(tmp_path):
    readme = (PROJECT / "README.md").read_text()
    script = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)[1]
    printed = json.loads(re.search(r"```json\n(.*?)\n```", readme, re.DOTALL)[1])
    variables = environment(tmp_path, DJANGO_ENVIRONMENT="development", DATABASE_URL=f"sqlite:///{tmp_path / 'db'}")
    manage(variables, "migrate", "--verbosity", "0")
    # As `make run` does; the accounts are the last that it prints.
    seed = [sys.executable, "manage.py", "seed_demo", "--accounts", str(tmp_path / ".demo-accounts")]
    quiet = variables | {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    screen = subprocess.run(seed, cwd=PROJECT, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert "james.owner" in screen.stdout.decode().splitlines()[-2]
    assert "Mail sent" not in screen.stdout.decode()

    with serving(variables, tmp_path / "log") as server:
        script = script.replace("http://127.0.0.1:8000", server.url)
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    urgent, created, refused = _json_values(done.stdout)
    assert [row["priority"] for row in urgent["results"]] == ["urgent"]
    assert (created["title"], created["status"], created["id"]) == ("Change the linen", "pending", 321)
    assert refused | {"request_id": ""} == printed | {"request_id": ""}


def _json_values(text: str):
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        yield value
