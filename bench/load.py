"""A bounded load on one address, from a process of its own: `python -m bench.load URL TOKEN SECONDS CONNECTIONS`."""

import http.client
import sys
import threading
import time
from urllib.parse import urlsplit


def run(url: str, token: str, seconds: float, connections: int) -> float:
    """Successful answers a second."""
    counts: list[int] = []
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)

    def ask() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        headers = {"Authorization": f"Bearer {token}"}
        count = 0
        while time.monotonic() < deadline:
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {body[:200]!r}")
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) != connections:
        raise SystemExit("not every connection came to its end")
    return sum(counts) / seconds


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
