"""Films: submitted once, asked after, fetched. A job's states follow its script, one a poll; the last one stays.

What a fault says at the submit stays with the job, so that polls and downloads of it play along.
"""

from decimal import Decimal

from tests.standin import films
from tests.standin.catalogue import is_known
from tests.standin.catalogue_videos import VIDEOS, Clip, VideoModel, price
from tests.standin.gate import need_fields, need_key, need_model
from tests.standin.images import FUNNEL, PIXELS, check_picture
from tests.standin.nouns import Answer, Asked, Fields, fields_of, json_answer, names, objects_of, text_of, whole_of
from tests.standin.problems import html, no_such_model, problem, refuse
from tests.standin.world import Generation, Video, World

SCRIPTS: dict[str, tuple[str, ...]] = {
    "video-never-ends": ("pending",),
    "video-in-progress": ("pending", "in_progress", "completed"),
    "video-at-once": ("completed",),
    "video-failed": ("pending", "failed"),
    "video-failed-silently": ("pending", "failed"),
    "video-cancelled": ("in_progress", "cancelled"),
    "video-expired": ("pending", "expired"),
    "video-queued": ("queued", "warming_up", "completed"),
    "video-flaps": ("pending", "!500", "!429", "!html", "!503", "pending", "completed"),
    "video-late": ("!404", "!404", "pending", "completed"),
    "video-forgotten": ("pending", "!404"),
    "video-lost": ("completed", "!404"),
}
WORDS = {
    "failed": "Content policy violation",
    "cancelled": "Job was cancelled",
    "expired": "Job exceeded maximum time to live",
}
POLLING = {
    "polling-http": "http://example.com/api/v1/videos/{id}",
    "polling-file": "file:///etc/passwd",
    "polling-metadata": "http://169.254.169.254/latest/meta-data/{id}",
    "polling-private": "https://10.0.0.1/api/v1/videos/{id}",
    "polling-loopback": "http://127.0.0.1:9/api/v1/videos/{id}",
    "polling-astray": "/v1/behind/another/server/videos/{id}",
    "polling-userinfo": "{origin}/api/v1/videos/{id}",
}
ADDRESSES = {
    "urls-http": "http://example.com/{id}.mp4",
    "urls-file": "file:///etc/passwd",
    "urls-metadata": "http://169.254.169.254/latest/meta-data/",
    "urls-private": "https://192.168.1.1/{id}.mp4",
}
PLAYED = frozenset(
    {
        *SCRIPTS,
        *POLLING,
        *ADDRESSES,
        *names(
            "video-script video-usage-null polling-relative polling-elsewhere polling-missing urls-missing urls-null"
            " urls-empty urls-two urls-elsewhere urls-expired video-short"
        ),
    }
)


