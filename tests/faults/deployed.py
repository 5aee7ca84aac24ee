"""Cosmo as deployed: two production instances of the image contents behind nginx with our configuration."""

import getpass
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.faults.balancers import running
from tests.live.browser import From
from tests.live.server import PROJECT, Server, checkout, manage, serving
from tests.logs import Logs
from tests.smtp import free_port

NAME = "cosmo.example.com"
_MAIN = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{ worker_connections 2048; }}
http {{
    {temporary}
    include {folder}/cosmo.conf;
}}
"""


class Browser:
    """A client that keeps cookies and records the Set-Cookie headers."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.cookies = requests.cookies.RequestsCookieJar()
        self.set_cookies: list[str] = []

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        headers = {"Cookie": cookies} if cookies else {}
        response = self.site.ask(method, path, headers=headers | {"Referer": f"https://{NAME}/"}, **options)
        self.set_cookies += response.raw.headers.getlist("Set-Cookie")
        self.cookies.update(response.cookies)
        return response


@dataclass
class Site:
    """The site behind nginx, with a self-signed certificate."""

    folder: Path
    http: str
    https: str
    servers: list[Server]
    stacks: list[ExitStack]

    @property
    def access_log(self) -> str:
        return (self.folder / "access.log").read_text()

    @property
    def logs(self) -> Logs:
        return self.servers[0].logs

    def ask(
        self, method: str, path: str, *, plain: bool = False, source: str = "127.0.0.1", **options: Any
    ) -> requests.Response:
        """Send a request with the public host name, without following redirects."""
        options["headers"] = {"Host": NAME, **options.get("headers", {})}
        url = (self.http if plain else self.https) + path
        with requests.Session() as session:
            session.mount("http://", From(source))
            session.mount("https://", From(source))
            return session.request(method, url, timeout=30, allow_redirects=False, verify=False, **options)

    def nginx(self, what: str, number: int) -> None:
        """Run deploy/nginx/instance as deploy/systemd does before and after it restarts an instance."""
        command = [self.folder / "opt/deploy/nginx/instance", what, self.servers[number].environment["WEB_BIND"]]
        nginx = f"nginx -p {self.folder} -c {self.folder / 'nginx.conf'}"
        variables = os.environ | {"NGINX": nginx}
        subprocess.run([*command, self.folder / "cosmo.conf"], env=variables, check=True, capture_output=True)

    def stop(self, number: int) -> None:
        self.stacks[number].close()

    def start(self, number: int) -> None:
        server = self.servers[number]
        console = self.folder / f"{number}.{time.monotonic()}"
        started = serving(server.environment, console, project=self.folder / "opt")
        self.servers[number] = self.stacks[number].enter_context(started)


def production(folder: Path, **variables: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "DJANGO_ENVIRONMENT": "production",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SIGNING_KEY": secrets.token_urlsafe(48),
        "ALLOWED_HOSTS": NAME,
        "PUBLIC_BASE_URL": f"https://{NAME}",
        "CORS_ALLOWED_ORIGINS": "https://app.example.com",
        "DEFAULT_FROM_EMAIL": f"cosmo@{NAME}",
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "EMAIL_FILE_PATH": str(folder / "mails"),
        "TRUSTED_PROXY_COUNT": "1",
        "LOGS_DIR": str(folder / "logs"),
        "WEB_CONCURRENCY": "2",
        **variables,
    }


@contextmanager
def site(folder: Path, database: str) -> Iterator[Site]:
    """Run two instances on this database until the block ends."""
    project = checkout(folder / "opt")
    variables = production(folder, DATABASE_URL=database)
    manage(variables, "migrate", "--verbosity", "0", project=project)
    manage(variables, "collectstatic", "--noinput", "--verbosity", "0", project=project)
    instances = [variables | {"WEB_BIND": f"127.0.0.1:{free_port()}"} for _ in range(2)]
    http, https = free_port(), free_port()
    config = _configured(folder, project, [instance["WEB_BIND"] for instance in instances], http, https)
    nginx = ["nginx", "-p", str(folder), "-c", str(config)]
    with ExitStack() as first, ExitStack() as second, running(nginx, folder / "nginx.console", https):
        servers = [
            stack.enter_context(serving(instance, folder / f"{number}.console", project=project))
            for number, (stack, instance) in enumerate(zip((first, second), instances, strict=True))
        ]
        yield Site(folder, f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", servers, [first, second])


def _configured(folder: Path, project: Path, instances: list[str], http: int, https: int) -> Path:
    """Write our nginx configuration with the paths and ports of this test; return its main file."""
    bindings = [(f"127.0.0.1:{port}", instance) for port, instance in zip((8001, 8002), instances, strict=True)]
    replacements = {
        "/opt/cosmo": str(project),
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443": f"listen 127.0.0.1:{https}",
        "/etc/ssl/cosmo": str(folder),
        "/var/log/nginx/cosmo.log": str(folder / "access.log"),
        **dict(bindings),
    }
    for name in ("cosmo.conf", "proxy.conf", "problem.conf"):
        text = (PROJECT / "deploy/nginx" / name).read_text()
        for before, after in replacements.items():
            text = text.replace(before, after)
        (folder / name if name == "cosmo.conf" else project / "deploy/nginx" / name).write_text(text)
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout privkey.pem -out fullchain.pem"
    subprocess.run([*openssl.split(), "-subj", f"/CN={NAME}"], cwd=folder, check=True, capture_output=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n    ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(user=getpass.getuser(), folder=folder, temporary=temporary))
    return main
