"""PostgreSQL connections that wait for a bounded time, also for a server that keeps the socket open and says nothing.

The limits of the server (statement_timeout, lock_timeout) are of no use when it stands still, and those of TCP see a
kernel that is well. So each exchange has a limit on our side; who does not answer in time is not asked again.
"""

import time
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

STATEMENT_TIMEOUT = 10  # seconds; the server ends what takes longer
LOCK_TIMEOUT = 2  # seconds
EXCHANGE_TIMEOUT = STATEMENT_TIMEOUT + 1  # seconds; a server that is alive has ended the statement by then
PING_TIMEOUT = 2  # seconds; for the empty statement that a connection must answer before it is used
POOL_DRAIN_INTERVAL = 1  # seconds between two times that a pool is emptied


class BoundedConnection(psycopg.Connection[Any]):
    """What the pool makes of this project's connections."""

    _longest = EXCHANGE_TIMEOUT
    _renewed_at = 0.0  # monotonic; of this process, which has one pool

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", self._longest)
        try:
            return super().wait(gen, *args, **kwargs)
        except ReadOnlySqlTransaction:
            self._drain_pool()
            raise
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise  # the server has answered
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL did not answer within {kwargs['timeout']} seconds") from error

    def _drain_pool(self) -> None:
        """Connect anew: after a failover this may be the old primary, which answers, and would be asked for an hour."""
        pool: Any = self._pool
        now = time.monotonic()
        if pool is not None and now - BoundedConnection._renewed_at > POOL_DRAIN_INTERVAL:
            BoundedConnection._renewed_at = now
            pool.drain()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Only the pool's check comes this way; Django has cursors."""
        self._longest = PING_TIMEOUT
        try:
            return super().execute(*args, **kwargs)
        finally:
            self._longest = EXCHANGE_TIMEOUT


def connection_options(*, min_size: int, max_size: int, timeout: int) -> dict[str, Any]:
    """What Django hands to psycopg and its pool; `timeout` in seconds."""
    return {
        "pool": {
            "min_size": min_size,
            "max_size": max_size,
            "timeout": timeout,
            # The pool's own way is to wait twice as long after each failure, up to minutes, also when the server is
            # back. Given up at once, the next request tries anew.
            "reconnect_timeout": timeout,
            "connection_class": BoundedConnection,
        },
        "connect_timeout": 2,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT}s -c lock_timeout={LOCK_TIMEOUT}s",
    }
