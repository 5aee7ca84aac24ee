"""The files of deploy/, the Dockerfile and compose.yaml refer to existing files, jobs and variables only."""

import os
import re
import shutil
import subprocess

import pytest
import yaml
from django.core.management import get_commands

from api.operations.job_schedule import JOBS
from tests.live.server import PROJECT

SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
UNITS = sorted((PROJECT / "deploy/systemd").iterdir())
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "cosmo"}
VARIABLES = set(re.findall(r"^([A-Z_]+)=", (PROJECT / "env.production.example").read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_names_existing_files_jobs_and_variables(unit):
    text = unit.read_text()
    assert "User=cosmo" in text or unit.suffix == ".timer"
    for path in re.findall(r"/opt/cosmo/(deploy/\S+)", text):
        assert (PROJECT / path).exists(), path
    for path in re.findall(r"^Exec\w+=[-+]*/opt/cosmo/(deploy/\S+)", text, re.MULTILINE):
        assert os.access(PROJECT / path, os.X_OK), path
    for job in re.findall(r"^Unit=cosmo-job@(\w+)\.service", text, re.MULTILINE):
        assert job in get_commands()
        assert unit.name == f"cosmo-job@{job}.timer"
    for name in re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", text):
        assert name in VARIABLES | {"GLIBC_TUNABLES"}


def test_web_unit_checks_the_code_before_reload_and_start():
    unit = (PROJECT / "deploy/systemd/cosmo-web@.service").read_text()
    (start,) = re.findall("^ExecStart=(.+)$", unit, re.MULTILINE)
    check = start.replace("gunicorn ", "gunicorn --check-config ")

    assert re.findall("^ExecReload=(.+)$", unit, re.MULTILINE) == [check, "/bin/kill -HUP $MAINPID"]
    assert re.findall("^ExecStartPre=(.+)$", unit, re.MULTILINE)[-1] == check


def timer_times(calendar: str) -> str:
    """Return an OnCalendar value as a crontab of this project: minute, hour, then "* * *"."""
    hour, minute, _second = calendar.removesuffix(" UTC").rpartition(" ")[2].split(":")
    return f"{crontab_field(minute)} {crontab_field(hour)} * * *"


def crontab_field(field: str) -> str:
    if re.fullmatch(r"0*/\d+|00?/\d+", field):
        return f"*/{field.partition('/')[2]}"
    return field if field == "*" else str(int(field))


def test_jobs_table_timers_and_documented_crontab_agree():
    timers = {
        re.search(r"@(\w+)\.timer$", unit.name)[1]: re.search("^OnCalendar=(.+)$", unit.read_text(), re.MULTILINE)[1]
        for unit in UNITS
        if unit.suffix == ".timer"
    }
    page = (PROJECT / "docs" / "operations.md").read_text()
    lines = re.findall(r"^    (\S+ \S+ \S+ \S+ \S+) +cd /opt/cosmo && \S+ manage\.py (\w+)$", page, re.MULTILINE)
    crontabs = {name: job.crontab for name, job in JOBS.items()}

    assert {name: timer_times(calendar) for name, calendar in timers.items()} == crontabs
    assert {name: crontab for crontab, name in lines} == crontabs
    assert crontabs.keys() <= get_commands().keys()
    assert set(re.findall(r"^\| (\w+) \| (?:every|daily)", page, re.MULTILINE)) == crontabs.keys()


CONFIG = "upstream cosmo {\n    server 127.0.0.1:8001 fail_timeout=2s;\n    server 127.0.0.1:8002 fail_timeout=2s;\n}\n"


@pytest.mark.parametrize("is_accepted", [True, False])
def test_instance_script_keeps_the_file_when_nginx_cannot_load_the_change(tmp_path, is_accepted):
    file, nginx = tmp_path / "cosmo.conf", tmp_path / "nginx"
    file.write_text(CONFIG)
    (tmp_path / "link").symlink_to(file)
    nginx.write_text(f'#!/bin/sh\ntest "$1" != -t || {"true" if is_accepted else "false"}\n')
    nginx.chmod(0o755)
    command = [PROJECT / "deploy/nginx/instance", "out", "127.0.0.1:8001", tmp_path / "link"]

    done = subprocess.run(command, env=os.environ | {"NGINX": str(nginx)}, check=False)

    assert (done.returncode == 0) is is_accepted
    assert file.read_text() == (CONFIG.replace("2s;", "2s down;", 1) if is_accepted else CONFIG)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_verify_accepts_every_unit(tmp_path):
    for unit in UNITS:
        # The programs of an installation do not exist here; /bin/true does.
        text = re.sub(r"^(Exec\w+)=[-+]*/opt/cosmo/\S+", r"\1=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    names = [str(path) for path in sorted(tmp_path.iterdir())]

    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if "/cosmo-" in line or line.startswith("cosmo-")] == []


@pytest.mark.skipif(shutil.which("logrotate", path=SBIN) is None, reason="needs logrotate")
def test_logrotate_accepts_every_configuration():
    files = [str(path) for path in (PROJECT / "deploy/logrotate").iterdir()]
    command = ["logrotate", "--debug", "--state", "/dev/null", *files]

    done = subprocess.run(command, env={"PATH": SBIN}, capture_output=True, text=True, check=False)

    assert files
    assert (done.returncode, [line for line in done.stderr.splitlines() if "error" in line]) == (0, [])


def test_logrotate_limits_size_and_holds_one_lock_at_a_time():
    text = (PROJECT / "deploy/logrotate/cosmo").read_text()

    assert re.search(r"^    maxsize \d+M$", text, re.MULTILINE)
    assert "    nosharedscripts\n" in text
    hooks = re.findall(r"^ +/opt/cosmo/(deploy/\S+) (take|release) (.+)$", text, re.MULTILINE)
    assert [(action, file) for _, action, file in hooks] == [("take", '"$1"'), ("release", '"$1"')]
    assert all(os.access(PROJECT / path, os.X_OK) for path, *_ in hooks)


def test_compose_mounts_existing_files():
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./") and mount != "./certificates"]

    assert files
    assert [file for file in files if not (PROJECT / file).exists()] == []
    assert {mount for mount in mounts if not mount.startswith("./")} == set(COMPOSE["volumes"])


def test_compose_publishes_ports_of_nginx_only():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert {service["network_mode"] for name, service in SERVICES.items() if name != "nginx"} == {"service:nginx"}
    others = [service for name, service in SERVICES.items() if name not in {*OURS, "nginx"}]
    binds = [" ".join(service.get("command", [])) for service in others if service.get("command")]
    assert all("127.0.0.1" in command for command in binds)


def test_compose_sets_known_variables_and_the_ports_of_nginx():
    names = {name for service in OURS.values() for name in service["environment"]}

    assert names <= VARIABLES
    assert {service["environment"]["WEB_BIND"] for name, service in OURS.items() if name.startswith("web")} == {
        *re.findall(r"server (127\.0\.0\.1:\d+)", (PROJECT / "deploy/nginx/cosmo.conf").read_text())
    }


def test_images_have_versions():
    images = [service["image"] for service in SERVICES.values() if service["image"] != "cosmo"]
    images += re.findall(r"^FROM (\S+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)

    assert [image for image in images if not re.search(r":v?\d+(\.\d+)*", image)] == []


def test_image_user_owns_only_the_logs():
    dockerfile = (PROJECT / "Dockerfile").read_text()

    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE) == ["cosmo"]
    assert "install -d -o cosmo logs" in dockerfile
    assert "--chown" not in dockerfile
    assert dockerfile.count("\nFROM ") == 2
    assert "\nHEALTHCHECK " in dockerfile
