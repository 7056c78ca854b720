"""Files are fetched whole or not at all: cut transfers are resumed, checksums checked, mirrors tried in turn."""

import base64
import gzip
import hashlib
import multiprocessing
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from conftest import command, vae_train

from vae_cli.data.download import NotFetchedError, fetch
from vae_cli.data.folder import DataFolder
from vae_cli.errors import ConfigError

CONTENT = np.random.default_rng(0).bytes(200_000)
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
START = "sha256:" + hashlib.sha256(CONTENT[:100]).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@dataclass
class Mirror:
    """A server of files, on this machine."""

    files: dict[str, bytes]
    resumes: bool = True  # whether it honours Range
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers end
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of each request
    pause: Callable[[], object] = lambda: None  # before an answer
    url: str = ""
    leads_to: str | None = None  # where every answer says that the file is

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        self.pause()
        if self.leads_to is not None:
            request.send_response(302)
            request.send_header("Location", self.leads_to)
            request.end_headers()
            return
        content = self.files.get(request.path.lstrip("/"))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        if content is None or start >= max(1, len(content)):
            request.send_error(404 if content is None else 416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start : start + self.cuts.pop(0) if self.cuts else None])


@pytest.fixture
def serve():
    """Starts mirrors, and stops them after the test."""
    servers = []

    def start(files: dict[str, bytes], **settings) -> Mirror:
        mirror = Mirror(files, **settings)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        mirror.url = f"http://127.0.0.1:{server.server_port}/"
        return mirror

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("checksum", [SHA, MD5])
def test_a_file_comes_whole(serve, tmp_path, capsys, checksum):
    mirror = serve({"a": CONTENT})
    fetch(tmp_path / "a", [mirror.url], checksum)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert left(tmp_path) == {"a"}
    assert mirror.asked == [("/a", None)]
    assert capsys.readouterr().err == f"fetching {tmp_path.name}/a, 200.0 kB\n"


def test_a_cut_transfer_goes_on_where_it_was(serve, tmp_path, capsys):
    mirror = serve({"a": CONTENT}, cuts=[70_000])
    fetch(tmp_path / "a", [mirror.url], SHA)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert mirror.asked == [("/a", None), ("/a", "bytes=70000-")]
    assert capsys.readouterr().err.count("fetching") == 1


def test_what_came_before_a_second_cut_is_kept_for_the_next_mirror_and_the_next_time(serve, tmp_path):
    first, second = serve({"a": CONTENT}, cuts=[50_000, 10_000]), serve({"a": CONTENT}, cuts=[5_000, 5_000])
    with pytest.raises(NotFetchedError, match=r"cut after 60000 of 200000 bytes; .* cut after 70000 of 200000 bytes"):
        fetch(tmp_path / "a", [first.url, second.url], SHA)
    assert [wanted for _, wanted in first.asked + second.asked] == [None, *(f"bytes={n}000-" for n in (50, 60, 65))]
    assert left(tmp_path) == {"a.part"}
    fetch(tmp_path / "a", [first.url], SHA)
    assert first.asked[-1] == ("/a", "bytes=70000-")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert left(tmp_path) == {"a"}


def test_a_server_that_cannot_resume_starts_anew(serve, tmp_path):
    mirror = serve({"a": CONTENT}, resumes=False, cuts=[70_000])
    fetch(tmp_path / "a", [mirror.url], SHA)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more", b"something else" * 1000], ids=["whole", "long", "other"])
def test_a_part_that_does_not_lead_to_the_file_is_begun_anew(serve, tmp_path, part):
    (tmp_path / "a.part").write_bytes(part)
    mirror = serve({"a": CONTENT})
    fetch(tmp_path / "a", [mirror.url], SHA)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert mirror.asked == [("/a", f"bytes={len(part)}-"), ("/a", None)]
    assert left(tmp_path) == {"a"}


def test_the_next_mirror_is_asked(serve, nobody, tmp_path):
    lacking, wrong, right = serve({}), serve({"a": CONTENT[::-1]}), serve({"a": CONTENT})
    fetch(tmp_path / "a", [nobody, lacking.url, wrong.url, right.url], SHA)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [wanted for _, wanted in wrong.asked + right.asked] == [None, None], "nothing of the wrong file is kept"


