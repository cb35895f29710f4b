"""Bars over days as plain SVG, each with its figures as a table for whoever does not see them."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from pipeline.pages.markup import Markup, element

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 112, 8, 16, 34
GAP_SHARE = 0.25
LABELS = 6
_STEPS = (1, 2, 5, 10)


class Bar(Struct, frozen=True, kw_only=True):
    """One day: the parts of its bar, from the bottom."""

    day: str
    parts: tuple[float, ...]


class Part(Struct, frozen=True, kw_only=True):
    """What a part of every bar means, and the class that colours it."""

    name: str
    look: str


def plot(title: str, name: str, bars: Sequence[Bar], parts: Sequence[Part], show: Callable[[float], str]) -> Markup:
    """`name` is unique on its page. The table below holds the same figures, so the picture is never needed."""
    top = _round_up(max((sum(bar.parts) for bar in bars), default=0.0))
    said = f"{title}, {bars[0].day} to {bars[-1].day}; most on a day: {show(max(sum(bar.parts) for bar in bars))}"
    picture = element(
        "svg",
        element("title", said, id=f"{name}-said"),
        *_scale(top, show),
        *_bars(bars, parts, top, show),
        *_days(bars),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-said",
    )
    return element(
        "section",
        element("h2", title, id=name),
        picture,
        _legend(parts) if len(parts) > 1 else None,
        element("details", element("summary", "The same as a table"), _table(bars, parts, show)),
        class_="plot",
        aria_labelledby=name,
    )


def _legend(parts: Sequence[Part]) -> Markup:
    """One is filled and one is an outline, so they differ without colour too."""
    box = {"x": "2", "y": "2", "width": "12", "height": "12"}
    samples = (element("svg", element("rect", class_=part.look, **box), viewBox="0 0 16 16") for part in parts)
    names = zip(samples, parts, strict=True)
    return element("ul", *(element("li", sample, part.name) for sample, part in names), class_="legend")


def _round_up(most: float) -> float:
    """A round number at which the scale ends."""
    if most <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= most:
        power *= 10
    while power > most:
        power /= 10
    return next(step * power for step in _STEPS if step * power >= most * (1 - 1e-9))


def _scale(top: float, show: Callable[[float], str]) -> list[Markup]:
    marks = []
    for share in (0.0, 0.5, 1.0):
        y = f"{_y(share):.1f}"
        line = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="axis")
        words = element("text", show(top * share), x=LEFT - 8, y=f"{_y(share) + 4:.1f}", text_anchor="end")
        marks += [line, words]
    return marks


def _bars(bars: Sequence[Bar], parts: Sequence[Part], top: float, show: Callable[[float], str]) -> list[Markup]:
    made, step = [], (WIDTH - LEFT - RIGHT) / len(bars)
    for number, bar in enumerate(bars):
        below = 0.0
        for part, value in zip(parts, bar.parts, strict=True):
            if value <= 0:
                continue
            above = below + value / top
            told = element("title", f"{bar.day}: {show(value)} {part.name}")
            x, width = LEFT + (number + GAP_SHARE / 2) * step, step * (1 - GAP_SHARE)
            made.append(
                element(
                    "rect",
                    told,
                    x=f"{x:.1f}",
                    width=f"{width:.1f}",
                    y=f"{_y(above):.1f}",
                    height=f"{_y(below) - _y(above):.1f}",
                    class_=part.look,
                )
            )
            below = above
    return made


def _days(bars: Sequence[Bar]) -> list[Markup]:
    step = (WIDTH - LEFT - RIGHT) / len(bars)
    every = max(1, -(-len(bars) // LABELS))
    return [
        element("text", bar.day[5:], x=f"{LEFT + (number + 0.5) * step:.1f}", y=HEIGHT - 6, text_anchor="middle")
        for number, bar in enumerate(bars)
        if number % every == 0
    ]


def _table(bars: Sequence[Bar], parts: Sequence[Part], show: Callable[[float], str]) -> Markup:
    head = element("tr", *(element("th", name, scope="col") for name in ("Day", *(part.name for part in parts))))
    rows = (
        element("tr", element("td", bar.day), *(element("td", show(value)) for value in bar.parts))
        for bar in reversed(bars)
        if any(bar.parts)
    )
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="wide")


def _y(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)
