"""PostgreSQL connections with a client-side timeout, even if the server keeps the socket open and sends nothing.

A frozen server cannot enforce its own timeouts (statement_timeout, lock_timeout), and TCP timeouts see a healthy
kernel. So each exchange has a timeout on our side; a connection that exceeds it is closed.
"""

import time
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

STATEMENT_TIMEOUT = 10  # seconds; the server cancels longer statements
LOCK_TIMEOUT = 2  # seconds
EXCHANGE_TIMEOUT = STATEMENT_TIMEOUT + 1  # seconds; by then a working server has cancelled the statement
PING_TIMEOUT = 2  # seconds; for the empty statement that tests a connection before it is used
POOL_DRAIN_INTERVAL = 1  # seconds between two drains of the pool


class BoundedConnection(psycopg.Connection[Any]):
    """A pooled connection that limits the duration of each exchange."""

    _exchange_timeout = EXCHANGE_TIMEOUT
    _drained_at = 0.0  # monotonic; of this process, which has one pool

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", self._exchange_timeout)
        try:
            return super().wait(gen, *args, **kwargs)
        except ReadOnlySqlTransaction:
            self._drain_pool()
            raise
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise  # the server has responded
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL did not answer within {kwargs['timeout']} seconds") from error

    def _drain_pool(self) -> None:
        """Reconnect: after a failover the old primary still responds, and the pool would use it for up to an hour."""
        pool: Any = self._pool
        now = time.monotonic()
        if pool is not None and now - BoundedConnection._drained_at > POOL_DRAIN_INTERVAL:
            BoundedConnection._drained_at = now
            pool.drain()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pool's connection check; Django uses cursors instead."""
        self._exchange_timeout = PING_TIMEOUT
        try:
            return super().execute(*args, **kwargs)
        finally:
            self._exchange_timeout = EXCHANGE_TIMEOUT


def connection_options(*, min_size: int, max_size: int, timeout: int) -> dict[str, Any]:
    """Return Django's OPTIONS for psycopg and its pool; `timeout` in seconds."""
    return {
        "pool": {
            "min_size": min_size,
            "max_size": max_size,
            "timeout": timeout,
            # By default the pool doubles its pause after each failure, up to minutes, even if the server is back.
            # If it gives up early, the next request connects again.
            "reconnect_timeout": timeout,
            "connection_class": BoundedConnection,
        },
        "connect_timeout": 2,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT}s -c lock_timeout={LOCK_TIMEOUT}s",
    }