def test_every_mirror_is_named_with_its_reason(serve, nobody, tmp_path):
    lacking, wrong, empty = serve({}), serve({"a": CONTENT[::-1]}), serve({"a": b""})
    with pytest.raises(NotFetchedError) as caught:
        fetch(tmp_path / "a", [nobody, lacking.url, wrong.url, empty.url, "nonsense"], SHA)
    reasons = [": ".join(part.split(": ")[1:]) for part in str(caught.value).split("; ")]
    expected = ["Connection refused", "HTTP 404 Not Found", "the file has a wrong checksum", "the answer is empty"]
    assert reasons[:4] == expected
    assert "nonsense: unknown url type" in str(caught.value)
    assert left(tmp_path) == set()


def elsewhere(folder: Path) -> list[str]:
    """Addresses of the first bytes that are not those of a web server."""
    (folder / "source").mkdir()
    (folder / "source" / "a").write_bytes(CONTENT[:100])
    data = f"data:application/octet-stream;base64,{base64.b64encode(CONTENT[:100]).decode()}"
    return [f"file://{folder}/source/a", f"FILE://{folder}/source/a", "ftp://127.0.0.1:1/a", data]


def test_nothing_but_the_web_is_asked_and_none_leads_elsewhere(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("ftp_proxy", serve({"a": CONTENT}).url)
    (tmp_path / "new").mkdir()
    for url in elsewhere(tmp_path):
        for mirror in (url.removesuffix("/a"), serve({}, leads_to=url).url):
            with pytest.raises(NotFetchedError, match=r"unknown url type|HTTP 302|Redirection|redirect"):
                fetch(tmp_path / "new" / "a", [mirror], START)
    assert left(tmp_path / "new") == set()
    first = serve({"a": CONTENT})
    fetch(tmp_path / "new" / "a", [serve({}, leads_to=f"{first.url}a").url], SHA)
    assert (tmp_path / "new" / "a").read_bytes() == CONTENT


def test_a_link_in_place_of_a_part_is_not_written_through(serve, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "mine" / "a.part").symlink_to(tmp_path / "kept")
    with pytest.raises(ConfigError, match="a cannot be written there"):
        folder(tmp_path, [serve({"a": CONTENT}).url]).find(["a"])
    assert (tmp_path / "kept").read_bytes() == b"kept"


def fetch_together(path: Path, url: str, ready: Barrier) -> None:
    ready.wait(60)
    fetch(path, [url], SHA)


def test_two_processes_fetch_once(serve, tmp_path):
    context = multiprocessing.get_context("forkserver")
    ready, answer = context.Barrier(3), threading.Event()
    mirror = serve({"a": CONTENT}, pause=lambda: answer.wait(60))
    arguments = (tmp_path / "a", mirror.url, ready)
    processes = [context.Process(target=fetch_together, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    ready.wait(60)
    time.sleep(0.5)  # until one has asked and the other could have
    answer.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert mirror.asked == [("/a", None)]
    assert left(tmp_path) == {"a"}
    assert (tmp_path / "a").read_bytes() == CONTENT


# ---- the folder of a data set --------------------------------------------------------------------------------------


def folder(root: Path, mirrors: list[str], download: bool = True, checksums: dict[str, str] | None = None):
    known = {"a": SHA} if checksums is None else checksums
    return DataFolder(root=str(root), name="mine", download=download, mirrors=mirrors, checksums=known)


def test_the_first_accepted_file_with_a_checksum_is_fetched(serve, tmp_path):
    mirror = serve({"a": CONTENT, "a.gz": b"never asked for"})
    found = folder(tmp_path / "new" / "root", [mirror.url]).find(["a.gz", "a"])
    assert found == tmp_path / "new" / "root" / "mine" / "a"
    assert found.read_bytes() == CONTENT


def test_a_file_that_is_there_is_taken_as_it_is(nobody, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_bytes(b"one's own")
    assert folder(tmp_path, [nobody]).find(["a.gz", "a"]).read_bytes() == b"one's own"


@pytest.mark.parametrize(
    ("settings", "names", "message"),
    [
        (
            {},
            ["a.gz", "a"],
            r"no a.gz or a in {place}, and a cannot be fetched \(http://127.0.0.1:\d+/: Connection refused\): ",
        ),
        ({"download": False}, ["a"], r"no a in {place}: .* or let it be fetched with dataset.download=true"),
        (
            {},
            ["b"],
            r"no b in {place}: put the file there \(published at http://127.0.0.1:\d+/\), or name .*VAE_DATA_ROOT$",
        ),
        ({"checksums": {"a": "sha256:12"}}, ["a"], "the checksum 'sha256:12' of a is not"),
    ],
    ids=["offline", "not allowed", "no checksum", "bad checksum"],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(nobody, tmp_path, settings, names, message):
    root = tmp_path / "new" / "root"
    with pytest.raises(ConfigError, match=message.format(place=re.escape(str(root / "mine")))) as caught:
        folder(root, [nobody], **settings).find(names)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == set()


PATHS = ["../a", "/a", "..", ".", "", "a/b", "a\\b", "a\0b", ".a", "a\n", "x" * 256]


@pytest.mark.parametrize("path", PATHS)
def test_a_name_leads_nowhere_else(serve, tmp_path, path):
    mirror = serve({"a": CONTENT, "b": CONTENT})
    with pytest.raises(ConfigError, match="without a path"):
        folder(tmp_path / "root", [mirror.url], checksums={path: SHA}).find([path])
    with pytest.raises(ConfigError, match="without a path"):
        folder(tmp_path / "root", [mirror.url]).find(["b", path])
    with pytest.raises(ConfigError, match="without a path"):
        DataFolder(root=str(tmp_path), name=path, download=True, mirrors=[mirror.url], checksums={})
    assert (left(tmp_path), mirror.asked) == (set(), [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_that_cannot_be_written_to_is_named(serve, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"a cannot be written there \(Permission denied\)"):
        folder(tmp_path, [serve({"a": CONTENT}).url]).find(["a"])


# ---- the command ---------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def small_mnist(serve):
    """A mirror of small files in the format of MNIST, and what a user types to train on them."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", 60), ("t10k", 20)):
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(rng.integers(0, 256, (count, 6, 6), np.uint8)))
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(np.arange(count).astype(np.uint8) % 10))
    mirror = serve(files)
    checksums = ",".join(f"{name}:sha256:{hashlib.sha256(content).hexdigest()}" for name, content in files.items())
    return mirror, [
        "dataset=mnist",
        "dataset.root=data",
        "dataset.source.val=20",
        "dataset.batch_size=10",
        f"dataset.source.folder.mirrors=[{mirror.url}]",
        f"dataset.source.folder.checksums={{{checksums}}}",
        "architecture.width=8",
        "trainer.accelerator=cpu",
        "hydra.run.dir=run",
    ]


def test_a_run_on_files_of_a_mirror_of_ones_own(small_mnist, tmp_path):
    mirror, words = small_mnist
    done = vae_train(*words, "trainer.max_steps=2", cwd=tmp_path)
    assert done.status == 0, done.stderr
    lines = [line.partition(",")[0] for line in done.stderr.splitlines()]
    assert lines == [f"fetching mnist{path}" for path, _ in mirror.asked]
    assert len(lines) == 4
    assert left(tmp_path / "data" / "mnist") == set(mirror.files)
    (tmp_path / "data").rename(tmp_path / "moved")
    for words in (["dataset.root=data"], []):
        judged = command("eval", "run=run", "metrics=[likelihood]", *words, cwd=tmp_path)
        assert re.search(r"no train-images-idx3-ubyte.gz or \S+ in \S*data/mnist: put the file", judged.stderr)
        assert not (tmp_path / "data").exists()
    lost = vae_train("run=run", "trainer.max_steps=3", "dataset.download=false", cwd=tmp_path)
    assert re.search(r"no train-images-idx3-ubyte.gz or \S+ in \S*data/mnist: put", lost.stderr)
    again = vae_train("run=run", "trainer.max_steps=4", "dataset.root=moved", cwd=tmp_path)
    assert again.status == 0, again.stderr
    assert len(mirror.asked) == 4, "nothing is fetched twice"


def test_a_run_without_its_data_leaves_nothing(small_mnist, nobody, tmp_path):
    _, words = small_mnist
    done = vae_train(*words, f"dataset.source.folder.mirrors=[{nobody}]", cwd=tmp_path)
    assert done.status == 1
    assert re.fullmatch(
        r"error: no train-images\S+ or \S+ in \S+/data/mnist, and .* Connection refused\): .*\n", done.stderr
    )
    assert left(tmp_path) == {"stdout.txt", "stderr.txt"}


def test_place_is_no_hyperparameter(small_mnist, tmp_path):
    from conftest import composed

    from vae_cli.training import _hyperparameters

    _, words = small_mnist
    shown = _hyperparameters(composed(words[:-1]), {})
    assert "dataset.batch_size" in shown
    assert not [key for key in shown if re.search("root|download|mirror|checksum|folder", key)]
