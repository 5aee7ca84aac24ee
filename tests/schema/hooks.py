"""How schemathesis signs in: anew where a case has ended every session."""

import os
import subprocess
import sys
from typing import Any

import requests
import schemathesis

# What a superuser's cases may do to himself is undone.
_REVIVE = """
from api.models import User
User.objects.filter(pk={pk}).update(username={username!r}, is_active=True, role={role!r}, is_superuser={is_superuser},
    is_staff={is_superuser} or {role!r} == "manager")
"""


@schemathesis.auth(refresh_interval=None)
class SignIn:
    user: dict[str, Any] | None = None
    token = ""

    def get(self, case: Any, context: Any) -> str:
        if not self.token or not self.is_good():
            self.token = self.new_token()
        return self.token

    def is_good(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(f"{os.environ['COSMO_URL']}/api/auth/me/", headers=headers, timeout=10).ok

    def new_token(self) -> str:
        answer = self.sign_in()
        if answer.status_code == 401 and self.user is not None:
            values = {"pk": self.user["id"], "username": os.environ["COSMO_USERNAME"], "role": self.user["role"]}
            code = _REVIVE.format(**values, is_superuser=self.user["role"] == "superuser")
            command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
            subprocess.run(command, cwd=os.environ["PYTHONPATH"], check=True, capture_output=True)
            answer = self.sign_in()
        answer.raise_for_status()
        self.user = self.user or answer.json()["user"]
        return str(answer.json()["access"])

    def sign_in(self) -> requests.Response:
        credentials = {"username": os.environ["COSMO_USERNAME"], "password": os.environ["COSMO_PASSWORD"]}
        # From an address of its own: the failed attempts of the cases must not throttle this login.
        address = {"X-Forwarded-For": "192.0.2.1"}
        url = f"{os.environ['COSMO_URL']}/api/auth/login/"
        return requests.post(url, json=credentials, headers=address, timeout=10)

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
