import gzip
import io
import os
import socket
import subprocess
import sys
import tarfile
import textwrap
import zipfile

import pytest

from metaplastic.data import download, fetch, load


def closed_port():
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_fetched_once_and_load(tmp_path, tiny, server, capfd):
    mirror = server.serve("set", tiny.contents)
    paths = fetch("tiny", tmp_path, [mirror])
    assert names(tmp_path) == sorted(f"tiny/{name}.gz" for name in tiny.contents)
    assert len(load("tiny", tmp_path).train) == 12
    assert len(server.requests) == 4
    assert fetch("tiny", tmp_path, [mirror]) == paths
    assert len(server.requests) == 4
    assert capfd.readouterr() == ("", "")


def test_a_mirror_may_be_a_folder(tmp_path, tiny, server):
    server.serve("set", tiny.contents)
    fetch("tiny", tmp_path, [f"{server.url}/set/"])
    assert len(load("tiny", tmp_path).train) == 12


def test_files_go_into_the_cache_unless_a_folder_is_named(tmp_path, tiny, server, cache, monkeypatch):
    mirror = server.serve("set", tiny.contents)
    assert {path.parent for path in fetch("tiny", mirrors=[mirror])} == {cache / "tiny"}
    monkeypatch.setenv("METAPLASTIC_DATA", str(tmp_path / "environment"))
    assert {path.parent for path in fetch("tiny", mirrors=[mirror])} == {cache / "tiny"}, "they were there already"
    assert {path.parent for path in fetch("tiny", tmp_path / "here", [mirror])} == {tmp_path / "here" / "tiny"}


def test_a_dead_mirror_is_passed_over_and_not_waited_for_again(tmp_path, tiny, server, monkeypatch):
    tried = []
    content = download._Fetcher._content
    monkeypatch.setattr(download._Fetcher, "_content", lambda self, at: tried.append(at) or content(self, at))
    dead = f"{closed_port()}/{{file}}.gz"
    fetch("tiny", tmp_path, [dead, server.serve("set", tiny.contents)])
    assert len(load("tiny", tmp_path).train) == 12
    assert [address.startswith(server.url) for address in tried] == [False, True, True, True, True]


def test_every_mirror_is_named_with_its_reason(tmp_path, tiny, server):
    dead = closed_port()
    wrong = server.serve("wrong", dict.fromkeys(tiny.contents, b"another content"))
    short = server.serve("short", tiny.contents)
    cut = server.serve("cut", tiny.contents, wrap=lambda content: gzip.compress(content)[:-8])
    server.truncated |= {path for path in server.contents if path.startswith("/short/")}
    with pytest.raises(ConnectionError) as caught:
        fetch("tiny", tmp_path, [f"{dead}/{{file}}.gz", wrong, short, cut, f"{server.url}/absent/{{file}}.gz"])
    head, *reasons = str(caught.value).splitlines()
    assert "expected train-images-idx3-ubyte from one of 5 mirrors, got it from none" in head
    assert f"put the file into {tmp_path / 'tiny'} yourself" in head
    expected = ["ConnectionError", "expected content sha256:", "IncompleteRead", "truncated or damaged", "404"]
    assert len(reasons) == len(expected)
    for reason, part in zip(reasons, expected, strict=True):
        assert "train-images-idx3-ubyte.gz: " in reason
        assert part in reason
    assert names(tmp_path) == []


def test_a_wrong_mirror_is_passed_over(tmp_path, tiny, server):
    wrong = server.serve("wrong", {name: content[:-1] + b"?" for name, content in tiny.contents.items()})
    fetch("tiny", tmp_path, [wrong, server.serve("right", tiny.contents)])
    assert len(load("tiny", tmp_path).train) == 12


def test_a_damaged_file_is_fetched_again_and_a_good_one_kept(tmp_path, tiny, server):
    folder = tiny.write(tmp_path, bytes, "")
    damaged = folder / "t10k-images-idx3-ubyte"
    damaged.write_bytes(b"half of it")
    fetch("tiny", tmp_path, [server.serve("set", tiny.contents)])
    assert server.requests == ["/set/t10k-images-idx3-ubyte.gz"]
    assert not damaged.exists()
    assert len(load("tiny", tmp_path).test) == 5


def test_a_server_that_unpacks_on_the_way_is_understood(tmp_path, tiny, server):
    mirror = server.serve("set", tiny.contents)
    server.encoded |= set(server.contents)
    paths = fetch("tiny", tmp_path, [mirror])
    assert {path.suffix for path in paths} == {""}
    assert len(load("tiny", tmp_path).train) == 12


