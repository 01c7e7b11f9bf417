"""Lock, sweep, publish and free space of a store."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import checks
from helpers.errors import BusyError, StorageError
from helpers.files import sync_tree
from helpers.names import Name
from helpers.store import Store

from .chaos.devices import Device
from .running import PROJECT

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SERIES = "chat_test"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    place = tmp_path / "store"
    place.mkdir()
    return Store(place)


def named(hours: int = 0, database: str = "chat", environment: str = "test") -> Name:
    return Name(database, environment, NOON + timedelta(hours=hours))


def test_two_backups_in_one_second_get_different_names(store: Store) -> None:
    names = []
    for microsecond in (0, 1, 999_999):
        name = store.new_name("chat", "test", NOON.replace(microsecond=microsecond))
        store.place(name).mkdir()
        names.append(str(name)[-16:])
    assert names == ["20260304T120000Z", "20260304T120001Z", "20260304T120002Z"]


def test_a_name_that_a_dangling_link_bears_is_taken(store: Store) -> None:
    store.place(named()).symlink_to("nowhere")
    assert store.new_name("chat", "test", NOON).time == NOON + timedelta(seconds=1)


def test_only_directories_that_bear_a_name_are_listed_newest_first(store: Store) -> None:
    for name in (named(1), named(2), named(3, environment="prod"), named(4, database="a_b")):
        store.place(name).mkdir()
    store.place(named(5)).touch()
    store.place(named(6)).symlink_to(store.place(named(1)))
    (store.path / ".partial-chat_test_20260304T120000Z").mkdir()
    (store.path / "lost+found").mkdir()
    assert store.names("test") == [named(4, database="a_b"), named(2), named(1)]
    assert store.names("prod") == [named(3, environment="prod")]
    assert len(store.names()) == 4


def test_a_missing_store_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    gone = Store(tmp_path / "gone")
    for ask in (gone.names, gone.check, gone.free, lambda: gone.sweep(SERIES)):
        with pytest.raises(StorageError, match="gone"):
            ask()
    with pytest.raises(StorageError, match="gone"), gone.lock(SERIES):
        pass


def test_checking_a_store_leaves_nothing_in_it(store: Store) -> None:
    store.check()
    (store.path / f".probe-{os.getuid()}").touch()  # a run that was killed while it checked
    store.check()
    assert list(store.path.iterdir()) == []


def test_free_space_is_what_an_unprivileged_user_may_write(store: Store) -> None:
    state = os.statvfs(store.path)
    assert abs(store.free() - state.f_bavail * state.f_frsize) < 1 << 30
    assert store.free() > 0


def test_a_lock_is_held_once_and_names_its_holder(store: Store) -> None:
    with store.lock(SERIES):
        with pytest.raises(BusyError) as caught, store.lock(SERIES):
            pass
        assert f"process {os.getpid()} on {os.uname().nodename} since 20" in caught.value.what
        assert SERIES in caught.value.what
        assert caught.value.exit_code == 6
    with store.lock(SERIES):
        pass


def test_locks_of_other_series_do_not_matter(store: Store) -> None:
    with store.lock(SERIES), store.lock("chat_prod"), store.lock("other_test"):
        pass


def test_a_lock_is_free_after_an_error(store: Store) -> None:
    with pytest.raises(KeyError), store.lock(SERIES):
        raise KeyError
    with store.lock(SERIES):
        pass


@pytest.mark.parametrize("signed", [b"", b"{", b"[1]", b'{"pid": "x"}', b"\xff\xfe", b"x" * 9000])
def test_a_lock_that_is_held_is_busy_whatever_its_file_says(store: Store, signed: bytes) -> None:
    path = store.path / f".lock-{SERIES}"
    path.write_bytes(signed)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="not signed it yet"), store.lock(SERIES):
            pass


def test_what_a_dead_holder_wrote_does_not_keep_the_lock(store: Store) -> None:
    (store.path / f".lock-{SERIES}").write_text('{"pid": 1, "host": "h", "since": "now"}')
    with store.lock(SERIES):
        pass


def test_the_kernel_frees_the_lock_of_a_killed_process(store: Store) -> None:
    script = (
        "import sys; from pathlib import Path; from helpers.store import Store\n"
        f"with Store(Path(sys.argv[1])).lock({SERIES!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(store.path)]
    with subprocess.Popen(
        argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {holder.pid} "), store.lock(SERIES):
            pass
        holder.kill()
        holder.wait()
        with store.lock(SERIES):
            pass


def test_a_lock_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (store.path / f".lock-{SERIES}").symlink_to(victim)
    with pytest.raises(StorageError), store.lock(SERIES):
        pass
    assert victim.read_text() == "precious"


def test_a_sweep_removes_only_what_a_killed_run_of_this_series_left(
    store: Store, tmp_path: Path
) -> None:
    ours = [f".partial-{named()}", f".deleted-{named(1)}"]
    others = [
        str(named(2)),
        f".partial-{named(database='other')}",
        f".partial-{named(environment='prod')}",
        f".partial-{named(database='chat_test')}",
        ".partial-chat_test",
        ".partial-",
        f".lock-{SERIES}",
        f"x.partial-{named()}",
    ]
    for name in ours + others:
        (store.path / name / "deep").mkdir(parents=True)
    (store.path / f".partial-{named(3)}").write_text("a file")
    (store.path / f".partial-{named(4)}").symlink_to(tmp_path)
    assert sorted(store.sweep(SERIES)) == sorted(ours)
    left = {entry.name for entry in store.path.iterdir()}
    assert left == {*others, f".partial-{named(3)}", f".partial-{named(4)}"}
    assert store.sweep(SERIES) == []


def test_a_sweep_removes_records_that_were_never_finished_but_none_in_the_making(
    store: Store, tmp_path: Path
) -> None:
    done, gone, new, busy = named(), named(1), named(2), named(3)
    for name in (done, busy):
        store.place(name).mkdir()
    ours = [f".verification-{done}", f".verification-{gone}", f".verification-.partial-{new}"]
    for text in (*ours, f".verification-{busy}", f".verification-{named(database='other')}"):
        (store.path / text).touch()
    (store.path / f".verification-{named(4)}").symlink_to(tmp_path)
    with checks.exclusive(store.place(busy)):
        assert sorted(store.sweep(SERIES)) == sorted(ours)
    assert store.sweep(SERIES) == [f".verification-{busy}"]
    left = {f".verification-{named(database='other')}", f".verification-{named(4)}"}
    assert {e.name for e in store.path.iterdir()} == {str(done), str(busy), *left}


def test_a_partial_directory_is_private_and_gone_unless_published(store: Store) -> None:
    with store.partial(named()) as partial:
        assert partial.stat().st_mode & 0o777 == 0o700
        (partial / "file").touch()
        assert store.names() == []
    assert list(store.path.iterdir()) == []
    with pytest.raises(IsADirectoryError), store.partial(named()) as partial:
        partial.write_text("not a file")
    assert list(store.path.iterdir()) == []


def test_publishing_gives_the_whole_directory_its_name(store: Store) -> None:
    with store.partial(named()) as partial:
        (partial / "file").write_text("data")
        place = store.publish(partial, named())
    assert place == store.place(named())
    assert (place / "file").read_text() == "data"
    assert store.names() == [named()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_a_dying_file_system_forgets_is_not_called_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XFS has the directory's sync succeed although it has dropped the new name."""
    with Device(tmp_path / "disk", "xfs") as device:
        store = Store(device.store)
        real = os.fsync

        def fsync(descriptor: int) -> None:
            if Path(f"/proc/self/fd/{descriptor}").readlink() == store.path:
                device.die()
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with store.partial(named()) as partial:
            (partial / "file").write_text("data")
            sync_tree(partial)
            with pytest.raises(StorageError, match="Input/output error"):
                store.publish(partial, named())


def test_publishing_never_replaces_a_backup(store: Store) -> None:
    store.place(named()).mkdir()
    (store.place(named()) / "old").touch()
    with pytest.raises(StorageError), store.partial(named()) as partial:
        store.publish(partial, named())
    assert [entry.name for entry in store.place(named()).iterdir()] == ["old"]


def test_removing_takes_the_name_first(store: Store) -> None:
    place = store.place(named())
    place.mkdir()
    (place / "file").touch()
    (store.path / f".deleted-{named()}" / "stuck").mkdir(parents=True)
    with pytest.raises(StorageError):  # its new name is taken: nothing has happened yet
        store.remove(named())
    assert (place / "file").exists()
    store.sweep(SERIES)
    store.remove(named())
    assert list(store.path.iterdir()) == []


def test_many_who_want_one_lock_get_it_one_at_a_time(store: Store) -> None:
    inside, most, got = 0, 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most, got
        for _ in range(50):
            try:
                with store.lock(SERIES):
                    with counting:
                        inside, got = inside + 1, got + 1
                        most = max(most, inside)
                    with counting:
                        inside -= 1
            except BusyError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert got > 0
