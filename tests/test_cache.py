"""The cache: shared by all processes with REDIS_URL, otherwise one per process."""

from django.core.cache import cache

from tests.live.server import environment, manage


def test_cache_is_shared_between_processes_when_redis_is_configured(settings, tmp_path):
    cache.set("greeting", "hello", 30)

    code = "from django.core.cache import cache; print(cache.get('greeting'))"
    other_process = manage(environment(tmp_path), "shell", "--verbosity", "0", "-c", code).strip()

    assert cache.get("greeting") == "hello"
    assert other_process == ("hello" if settings.REDIS_URL else "None")
