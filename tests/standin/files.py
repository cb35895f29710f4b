"""What lies behind result addresses: pictures and films by name, on either listener, for whoever comes without a key.

A name says what it is: `picture-512x512-3.png`, `film-640x360-2.mp4`. `expired` is a signed address past its time.
"""

import re

from tests.standin import films, pictures
from tests.standin.nouns import Answer, Asked, json_answer
from tests.standin.world import World

MAX_SIDE = 4096
_NAME = re.compile(r"(?P<what>picture|film)-(?P<width>\d+)x(?P<height>\d+)-(?P<number>\d+)\.(?P<kind>\w+)")
EXPIRED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Request has expired</Message><Code>ExpiredToken</Code></Error>
"""


def serve(asked: Asked, world: World) -> Answer:
    name = asked.named["name"]
    if name == "expired":
        return Answer(status=403, media_type="application/xml", body=EXPIRED)
    found = _NAME.fullmatch("film-320x180-1.mp4" if name == "redirected.mp4" else name)
    if found is None or max(int(found["width"]), int(found["height"])) > MAX_SIDE:
        return json_answer({"error": "no such file"}, status=404)
    width, height, number = int(found["width"]), int(found["height"]), int(found["number"])
    if found["what"] == "film":
        return Answer(media_type="video/mp4", body=films.film(width, height, float(number)))
    kind = found["kind"]
    if kind not in pictures.TYPES:
        return json_answer({"error": "no such file"}, status=404)
    return Answer(media_type=pictures.TYPES[kind], body=pictures.picture(kind, width, height, number))
