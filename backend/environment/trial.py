"""`python -m backend.environment.trial FILE`: what the settings say to this file (`manage.py check_env` runs it)."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from backend.environment.env_file import EnvFile
from backend.environment.variables import Environment


def main(file: Path) -> None:
    if not os.path.lexists(file):
        sys.exit(f"{file.name} does not exist.")
    for note in _notes_before(file):
        sys.stderr.write(f"{note}\n")
    if os.environ.get("DJANGO_ENVIRONMENT") == "test":
        del os.environ["DJANGO_ENVIRONMENT"]  # tests read no file, so the name is not this file's
    Environment.file, Environment.is_trial = file, True
    try:
        from backend import settings  # noqa: PLC0415 - they read the file that the lines above chose
    except ImproperlyConfigured as problem:
        sys.exit(f"{file.name}: {problem}")
    for name, nearest in settings.env.names_not_read().items():
        meant = f"; is {nearest} meant?" if nearest else "."
        sys.stderr.write(f"Cosmo does not read {name} from this file{meant}\n")
    debug = "on" if settings.DEBUG else "off"
    sys.stdout.write(f"{file.name} is fine. DJANGO_ENVIRONMENT is {settings.DJANGO_ENVIRONMENT}, DEBUG is {debug}.\n")


def _notes_before(file: Path) -> list[str]:
    """What does not make a start fail, or not here."""
    values = EnvFile(file).values
    notes = [f"{name} is set in this shell too, where it wins." for name in values if _is_covered(name, values)]
    notes += [f"{name} holds ${{...}}, which is taken as it is written." for name in values if "${" in values[name]]
    try:
        found = file.stat()
    except OSError:
        return notes
    if found.st_mode & 0o007:
        notes.append(f"Everybody on this machine can read or write {file.name}; chmod o= repairs that.")
    if os.geteuid() == 0 and found.st_uid == 0 and not found.st_mode & 0o044:
        notes.append(f"Only root can read {file.name}; the user that runs Cosmo must read it.")
    return notes


def _is_covered(name: str, values: dict[str, str]) -> bool:
    return os.environ.get(name, values[name]) != values[name]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
