"""Bar charts of the last hour, with one bar per minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

WIDTH, HEIGHT = 240, 60
_GAP = 1


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    tooltip: str


@dataclass(frozen=True)
class Chart:
    """A chart for the template. `unread_width` is the part on the left that was not read from the log."""

    name: str
    title: str
    total: str  # of the whole hour
    maximum: str
    description: str
    bars: list[Bar]
    unread_width: float


def build_chart(
    name: str,
    title: str,
    total: str,
    starts: Sequence[datetime],
    values: Sequence[int | None],
    *,
    unit: str = "",
    read_minutes: int,
) -> Chart:
    """Return a chart with a bar for each minute that has a value. Only the last `read_minutes` values were read."""
    step = WIDTH / len(values)
    peak = max((value for value in values if value), default=0)
    times = [f"{timezone.localtime(start):%H:%M}" for start in starts]
    bars = []
    for index, value in enumerate(values):
        if value:
            height = max(1.0, HEIGHT * value / peak)
            tooltip = f"{times[index]}: {value:,}{unit}"
            bars.append(Bar(round(index * step, 2), round(HEIGHT - height, 2), step - _GAP, round(height, 2), tooltip))
    maximum = f"maximum {peak:,}{unit}" if peak else "none"
    description = f"{title}, from {times[-read_minutes] if read_minutes else times[-1]} to {times[-1]}: {maximum}"
    if peak:
        description += f", at {times[[*values].index(peak)]}"
    unread_width = round((len(values) - read_minutes) * step, 2)
    return Chart(name, title, total, maximum, f"{description}.", bars, unread_width)
