"""Grafana's dashboards: valid files and a complete layout; tests/faults runs their queries."""

import json
from itertools import combinations
from pathlib import Path

import pytest
import yaml

GRAFANA = Path(__file__).resolve().parent.parent / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
(SOURCE,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
COLUMNS = 24


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request):
    return json.loads(request.param.read_text())


def sources(value) -> list[dict]:
    """Return every datasource in a dashboard."""
    if isinstance(value, list):
        return [source for inner in value for source in sources(inner)]
    if not isinstance(value, dict):
        return []
    own = [value["datasource"]] if "datasource" in value else []
    return own + [source for inner in value.values() for source in sources(inner)]


def test_two_dashboards_have_unique_names():
    dashboards = [json.loads(path.read_text()) for path in DASHBOARDS]

    assert (
        len({dashboard["uid"] for dashboard in dashboards})
        == len({dashboard["title"] for dashboard in dashboards})
        == 2
    )
    assert all(dashboard["schemaVersion"] >= 39 for dashboard in dashboards)


def test_dashboard_uses_the_provisioned_datasource(dashboard):
    assert {(source["type"], source["uid"]) for source in sources(dashboard)} == {(SOURCE["type"], SOURCE["uid"])}


def test_panels_have_unique_ids_titles_and_queries(dashboard):
    panels = dashboard["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(refs)) == len(refs)
        assert bool(refs) == (panel["type"] != "row"), panel["title"]
        assert panel["type"] in {"row", "stat", "timeseries"}
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"]


def test_panels_fill_the_page_without_overlap(dashboard):
    cells = {panel["title"]: squares(panel["gridPos"]) for panel in dashboard["panels"]}

    for one, other in combinations(cells, 2):
        assert not cells[one] & cells[other], (one, other)
    assert all(0 <= x < COLUMNS for squares_ in cells.values() for x, _ in squares_)
    filled = set().union(*cells.values())
    bottom = max(y for _, y in filled)
    assert {(x, y) for x in range(COLUMNS) for y in range(bottom + 1)} == filled, "there are holes between the panels"


def squares(position: dict[str, int]) -> set[tuple[int, int]]:
    columns = range(position["x"], position["x"] + position["w"])
    rows = range(position["y"], position["y"] + position["h"])
    return {(x, y) for x in columns for y in rows}


def test_files_are_formatted_like_grafana_exports():
    for path in DASHBOARDS:
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2) + "\n"
