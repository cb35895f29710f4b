"""Downloads and the key: who gets it, which addresses are never reached, and what of a bad download is handed on."""

import ipaddress
import ssl
import subprocess

import httpcore
import pytest
import trio

from pipeline.core.drivers import Timeouts
from pipeline.core.errors import ContractError, MediaspoolError, Rejected, ReplyTooLarge, Unavailable
from pipeline.routes._guard import Guard, is_public, refuse_host
from pipeline.routes.fetch import MAX_REDIRECTS, Fetched, download
from pipeline.routes.http import Http
from tests.routes.servers import (
    KEY,
    Heard,
    answer,
    chunk,
    for_ever,
    head,
    reaching,
    reset,
    serving,
    serving_tls,
    told,
)

pytestmark = pytest.mark.real_time
FILM = frozenset({"video/mp4"})
CLIP = b"\x00\x00\x00\x20ftypisom" + bytes(100_000)
PATIENT = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
PUBLIC = "93.184.215.14"


class Sink:
    """Keeps what was handed on."""

    def __init__(self) -> None:
        self.body = b""

    async def __call__(self, piece: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.body += piece


async def fetched(http: Http, url: str, *, origins: frozenset[str] = frozenset()) -> bytes:
    sink = Sink()
    told = await download(url, http=http, write=sink, max_bytes=1_000_000, expect=FILM, origins=origins)
    assert isinstance(told, Fetched)
    assert told.size == len(sink.body)
    return sink.body


async def refused(http: Http, url: str) -> MediaspoolError:
    sink = Sink()
    with pytest.raises(MediaspoolError) as found:
        await download(url, http=http, write=sink, max_bytes=1_000_000, expect=FILM)
    assert sink.body == b""
    return found.value


def clip() -> bytes:
    return answer(CLIP, kind="video/mp4")


async def test_a_result_on_the_routes_own_origin_is_fetched_with_the_key() -> None:
    async with serving(clip()) as server, reaching(server.base) as http:
        for url in (f"{server.base}/videos/1/content?index=0", "/api/v1/videos/1/content?index=0"):
            assert await fetched(http, url) == CLIP
    assert [request.target for request in server.heard] == ["/api/v1/videos/1/content?index=0"] * 2
    assert {request.headers["authorization"] for request in server.heard} == {f"Bearer {KEY}"}


_HOSTS = """
127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 127.0.0.1. 0 0.0.0.0 [::] [::1]
[::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::8.8.8.8] [64:ff9b:1::1] [2002:7f00:1::]
[2002:808:808::1] [2001:0:7f00:1::] [2001:db8::1] [fe80::1] [fe80::1%25eth0] [fec0::1] [fc00::1] [fd00:ec2::254]
[ff02::1] [100::1] [5f00::1] [3fff::1] 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.0.1
100.64.0.1 100.100.100.200 100.127.255.255 198.18.0.1 198.19.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 168.63.129.16 134744072 0x8080808 010.8.8.8
localhost localhost. x.localhost metadata metadata.google.internal instance-data.ec2.internal printer printer.local
router.lan nas.home.arpa db.corp x.intranet 1.1 8.8.8 1e100 ①②⑦.0.0.1 127。0。0。1
"""
ZOO = _HOSTS.split()


async def test_invariant_23_no_address_of_the_zoo_is_ever_connected_to() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        raise AssertionError(f"{host} was asked for")

    async with serving(clip()) as server:
        guard = Guard(resolve=nowhere)
        async with reaching("https://api.example.com/v1", guard=guard, timeouts=PATIENT) as http:
            count = 0
            for host in ZOO:
                for url in (f"https://{host}:{server.port}/x", f"http://{host}:{server.port}/x", f"https://{host}/x"):
                    error = await refused(http, url)
                    count += isinstance(error, ContractError) and error.code == "address-refused"
        assert count == 3 * len(ZOO)
        assert server.connections == 0
    print(f"invariant 23: addresses refused, with no connection made: {count}/{3 * len(ZOO)}")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "cdn.example.com", "a.b.c.example", "1e100.net"])
def test_a_public_host_is_let_through(host: str) -> None:
    refuse_host(host)


def test_no_private_network_of_the_standard_library_is_open_to_us() -> None:
    every_block = [ipaddress.IPv4Address(f"{first}.{second}.0.1") for first in range(256) for second in range(256)]
    assert [address for address in every_block if is_public(address) and not address.is_global] == []
    assert sum(is_public(address) for address in every_block) > 50_000


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::1"], ["::ffff:8.8.8.8"], ["100.64.0.1"], ["fe80::1%eth0"]]
)
async def test_invariant_23_a_name_with_one_bad_address_is_refused(found: list[str]) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return found

    network = Recording()
    guard = Guard(resolve=resolve, network=network)
    async with reaching("https://api.example.com/v1", guard=guard) as http:
        error = await refused(http, "https://cdn.example.com/x")
    assert error.code == "address-refused"
    assert network.asked == []


