"""The main job on the sample recordings, as a user would type it; then where the results are, on one screen."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "out"


def main() -> int:
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        *manifests(),
        "--config",
        str(HERE / "mediaspool.toml"),
        "--spool",
        str(OUT / "spool"),
    ]
    print("$ mediaspool", *command[3:])
    code = subprocess.run(command, check=False).returncode
    print(f"\nexit code {code}. Results are in {OUT}:")
    for path in sorted(OUT.glob("*/*")):
        if "spool" not in path.parts and not path.name.endswith(".receipt.json"):
            print(f"  {path.stat().st_size:>8}  {path.relative_to(OUT)}")
    transcript = OUT / "transcripts" / "jfk.wav.text.txt"
    if transcript.exists():
        print(f"\n{transcript.name}:\n  {transcript.read_text().strip()}")
    return code


def manifests() -> list[str]:
    return [str(path) for path in sorted((HERE / "manifests").glob("*.toml"))]


if __name__ == "__main__":
    sys.exit(main())
