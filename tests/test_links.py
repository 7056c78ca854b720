"""Nothing is written through a link, and nothing but a regular file is read, wherever somebody put one."""

import ast
import os
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import command, resumed, trained
from PIL import Image

from vae_cli.data.image_folder import image_folder
from vae_cli.data.numpy_files import read_npy, read_npz
from vae_cli.data.packed import unpacked
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.files import appended, created, folder_beside, opened, own_folder, read_text, replacing, replacing_folder
from vae_cli.listing.places import Place, places
from vae_cli.listing.record import DAMAGED, record
from vae_cli.listing.summary import write_summary
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import Job, SweepFolder

PACKAGE = Path(__file__).parent.parent / "vae_cli"
EVERYTHING = ["trainer.max_epochs=1", "logging.pictures_every_n_epochs=1"]
READ = ("config.yaml", "status.json", "metrics.json", "sweep.yaml", "last.ckpt", "best.ckpt", "train.log", ".lock")


@pytest.fixture
def plant(tmp_path):
    """A function that puts a link to a file of somebody else under a name; afterwards, these must be untouched."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def link(path: Path) -> None:
        path.unlink(missing_ok=True)
        victim = outside / str(len(list(outside.iterdir())))
        victim.write_text("mine")
        path.symlink_to(victim)

    yield link
    assert all(victim.read_text() == "mine" for victim in outside.iterdir())


def plant_everywhere(folder: Path, plant) -> None:
    """At every file that is not read first, and at the names under which each is written."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        plant(path.with_name(f".{path.name}.part"))
        plant(path.with_name(f".{path.name}.parts"))
        if path.name not in READ and not path.name.startswith("events."):
            plant(path)


def links_in(folder: Path) -> list[Path]:
    """Under names that are not in passing."""
    return [path for path in folder.rglob("*") if path.is_symlink() and not path.name.startswith(".")]


def test_a_run_writes_through_no_link(small, tmp_path, plant):
    run = tmp_path / "run"
    trained([*small, *EVERYTHING], run)
    plant_everywhere(run, plant)
    assert resumed(run, lambda config: config.trainer.update(max_epochs=2)).state == "finished"
    assert not links_in(run)


@pytest.mark.slow
def test_the_commands_write_through_no_link(small, tmp_path, plant):
    run = tmp_path / "run"
    trained([*small, *EVERYTHING], run)
    work = [("eval", "metrics=[latents]"), ("sample", "n=4"), ("encode",), ("export",)]
    for again in (False, True):
        for name, *words in work:
            done = command(name, f"run={run}", *words, "accelerator=cpu"[: 99 if name != "export" else 0], cwd=tmp_path)
            assert done.status == 0, done.stderr
        if not again:
            plant_everywhere(run, plant)
    assert not links_in(run)


def test_a_sweep_writes_through_no_link(tmp_path, plant):
    sweep = SweepFolder(tmp_path / "sweep")
    for _ in range(2):
        sweep.ask_for([Job("a", ["beta=1"])], "vae-train -m")
        sweep.stop("call", 15)
        write_summary(sweep)
        assert sweep.stopped_by("call") == 15
        plant_everywhere(sweep.path, plant)


@pytest.mark.parametrize("name", ["checkpoints", "images", "projector"])
def test_a_folder_that_leads_out_of_a_run_is_refused(small, tmp_path, name):
    run, outside = tmp_path / "run", tmp_path / "outside"
    trained([*small, *EVERYTHING], run)
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    before = {path: path.stat().st_mtime_ns for path in outside.iterdir()}
    with pytest.raises(TrainingError, match=rf"{name} cannot be written \(It is a symbolic link"):
        resumed(run, lambda config: config.trainer.update(max_epochs=2))
    assert {path: path.stat().st_mtime_ns for path in outside.iterdir()} == before


def test_a_log_that_leads_out_of_a_run_is_refused(small, tmp_path, plant):
    (tmp_path / "run").mkdir()
    plant(tmp_path / "run" / "train.log")
    with pytest.raises(TrainingError, match=r"train.log cannot be written \(It is a symbolic link"):
        trained([*small, "trainer.max_steps=2"], tmp_path / "run")


def test_events_are_written_to_a_new_file_whatever_lies_there(small, tmp_path, plant):
    (tmp_path / "run").mkdir()
    plant(tmp_path / "run" / "events.out.tfevents.1.host.1.train")
    assert trained([*small, "trainer.max_steps=2"], tmp_path / "run").state == "finished"


def test_what_is_replaced_is_the_link(tmp_path, plant):
    for write in (created, lambda path: replacing(path)):
        plant(tmp_path / "file")
        with write(tmp_path / "file") as file:
            file.write(b"ours")
        assert (tmp_path / "file").read_text() == "ours"
        assert not (tmp_path / "file").is_symlink()
    inside = tmp_path / "elsewhere"
    inside.mkdir()
    (inside / "kept").touch()
    for target in (inside, tmp_path / "nowhere"):
        for name in (".folder.parts", "folder"):
            (tmp_path / name).symlink_to(target)
        with replacing_folder(tmp_path / "folder") as folder:
            (folder / "new").touch()
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]
        (tmp_path / "folder" / "new").unlink()
        (tmp_path / "folder").rmdir()
    (tmp_path / ".folder.parts").symlink_to(inside)
    with folder_beside(tmp_path / "folder") as folder:
        assert not list(folder.iterdir())
    assert (inside / "kept").exists()


