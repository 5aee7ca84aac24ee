"""`python -m bench.digests`: time, SQL statements and memory of building and delivering many digests.

It uses the database of DATABASE_URL, otherwise SQLite. Each size runs in its own process to measure its peak memory.
Delivery uses Django's dummy backend, so no mail server is measured.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.live.server import environment, fresh_database, manage

CREATE_USERS = """
from datetime import timedelta
from django.db import connection
from django.utils import timezone
from api.models import Property, Task, User
from tests import factories
now = timezone.now()
manager = factories.user(role="manager", digest_opt_out=True)
properties = [factories.property_(created_by=manager) for _ in range(200)]
first = User.objects.count()
users = User.objects.bulk_create((User(
    username=f"reader{{number}}", email=f"reader{{number}}@example.com",
    role="manager" if number % 50 == 0 else "staff", is_staff=number % 50 == 0,
) for number in range(first, first + {users})), batch_size=1000)
Task.objects.bulk_create((Task(
    title=f"Change the linen and air the rooms {{number}}", task_type="cleaning", property=properties[number % 200],
    assigned_to=user, created_by=manager, modified_by=manager, created_at=now, modified_at=now,
    due_date=now + timedelta(hours=20 * (number % 5) - 30),
) for user in users for number in range({tasks})), batch_size=1000)
connection.cursor().execute("ANALYZE")  # as autovacuum does later
"""
SEND = """
import json, time
from pathlib import Path
from django.db import connection
from api.digests.service import send_digests
from api.mail import delivery_thread
from api.mail.delivery import deliver_due
from api.models import User
delivery_thread.schedule_delivery = lambda: None
statements = [0]
def count(execute, *arguments):
    statements[0] += 1
    return execute(*arguments)
def peak():  # getrusage would include the peak inherited from the parent process
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
User.objects.count()
before, started = peak(), time.perf_counter()
with connection.execute_wrapper(count):
    totals = send_digests()
results = {"queued": totals["queued"], "seconds": time.perf_counter() - started, "statements": statements[0]}
results |= {"started_mb": before, "peak_mb": peak()}
started = time.perf_counter()
delivered = deliver_due()
results |= {"sent": delivered["sent"], "sent_seconds": time.perf_counter() - started, "sent_peak_mb": peak()}
print(json.dumps(results))
"""


def measure(users: int, tasks: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, fresh_database(Path(name)) as database:
        variables = environment(
            Path(name), DATABASE_URL=database, EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend"
        )
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "shell", "--verbosity", "0", "-c", CREATE_USERS.format(users=users, tasks=tasks))
        printed = manage(variables, "shell", "--verbosity", "0", "-c", SEND)
        return json.loads(printed.splitlines()[-1]) | {"database": database.split(":", maxsplit=1)[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--tasks", type=int, default=5, help="tasks of each user")
    options = parser.parse_args()
    print(f"{'users':>8}{'built':>10}{'per 100':>12}{'peak (start)':>16}{'delivered':>14}{'peak':>8}")
    for users in options.users:
        result = measure(users, options.tasks)
        assert result["queued"] == result["sent"] == users
        print(
            f"{users:>8,}{result['seconds']:>8.1f} s{100 * result['statements'] / users:>8.1f} st."
            f"{result['peak_mb']:>7.0f} ({result['started_mb']:.0f}) MB{result['sent_seconds']:>12.1f} s"
            f"{result['sent_peak_mb']:>5.0f} MB   {result['database']}"
        )


if __name__ == "__main__":
    main()
