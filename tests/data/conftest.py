import dataclasses
import gzip
import hashlib
import http.server
import io
import threading

import numpy as np
import pytest

from metaplastic.data import catalogue
from metaplastic.data.catalogue import Entry, Form, Layout, SourceFile


@pytest.fixture(autouse=True)
def cache(request, tmp_path, monkeypatch):
    """An empty cache of its own for every test, and no data folder but for tests of the real data."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda _: folder)
    if not request.node.get_closest_marker("large_data"):
        monkeypatch.delenv("METAPLASTIC_DATA", raising=False)
    return folder


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def source(name, samples, content):
    return SourceFile(name, samples, f"sha256:{hashlib.sha256(content).hexdigest()}")


@dataclasses.dataclass
class TinySet:
    """A made data set: its entry, the arrays in it, and the plain contents of its files by name."""

    entry: Entry
    arrays: dict[str, np.ndarray]
    contents: dict[str, bytes]

    def write(self, root, wrap=gzip.compress, suffix=".gz"):
        folder = root / self.entry.folders[0]
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            (folder / f"{name}{suffix}").write_bytes(wrap(content))
        return folder


def register(monkeypatch, name, layout, arrays, contents, samples, **facts):
    files = tuple(source(file, n, contents[file]) for file, n in zip(contents, samples, strict=True))
    facts = {"image_shape": (4, 3), "class_names": tuple("abcd"), "folders": (name,)} | facts
    entry = Entry(name, name.title(), forms=(Form(layout, files),), **facts)
    monkeypatch.setitem(catalogue.CATALOGUE, name, entry)
    return TinySet(entry, arrays, contents)


@pytest.fixture
def tiny(monkeypatch):
    """Idx files of 12 training and 5 test images."""
    random = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": random.integers(0, 256, (12, 4, 3)),
        "train-labels-idx1-ubyte": random.integers(0, 4, 12),
        "t10k-images-idx3-ubyte": random.integers(0, 256, (5, 4, 3)),
        "t10k-labels-idx1-ubyte": random.integers(0, 4, 5),
    }
    contents = {name: idx_bytes(array) for name, array in arrays.items()}
    return register(monkeypatch, "tiny", Layout.IDX, arrays, contents, (12, 12, 5, 5))


@pytest.fixture
def tiny_text(monkeypatch):
    """Text files of 6 training and 4 test digits, hashed by their parsed bytes."""
    random = np.random.default_rng(1)
    arrays, contents, hashed = {}, {}, {}
    for name, count in (("zip.train", 6), ("zip.test", 4)):
        pixels, labels = random.integers(0, 256, (count, 12)), np.arange(count) % 4
        text = io.BytesIO()
        np.savetxt(text, np.column_stack([labels, pixels / 127.5 - 1]), fmt="%.4f")
        arrays[name], contents[name] = (pixels.reshape(count, 4, 3), labels), text.getvalue()
        hashed[name] = pixels.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes()
    made = register(monkeypatch, "tiny-text", Layout.DIGIT_TEXT, arrays, hashed, (6, 4))
    made.contents = contents
    return made


@pytest.fixture
def tiny_cifar(monkeypatch):
    """Three record files of 4 images each, the last for testing."""
    random = np.random.default_rng(2)
    arrays = {f"batch_{i}.bin": random.integers(0, 4, (4, 3073)).astype(np.uint8) for i in (1, 2, 3)}
    contents = {name: array.tobytes() for name, array in arrays.items()}
    folders = ("tiny-cifar", "tiny-cifar/batches-bin", "batches-bin")
    facts = {"image_shape": (3, 32, 32), "folders": folders}
    return register(monkeypatch, "tiny-cifar", Layout.CIFAR, arrays, contents, (4, 4, 4), **facts)


@pytest.fixture
def tiny_fine(monkeypatch):
    """Record files of 5 training and 3 test images with two labels each; the arrays are coarse, fine, pixels."""
    random = np.random.default_rng(3)
    arrays = {
        name: (np.full(count, 9), np.arange(count) % 4, random.integers(0, 256, (count, 3072)))
        for name, count in (("train.bin", 5), ("test.bin", 3))
    }
    contents = {name: np.column_stack(parts).astype(np.uint8).tobytes() for name, parts in arrays.items()}
    return register(monkeypatch, "tiny-fine", Layout.CIFAR_FINE, arrays, contents, (5, 3), image_shape=(3, 32, 32))


@pytest.fixture
def pictures(monkeypatch):
    """Images of one color to learn from, which look the same however they are cropped, and any images for tests."""
    random = np.random.default_rng(5)
    colors = np.repeat(random.integers(0, 256, (6, 3)), 1024, axis=1)
    arrays = {
        "train.bin": np.column_stack([np.arange(6) % 4, colors]).astype(np.uint8),
        "test.bin": np.column_stack([[3, 0, 1], random.integers(0, 256, (3, 3072))]).astype(np.uint8),
    }
    contents = {name: array.tobytes() for name, array in arrays.items()}
    return register(monkeypatch, "pictures", Layout.CIFAR, arrays, contents, (6, 3), image_shape=(3, 32, 32))


class Server:
    """Serves contents by path on this machine and counts the requests for each."""

    def __init__(self):
        self.contents, self.requests = {}, []
        self.truncated, self.encoded = set(), set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                content = outer.contents.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                if self.path in outer.encoded:
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in outer.truncated else content)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, folder, contents, suffix=".gz", wrap=gzip.compress):
        self.contents |= {f"/{folder}/{name}{suffix}": wrap(content) for name, content in contents.items()}
        return f"{self.url}/{folder}/{{file}}{suffix}"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()
