"""One PostgreSQL server for all fault tests, with a database of demo data for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import postgres
from tests.faults.postgres import Portfolio
from tests.live.server import environment, fill_with_demo


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Iterator[Portfolio]:
    folder = tmp_path_factory.mktemp("template")
    with postgres.cluster() as cluster:
        portfolio = Portfolio(cluster, postgres.new_database(cluster), {})
        portfolio.passwords = fill_with_demo(folder, portfolio.url)
        yield portfolio


def _copy(template: Portfolio) -> Portfolio:
    name = postgres.new_database(template.cluster, template=template.name)
    return Portfolio(template.cluster, name, template.passwords)


@pytest.fixture
def portfolio(template) -> Portfolio:
    return _copy(template)


@pytest.fixture(scope="module")
def module_portfolio(template) -> Portfolio:
    """Return one database for all tests of a module."""
    return _copy(template)


@pytest.fixture
def variables(tmp_path: Path, portfolio: Portfolio) -> dict[str, str]:
    """Return the environment variables of a server with this database."""
    return environment(tmp_path, DATABASE_URL=portfolio.url)
