"""The login of schemathesis. It signs in again if a test case has ended all sessions."""

import os
import subprocess
import sys
from typing import Any

import requests
import schemathesis

# Undo what the test cases of a superuser can do to their own account.
_RESTORE_USER = """
from api.models import User
User.objects.filter(pk={pk}).update(username={username!r}, is_active=True, role={role!r}, is_superuser={is_superuser},
    is_staff={is_superuser} or {role!r} == "manager")
"""


@schemathesis.auth(refresh_interval=None)
class Login:
    """Provide a valid access token for each test case."""

    user: dict[str, Any] | None = None
    token = ""

    def get(self, case: Any, context: Any) -> str:
        if not self.token or not self.is_valid():
            self.token = self.new_token()
        return self.token

    def is_valid(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(f"{os.environ['COSMO_URL']}/api/auth/me/", headers=headers, timeout=10).ok

    def new_token(self) -> str:
        response = self.log_in()
        if response.status_code == 401 and self.user is not None:
            values = {"pk": self.user["id"], "username": os.environ["COSMO_USERNAME"], "role": self.user["role"]}
            code = _RESTORE_USER.format(**values, is_superuser=self.user["role"] == "superuser")
            command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
            subprocess.run(command, cwd=os.environ["PYTHONPATH"], check=True, capture_output=True)
            response = self.log_in()
        response.raise_for_status()
        self.user = self.user or response.json()["user"]
        return str(response.json()["access"])

    def log_in(self) -> requests.Response:
        credentials = {"username": os.environ["COSMO_USERNAME"], "password": os.environ["COSMO_PASSWORD"]}
        # A separate IP address keeps failed attempts of test cases from throttling this login.
        ip_headers = {"X-Forwarded-For": "192.0.2.1"}
        url = f"{os.environ['COSMO_URL']}/api/auth/login/"
        return requests.post(url, json=credentials, headers=ip_headers, timeout=10)

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
