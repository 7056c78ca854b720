"""Keys of a sweep are read against each job's own choices; what some jobs have nothing for is left out, and said."""

import sys

import pytest
import yaml

from vae_cli.cli import train


@pytest.fixture
def jobs(tmp_path, monkeypatch, capsys):
    """Words of the jobs of `vae-train -m`, none of which is run; and standard error."""

    def ask(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["vae-train", "-m", *words])
        monkeypatch.setattr("vae_cli.cli.sweeping._launch", lambda *_: None)
        with pytest.raises(SystemExit):
            train.main()
        folders = list((tmp_path / "outputs/sweeps").glob("*/sweep.yaml"))
        found = yaml.safe_load(folders[0].read_text())["jobs"].values() if folders else []
        return [job["words"] for job in found], capsys.readouterr().err

    return ask


def test_a_key_that_all_choices_have_and_the_default_has_not(jobs):
    words, said = jobs("dataset=mnist,fashion_mnist", "dataset.root=/data")
    assert words == [[f"dataset={name}", "dataset.root=/data"] for name in ("mnist", "fashion_mnist")]
    assert "left out" not in said
    assert "unknown" not in said


@pytest.mark.parametrize(
    ("line", "kept", "told"),
    [
        (
            "prior=standard,vamp prior.components=50",
            [["prior=standard"], ["prior=vamp", "prior.components=50"]],
            "left out: prior.components=50, where nothing reads it: prior=standard, of 2 jobs",
        ),
        (
            "model=ae,vae,dae beta=4",
            [["model=ae"], ["model=vae", "beta=4"], ["model=dae"]],
            "left out: beta=4, where nothing reads it: model=ae and 1 more, of 3 jobs",
        ),
    ],
)
def test_a_key_that_some_jobs_have_is_applied_there(jobs, line, kept, told):
    words, said = jobs(*line.split())
    assert words == kept
    assert [one for one in said.splitlines() if one.startswith("left out")] == [told]


def test_what_is_swept_and_left_out_makes_no_second_job(jobs):
    words, _ = jobs("prior=standard,vamp", "prior.components=50,100")
    assert words == [["prior=standard"], ["prior=vamp", "prior.components=50"], ["prior=vamp", "prior.components=100"]]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "prior=standard,vamp prior.componets=50",
            "error: unknown key 'prior.componets'; did you mean prior.components",
        ),
        ("dataset=mnist,fashion_mnist dataset.rot=/a", "error: unknown key 'dataset.rot'; did you mean dataset.root"),
        ("model=ae,dae beta=4", "error: beta was given, and no part of this model reads it"),
    ],
)
def test_a_key_that_no_job_has_is_an_error_with_the_names_of_all(jobs, line, error):
    words, said = jobs(*line.split())
    assert words == []
    assert said.startswith(error)
    assert len(said.splitlines()) == 1
