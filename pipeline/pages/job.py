"""One job on a page: what became of it, its players and pictures, what was heard or written, figures and files."""

import os
from collections.abc import Iterator, Mapping

from pipeline.core.confine import display, display_path
from pipeline.core.model import CallReceipt, Verdict
from pipeline.pages.cards import Card, Cue, Exhibit, Role, Try
from pipeline.pages.frame import clock, counted, duration, figures, link, moment, money, spent, weight
from pipeline.pages.markup import Address, Child, Markup, element, joined
from pipeline.pages.thumbnails import Thumbnail

MAX_CALLS = 10
_PLAYED = ("audio", "video")
_SIGNS: Mapping[Verdict, str] = {
    "held": "‖",
    "failed": "✕",
    "suspect": "?",
    "refused": "⊘",
    "blocked": "⊣",
    "not-started": "…",
    "done": "✓",
    "empty": "∅",
    "unchanged": "=",
}
_ROLES: Mapping[Role, str] = {"input": "Input", "product": "Product"}
Thumbs = Mapping[str, Thumbnail]


def badge(verdict: Verdict) -> Markup:
    """The word says it; sign and colour only help to find it."""
    sign = element("span", _SIGNS[verdict], aria_hidden="true")
    return element("span", sign, f" {verdict}", class_=f"badge {verdict}")


def job_article(anchor: str, card: Card, thumbs: Thumbs, *, is_open: bool) -> Markup:
    """`is_open`: what was heard or written is unfolded."""
    outcome = card.outcome
    why = "; ".join(filter(None, (display(outcome.reason), display(outcome.hint))))
    return element(
        "article",
        element(
            "h3",
            display_path(outcome.job),
            " ",
            badge(outcome.verdict),
        ),
        element("p", " · ".join(_line(card)), class_="line"),
        element("p", why, class_="why") if why else None,
        element("p", "Next: ", element("code", card.next, class_="type")) if card.next else None,
        *_players(card, thumbs),
        _pictures(card, thumbs),
        _said(card, is_open=is_open),
        _details(card),
        _files(card),
        id=anchor,
        class_="job",
        data_verdict=outcome.verdict,
        aria_label=display_path(outcome.job),
    )


def _line(card: Card) -> Iterator[str]:
    outcome = card.outcome
    if outcome.kind:
        yield outcome.kind.replace("_", " ")
    if outcome.verdict == "unchanged" and outcome.earlier:
        yield f"{outcome.earlier} in an earlier run"
    if outcome.route:
        yield f"{outcome.route} / {display(outcome.model or '')}"
    if outcome.usd is None or outcome.usd or outcome.verdict == "done":
        cost = spent(outcome.usd, outcome.known_usd, outcome.unpriced_calls)
        yield f"cost {cost}" if cost.startswith("unknown") else cost
    if outcome.audio_seconds:
        yield f"{duration(outcome.audio_seconds)} of audio"
    if outcome.wall_s:
        yield f"took {duration(outcome.wall_s)}"
    if outcome.code:
        yield outcome.code


def _players(card: Card, thumbs: Thumbs) -> Iterator[Markup]:
    if card.outcome.verdict == "unchanged":
        return
    poster = next((thumbs[item.path] for item in card.exhibits if item.role == "product" and item.path in thumbs), None)
    for item in card.exhibits:
        if item.family in _PLAYED and item.address is not None:
            shown = poster.address if poster is not None and item.family == "video" else None
            yield _player(item, item.address, shown)


def _player(item: Exhibit, address: Address, poster: Address | None) -> Markup:
    name = f"{_ROLES[item.role]}: {_name(item)}"
    player = element(
        item.family,
        link("Open the file", address),
        controls=True,
        preload="none",
        src=address,
        poster=poster,
        aria_label=name,
    )
    length = f", {clock(item.seconds)}" if item.seconds is not None else ""
    return element("figure", player, element("figcaption", name + length), class_=item.family)


