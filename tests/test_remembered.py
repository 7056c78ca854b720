"""A listing that remembers says what one that reads says, whatever became of the files in between."""

import json
import os
import time

import pytest
import yaml

from vae_cli.listing import remembered
from vae_cli.listing.places import places
from vae_cli.listing.record import record
from vae_cli.runs import RunDirectory


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_FEWEST", 2)
    monkeypatch.setattr(remembered, "_SETTLED", 0)
    for name in "abc":
        run = RunDirectory(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        content = {"beta": 1.0, "recorded": {"format": 4, "version": "0", "choices": {"model": "vae"}, "overrides": []}}
        (run.path / "config.yaml").write_text(yaml.safe_dump(content))
        run.write_metrics({"test": {"test/elbo": 1.0}, "steps": 1})
        run.write_status("finished", 1)
    time.sleep(0.01)
    return tmp_path / "runs"


def look(folder):
    """What is told of each run, and of how many files were read."""
    read = []
    found = remembered.records(list(places([folder])), lambda place: (read.append(place.path.name), record(place))[1])
    assert found == [record(place) for place in places([folder])]
    return read


def cache(tmp_path):
    return list((tmp_path / ".cache" / "vae-train" / "listings").iterdir())


def test_what_is_as_it_was_is_not_read_again(runs):
    assert look(runs) == ["a", "b", "c"]
    assert look(runs) == []


def rewritten(path):
    """Other content of the same size under the same times."""
    before = path.stat()
    path.write_text(path.read_text().replace("1.0", "2.0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "another figure": lambda run: rewritten(run / "metrics.json"),
    "another config": lambda run: rewritten(run / "config.yaml"),
    "another state": lambda run: RunDirectory(run).write_status("failed", 1, "no"),
    "a file gone": lambda run: (run / "metrics.json").unlink(),
    "another run in its place": lambda run: (run.rename(run.parent / "d"), (run.parent / "c").rename(run)),
    "working": lambda run: RunDirectory(run).write_status("running", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_read(runs, change):
    look(runs)
    CHANGES[change](runs / "a")
    assert "a" in look(runs)


def test_a_run_that_is_worked_on_is_read(runs):
    look(runs)
    with RunDirectory(runs / "a").locked():
        assert look(runs) == ["a"]


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff\n{}", b"[" * 10**5, b'0\n{"a": 1}'])
def test_a_damaged_memory_is_made_anew(runs, tmp_path, damage):
    look(runs)
    (file,) = cache(tmp_path)
    for content in (damage, file.read_bytes()[:-10], file.read_bytes().replace(b"1.0", b"2.0")):
        file.write_bytes(content)
        assert look(runs) == ["a", "b", "c"]
        assert look(runs) == []


def test_a_place_that_cannot_be_written_is_no_harm(runs, tmp_path):
    (tmp_path / ".cache").touch()
    assert look(runs) == look(runs) == ["a", "b", "c"]


def test_what_still_changes_is_not_remembered(runs, monkeypatch):
    monkeypatch.setattr(remembered, "_SETTLED", 10**12)
    assert look(runs) == look(runs) == ["a", "b", "c"]


def test_files_do_not_become_more_and_more(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 1)
    look(runs)
    (runs / "e").mkdir()
    for name in "ab":
        (runs / name).rename(runs / "e" / name)
    look(runs / "e")
    assert len(cache(tmp_path)) == 1
    assert json.loads(cache(tmp_path)[0].read_text().partition("\n")[2])
