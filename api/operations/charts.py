"""Small pictures of an hour: bars of which each is a minute."""

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
    tip: str


@dataclass(frozen=True)
class Chart:
    """What the template draws. `unread` is the width on the left of which nothing is known."""

    name: str
    title: str
    figure: str  # of the whole hour
    highest: str
    description: str
    bars: list[Bar]
    unread: float


def chart(
    name: str,
    title: str,
    figure: str,
    starts: Sequence[datetime],
    values: Sequence[int | None],
    *,
    unit: str = "",
    known: int,
) -> Chart:
    """A bar for each minute, None for one without requests; the last `known` of them were read."""
    step = WIDTH / len(values)
    top = max((value for value in values if value), default=0)
    times = [f"{timezone.localtime(start):%H:%M}" for start in starts]
    bars = []
    for index, value in enumerate(values):
        if value:
            height = max(1.0, HEIGHT * value / top)
            tip = f"{times[index]}: {value:,}{unit}"
            bars.append(Bar(round(index * step, 2), round(HEIGHT - height, 2), step - _GAP, round(height, 2), tip))
    highest = f"highest {top:,}{unit}" if top else "none"
    description = f"{title}, from {times[-known] if known else times[-1]} to {times[-1]}: {highest}"
    if top:
        description += f", at {times[[*values].index(top)]}"
    return Chart(name, title, figure, highest, f"{description}.", bars, round((len(values) - known) * step, 2))
