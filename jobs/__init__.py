"""What can be asked for: one row per kind, as text, loaded when first needed."""

KINDS: dict[str, str] = {
    "transcription": "jobs.transcription:Transcription",
    "canonical_text": "jobs.canonical_text:CanonicalText",
    "tts": "jobs.tts:Tts",
    "text": "jobs.text:Text",
    "image": "jobs.image:Image",
    "video": "jobs.video:Video",
}
