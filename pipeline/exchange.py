"""The receiving side of one attempt: nothing is kept before its head was recognised, nothing beyond the cap.

Bytes go: counted -> head recognised -> staged -> synced -> examined -> compared with what was declared and asked.
A payload that fails any of these is quarantined by the caller; it never becomes an asset. Owns no money and no retry.
"""

import os

import msgspec

from pipeline.core.drivers import Reply
from pipeline.core.errors import ContractError, LimitExceeded
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES, decode_transcript
from pipeline.core.limits import Meter
from pipeline.core.model import AttemptId, Limits, Media, Reached, Runner
from pipeline.media.containers import could_be, examine, recognise, same_type
from pipeline.media.sniff import HEAD_BYTES
from pipeline.state.ledger import Ledger
from pipeline.state.store import Staged

JSON_TYPE = "application/json"


class Receiving:
    """Implements `core.drivers.Exchange` over one staged file."""

    def __init__(
        self,
        attempt: AttemptId,
        *,
        staged: Staged,
        ledger: Ledger,
        runner: Runner,
        files: Runner,
        reached: Reached,
        allowed: frozenset[str],
        limits: Limits,
    ) -> None:
        self.attempt = attempt
        self.staged = staged
        self.limits = limits
        self.is_sent = self.is_received = False
        self.request_id: str | None = None
        self.recognised: Media | None = None
        self._ledger = ledger
        self._runner = runner
        self._files = files
        self._reached = reached
        self._allowed = allowed
        self._meter = Meter(limits.max_output_bytes, code="limit-bytes", unit="bytes of answer")
        self._head = b""

    async def sending(self) -> None:
        if not self.is_sent:
            await self._runner(self._ledger.mark_sending, self.attempt)
            self.is_sent = True
            self._reached("sending")

    async def identified(self, request_id: str) -> None:
        self.request_id = request_id
        await self._runner(self._ledger.note_request_id, self.attempt, request_id)
        self._reached("identified")

    async def write(self, chunk: bytes) -> None:
        self._meter.add(len(chunk))
        if self.recognised is not None:
            await self._files(self.staged.write, chunk)
            return
        self._head += chunk
        if len(self._head) >= HEAD_BYTES:
            await self._open_gate()

    async def _open_gate(self) -> None:
        head, self._head = self._head, b""
        self.recognised = self._recognise(head[:HEAD_BYTES])  # no more: the verdict must not hang on the chunks
        await self._files(self.staged.write, head)
        self._reached("first-bytes")

    def _recognise(self, head: bytes) -> Media:
        if not head:
            raise ContractError("the answer is empty", code="reply-empty")
        media = recognise(head)
        if media is None or not any(could_be(allowed, media) for allowed in self._allowed):
            found = media.media_type if media else "nothing known"
            raise ContractError(f"the answer is {found}, not {' or '.join(sorted(self._allowed))}", code="reply-type")
        return media

    async def finish(self, reply: Reply) -> Media:
        """Sync and examine the whole payload. Returns what it is; ContractError if it is not what was asked."""
        if self.recognised is None:
            await self._open_gate()
        self._reached("staged")
        return await self._files(self._verify, reply)

    def _verify(self, reply: Reply) -> Media:
        self.staged.sync()
        assert self.recognised is not None
        if not could_be(reply.media_type, self.recognised):
            raise ContractError(
                f"declared as {reply.media_type}, but it is {self.recognised.media_type}", code="reply-type"
            )
        media = _transcript(self.staged.path) if reply.media_type == JSON_TYPE else _container(self.staged.path)
        if media is None or not same_type(reply.media_type, media):
            raise ContractError("the whole answer is of another type than its head", code="reply-type")
        return media


def _container(path: str) -> Media | None:
    with open(path, "rb") as file:
        found = examine(file, os.fstat(file.fileno()).st_size)
    if not found.ok:
        raise ContractError(f"the answer is damaged: {found.reason}", code="reply-damaged")
    return found.media


def _transcript(path: str) -> Media:
    if os.stat(path).st_size > MAX_TRANSCRIPT_BYTES:
        raise LimitExceeded("the transcript is larger than 256 MB", code="limit-bytes")
    with open(path, "rb") as file:
        body = file.read(MAX_TRANSCRIPT_BYTES)
    try:
        decode_transcript(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError("the answer is not a transcript", code="reply-damaged") from error
    return Media(media_type=JSON_TYPE, family="text", extension="json")
