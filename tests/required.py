"""The table of required rows and the tests that prove them: `python -m tests.required` writes the page.

A test proves a row when its name (`test_k37_...`) or its docstring ("K37: ...") carries the row's id. What no test
carries stands on the page as not yet proven; nothing is filled in by hand.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "required-rows.md"
UNPROVEN = "**not yet proven**"
CORE = """
K1 one route of the openrouter driver reaches models of many vendors
K2 models are named vendor/model
K3 a route is a table: id, driver, address, name of the key, capabilities
K5 a key is named, never written down, and its absence is told before anything is sent
K6 in a selector the word before the first slash is the route
K7 the server is asked for the model without the route's name
K12 pictures are edited
K13 speech is made
K14 recordings become text
K15 recordings become canonical text
K16 discovery is a setting
K17 discovery is best effort on the real host and off elsewhere
K18 required discovery stops a route that learnt nothing
K19 without discovery the built-in tables stand
K20 the model that answers is shown in plan, receipt and debug artifact
K21 what a model can do is narrowed by the catalogue
K22 speech and transcription do not depend on the chat model
K23 the capability matrix has a version, which is 2
K26 making pictures is judged per model
K27 editing pictures is judged per model
K28 speech is there where the driver has it
K29 transcription is there where the driver has it
K30 the matrix says what this route can do here, not what a vendor could
K31 both remote drivers serve the same kind of speech job
K32 speech is a whole file of ours
K33 speech is asked for at /audio/speech
K34 a chat model on a speech job is replaced by the usual speech model, unless one is named
K35 short names of speech models reach the model they name, or say that it is gone
K36 OpenRouter makes mp3 and pcm alone
K37 an unknown voice is refused before anything is sent
K38 an answer is capped while it is read
K39 sound is kept only once its bytes were recognised
K40 transcription is asked for at /audio/transcriptions
K41 a chat model on a transcription is replaced, and a real one overrides that
K42 canonical text of a recording uses whichever transcription route is chosen
K43 unsupported types of sound are refused before the request
K44 more than 25 MiB of sound are refused before the request
K45 an answer without a text is an error and is not repeated
K46 a debug artifact keeps sizes, types, models and checksums of both directions (of headers, nothing at all)
K47 a debug artifact never keeps sound or words
K50 ten types of sound are accepted
K53 speech is offered only by routes whose driver has it
K54 settings may switch an operation off
K55 settings may not switch on what a driver lacks
K56 doctor checks the routes beforehand
G1 O1 another server is another address and nothing else
G6 O6 T5 the key comes from OPENROUTER_API_KEY
G8 O8 a model is named route/vendor/model
G10 O10 pictures have a default model of their own
G12 O13 pictures by chat ask for words and pictures
G14 O15 V14 speech through the compatible endpoint
G16 the usual voice: kokoro, af_alloy, mp3
G17 O17 speech looks for its own key first, then the route's, then the usual one
G18 O18 the key goes as a bearer token
G20 O20 V16 a foreign server gets no special header and no cache mark
O11 a route has deadlines of its own, for slow models
O12 V4 a deadline of one call beats that of its route
V5 clips are made by the asynchronous /videos API
V6 clips have a default model
V7 a clip is made of words, or of words and pictures
V8 a clip is submitted, asked for, fetched
V9 a clip without an address is fetched from its content endpoint
V10 pictures of a clip are its first and last frame
V11 pictures called references go as references
V12 seconds, resolutions and ratios of a clip are those the model lists
V13 no clip is made of a clip
T1 hundreds of models through one compatible endpoint
T8 every driver keeps one protocol, and tests have a scripted one
T11 models are read from /models
T13 provider routing is for openrouter alone
T14 provider routing names at least one provider
T18 text is asked for at /chat/completions
T24 401 is a bad key
T25 404 names the model
T26 429 waits as told
T27 502 is the provider's own trouble, with its words
T28 both shapes of an error's body are read
T30 tests need no network; live ones are asked for by name and need a key
T31 ids of models are looked at before use
T32 a key is never shown
"""
WANTED = """
K4 models need not be listed
K8 without an address the public API is meant
K11 pictures are made
G2 O2 the page of keys is named
G5 O5 T7 T36 each operation has a default model, and the settings another
G11 an example model for pictures
G13 O14 ratio and size of pictures by chat
G19 O19 V15 T6 T33 attribution is optional and for the real host alone
G25 O25 V26 T12 provider routing is sent
O26 T37 pages lead to what one needs next
V1 a word that the server rejects is mapped to one that it takes, and that is told
V2 clips are named among the uses
V17 the server's cache of answers is asked for per route
V18 it is asked for by headers
V19 it can be refreshed
V20 its options have two spellings
V21 it is no prompt cache, and for the real host alone
T3 the next route is tried where a manifest says so
T4 an estimate comes before a call
T19 an order of providers is without fallbacks
T21 id, model and usage of an answer are kept
T22 what is not told stays unknown and is never zero
T34 a key and a default model are all that a change takes
"""
_IN_A_NAME = re.compile(r"(?<=_)[kgovt]\d{1,2}(?=_)")
_IN_A_DOCSTRING = re.compile(r"\b[KGOVT]\d{1,2}\b")
HEAD = """# Required rows and the tests that prove them

Made by `make rows` from the tests: a test that proves a row carries its id in its name or docstring. A row
is a promise of this program, in a few words. Rows that no test carries yet are listed openly.
"""


def rows(text: str) -> dict[str, str]:
    """Each id with its words; ids that promise the same share a line."""
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        match = re.match(r"((?:[KGOVT]\d+ )+)(.+)", line)
        assert match is not None, line
        found |= dict.fromkeys(match[1].split(), match[2])
    return found


def proofs() -> Mapping[str, list[str]]:
    """The tests by the ids that they carry."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                named = {id_.upper() for id_ in _IN_A_NAME.findall(node.name)}
                for id_ in sorted(named | set(_IN_A_DOCSTRING.findall(ast.get_docstring(node) or ""))):
                    found[id_].append(f"`{node.name}` in {path.relative_to(ROOT / 'tests').as_posix()}")
    return found


def page() -> str:
    """The whole page."""
    proven = proofs()
    return "\n".join([HEAD, *_table("Core", rows(CORE), proven), *_table("Wanted", rows(WANTED), proven)])


def _table(title: str, promised: Mapping[str, str], proven: Mapping[str, list[str]]) -> Iterator[str]:
    missing = [id_ for id_ in promised if id_ not in proven]
    yield f"## {title}\n"
    yield f"{len(promised) - len(missing)} of {len(promised)} proven; not yet: {', '.join(missing) or 'none'}.\n"
    yield "| row | promise | tests |\n|---|---|---|"
    for id_, words in promised.items():
        yield f"| {id_} | {words} | {', '.join(proven[id_]) if id_ in proven else UNPROVEN} |"
    yield ""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