def test_text_is_compared_by_its_numbers_not_by_its_decimals(tmp_path, tiny_text, server):
    shorter = {
        name: "\n".join(" ".join(f"{float(v):.3f}" for v in line.split()) for line in content.decode().splitlines())
        for name, content in tiny_text.contents.items()
    }
    mirror = server.serve("set", {name: text.encode() for name, text in shorter.items()})
    fetch("tiny-text", tmp_path, [mirror])
    assert (load("tiny-text", tmp_path).train.inputs.numpy() == tiny_text.arrays["zip.train"][0]).all()


def zip_bytes(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_bytes(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_an_archive_is_fetched_once_for_all_its_members(tmp_path, tiny, server, pack):
    packed = pack({f"inside/{name}.gz": gzip.compress(content) for name, content in tiny.contents.items()})
    server.contents["/all.archive"] = packed
    fetch("tiny", tmp_path, [f"{server.url}/all.archive#inside/{{file}}.gz"])
    assert server.requests == ["/all.archive"]
    assert names(tmp_path) == sorted(f"tiny/{name}.gz" for name in tiny.contents)
    assert len(load("tiny", tmp_path).train) == 12


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (zip_bytes({"other": b""}), "expected inside/train-images-idx3-ubyte in a .zip or .tar.gz archive"),
        (tar_bytes({"other": b""}), "expected inside/train-images-idx3-ubyte in a .zip or .tar.gz archive"),
        (b"<html>", "in a .zip or .tar.gz archive, got file could not be opened"),
        (tar_bytes({"inside/train-images-idx3-ubyte": os.urandom(5000)})[:3000], "in a .zip or .tar.gz archive, got"),
    ],
    ids=["other-zip", "other-tar", "no-archive", "cut-tar"],  # packed bytes hold the second in which they were made
)
def test_an_archive_without_the_member_is_a_failed_mirror(tmp_path, tiny, server, packed, message):
    server.contents["/all"] = packed
    with pytest.raises(ConnectionError) as caught:
        fetch("tiny", tmp_path, [f"{server.url}/all#inside/{{file}}"])
    assert message in str(caught.value)
    assert names(tmp_path) == []


FULL_DISK = """
    import resource, sys
    from metaplastic.data import catalogue, fetch
    from metaplastic.data.catalogue import Entry, Form, Layout, SourceFile
    files = tuple(SourceFile(*line.split()[:1], int(line.split()[1]), line.split()[2]) for line in sys.argv[3:])
    catalogue.CATALOGUE["tiny"] = Entry("tiny", "Tiny", (4, 3), tuple("abcd"), ("tiny",), (Form(Layout.IDX, files),))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    try:
        fetch("tiny", sys.argv[1], [sys.argv[2]])
    except OSError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("archive", [False, True])
def test_a_disk_that_takes_no_more_stops_at_once_and_keeps_what_was_there(tmp_path, tiny, server, archive):
    # Files of more than 64 bytes cannot be written in that process: the system itself refuses them.
    folder = tiny.write(tmp_path, bytes, "")
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    (folder / "train-images-idx3-ubyte").write_bytes(b"damaged")
    mirror = server.serve("set", tiny.contents, "", bytes)
    if archive:
        server.contents["/all"] = zip_bytes(tiny.contents)
        mirror = f"{server.url}/all#{{file}}"
    known = [f"{file.name} {file.samples} {file.digest}" for file in tiny.entry.forms[0].files]
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path), mirror, *known]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OSError ")
    assert "File too large" in done.stdout
    assert "Make room or choose another folder" in done.stdout
    after = {name: (folder / name).read_bytes() for name in names(folder)}
    assert after == before | {"train-images-idx3-ubyte": b"damaged"}


def test_a_full_disk_is_no_reason_to_try_the_next_mirror(tmp_path, tiny, server, monkeypatch):
    mirrors = [server.serve("one", tiny.contents), server.serve("two", tiny.contents)]

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metaplastic.files.os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left on device; nothing was left behind\. Make room"):
        fetch("tiny", tmp_path, mirrors)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, tiny, server):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot make the folder .* Choose another data folder"):
        fetch("tiny", tmp_path / "file", [server.serve("set", tiny.contents)])


def test_the_bar_shows_name_and_size_when_asked_for(tmp_path, tiny, server, capfd):
    fetch("tiny", tmp_path, [server.serve("set", tiny.contents)], progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "t10k-labels-idx1-ubyte.gz" in shown.err


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="unknown data set 'mnits'; did you mean 'mnist'"):
        fetch("mnits")


def test_a_set_that_comes_with_a_package_needs_nothing():
    assert fetch("digits") == ()
