"""Whether there is anything to hear in a recording, asked before a call is paid for.

Only what is certain counts: a level at which nobody was ever heard, or voice activity detection that finds no moment of
speech. Bounds are measured: docs/judging.md. Pure.
"""

import math

from pipeline.core.hearing import Survey

SILENT_RMS = 2.5e-4  # of the loudest half second, 1.0 being full scale: -72 dBFS


def against_silence(survey: Survey) -> str:
    """Why nothing needs to be asked, with the figures; or nothing."""
    seconds = f"in {survey.seconds:.1f} s"
    if survey.loudest_rms < SILENT_RMS:
        return f"no speech {seconds}: the loudest half second is at {_decibels(survey.loudest_rms)}"
    if survey.speech is not None and not survey.speech:
        level = _decibels(survey.loudest_rms)
        return f"no speech {seconds}: voice activity hears nobody, the loudest half second is at {level}"
    return ""


def gate_facts(survey: Survey) -> dict[str, str]:
    facts = {
        "gate": "level only" if survey.speech is None else "level and voice activity",
        "loudest": _decibels(survey.loudest_rms),
        "peak": _decibels(survey.peak),
    }
    if survey.speech_seconds is not None:
        facts["gate_speech_seconds"] = f"{survey.speech_seconds:.2f}"
    return facts


def _decibels(level: float) -> str:
    return f"{20 * math.log10(level):.0f} dBFS" if level > 0 else "digital silence"