class Recording(httpcore.AsyncNetworkBackend):
    """The network at the outermost edge: notes which address is wanted, and leads it to a server on loopback."""

    def __init__(self, port: int = 0) -> None:
        self.asked: list[tuple[str, int]] = []
        self._port = port
        self._real = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        return await self._real.connect_tcp("127.0.0.1", self._port, timeout=timeout)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A key and a certificate for cdn.example.com, made for this run."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = [
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=x",
        "-addext",
        "subjectAltName=DNS:cdn.example.com",
    ]
    subprocess.run([*made, *names], check=True, capture_output=True)
    return key, cert


@pytest.fixture
def contexts(certificate: tuple[str, str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Theirs and ours."""
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    theirs.load_cert_chain(certificate[1], certificate[0])
    ours.load_verify_locations(certificate[1])
    return theirs, ours


async def test_invariant_23_a_public_name_is_resolved_once_and_its_own_address_is_connected_to(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    answers = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]

    async def changing(_host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return answers.pop(0)

    async with serving_tls(clip(), contexts[0]) as server:
        network = Recording(server.port)
        guard, base = Guard(resolve=changing, network=network), "https://api.example.com/v1"
        async with reaching(base, guard=guard, tls=lambda: contexts[1], timeouts=PATIENT) as http:
            assert await fetched(http, "https://cdn.example.com/clip.mp4?X-Signature=abc") == CLIP
    assert network.asked == [(PUBLIC, 443)]
    assert len(answers) == 2
    assert server.heard[0].headers["host"] == "cdn.example.com"
    assert server.heard[0].target == "/clip.mp4?X-Signature=abc"


async def test_invariant_22_another_host_hears_neither_key_nor_headers_of_the_route(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """G20, O20, V16."""

    async def public(_host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return [PUBLIC]

    async with serving_tls(clip(), contexts[0]) as server:
        guard, base = Guard(resolve=public, network=Recording(server.port)), "https://api.example.com/v1"
        mine = {"X-Mine": "1"}
        async with reaching(base, guard=guard, tls=lambda: contexts[1], headers=mine, timeouts=PATIENT) as http:
            await fetched(http, "https://cdn.example.com/clip.mp4")
            await http.get("https://cdn.example.com/videos/1", max_bytes=1_000_000)  # a polling_url
    assert len(server.heard) == 2
    assert not any({"authorization", "x-mine"} & set(request.headers) for request in server.heard)
    assert KEY not in str(server.heard)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_invariant_22_a_redirect_to_another_origin_gets_no_key(status: int) -> None:
    leaks = 0
    async with serving(clip()) as other:
        origin = f"http://127.0.0.1:{other.port}"
        async with (
            serving(answer(b"", status=status, Location=f"{origin}/clip")) as server,
            reaching(server.base) as http,
        ):
            assert await fetched(http, f"{server.base}/x", origins=frozenset({origin})) == CLIP
            assert server.heard[0].headers["authorization"] == f"Bearer {KEY}"
        leaks += sum(KEY in str(request) for request in other.heard)
        assert len(other.heard) == 1
    assert leaks == 0


async def test_invariant_22_the_key_reaches_no_other_origin_by_any_url() -> None:
    async with serving(clip()) as other, serving(clip()) as server, reaching(server.base) as http:
        there, here = f"127.0.0.1:{other.port}", f"127.0.0.1:{server.port}"
        urls = [
            f"http://{there}/x",
            f"//{there}/x",
            f"http://{here}@{there}/x",
            f"http://{KEY}:x@{here}/x",
            f"http://{here}:{other.port}/x",
            f"http://{here}.example.com/x",
            f"http://{here}\\@{there}/x",
            f"http://{there}\\@{here}/x",
            f"http://{there}#@{here}/",
            f"http://{there}?@{here}/",
            f"https://{here}/x",
            f"http://localhost:{server.port}/x",
            f"http://127.1:{server.port}/x",
            f"HTTP://{there}/x",
            f" http://{there}/x",
            f"http://{there}\t/x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "data:video/mp4;base64,AAAA",
            "http:///x",
            "http://[::1/x",
        ]
        for url in urls:
            with pytest.raises(MediaspoolError):
                await http.get(url, max_bytes=1000)
            assert not isinstance(await refused(http, url), Unavailable), url
        assert other.connections == 0
        assert server.heard == []
    print(f"invariant 22: {2 * len(urls)}/{2 * len(urls)} addresses that were given no key")


async def test_a_hop_back_home_has_lost_the_key() -> None:
    async def home_is_far(heard: Heard, _stream: trio.SocketStream) -> bytes:
        await trio.lowlevel.checkpoint()
        return clip() if heard.target == "/api/v1/keys" else answer(b"", status=302, Location=f"{origin}/x")

    async def send_home(_heard: Heard, _stream: trio.SocketStream) -> bytes:
        await trio.lowlevel.checkpoint()
        return answer(b"", status=302, Location=f"{server.base}/keys")

    async with serving(send_home) as other, serving(home_is_far) as server, reaching(server.base) as http:
        origin = f"http://127.0.0.1:{other.port}"
        await fetched(http, f"{server.base}/x", origins=frozenset({origin}))
    assert ["authorization" in request.headers for request in server.heard] == [True, False]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/x",
        "https://10.0.0.1/x",
        "http://example.com/x",
        "file:///etc/passwd",
        "//metadata.google.internal/x",
        "https://2130706433/",
        "",
    ],
)
async def test_every_hop_is_judged_anew(location: str) -> None:
    async with serving(answer(b"", status=302, Location=location)) as server, reaching(server.base) as http:
        assert (await refused(http, f"{server.base}/x")).code == "address-refused"
        assert len(server.heard) == 1


async def test_a_circle_of_redirects_ends() -> None:
    async with serving(answer(b"", status=302, Location="/api/v1/x")) as server, reaching(server.base) as http:
        assert (await refused(http, f"{server.base}/x")).code == "address-refused"
        assert len(server.heard) == MAX_REDIRECTS + 1


EXPIRED = b'<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>'
BAD = {
    "expired link": (answer(EXPIRED, status=403, kind="application/xml"), Rejected),
    "gone": (answer(EXPIRED, status=404, kind="application/xml"), Rejected),
    "XML with 200": (answer(EXPIRED, kind="application/xml"), Unavailable),
    "a page with 200": (answer(b"<html>", kind="video/mp4"), Unavailable),
    "a page": (answer(b"<html>", status=502, kind="text/html"), Unavailable),
    "JSON with 200": (told({"status": "pending"}), ContractError),
    "an error with 200": (told({"error": {"code": 404, "message": "Job not found"}}), Rejected),
    "nothing": (answer(b""), ContractError),
    "packed": (answer(b"\x1f\x8b", Content_Encoding="gzip"), ContractError),
    "too long, and says so": (answer(bytes(1_000_001), kind="video/mp4"), ReplyTooLarge),
}


@pytest.mark.parametrize("how", BAD)
async def test_nothing_of_a_bad_download_is_handed_on(how: str) -> None:
    body, kind = BAD[how]
    async with serving(body) as other, reaching("http://127.0.0.1:9/v1") as http:
        sink, origin = Sink(), f"http://127.0.0.1:{other.port}"
        with pytest.raises(kind) as failed:
            await download(
                f"{origin}/x", http=http, write=sink, max_bytes=1_000_000, expect=FILM, origins=frozenset({origin})
            )
        assert type(failed.value) is kind
        assert sink.body == b""


async def test_invariant_13_an_endless_download_stops_at_the_cap() -> None:
    async def endless(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head(kind="video/mp4"))
        await for_ever(stream, chunk(bytes(50_000)))

    sink = Sink()
    async with serving(endless) as server, reaching(server.base, timeouts=PATIENT) as http:
        with pytest.raises(ReplyTooLarge):
            await download(f"{server.base}/x", http=http, write=sink, max_bytes=1_000_000)
    assert len(sink.body) <= 1_000_000


@pytest.mark.parametrize("is_rude", [True, False])
async def test_a_download_that_breaks_off_may_be_tried_again(is_rude: bool) -> None:
    async def broken(_heard: Heard, stream: trio.SocketStream) -> None:
        await stream.send_all(head(kind="video/mp4", Content_Length="1000000") + CLIP)
        await (reset(stream) if is_rude else stream.aclose())

    async with serving(broken) as server, reaching(server.base) as http:
        with pytest.raises(Unavailable):
            await fetched(http, f"{server.base}/x")


async def test_a_get_is_asked_again_when_nobody_answered_and_honours_the_wait() -> None:
    async def third_time(_heard: Heard, _stream: trio.SocketStream) -> bytes:
        await trio.lowlevel.checkpoint()
        return told({"error": {"code": 503}}, status=503, Retry_After="0") if len(server.heard) < 3 else told([1])

    async with serving(third_time) as server, reaching(server.base, timeouts=PATIENT) as http:
        assert (await http.get("/models", query={"q": "a b"}, max_bytes=1000)).json() == [1]
    assert [request.target for request in server.heard] == ["/api/v1/models?q=a+b"] * 3


async def test_a_get_that_fails_for_good_is_asked_three_times_and_no_more() -> None:
    async with (
        serving(told({"error": {}}, status=500, Retry_After="0")) as server,
        reaching(server.base, timeouts=PATIENT) as http,
    ):
        with pytest.raises(Unavailable):
            await http.get("/models", max_bytes=1000)
        assert len(server.heard) == 3


async def test_a_get_that_was_refused_is_not_asked_again() -> None:
    async with serving(told({"error": {"code": 404, "message": "no"}}, status=404)) as server:
        async with reaching(server.base) as http:
            with pytest.raises(Rejected):
                await http.get("/videos/x", max_bytes=1000)
        assert len(server.heard) == 1


async def test_a_failed_job_told_in_a_good_answer_is_an_answer() -> None:
    job = {"id": "gen-vid-1", "status": "failed", "error": "Content policy violation"}
    async with serving(told(job)) as server, reaching(server.base) as http:
        assert (await http.get("/videos/gen-vid-1", max_bytes=1000)).json() == job
