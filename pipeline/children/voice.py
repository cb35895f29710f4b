"""Voice activity as a stream: the Silero model that faster-whisper carries, fed block by block.

Runs the model itself, because faster-whisper's own way wants the whole recording at once and loads an engine with it.
Promises the same probabilities however the samples are cut into blocks; memory does not grow with the length.
"""

import functools
import importlib.util
import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.children import pcm
from pipeline.children.pcm import Samples

FRAME = 512  # samples of 16 kHz: what the model judges at once
_CONTEXT = 64  # samples before them that it sees again
_STATE = (1, 1, 128)
AT_ONCE = 32  # frames; with more the model is no faster and holds some megabytes more
_MODEL = os.path.join("assets", "silero_vad_v6.onnx")
Probabilities = NDArray[np.float32]


class Voice:
    """Judges one recording from its start: `judge` is called with its blocks in order."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._h, self._c = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        self._before = np.zeros(_CONTEXT, np.float32)

    def judge(self, samples: Samples) -> Probabilities:
        """How likely each frame is speech; an incomplete last frame is filled with silence."""
        frames = pcm.framed(samples, FRAME)
        seen = np.empty((len(frames), _CONTEXT + FRAME), np.float32)
        seen[:, _CONTEXT:] = frames
        seen[0, :_CONTEXT], seen[1:, :_CONTEXT] = self._before, frames[:-1, -_CONTEXT:]
        self._before = frames[-1, -_CONTEXT:].copy()
        return np.concatenate([self._judged(seen[at : at + AT_ONCE]) for at in range(0, len(seen), AT_ONCE)])

    def _judged(self, seen: Samples) -> Probabilities:
        asked = {"input": seen, "h": self._h, "c": self._c}
        found, self._h, self._c = self._session.run(None, asked)
        return np.asarray(found, np.float32)


def open_voice() -> Voice | None:
    """None where faster-whisper is not installed; nothing of it is imported."""
    session = open_session()
    return None if session is None else Voice(session)


@functools.cache  # it keeps nothing of a recording: state goes in and comes out with every call
def open_session() -> onnxruntime.InferenceSession | None:
    """The model on one thread, loaded once in a process."""
    found = importlib.util.find_spec("faster_whisper")
    folders = found.submodule_search_locations if found is not None else None
    model = os.path.join(folders[0], _MODEL) if folders else ""
    if not os.path.isfile(model):
        return None
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"], sess_options=_options())


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    return options
