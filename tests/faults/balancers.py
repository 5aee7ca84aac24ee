"""Load balancers: nginx with a list of instances, and HAProxy with active health checks."""

import getpass
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.logs import wait_until
from tests.smtp import free_port

_NGINX = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream cosmo {{ include {folder}/upstreams; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://cosmo;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_connect_timeout 2s;
        }}
    }}
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend clients
    bind 127.0.0.1:{port}
    default_backend cosmo
backend cosmo
    option httpchk GET /api/health/
    default-server check inter 500ms fall 2 rise 2
{servers}
"""


@contextmanager
def running(command: Sequence[str], log: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _is_listening(port), seconds=10)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """nginx without active health checks. deploy/nginx/instance removes an instance before its restart."""

    def __init__(self, folder: Path, instances: Sequence[str]) -> None:
        self.folder, self.instances, self.port = folder, instances, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._stack = ExitStack()

    def _write(self, removed: str = "") -> None:
        lines = [f"server {instance}{' down' if instance == removed else ''};\n" for instance in self.instances]
        (self.folder / "upstreams").write_text("".join(lines))

    def __enter__(self) -> "Nginx":
        self._write()
        config = self.folder / "nginx.conf"
        config.write_text(_NGINX.format(user=getpass.getuser(), folder=self.folder, port=self.port))
        command = ["nginx", "-p", str(self.folder), "-c", str(config)]
        self._process = self._stack.enter_context(running(command, self.folder / "nginx.console", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def leave_out(self, instance: str) -> None:
        """Send new requests to all instances except this one; "" for all. Running requests finish."""
        self._write(removed=instance)
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def haproxy(folder: Path, instances: Sequence[str]) -> Iterator[str]:
    """Yield the URL of a HAProxy that checks every half second and removes an instance after two failures."""
    port = free_port()
    servers = "".join(f"    server web{number} {instance}\n" for number, instance in enumerate(instances))
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, servers=servers))
    with running(["haproxy", "-db", "-f", str(config)], folder / "haproxy.console", port):
        yield f"http://127.0.0.1:{port}"
