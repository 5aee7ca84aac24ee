"""`python -m backend.environment.trial FILE`: load the settings with this file (`manage.py check_env` runs it)."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from backend.environment.env_file import EnvFile
from backend.environment.variables import Environment


def main(file: Path) -> None:
    if not os.path.lexists(file):
        sys.exit(f"{file.name} does not exist.")
    for note in _warnings(file):
        sys.stderr.write(f"{note}\n")
    if os.environ.get("DJANGO_ENVIRONMENT") == "test":
        del os.environ["DJANGO_ENVIRONMENT"]  # the test environment reads no file
    Environment.file, Environment.is_trial = file, True
    try:
        from backend import settings  # noqa: PLC0415 - loads the file set above
    except ImproperlyConfigured as problem:
        sys.exit(f"{file.name}: {problem}")
    for name, nearest in settings.env.names_not_read().items():
        hint = f"; is {nearest} meant?" if nearest else "."
        sys.stderr.write(f"Cosmo does not read {name} from this file{hint}\n")
    debug = "on" if settings.DEBUG else "off"
    sys.stdout.write(f"{file.name} is fine. DJANGO_ENVIRONMENT is {settings.DJANGO_ENVIRONMENT}, DEBUG is {debug}.\n")


def _warnings(file: Path) -> list[str]:
    """Return warnings about problems that do not make startup fail."""
    values = EnvFile(file).values
    notes = [
        f"{name} is also set in this shell, which overrides the file."
        for name in values
        if _is_overridden(name, values)
    ]
    notes += [f"{name} contains ${{...}}, which is not replaced." for name in values if "${" in values[name]]
    try:
        status = file.stat()
    except OSError:
        return notes
    if status.st_mode & 0o007:
        notes.append(f"Every user of this machine can read or write {file.name}; run chmod o= {file.name}.")
    if os.geteuid() == 0 and status.st_uid == 0 and not status.st_mode & 0o044:
        notes.append(f"Only root can read {file.name}; the user that runs Cosmo must read it.")
    return notes


def _is_overridden(name: str, values: dict[str, str]) -> bool:
    return os.environ.get(name, values[name]) != values[name]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
