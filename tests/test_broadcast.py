"""Whole runs that tell other machines how they went: pings, a file of figures, nothing lost where nobody listens."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline.state.idle import is_idle
from tests.makers import Folder, verdicts

pytestmark = pytest.mark.real_time


class Listener:
    """A service that takes pings: the paths and bodies it has heard, in order."""

    def __init__(self, status: int) -> None:
        self.heard: list[tuple[str, str]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                heard.append((self.path, self.rfile.read(size).decode()))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def listening(status: int = 200) -> Iterator[Listener]:
    listener = Listener(status)
    thread = Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener
    finally:
        listener.server.shutdown()
        listener.server.server_close()
        thread.join()


def told_to(folder: Folder, origin: str, **options: str) -> None:
    """The address is a secret of the user's environment, as the settings name it."""
    folder.environ["PING_ADDRESS"] = f"{origin}/c0ffee-uuid"
    folder.configure(options, f'[notify]\nping_key = "PING_ADDRESS"\norigins = ["{origin}"]\n')


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.record("one.wav")
    return made


def test_a_run_tells_its_beginning_first_and_its_end_last(folder: Folder) -> None:
    with listening() as listener:
        told_to(folder, listener.origin)
        folder.run()
    assert listener.heard[-1] == ("/c0ffee-uuid", "2 done; exit code 0")
    assert [path for path, _ in listener.heard[:-1]] in ([], ["/c0ffee-uuid/start"])


def test_a_run_with_a_failed_job_tells_a_failure_and_no_name(folder: Folder) -> None:
    (folder.root / "recordings" / "secret-name.wav").write_text("<html>no sound</html>")
    with listening() as listener:
        told_to(folder, listener.origin)
        result = folder.run()
    path, body = listener.heard[-1]
    assert (path, result.whole.exit_code) == ("/c0ffee-uuid/fail", 3)
    assert "refused" in body
    assert "secret-name" not in body


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9", "http://printer.local"])
def test_a_service_that_is_not_there_changes_no_verdict_and_its_address_is_logged_nowhere(
    folder: Folder, origin: str
) -> None:
    told_to(folder, origin)
    result = folder.run()
    assert (set(verdicts(result).values()), result.whole.exit_code) == ({"done"}, 0)
    assert "notice-lost" in folder.log.getvalue()
    assert "c0ffee" not in folder.log.getvalue()


def test_a_spool_whose_runs_are_waited_for_never_rests(folder: Folder) -> None:
    with listening() as listener:
        told_to(folder, listener.origin)
        folder.run_spool()
        assert not is_idle(str(folder.spool))


def figures(path: Path) -> dict[str, float]:
    """Series to value; each line must be one that a collector reads."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    found = [re.fullmatch(r'(\w+)\{spool="[^"]*"(?:,verdict="([a-z-]+)")?\} (-?[0-9.e+]+)', line) for line in lines]
    assert all(found)
    return {" ".join(filter(None, match.groups()[:2])): float(match.group(3)) for match in found if match}


def test_figures_of_the_run_are_written_whole_beside_others(folder: Folder) -> None:
    path = folder.root / "figures" / "mediaspool.prom"
    path.parent.mkdir()
    folder.configure({}, '[metrics]\nfile = "figures/mediaspool.prom"\n')
    folder.run()
    found = figures(path)
    assert found["mediaspool_last_run_jobs done"] == 2
    assert found["mediaspool_jobs done"] == 2
    assert found["mediaspool_last_run_exit_code"] == 0
    assert found["mediaspool_last_success_timestamp_seconds"] == found["mediaspool_last_run_timestamp_seconds"]
    assert [item.name for item in path.parent.iterdir()] == ["mediaspool.prom"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_the_time_of_the_last_success(folder: Folder) -> None:
    path = folder.root / "m.prom"
    folder.configure({}, '[metrics]\nfile = "m.prom"\n')
    folder.run()
    success = figures(path)["mediaspool_last_success_timestamp_seconds"]
    (folder.root / "recordings" / "no.wav").write_text("<html>no sound</html>")
    folder.run()
    found = figures(path)
    assert found["mediaspool_last_run_exit_code"] == 3
    assert (
        found["mediaspool_last_success_timestamp_seconds"] == success < found["mediaspool_last_run_timestamp_seconds"]
    )


def test_an_idle_tick_says_in_the_figures_that_all_is_well(folder: Folder) -> None:
    path = folder.root / "m.prom"
    folder.configure({}, '[metrics]\nfile = "m.prom"\n')
    folder.run_spool()
    path.write_text(re.sub(r"(timestamp_seconds\{.*\}) .*", r"\1 1", path.read_text()))
    before = figures(path)
    assert is_idle(str(folder.spool))
    now = figures(path)
    assert before["mediaspool_last_success_timestamp_seconds"] == 1
    assert now["mediaspool_last_success_timestamp_seconds"] > 1_700_000_000
    assert {name: value for name, value in now.items() if "timestamp" not in name} == {
        name: value for name, value in before.items() if "timestamp" not in name
    }


def test_figures_that_cannot_be_written_are_told_and_change_nothing(folder: Folder) -> None:
    folder.configure({}, '[metrics]\nfile = "missing/m.prom"\n')
    assert folder.run().whole.exit_code == 0
    assert "figures-not-written" in folder.log.getvalue()
