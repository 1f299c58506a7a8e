"""S3 side by side with rclone, against moto's server in a process of its own on loopback.

Run with ``python benchmarks/s3_speed.py [ROUNDS]``. The clients take turns; best and median of the rounds. The row
"server alone" sends and fetches the same bytes over plain HTTP, without signature or digest: no client can be much
quicker, and where all rows are close to it the server is what was measured. Our own rows do what a delivery
and a reading back do beside the transfer: SHA-256 and BLAKE3.
"""

import contextlib
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from blake3 import blake3

from nightferry.core.store import BUFFER_SIZE, Entry, Load, StorePath, Want
from nightferry.stores.s3.bucket import S3Address
from nightferry.stores.s3.store import S3Store

FRAME, FRAMES, ABREAST = 16_600_320, 12, 4
BUCKET = "nights"
_SETTINGS = "provider = Other\nenv_auth = false\naccess_key_id = me\nsecret_access_key = secret\nregion = us-east-1\n"

#: moto wants a signature, and looks at none.
_UNSIGNED = "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "frames").mkdir()
        for number in range(FRAMES):
            (work / "frames" / f"{number:02}.fits").write_bytes(os.urandom(FRAME))
        puts: dict[str, list[float]] = {}
        gets: dict[str, list[float]] = {}
        for _ in range(rounds):
            with server() as port:  # a fresh one for each round: it keeps all it gets in memory
                for who, (put, get) in contestants(work, port).items():
                    puts.setdefault(who, []).append(seconds(put))
                    gets.setdefault(who, []).append(seconds(get))
        report("put", puts)
        report("get", gets)


def contestants(work: Path, port: int) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    found: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "server alone": (partial(bare, work, port, "PUT"), partial(bare, work, port, "GET")),
        "nightferry": (partial(our_put, work, port), partial(our_get, port)),
    }
    if shutil.which("rclone"):
        settings = work / "rclone.conf"
        settings.write_text(f"[s3]\ntype = s3\nendpoint = http://127.0.0.1:{port}\n{_SETTINGS}")
        rclone = ["rclone", "--config", str(settings), "copy", "--transfers", str(ABREAST), "--quiet"]
        target = f"s3:{BUCKET}/rclone"
        found["rclone"] = (
            partial(run, [*rclone, str(work / "frames"), target]),
            partial(fetched, [*rclone, target], work / "back"),
        )
    else:
        print("rclone is not installed, so it is left out")
    return found


def our_store(port: int) -> S3Store:
    return S3Store(S3Address(BUCKET, "ours", f"http://127.0.0.1:{port}", "us-east-1", "me", "secret"))


def our_put(work: Path, port: int) -> None:
    loads = [Load(file, StorePath(file.name)) for file in sorted((work / "frames").iterdir())]
    with contextlib.closing(our_store(port)) as store, ThreadPoolExecutor(ABREAST) as crew:
        for answers in crew.map(lambda load: list(store.put([load])), loads):
            assert answers == [None], answers


def our_get(port: int) -> None:
    with contextlib.closing(our_store(port)) as store, ThreadPoolExecutor(ABREAST) as crew:
        entries = [item for item in store.list() if isinstance(item, Entry)]
        assert len(entries) == FRAMES
        list(crew.map(lambda entry: our_fetch(store, entry), entries))


def our_fetch(store: S3Store, entry: Entry) -> None:
    buffer, hasher = memoryview(bytearray(BUFFER_SIZE)), blake3()
    for arrival in store.fetch([Want(entry.path, entry.size, entry.mtime_us)]):
        while count := arrival.read_into(buffer):
            hasher.update(buffer[:count])
        arrival.finish()


def bare(work: Path, port: int, method: str) -> None:
    def one(file: Path) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = file.read_bytes() if method == "PUT" else None
        connection.request(method, f"/{BUCKET}/bare/{file.name}", body, {"Authorization": _UNSIGNED})
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        answer.read()
        connection.close()

    with ThreadPoolExecutor(ABREAST) as crew:
        list(crew.map(one, sorted((work / "frames").iterdir())))


def fetched(command: list[str], target: Path) -> None:
    run([*command, str(target)])
    assert sum(file.stat().st_size for file in target.iterdir()) == FRAME * FRAMES
    shutil.rmtree(target)


def run(command: list[str]) -> None:
    # this rclone cannot load certificates of the user's own, and needs none here
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    subprocess.run(command, check=True, timeout=300, env=environment)


def seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@contextlib.contextmanager
def server() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-c", f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 30
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("PUT", f"/{BUCKET}")
                connection.getresponse().read()
                connection.close()
                break
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def report(what: str, taken: dict[str, list[float]]) -> None:
    amount = FRAME * FRAMES / 1e6
    print(f"{what}, {FRAMES} x {FRAME / 1e6:.1f} MB, {ABREAST} at once      median   best  MB/s")
    for who, times in taken.items():
        print(f"  {who:40} {amount / statistics.median(times):6.0f} {amount / min(times):6.0f}")


if __name__ == "__main__":
    main()