def _pictures(card: Card, thumbs: Thumbs) -> Markup | None:
    """Before and after, where there is both."""
    shown = [item for item in card.exhibits if item.path in thumbs]
    if any(item.family == "video" and item.role == "product" for item in card.exhibits):
        shown = [item for item in shown if item.role == "input"]  # the other one is the poster of the player
    both = {item.role for item in shown} == {"input", "product"}
    words = {"input": "Before", "product": "After"} if both else _ROLES
    made = (_picture(item, words[item.role], thumbs[item.path]) for item in shown)
    return element("div", *made, class_="pictures") if shown else None


def _picture(item: Exhibit, word: str, thumb: Thumbnail) -> Markup:
    alt = f"{word}: {_name(item)}"
    small = element("img", src=thumb.address, alt=alt, decoding="async", loading="lazy")
    whole = link(small, item.address) if item.address is not None else small
    return element("figure", whole, element("figcaption", f"{alt}, {thumb.width} × {thumb.height}"))


def _said(card: Card, *, is_open: bool) -> Markup | None:
    if card.cues:
        played = next((item.address for item in card.exhibits if item.family in _PLAYED), None)
        words = element("ol", *(_cue(cue, played) for cue in card.cues), class_="cues")
        title = f"Transcript, {counted(len(card.cues), 'passage')}"
    elif card.text:
        words, title = element("p", card.text, class_="text", dir="auto"), "Text"
    else:
        return None
    more = element("p", "Cut here; the rest is in the files below.", class_="cut") if card.is_cut else None
    return element("details", element("summary", title), words, more, class_="said", open=is_open)


def _cue(cue: Cue, played: Address | None) -> Markup:
    at = clock(cue.start)
    time = link(at, played.at(cue.start), data_t=f"{cue.start:.2f}") if played is not None else element("span", at)
    return element("li", time, " ", element("span", cue.text, dir="auto"))


def _details(card: Card) -> Markup | None:
    receipt = card.receipt
    if receipt is None and not card.tries:
        return None
    checks = [(_words(name), display(value)) for name, value in receipt.facts.items()] if receipt else []
    calls = receipt.calls if receipt else ()
    rest = len(calls) - MAX_CALLS
    parts: list[Child] = []
    if receipt is not None:
        parts += [element("h4", "Checks"), figures(*checks)] if checks else []
        parts += [figures(("Engine", display(receipt.engine or "")), ("Finished", moment(receipt.finished_at)))]
    if calls:
        parts += [element("h4", "Calls"), element("ul", *map(_call, calls[:MAX_CALLS]))]
        parts += [element("p", f"And {rest} more in the receipt.")] if rest > 0 else []
    if card.tries:
        parts += [element("h4", "Attempts in this run"), element("ul", *map(_try, card.tries))]
    return element("details", element("summary", "Figures and checks"), *parts, class_="facts")


def _call(call: CallReceipt) -> Markup:
    line = [call.operation.replace("_", " "), f"{call.route} / {display(call.model)}", money(call.usd)]
    line += [f"{duration(call.seconds)} of media"] if call.seconds is not None else []
    line += [weight(call.size)]
    line += [f"request {display(call.request_id)}"] if call.request_id else []
    told = " · ".join((*line, *(f"{_words(name)}: {display(value)}" for name, value in call.facts.items())))
    return element("li", told)


def _try(item: Try) -> Markup:
    line = [item.operation.replace("_", " "), item.route, item.state.replace("_", " ")]
    line += [item.code] if item.code else []
    line += [duration(item.seconds)] if item.seconds is not None else []
    artifact = link("debug artifact", item.artifact) if item.artifact is not None else None
    return element("li", " · ".join(line), " · " if artifact else None, artifact)


def _files(card: Card) -> Markup | None:
    rows = [element("li", f"{_ROLES[item.role]}: ", _file(item)) for item in card.exhibits]
    return element("ul", *rows, class_="files") if rows else None


def _file(item: Exhibit) -> Markup:
    if item.address is None:
        return element("span", f"{_name(item)}, no longer there")
    size = f" ({weight(item.size)})" if item.size is not None else ""
    return joined((link(_name(item), item.address), size))


def _name(item: Exhibit) -> str:
    return display(os.path.basename(item.path))


def _words(name: str) -> str:
    return display(name).replace("_", " ")
