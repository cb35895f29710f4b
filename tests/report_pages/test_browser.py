"""Pages in a real Chromium: they play, filter, work by keyboard, fit a phone, can be read, and fetch and run nothing.

`python -m pytest tests/report_pages/test_browser.py -k thousand -s` prints the size and the load time of a large page.
"""

import json
from pathlib import Path

import pytest

from pipeline.core.model import JobId, Outcome
from pipeline.pages.cards import TEXT_CHARS, Cue
from pipeline.pages.index_page import Row, index_page
from pipeline.pages.markup import Address
from pipeline.pages.run_page import figures_of, run_page
from tests.browser import DESKTOP, PHONE, Browser
from tests.report_pages.makers import BAD, MP4, PNG, card, exhibit, outcome, report, thumbnail
from tests.report_pages.test_markup import HOSTILE, NAMES
from tests.scripted import wav

pytestmark = [pytest.mark.browser, pytest.mark.real_time]
MANY = 1000
SECONDS = 30.0
READABLE, LARGE_SIGN = 4.5, 3.0

# Of every text that is shown: its contrast with the ground under it, after WCAG 2.
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let e = node; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const told = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim()) || node.closest("script")) continue;
    if (!node.getClientRects().length || node.closest("audio, video")) continue;
    const style = getComputedStyle(node);
    const a = light(parts(node.closest("svg") ? style.fill : style.color)), b = light(ground(node));
    told.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.tagName + "." + node.getAttribute("class")]);
  }
  return told;
})()
"""


def write(folder: Path, *outcomes: Outcome) -> Path:
    """A page in `reports/` over jobs of every sort, with a recording that plays."""
    reports = folder / "spool" / "reports"
    reports.mkdir(parents=True)
    recording = folder / "a b#c.wav"
    recording.write_bytes(wav(SECONDS))
    cues = [Cue(start=float(start), text=f"words at {start}") for start in range(0, 30, 5)]
    cards = [card(item, exhibits=[exhibit(recording, reports)], cues=cues) for item in outcomes]
    page = reports / "run.report.html"
    page.write_bytes(run_page(report(outcomes), cards, {}))
    return page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return write(tmp_path, outcome(0, "failed"), outcome(1), outcome(2, "suspect"), outcome(3, job=JobId("other.wav")))


def shown_jobs(browser: Browser) -> int:
    return int(browser.run("[...document.querySelectorAll('.job')].filter((job) => !job.hidden).length"))


def is_quiet(browser: Browser) -> bool:
    assert browser.complaints() == []
    assert [url for url in browser.asked_for() if not url.startswith(("file:", "data:"))] == []
    return True


def test_a_time_in_the_transcript_moves_the_player_beside_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#j1 a[data-t='20.00']")
    browser.wait("document.querySelector('#j1 audio').currentTime >= 20")
    assert browser.run("document.querySelector('#j0 audio').currentTime") == 0
    browser.wait("document.querySelector('#j1 li[aria-current]')?.textContent.includes('words at 20')")
    assert any("a%20b%23c.wav" in url for url in browser.asked_for())
    assert is_quiet(browser)


def test_only_one_player_plays_at_a_time(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#j1 a[data-t='5.00']")
    browser.wait("!document.querySelector('#j1 audio').paused")
    browser.click("#j2 a[data-t='10.00']")
    browser.wait("!document.querySelector('#j2 audio').paused && document.querySelector('#j1 audio').paused")


def test_nothing_is_loaded_before_a_person_asks_for_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert [url for url in browser.asked_for() if not url.startswith("data:")] == [page.as_uri()]


def test_jobs_are_filtered_by_words_and_by_outcome(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert shown_jobs(browser) == 4
    browser.click("input[name=words]")
    browser.type("OTHER.wav")
    browser.wait("document.querySelector('.shown').textContent === '1 of 4 jobs'")
    assert shown_jobs(browser) == 1
    browser.run("document.querySelector('input[name=words]').value = ''")
    browser.click("input[value=done]")
    browser.wait("document.querySelector('.shown').textContent === '2 of 4 jobs'")
    assert is_quiet(browser)


def test_a_job_that_is_filtered_away_comes_back_for_a_link_that_leads_to_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("input[value=failed]")
    browser.wait("document.querySelector('#j0').hidden")
    browser.click(".errands a[href='#j0']")
    browser.wait("!document.querySelector('#j0').hidden")


def test_all_is_reached_by_keyboard_and_the_first_stop_skips_to_the_jobs(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().top") >= 0
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'jobs'")
    reached = set()
    for _ in range(120):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.tagName + (document.activeElement.dataset.t || '')"))
    assert {"INPUT", "AUDIO", "SUMMARY", "A0.00", "A25.00"} <= reached


def test_a_time_is_pressed_by_keyboard_too(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelector(\"#j1 a[data-t='15.00']\").focus()")
    browser.press("Enter")
    browser.wait("document.querySelector('#j1 audio').currentTime >= 15")


def test_every_control_and_part_has_a_name(browser: Browser, page: Path) -> None:
    browser.open(page)
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    named = {
        "link",
        "checkbox",
        "searchbox",
        "image",
        "img",
        "article",
        "region",
        "Audio",
        "DisclosureTriangle",
        "form",
    }
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert [role for role, name in roles if role in named and not name] == []
    found = {role for role, _ in roles}
    assert {"main", "search", "navigation", "banner", "contentinfo", "article", "heading", "status"} <= found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(browser: Browser, tmp_path: Path, scheme: str) -> None:
    every = [outcome(number, verdict, reason="r", hint="h") for number, verdict in enumerate((*BAD, "done", "empty"))]
    browser.open(write(tmp_path, *every, outcome(9, "unchanged"), outcome(8, "not-started")), scheme=scheme)
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = browser.run(CONTRAST)
    assert len(found) > 100
    assert [told for told in found if told[0] < READABLE] == []
    grounds = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (grounds == "rgb(247, 247, 245)") is (scheme == "light")


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_nothing_reaches_beyond_the_side_of_the_screen(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    long = outcome(0, "failed", job=JobId("x" * 300), reason="y" * 250, hint="z" * 250)
    browser.open(write(tmp_path, long, outcome(1), outcome(2, "suspect")), size=size)
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_index_fits_the_screen_and_can_be_read(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "index.html"
    rows = [Row(page=Address("./x.report.html"), figures=figures_of(report([outcome(1)], manifest="m" * 200)))]
    path.write_bytes(index_page("/srv/" + "spool" * 40, rows, []))
    browser.open(path, size=size)
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    assert [told for told in browser.run(CONTRAST) if told[0] < READABLE] == []
    assert is_quiet(browser)


def test_nothing_hostile_runs_leads_out_or_breaks_the_page(browser: Browser, tmp_path: Path) -> None:
    reports = tmp_path / "spool" / "reports"
    reports.mkdir(parents=True)
    evil = [*HOSTILE, "<script>window.ran = 1</script>", "<svg onload='window.ran = 1'>", "\u202etxt.exe", "a\nb"]
    cards, outcomes = [], []
    for number, words in enumerate(evil):
        item = outcome(number, "suspect", job=JobId(words), reason=words, hint=words, model=words)
        shown = [exhibit(f"/out/{name.lstrip('/')}", reports) for name in NAMES]
        shown += [exhibit("/out/javascript:1.png", reports, PNG), exhibit("/out/x.mp4", reports, MP4, role="product")]
        cards.append(card(item, exhibits=shown, cues=[Cue(start=1.0, text=words)]))
        cards.append(card(item, text=words))
        outcomes += [item, item]
    path = reports / "run.report.html"
    path.write_bytes(run_page(report(outcomes, "</title><script>window.ran = 1</script>", evil), cards, {}))
    browser.open(path)
    assert browser.run("document.querySelectorAll('.job').length") == len(cards)
    assert browser.run("typeof window.ran") == "undefined"
    links = browser.run("[...document.querySelectorAll('[href], [src]')].map((e) => e.href || e.src)")
    assert [link for link in links if not link.startswith("file:///")] == []
    assert browser.run("document.scripts.length") == 1
    assert is_quiet(browser)


def test_the_policy_holds_against_what_should_never_get_in(browser: Browser, page: Path) -> None:
    """Were the escaping ever broken, the browser itself would still refuse."""
    broken = page.read_text().replace(
        "<main>",
        '<main><img src="x" onerror="window.ran = 1"><script>window.ran = 1</script><img src="https://h.test/a">',
    )
    page.write_text(broken)
    browser.open(page)
    assert browser.run("typeof window.ran") == "undefined"
    assert len(browser.complaints()) >= 3


def test_the_page_is_whole_without_its_script(browser: Browser, page: Path) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.ask("Page.navigate", url=page.as_uri())
        browser.wait("document.readyState === 'complete'")
        assert shown_jobs(browser) == 4
        assert browser.run("document.querySelector('.tools').getClientRects().length") == 0
        target = browser.run("document.querySelector(\"#j1 a[data-t='20.00']\").getAttribute('href')")
        assert target.endswith("a%20b%23c.wav#t=20.00")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_a_thousand_jobs_load_filter_and_scroll(browser: Browser, tmp_path: Path) -> None:
    reports = tmp_path / "spool" / "reports"
    reports.mkdir(parents=True)
    words = "so it went on for a while, and nobody said a word about the weather " * 2
    share = TEXT_CHARS // MANY // (len(words) + 240) + 1
    cues = [Cue(start=start * 7.0, text=words) for start in range(share)]
    outcomes = [outcome(number, BAD[number % 5] if number < 50 else "done") for number in range(MANY)]
    cards, thumbs = [], {}
    for number, item in enumerate(outcomes):
        shown = [exhibit(tmp_path / f"{number:04}.wav", reports)]
        if number % 5 == 0:
            shown.append(exhibit(tmp_path / f"{number:04}.png", reports, PNG, role="product"))
            thumbs[shown[-1].path] = thumbnail()
        cards.append(card(item, exhibits=shown, cues=cues))
    path = reports / "run.report.html"
    path.write_bytes(run_page(report(outcomes), cards, thumbs))
    loaded = browser.open(path)
    filtered = browser.run(
        "(() => { const started = performance.now(); const form = document.querySelector('.tools');"
        " form.elements.words.value = 'notes/0777'; form.dispatchEvent(new Event('input'));"
        " const count = () => form.querySelector('.shown').textContent.startsWith('1 of');"
        " return new Promise((done) => { const look = () => (count() ? done(performance.now() - started)"
        " : setTimeout(look, 5)); look(); }); })()"
    )
    assert shown_jobs(browser) == 1
    size = path.stat().st_size
    assert size < 12_000_000
    assert is_quiet(browser)
    figures = {"jobs": MANY, "MB": round(size / 1e6, 2), "load_s": round(loaded, 2), "first_filter_ms": round(filtered)}
    print(json.dumps(figures))
