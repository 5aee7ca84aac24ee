"""The commands of the README work against the server of `make run`."""

import json
import re
import subprocess
import sys

from tests.live.server import PROJECT, environment, manage, serving

README = (PROJECT / "README.md").read_text()


def test_commands_of_the_readme_print_what_it_quotes(tmp_path):
    script = re.search(r"```sh\n(.*?)```", README, re.DOTALL)[1]
    quoted = json.loads(re.search(r"```json\n(.*?)\n```", README, re.DOTALL)[1])
    variables = environment(tmp_path, DJANGO_ENVIRONMENT="development", DATABASE_URL=f"sqlite:///{tmp_path / 'db'}")
    manage(variables, "migrate", "--verbosity", "0")
    # The same commands as `make run`, which prints the accounts last.
    seed = [sys.executable, "manage.py", "seed_demo", "--accounts", str(tmp_path / ".demo-accounts")]
    quiet = variables | {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    screen = subprocess.run(
        seed, cwd=PROJECT, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    ).stdout
    assert "james.owner" in screen.splitlines()[-2]
    assert "Mail sent" not in screen
    printed_paths = set(re.findall(rf"http://{variables['WEB_BIND']}(\S+)", screen))
    readme_paths = set(re.findall(r"http://127\.0\.0\.1:8000(/[\w/]+)", README))
    assert printed_paths <= readme_paths

    with serving(variables, tmp_path / "log") as server:
        script = script.replace("http://127.0.0.1:8000", server.url)
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    urgent, created, rejected = _json_values(done.stdout)
    assert [row["priority"] for row in urgent["results"]] == ["urgent"]
    assert (created["title"], created["status"], created["id"]) == ("Change the linen", "pending", 321)
    assert rejected | {"request_id": ""} == quoted | {"request_id": ""}


def _json_values(text: str):
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        yield value
