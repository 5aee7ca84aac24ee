"""Files with secrets or personal data: readable only by their owner from their creation on."""

import os
from pathlib import Path
from typing import IO, Any

PRIVATE = 0o600


def open_private(path: Path | str, mode: str) -> IO[Any]:
    """Open like open(); a new file has mode 0600, an existing one keeps its own."""
    return open(path, mode, encoding=None if "b" in mode else "utf-8", opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)