def test_what_goes_on_must_be_a_regular_file_and_a_real_folder(tmp_path, plant):
    plant(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", Path("/dev/full")):
        with pytest.raises(OSError, match=r"symbolic link|no regular file|No such device"):
            appended(path)
    (tmp_path / "there").mkdir()
    (tmp_path / "folder").symlink_to("there")
    with pytest.raises(OSError, match="symbolic link"):
        own_folder(tmp_path / "folder")


# ---- reading --------------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


ODD = {"pipe": pipe, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["config.yaml", "status.json", "metrics.json", ".lock"])
def test_a_record_is_read_of_regular_files_alone(tmp_path, kind, name):
    run = RunDirectory(tmp_path)
    (tmp_path / "config.yaml").write_text(
        "seed: 0\nrecorded: {format: 4, version: 0, choices: {model: vae}, overrides: []}"
    )
    run.write_metrics({"test": {"test/elbo": 1.0}})
    run.write_status("finished", 3)
    (tmp_path / name).unlink(missing_ok=True)
    ODD[kind](tmp_path / name)
    begun = time.monotonic()
    state = record(Place(tmp_path)).state
    assert time.monotonic() - begun < 5
    assert state == DAMAGED or name == ".lock"


@pytest.mark.parametrize("kind", ODD)
def test_data_is_read_from_regular_files_alone(tmp_path, kind):
    for name, read in {
        "x.npy": read_npy,
        "x.npz": lambda path: read_npz(path, ["x"]),
        "x.gz": unpacked,
        "x": unpacked,
    }.items():
        ODD[kind](tmp_path / name)
        with pytest.raises(ConfigError, match="no regular file"):
            read(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        opened(tmp_path / "x")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pictures_are_regular_files(tmp_path, kind):
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    ODD[kind](tmp_path / "odd.png")
    with pytest.raises(ConfigError, match=r"1 of 2 pictures cannot be read.*odd\.png \(It is no regular file"):
        image_folder(path=str(tmp_path), size=8, channels=3, workers=None, val=0.1, test=0.1, bits=8, skip_broken=False)


def test_no_other_program_reads_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(ConfigError, match="it is no picture"):
        image_folder(path=str(tmp_path), size=8, channels=3, workers=None, val=0.1, test=0.1, bits=8, skip_broken=False)


def test_data_may_lie_behind_a_link(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    (tmp_path / "link.npy").symlink_to("x.npy")
    assert read_npy(tmp_path / "link.npy").tolist() == [0, 1, 2]


def test_long_texts_are_refused(tmp_path):
    (tmp_path / "long").write_text("x" * 11)
    assert read_text(tmp_path / "long", 11) == "x" * 11
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_text(tmp_path / "long", 10)


def test_links_do_not_lead_out_of_the_folder_that_is_looked_through(tmp_path):
    for name in ("inside/run", "outside/run"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "status.json").touch()
    (tmp_path / "inside" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "typed").symlink_to(tmp_path / "inside")
    for folder in ("inside", "typed"):
        assert [place.path for place in places([tmp_path / folder])] == [tmp_path / folder / "run"]


# ---- the package ----------------------------------------------------------------------------------------------------

WRITERS = {"write_text", "write_bytes", "mkdir", "makedirs", "touch", "SummaryWriter", "memmap", "savefig", "fromfile"}
READERS = {"read_text", "read_bytes", "loadmat"}
HERE = {  # calls that may stand where they are
    "files.py": {"mkdir", "open"},
    "runs.py": {"mkdir", "read_text", "open"},  # the run directory, which the user names; our own configs
    "leaves.py": {"read_text"},  # likewise
    "data/download.py": {"open"},  # an address
    "sweeps/folder.py": {"mkdir", "read_text"},
    "sampling/result.py": {"mkdir"},  # the folder that the user names
    "data/folder.py": {"mkdir"},  # likewise
    "listing/remembered.py": {"mkdir", "read_text"},  # the user's own cache
    "data/frey_faces.py": {"loadmat"},
    "listing/drawing.py": {"savefig"},
    "callbacks/tensorboard.py": {"SummaryWriter"},
    "exporting/export.py": {"write_text", "write_bytes", "open"},  # in a folder that was made a moment ago
    "encoding/npz.py": {"open"},  # likewise
    "data/packed.py": {"open"},  # gzip, of an open file
    "data/pictures.py": {"open"},  # Pillow, likewise
    "cli/errors.py": {"open"},  # the null device
    "cli/own_yaml.py": {"read_text"},  # the user's own configs
    "callbacks/event_files.py": {"open"},  # a new file, or none
}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_opened_in_one_place(path):
    allowed = HERE.get(str(path.relative_to(PACKAGE)), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert name in allowed or name not in WRITERS | READERS | {"open"}, f"line {node.lineno}: {name}"
            if name == "open" and getattr(getattr(node.func, "value", None), "id", "") == "Image":
                assert "formats" in [word.arg for word in node.keywords]
