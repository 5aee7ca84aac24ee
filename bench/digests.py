"""`python -m bench.digests`: the digests of many people, made and handed over; time, statements and memory.

On the database of DATABASE_URL, else on SQLite. Each size runs in a process of its own, because what counts is how its
memory ends. Handing over goes to no mail server (Django's dummy): what is measured is ours.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.live.server import environment, fresh_database, manage

MAKE_PEOPLE = """
from datetime import timedelta
from django.db import connection
from django.utils import timezone
from api.models import Property, Task, User
from tests import factories
now = timezone.now()
boss = factories.user(role="manager", digest_opt_out=True)
houses = [factories.property_(created_by=boss) for _ in range(200)]
first = User.objects.count()
people = User.objects.bulk_create((User(
    username=f"reader{{number}}", email=f"reader{{number}}@example.com",
    role="manager" if number % 50 == 0 else "staff", is_staff=number % 50 == 0,
) for number in range(first, first + {people})), batch_size=1000)
Task.objects.bulk_create((Task(
    title=f"Change the linen and air the rooms {{number}}", task_type="cleaning", property=houses[number % 200],
    assigned_to=person, created_by=boss, modified_by=boss, created_at=now, modified_at=now,
    due_date=now + timedelta(hours=20 * (number % 5) - 30),
) for person in people for number in range({tasks})), batch_size=1000)
connection.cursor().execute("ANALYZE")  # as the server does by itself, a while later
"""
SEND = """
import json, time
from pathlib import Path
from django.db import connection
from api.digests.service import send_digests
from api.mail import delivery_thread
from api.mail.delivery import deliver_due
from api.models import User
delivery_thread.wake = lambda: None
statements = [0]
def count(execute, *arguments):
    statements[0] += 1
    return execute(*arguments)
def peak():  # not that of getrusage, which a process has from its parent
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
User.objects.count()
before, started = peak(), time.perf_counter()
with connection.execute_wrapper(count):
    made = send_digests()
results = {"queued": made["queued"], "seconds": time.perf_counter() - started, "statements": statements[0]}
results |= {"started_mb": before, "peak_mb": peak()}
started = time.perf_counter()
delivered = deliver_due()
results |= {"sent": delivered["sent"], "sent_seconds": time.perf_counter() - started, "sent_peak_mb": peak()}
print(json.dumps(results))
"""


def measure(people: int, tasks: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, fresh_database(Path(name)) as database:
        variables = environment(
            Path(name), DATABASE_URL=database, EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend"
        )
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "shell", "--verbosity", "0", "-c", MAKE_PEOPLE.format(people=people, tasks=tasks))
        printed = manage(variables, "shell", "--verbosity", "0", "-c", SEND)
        return json.loads(printed.splitlines()[-1]) | {"database": database.split(":", maxsplit=1)[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--tasks", type=int, default=5, help="of each of them")
    options = parser.parse_args()
    print(f"{'people':>8}{'made':>10}{'per 100':>12}{'peak (start)':>16}{'handed over':>14}{'peak':>8}")
    for people in options.people:
        got = measure(people, options.tasks)
        assert got["queued"] == got["sent"] == people
        print(
            f"{people:>8,}{got['seconds']:>8.1f} s{100 * got['statements'] / people:>8.1f} st."
            f"{got['peak_mb']:>7.0f} ({got['started_mb']:.0f}) MB{got['sent_seconds']:>12.1f} s"
            f"{got['sent_peak_mb']:>5.0f} MB   {got['database']}"
        )


if __name__ == "__main__":
    main()
