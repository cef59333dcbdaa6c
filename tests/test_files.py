"""Files are whole or not there."""

import errno
import os
import stat

import pytest

from metaplastic.files import alone, replacing, require_room, write_text

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(params=[None, b"previous"], ids=["new", "existing"])
def target(request, tmp_path):
    """A path where there is nothing, or a previous version."""
    path = tmp_path / "record.bin"
    if request.param is not None:
        path.write_bytes(request.param)
    return path


def contents(path):
    return path.read_bytes() if path.exists() else None


def names(folder):
    return [path.name for path in folder.iterdir()]


def write_and_fail(path, error):
    with replacing(path) as file:
        file.write(b"half of")
        file.flush()
        raise error


def test_a_complete_file_takes_the_place(target):
    before = contents(target)
    with replacing(target) as file:
        file.write(b"whole ")
        file.write(b"file")
        assert contents(target) == before  # nothing shows until it is complete
    assert target.read_bytes() == b"whole file"
    assert names(target.parent) == [target.name]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(1)])
def test_an_exception_leaves_what_was_there(target, error):
    before = contents(target)
    with pytest.raises(type(error)) as caught:
        write_and_fail(target, error)
    assert caught.value is error
    assert contents(target) == before
    assert names(target.parent) == ([] if before is None else [target.name])


def test_a_full_disk_says_what_was_kept(target):
    before = contents(target)
    kept = "nothing was left behind" if before is None else "the previous version was kept"
    message = rf"cannot write .*record.bin: No space left on device; {kept}. Make room or choose another folder."
    with pytest.raises(OSError, match=message) as caught:
        write_and_fail(target, OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.errno == errno.ENOSPC
    assert contents(target) == before
    assert names(target.parent) == ([] if before is None else [target.name])


def test_a_failing_rename_is_told(target, monkeypatch):
    before = contents(target)

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(OSError, match=r"cannot write .*record.bin: Input/output error; "):
        write_text(target, "new")
    assert contents(target) == before
    assert names(target.parent) == ([] if before is None else [target.name])


def test_a_missing_folder_is_told(tmp_path):
    message = r"cannot write .*absent.note.txt: No such file or directory; nothing was left behind. Make room"
    with pytest.raises(FileNotFoundError, match=message):
        write_text(tmp_path / "absent" / "note.txt", "text")


@pytest.mark.skipif(os.name != "posix", reason="permission bits are those of POSIX systems")
@pytest.mark.parametrize(("mask", "bits"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(target, mask, bits):
    previous = os.umask(mask)
    try:
        write_text(target, "text")
        assert os.umask(mask) == mask  # and the mask is left as it was
    finally:
        os.umask(previous)
    assert stat.S_IMODE(target.stat().st_mode) == bits


@pytest.mark.skipif(os.name != "posix" or ROOT, reason="needs a user whom a folder's permission bits bind")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"cannot write .*: Permission denied. Make room or choose"):
            write_text(tmp_path / "note.txt", "text")
    finally:
        tmp_path.chmod(0o700)


def test_text_is_written_as_utf8_with_its_line_ends(tmp_path):
    write_text(tmp_path / "note.txt", "größer\nals\r\n1")
    assert (tmp_path / "note.txt").read_bytes() == "größer\nals\r\n1".encode()


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_one_it_will_be_in(tmp_path):
    require_room(tmp_path / "new" / "folder")
    assert not names(tmp_path), "nothing may be left behind"
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"expected to write in .*folder, got: Not a directory; make room or"):
        require_room(tmp_path / "file" / "folder")


def test_too_little_room_says_how_much_is_needed(tmp_path):
    with pytest.raises(OSError, match=r"expected 1000000000\.0 MB free for .*, got [\d.]+ MB; make room or") as caught:
        require_room(tmp_path, 10**15)
    assert caught.value.errno == errno.ENOSPC


def test_what_one_process_has_another_is_refused_until_it_lets_go(tmp_path):
    lock = tmp_path / "lock"
    with alone(lock, "the folder"):
        with pytest.raises(ValueError, match=r"expected the folder to be free, got another process at work on it"):
            alone(lock, "the folder").__enter__()
        assert lock.exists()
    assert not lock.exists()
    with pytest.raises(KeyError), alone(lock, "the folder"):
        raise KeyError
    with alone(lock, "the folder"):
        pass
