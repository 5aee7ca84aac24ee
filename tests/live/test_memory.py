"""A worker whose memory really grows says so once, until it has fallen again."""

from tests.live.server import environment, manage, serving

ODD = {"DJANGO_SETTINGS_MODULE": "tests.odd_settings", "MEMORY_GROWTH_THRESHOLD": "60", "WEB_CONCURRENCY": "1"}


def test_growth_is_told_once_until_the_memory_has_fallen_again(tmp_path):
    variables = environment(tmp_path, **ODD)
    manage(variables, "migrate", "--verbosity", "0")
    with serving(variables, tmp_path / "console") as server:

        def told() -> int:
            return len(server.logs.entries("performance", event="memory_growth"))

        def hold(megabytes: int) -> None:
            assert server.request("GET", f"/odd/hold/{megabytes}/").status_code == 200
            server.request("GET", "/odd/slow/")  # the line of the one before is written by now

        hold(1)
        assert told() == 0
        hold(150)
        hold(151)
        assert told() == 1
        hold(1)
        assert told() == 1
        hold(150)
        assert told() == 2

        first, second = server.logs.entries("performance", event="memory_growth")
    assert first["level"] == "WARNING"
    assert first["memory"]["usage_mb"] > 150
    assert first["request"]["path"] == "/odd/hold/150/"
    assert second["process"] == first["process"]