def submit(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    model = _model(asked)
    _check(asked, model, fields)
    _check_references(asked, model, fields)
    video = _video(asked, model, fields, world)
    world.memory.videos[video.id] = video
    world.remember_cost(Generation(id=video.id, api_type="video", model=model.id, usd=video.usd, hidden=0))
    body: dict[str, object] = {"id": video.id, "polling_url": _polling(asked, video.id), "status": "pending"}
    if asked.plays("polling-missing"):
        del body["polling_url"]
    return json_answer(body, status=202, usd=Decimal(video.usd))


def poll(asked: Asked, world: World) -> Answer:
    need_key(asked)
    video = _known(asked, world)
    state = video.script.pop(0) if len(video.script) > 1 else video.script[0]
    video.polls += 1
    if state.startswith("!"):
        return _flap(asked, state.removeprefix("!"), video)
    body: dict[str, object] = {
        "id": video.id,
        "generation_id": video.id,
        "polling_url": _polling(asked, video.id, video),
        "status": state,
    }
    if state == "completed":
        body |= {"unsigned_urls": _addresses(asked, video), "usage": {"cost": float(video.usd), "is_byok": False}}
        body = {name: value for name, value in body.items() if value is not ...}
        if "video-usage-null" in video.variations:
            body["usage"] = None
    elif state in WORDS and "video-failed-silently" not in video.variations:
        body["error"] = WORDS[state]
    return json_answer(body)


def content(asked: Asked, world: World) -> Answer:
    need_key(asked)
    video = _known(asked, world)
    if "video-lost" in video.variations:
        raise refuse(asked, 404, f"Job {video.id} not found")
    if video.script[0] != "completed":
        raise refuse(asked, 400, f"Job {video.id} is not completed")
    count = 2 if "urls-two" in video.variations else 1
    index = asked.query.get("index", "0")
    if not index.isdigit() or int(index) >= count:
        raise refuse(asked, 400, f"Video index {index} out of range ({count} videos available)")
    seconds = 0.5 if "video-short" in video.variations else video.seconds
    body = films.film(video.width, video.height, seconds, int(index), has_sound=video.has_sound)
    return Answer(media_type="video/mp4", body=body, chunk=65_536)


def _model(asked: Asked) -> VideoModel:
    name = need_model(asked)
    if name in VIDEOS:
        return VIDEOS[name]
    if is_known(name):
        raise refuse(asked, 400, f"Model {name} does not support video output", routing_funnel=FUNNEL)
    raise no_such_model(asked, name)


def _known(asked: Asked, world: World) -> Video:
    video = world.memory.videos.get(asked.named["id"])
    if video is None:
        raise refuse(asked, 404, f"Job {asked.named['id']} not found")
    return video


def _flap(asked: Asked, what: str, video: Video) -> Answer:
    match what:
        case "html":
            return html(200, "Just a moment...")
        case "404":
            return problem(asked, 404, f"Job {video.id} not found")
        case _:
            return problem(asked, int(what), "Please try again later.")


def _check(asked: Asked, model: VideoModel, fields: Fields) -> None:
    """Each wish against the model's list; a null list constrains nothing."""
    seconds = whole_of(fields, "duration")
    if seconds is not None and model.durations is not None and seconds not in model.durations:
        lists = ", ".join(map(str, model.durations))
        _unsupported(asked, f"Duration {seconds}s is not supported for this model. Supported durations: {lists}s")
    for name, offered in (("resolution", model.resolutions), ("aspect_ratio", model.aspects), ("size", model.sizes)):
        value = text_of(fields, name)
        if value is not None and offered is not None and value not in offered:
            what = name.replace("_", " ").capitalize()
            lists = ", ".join(offered)
            _unsupported(asked, f"{what} {value} is not supported for this model. Supported {name}s: {lists}")
    if not text_of(fields, "prompt") and not fields.get("frame_images") and not fields.get("input_references"):
        raise refuse(asked, 400, "xAI video generations require a prompt when no image input is provided")
    if "previous_job_id" in fields:
        raise refuse(asked, 400, f"{model.id}-20260901 does not support previous_job_id")


def _unsupported(asked: Asked, message: str) -> None:
    raise refuse(asked, 400, message, routing_funnel=FUNNEL, failed_routing_step="Validate Video Parameters")


def _check_references(asked: Asked, model: VideoModel, fields: Fields) -> None:
    seen: set[str | None] = set()
    for frame in objects_of(fields, "frame_images"):
        kind = text_of(frame, "frame_type")
        if kind in seen or kind not in (model.frames or ()):
            raise refuse(asked, 400, f"frame_type {kind} is not supported for this model")
        seen.add(kind)
        check_picture(asked, text_of(fields_of(frame, "image_url"), "url") or "")
    for place, reference in enumerate(objects_of(fields, "input_references")):
        kind = text_of(reference, "type") or ""
        url = text_of(fields_of(reference, kind), "url") or ""
        what = kind.removesuffix("_url")
        if what not in ("image", "audio", "video"):
            raise refuse(asked, 400, f"input_references[{place}].type: Invalid input")
        if what != "image" and what not in model.inputs:
            raise refuse(asked, 400, f'model "{model.id}" does not accept {what} input references')
        if what != "image" and not url.startswith("https://"):
            where = f"input_references[{place}].{kind}.url"
            raise refuse(asked, 400, f"Invalid reference URL: {where}: Only HTTPS URLs are allowed")
        if what == "image":
            check_picture(asked, url)


def _video(asked: Asked, model: VideoModel, fields: Fields, world: World) -> Video:
    found = PIXELS.fullmatch(text_of(fields, "size") or "")
    resolution = text_of(fields, "resolution") or (model.resolutions or ("480p",))[0]
    aspect = text_of(fields, "aspect_ratio")
    width, height = (int(found[1]), int(found[2])) if found else films.size_for(resolution, aspect)
    seconds = whole_of(fields, "duration") or (model.durations or (2,))[0]
    wanted = fields.get("generate_audio")
    has_sound = bool(model.has_audio) if wanted is None else wanted is True and bool(model.has_audio)
    frames, references = objects_of(fields, "frame_images"), objects_of(fields, "input_references")
    clip = Clip(
        resolution=resolution,
        seconds=seconds,
        width=width,
        height=height,
        with_audio=has_sound,
        images=len(frames),
        references=0 if frames else len(references),
    )
    variations = {name: dict(options) for name, options in asked.variations.items()}
    return Video(
        id=world.new_id("gen-vid"),
        model=model.id,
        script=_script(asked),
        usd=str(price(model, clip).quantize(Decimal("0.000001"))),
        width=width,
        height=height,
        seconds=seconds,
        has_sound=has_sound,
        variations=variations,
    )


def _script(asked: Asked) -> list[str]:
    for name, options in asked.variations.items():
        wanted = options.get("script")
        if name == "video-script" and isinstance(wanted, list) and wanted:
            return [str(state) for state in wanted]
        if name in SCRIPTS:
            return list(SCRIPTS[name])
    return ["pending", "completed"]


def _polling(asked: Asked, number: str, video: Video | None = None) -> str:
    played = set(asked.variations) | set(video.variations if video else ())
    for name, address in POLLING.items():
        if name in played:
            return address.format(id=number, origin=asked.origin.replace("://", "://user:word@"))
    if "polling-relative" in played:
        return f"/api/v1/videos/{number}"
    base = f"{asked.elsewhere}/api/v1" if "polling-elsewhere" in played else asked.base
    return f"{base}/videos/{number}"


def _addresses(asked: Asked, video: Video) -> object:
    """The result's addresses; Ellipsis where the member is to be missing."""
    here = f"{asked.base}/videos/{video.id}/content?index="
    name = f"film-{video.width}x{video.height}-{round(video.seconds)}.mp4"
    special: dict[str, object] = {
        "urls-missing": ...,
        "urls-null": None,
        "urls-empty": [],
        "urls-two": [f"{here}0", f"{here}1"],
        "urls-elsewhere": [f"{asked.elsewhere}/files/{name}"],
        "urls-expired": [f"{asked.elsewhere}/files/expired?X-Expires=1"],
    }
    special |= {odd: [address.format(id=video.id)] for odd, address in ADDRESSES.items()}
    return next((special[odd] for odd in video.variations if odd in special), [f"{here}0"])
