"""How schemathesis signs in: anew for each case, because some of them end every session."""

import os
from typing import Any

import requests
import schemathesis


@schemathesis.auth(refresh_interval=None)
class SignIn:
    def get(self, case: Any, context: Any) -> str:
        credentials = {"username": os.environ["COSMO_USERNAME"], "password": os.environ["COSMO_PASSWORD"]}
        # From an address of its own: the guesses that the cases make must not lock this door.
        address = {"X-Forwarded-For": "192.0.2.1"}
        url = f"{os.environ['COSMO_URL']}/api/auth/login/"
        answer = requests.post(url, json=credentials, headers=address, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["access"])

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
