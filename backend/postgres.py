"""PostgreSQL connections that wait for a bounded time, also for a server that keeps the socket open and says nothing.

The limits of the server (statement_timeout, lock_timeout) are of no use when it stands still, and those of TCP see a
kernel that is well. So each exchange has a limit on our side; who does not answer in time is not asked again.
"""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

STATEMENT_TIMEOUT = 10  # seconds; the server ends what takes longer
LOCK_TIMEOUT = 2  # seconds
LONGEST_EXCHANGE = STATEMENT_TIMEOUT + 1  # seconds; a server that is alive has ended the statement by then
LONGEST_GREETING = 2  # seconds; for the empty statement that a connection must answer before it is used


class BoundedConnection(psycopg.Connection[Any]):
    """What the pool makes of this project's connections."""

    _longest = LONGEST_EXCHANGE

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", self._longest)
        try:
            return super().wait(gen, *args, **kwargs)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise  # the server has answered
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL did not answer within {kwargs['timeout']} seconds") from error

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Only the pool's check comes this way; Django has cursors."""
        self._longest = LONGEST_GREETING
        try:
            return super().execute(*args, **kwargs)
        finally:
            self._longest = LONGEST_EXCHANGE
