"""`vae-train` as it is typed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from conftest import vae_train
from parts import often

TWO_STEPS = ["trainer.max_steps=2", "trainer.accelerator=cpu"]


def runs(folder):
    return sorted(path.parent for path in folder.rglob("status.json"))


def test_the_last_lines(tmp_path):
    done = vae_train(*TWO_STEPS, cwd=tmp_path)
    assert done.status == 0, done.stderr
    (run,) = runs(tmp_path)
    place = run.relative_to(tmp_path)
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_vae_digits_[0-9a-f]{6}", str(place))
    figures = json.loads((run / "metrics.json").read_text())["test"]
    assert done.stdout.splitlines() == [
        f"test ELBO            {figures['test/elbo']:10.3f} nats",
        f"test reconstruction  {figures['test/reconstruction']:10.3f} nats",
        f"test KL              {figures['test/kl']:10.3f} nats",
        "weights              best validation loss (step 2)",
        f"run                  {place}",
        f"look at it           tensorboard --logdir {place}",
    ]
    assert done.stderr == "", "quiet where there is no terminal"
    assert done.read.startswith("read: 1,437 / 180 / 180 examples of 1 x 8 x 8, 17 grey levels (0 to 16)")


def test_a_sweep_whose_jobs_give_the_numbers_that_they_give_alone(tmp_path, small):
    done = vae_train("-m", *small, "model=beta_vae", "beta=1,4", "seed=0,1", *TWO_STEPS, cwd=tmp_path)
    assert done.status == 0, done.stderr
    found = {
        (c["beta"], c["seed"]) for c in (yaml.safe_load((run / "config.yaml").read_text()) for run in runs(tmp_path))
    }
    assert found == {(1.0, 0), (1.0, 1), (4.0, 0), (4.0, 1)}
    assert done.stdout.count("finished     test/elbo") == 4
    assert {run.relative_to(tmp_path).parts[:2] for run in runs(tmp_path)} == {("outputs", "sweeps")}
    figures = [(run / "metrics.json").read_text() for run in runs(tmp_path)]
    vae_train(*small, "model=beta_vae", "beta=4", "seed=1", *TWO_STEPS, "hydra.run.dir=alone", cwd=tmp_path)
    assert figures.count((tmp_path / "alone" / "metrics.json").read_text()) == 1


def test_a_job_that_is_refused_does_not_stop_the_sweep(tmp_path, small):
    done = vae_train("-m", *small, "beta=-1,4", *TWO_STEPS, cwd=tmp_path)
    assert done.status == 1
    assert done.stdout.count("finished     test/elbo") == 1
    assert done.stderr.count("failed: beta=-1") == 1
    assert len([run for run in runs(tmp_path) if (run / "metrics.json").exists()]) == 1


def test_two_runs_of_one_second_do_not_share_a_directory(tmp_path, small):
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: vae_train(*small, *TWO_STEPS, cwd=tmp_path), range(2)))
    assert [done.status for done in both] == [0, 0]
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["model=annealed_vae"], "capacity reaches 0.00025 by the last step (2) and would end at 25"),
        (["beta=4", "objective.warmup_steps=4"], "beta reaches 1 by the last step (2) and would end at 4"),
        (["beta=4", "objective.warmup_steps=1"], None),
    ],
)
def test_a_schedule_that_outlasts_training_is_told(tmp_path, small, words, warning):
    done = vae_train(*small, *words, *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    assert done.status == 0, done.stderr
    log = (tmp_path / "run" / "train.log").read_text()
    if warning is None:
        assert done.stderr == ""
        assert "would end at" not in log
    else:
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"warning: {warning}, which validation and test use")
        assert warning in log


def test_an_existing_run_is_refused_in_one_line(tmp_path, small):
    first = vae_train(*small, *TWO_STEPS, "hydra.run.dir=here", cwd=tmp_path)
    before = (tmp_path / "here" / "config.yaml").read_bytes()
    again = vae_train(*small, *TWO_STEPS, "seed=1", "hydra.run.dir=here", cwd=tmp_path)
    assert (first.status, again.status) == (0, 1)
    assert "here already holds a run: continue it with run=" in again.stderr
    assert (tmp_path / "here" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("folder", ["plain", "with space", "quote's", "a=b", "comma,brace{}[]", "back\\slash"])
def test_continue_a_run_whatever_its_name(tmp_path, small, folder):
    (tmp_path / "first").mkdir()
    vae_train(*small, *TWO_STEPS, "hydra.run.dir=first/run", cwd=tmp_path)
    (tmp_path / "first" / "run").rename(tmp_path / folder)
    quoted = folder.replace("'", "\\'")
    done = vae_train(f"run='{quoted}'", "trainer.max_steps=5", cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert json.loads((tmp_path / folder / "status.json").read_text())["step"] == 5
    assert {path.name for path in tmp_path.iterdir()} == {"first", folder, "stdout.txt", "stderr.txt"}


@pytest.mark.parametrize(
    "change", ["beta=4", "optimizer.lr=1e-4", "model=cvae", "likelihood.sigma=2", "seed=1", "~optimizer.fused"]
)
def test_only_budget_and_place_may_change_on_the_way(tmp_path, small, change):
    vae_train(*small, *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    refused = vae_train("run=run", change, cwd=tmp_path)
    assert refused.status == 1
    (line,) = refused.stderr.splitlines()
    assert f"{change} cannot change on the way" in line
    command = shlex.split(line.partition("a new run from these weights: ")[2])
    assert command[0] == "vae-train"
    assert command[-2:] == [change, "init=run"]
    if change == "beta=4":
        done = vae_train(*command[1:], "hydra.run.dir=new", cwd=tmp_path)
        assert done.status == 0, done.stderr


def test_what_must_change_may_change(tmp_path, small):
    vae_train(*small, *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    done = vae_train("run=run", "trainer.max_steps=-1", "logging.every_n_steps=1", "trainer.devices=1", cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert json.loads((tmp_path / "run" / "status.json").read_text())["step"] == 18


BAD = {
    "bta=4": "unknown key 'bta'; did you mean beta",
    "architecture.widht=3": "unknown key 'architecture.widht'; did you mean architecture.width",
    "model=betavae": "unknown model 'betavae'; did you mean beta_vae",
    "dataset=mnits": "unknown dataset 'mnits'; did you mean",
    "modle=vae": "unknown key 'modle'; did you mean model",
    "seed=abc": "seed=abc: a whole number is needed",
    "seed=-1": "seed=-1: 0 or more",
    "beta=x": "beta=x: a number is needed",
    "beta=-1": "beta=-1.0: the weight of the KL",
    "model=iwae beta=4": "beta was given, and no part of this model reads it",
    "objective=iwae objective.num_samples=0": "objective.num_samples=0: at least 1 draw",
    "model=annealed_vae objective.steps=0": "objective.steps=0: the capacity rises over at least 1 step",
    "latent_dim=65": "latent_dim=65: x has 64 coordinates",
    "posterior=delta": "use objective=reconstruction",
    "model=ae beta=4": "beta was given, and no part of this model reads it",
    "architecture=burgess": "4 halvings need images of at least 16 x 16 pixels, and x has 8 x 8",
    "architecture=conv architecture.channels=16": "channels=16: a list of whole numbers",
    "architecture=conv architecture.hidden=[true]": "a list of whole numbers",
    "architecture=conv architecture.channels=[16,32]": "one number of channels and one kernel for each halving",
    "experiment=burda2016_mnist architecture=conv": "sets architecture.width, which architecture=conv has not",
    "experiment=burda2016_mnist model=cvae": "model=cvae experiment=burda2016_mnist: a recipe chooses its model",
    "model=ae logging.importance_samples=5": "use logging.importance_samples=0",
    "lr_schedule=powers_of_three lr_schedule.stages=0": "lr_schedule.stages=0: 1 to 20",
    "condition=label prior=conditional prior.depth=-1": "prior.depth=-1: 0 or more hidden layers",
    "corruption=gaussian corruption.sigma=inf": "corruption.sigma=inf: a standard deviation",
    "optimizer.betas=[0.9]": "optimizer.betas=[0.9]: a list of two numbers",
    "optimizer.eps=tiny": "optimizer.eps=tiny: a number is needed",
    "optimizer.fused=maybe": "optimizer.fused=maybe: true, false or null is needed",
    "model=sigma_vae dataset.binarize=static": "or dataset.binarize=none",
    "architecture=conv architecture.kernels=[3,3,3]": "the kernel of a halving is even",
    "architecture=conv architecture.normalization=batch": "choose one of none, group",
    "corruption=masking corruption.probability=1": "corruption.probability=1: a number from 0 up to, but not, 1",
    "prior=conditional": "prior=conditional needs a condition: choose condition=label",
    "condition=factors": "condition=factors needs known factors and this data set has none",
    "posterior=cholesky objective.free_bits=0.1": "is not a sum over dimensions",
    "logging.importance_samples=-1": "logging.importance_samples=-1: 0 for none",
    "experiment=burda": "unknown experiment 'burda'",
    "latent_dim=0": "latent_dim=0: the latent needs at least 1 dimension",
    "latent_dim=2.5": "latent_dim=2.5",
    "optimizer.lr=0": "optimizer.lr=0: a learning rate is a positive number",
    "trainer.max_epochs=abc": "trainer.max_epochs=abc",
    "trainer.max_epochs=0": "trainer.max_epochs=0: 1 or more",
    "trainer.max_epochs=-1 trainer.max_steps=-1": "training would never end",
    "trainer.accelerator=abacus": "trainer.accelerator=abacus: choose one of auto, cpu",
    "trainer.accelerator=gpu": "trainer.accelerator=gpu: there is no CUDA device; use auto or cpu",
    "matmul_precision=low": "matmul_precision=low: choose one of highest, high, medium",
    "compile=maybe": "compile=maybe: true or false is needed",
    "trainer.precision=64": "trainer.precision=64: choose one of 32-true, bf16-mixed, 16-mixed",
    "trainer.precision=16-mixed trainer.gradient_clip_val=1": "optimizer.fused=false",
    "seed=99999999999999999999999": "seed=99999999999999999999999: a number below",
    "dataset.eval_batch_size=5 trainer.devices=2": "dataset.eval_batch_size=5: 2 devices need a multiple of 2",
    "optimizer._target_=torch.optim.Adamm": "torch.optim.Adamm cannot be imported",
    "architecture.width=100000000": "does not fit into memory",
    "logging.every_n_steps=0": "logging.every_n_steps=0: 1 or more",
    "logging.progress=maybe": "logging.progress=maybe: auto, always or never",
    "name=a/b": "name=a/b: letters, digits",
    "dataset=mnist dataset.download=false": "no train-images-idx3-ubyte.gz or train-images-idx3-ubyte in ",
    "dataset=mnist dataset.download=maybe": "dataset.source.folder.download=maybe: true or false is needed",
    "dataset=mnist dataset.source.folder.mirrors=http://a": "dataset.source.folder.mirrors=http://a: a list of",
    "dataset=mnist dataset.root=/dev/null/data": "cannot be written there (Not a directory): put the file there",
    "dataset.source.val=0": "training, validation and test have 1617 / 0 / 180 examples: each needs",
    "dataset=arrays": "dataset=arrays needs dataset.path=<file>",
    "dataset=arrays dataset.path=nowhere": "nowhere: there is no such file or folder",
    "dataset=image_folder": "dataset=image_folder needs dataset.path=<folder>",
    "dataset=image_folder dataset.workers=some": "workers=some: a whole number or null is needed",
    "dataset=shapes dataset.positions=33": "64 pixels have room for 32 positions at most",
    "dataset.binarize=none": "or likelihood=gaussian or",
    "likelihood=gaussian dataset.binarize=static": "choose likelihood=bernoulli",
    "likelihood=gaussian likelihood.sigma=0": "likelihood.sigma=0: a standard deviation is a positive number",
    "run=nowhere": "nowhere: there is no such run directory",
    "run=.": ". is not a run directory",
    "run=nowhere -m": "run= continues one run",
    "run=a,b": "a,b: there is no such run directory",
    "init=nowhere": "init=nowhere: no checkpoint there",
    "hydra.run.dir=/proc/nowhere": "/proc/nowhere",
    "beta=": "beta=",
    "beta": "beta",
    "+new=1": "+new=1: nothing reads a key that is added",
    "dataset.batch_size=abc": "dataset.batch_size=abc: a whole number is needed",
    "architecture.encoder.width=wide": "architecture.encoder.width=wide: a whole number is needed",
    "architecture.depth=1.5": "depth=1.5: a whole number is needed",
    "objective.num_samples=true": "objective.num_samples=True: a whole number is needed",
    "likelihood=gaussian likelihood.sigma=small": "likelihood.sigma=small: a number is needed",
    "optimizer.betas=[2,3]": "optimizer: Invalid beta parameter",
    "optimizer.betas=1": "optimizer.betas=1: a list of two numbers",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val=-1.0: a positive number",
    "trainer.devices=many": "trainer.devices=many: a number of devices",
    "a=[": "a=[",
    "dataset=5": "dataset=5: the name of a choice is needed",
    "optimizer=null": "optimizer=null: the name of a choice is needed",
    "optimizer=[0.9,0.999]": "optimizer=[0.9,0.999]: the name of a choice is needed",
    "dataset.source=3": "dataset.source=3: this is no single value; set those below it",
    "architecture.decoder=null": "architecture.decoder=None: this is no single value",
    "~optimizer.lr": "~optimizer.lr: every key is needed",
    "model=ae objective.cycles=3": "unknown key 'objective.cycles'; did you mean objective?",
    "beta=ü": "cannot read 'beta=ü': key=value is needed; a value of other signs",
    "beta=${oc.env:NOWHERE}": "beta=${oc.env:NOWHERE}: ",
    "likelihood.from_mean=???": "likelihood.from_mean: a value is needed",
    "-m model=1,2": "model=1,2: the name of a choice is needed",
    "-m model=range(1,3)": "model=range(1,3): the name of a choice is needed",
    "-m experiment=null,kingma2014_mnist": "the name of a choice is needed",
    "hydra/sweeper=null": "hydra/sweeper=null: of Hydra's own keys, this command takes hydra.run.dir",
    "run=": "run=: name the folder of a run",
    "trust=-1": "trust=-1: a list is needed",
    "beta=1e308": "objective.beta=1e+308: too large",
    "likelihood=laplace likelihood.scale=1e-40": "reconstruction is -inf before the first step: ",
    "likelihood=gaussian likelihood.sigma=1e300": "likelihood.sigma=1e+300: too large",
    "architecture.width=1000000000000000000000": "too large: whole numbers stay below 2 to the power of 63",
    "architecture.depth=1000000000": "architecture.depth=1000000000: 0 or more hidden layers, up to 1000",
    "architecture=resnet architecture.blocks=1000000000": "0 or more residual blocks, up to 1000",
    "objective.num_samples=1000000000000": "memory ran out: choose fewer or smaller examples",
    "dataset=shapes dataset.orientations=100000000": "memory ran out",
    "logging.importance_samples=1000000000": "0 for none, or more, up to 100000",
    "trainer.max_steps=1000000000000000000000": "a number below 2 to the power of 63",
    "trainer.devices=1000000000": "trainer.devices=1000000000: this machine has ",
    "trainer.devices=[]": "trainer.devices=[]: a number of devices",
}


@pytest.mark.parametrize("line", often(BAD, list(BAD)[::2]))
def test_a_bad_command_is_one_line_and_leaves_nothing(tmp_path, line):
    done = vae_train(*line.split(), cwd=tmp_path)
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert BAD[line] in done.stderr
    assert " +" not in done.stderr or line.startswith("+"), "Hydra's hint to append is a trap"
    assert {path.name for path in tmp_path.iterdir()} == {"stdout.txt", "stderr.txt"}


def test_a_refused_job_leaves_the_folders_of_users(tmp_path):
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    os.utime(tmp_path / "mine" / "empty")
    time.sleep(0.05)
    vae_train("beta=-1", "hydra.run.dir=mine/empty", cwd=tmp_path)
    assert (tmp_path / "mine" / "empty").is_dir()


def test_the_data_of_a_run_may_move(tmp_path, small, small_npz):
    shutil.copy(small_npz, tmp_path / "first.npz")
    vae_train(*small, "dataset.path=first.npz", *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    (tmp_path / "first.npz").rename(tmp_path / "second.npz")
    lost = vae_train("run=run", "trainer.max_steps=4", cwd=tmp_path)
    assert "first.npz: there is no such file" in lost.stderr
    found = vae_train("run=run", "trainer.max_steps=4", "dataset.path=second.npz", cwd=tmp_path)
    assert found.status == 0, found.stderr
    assert "has no root" in vae_train("run=run", "dataset.root=.", cwd=tmp_path).stderr


def test_another_optimizer_can_be_continued_when_trusted(tmp_path, small):
    vae_train(*small, *TWO_STEPS, "optimizer._target_=torch.optim.AdamW", "hydra.run.dir=run", cwd=tmp_path)
    refused = vae_train("run=run", "trainer.max_steps=4", cwd=tmp_path)
    assert "names torch.optim.AdamW, which is none of ours: if you wrote it, add trust=[torch.optim]" in refused.stderr
    done = vae_train("run=run", "trainer.max_steps=4", "trust=[torch.optim]", cwd=tmp_path)
    assert done.status == 0, done.stderr


def test_damaged_checkpoints_are_named(tmp_path, small):
    vae_train(*small, *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    for name in ("last", "best"):
        path = tmp_path / "run" / "checkpoints" / f"{name}.ckpt"
        path.write_bytes(path.read_bytes()[:1000])
    for arguments in (["run=run", "trainer.max_steps=4"], [*small, "init=run"]):
        done = vae_train(*arguments, cwd=tmp_path)
        assert done.status == 1
        assert re.fullmatch(r"error: \S*run/checkpoints/\w+\.ckpt is damaged .*\n", done.stderr)


def test_a_traceback_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = subprocess.run(
        [sys.executable, "-m", "vae_cli.cli.train", "bta=4"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


# ---- configs of users ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_configs(tmp_path):
    """A preset, and an objective that does not read beta."""
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "objective").mkdir()
    (tmp_path / "mine" / "model" / "wide.yaml").write_text(
        "# @package _global_\ndefaults:\n  - vae\n  - override /architecture: gated_mlp\n  - _self_\nlatent_dim: 7\n"
    )
    (tmp_path / "mine" / "objective" / "fixed.yaml").write_text(
        "_target_: vae_cli.objectives.bounds.ELBO\n_partial_: true\nbeta: 1.0\nnum_samples: 1\n"
    )
    return tmp_path


@pytest.mark.parametrize("how", [["--config-dir", "mine"], ["hydra.searchpath=[mine]"]])
def test_configs_of_users(own_configs, small, how):
    arguments = [word for word in small if not word.startswith("latent_dim")]
    done = vae_train(*how, *arguments, "model=wide", *TWO_STEPS, cwd=own_configs)
    assert done.status == 0, done.stderr
    (run,) = runs(own_configs)
    assert yaml.safe_load((run / "config.yaml").read_text())["latent_dim"] == 7


def test_a_root_key_that_no_part_reads_is_refused(own_configs):
    done = vae_train("--config-dir", "mine", "objective=fixed", "beta=4", *TWO_STEPS, cwd=own_configs)
    assert done.status == 1
    assert "beta was given, and no part of this model reads it" in done.stderr


def test_completion(tmp_path):
    environment = {**os.environ, "COMP_LINE": "vae-train model=", "COMP_POINT": "16"}
    done = subprocess.run(
        [sys.executable, "-m", "vae_cli.cli.train", "-sc", "query=bash"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert {"model=vae", "model=beta_vae", "model=cvae"} <= set(done.stdout.split())


def test_help_names_the_choices(tmp_path):
    done = vae_train("--help", cwd=tmp_path)
    assert done.status == 0
    for word in ("beta_vae", "fashion_mnist", "cholesky", "run=", "-m"):
        assert word in done.stdout


def _print_bad_lines() -> None:
    """Every bad command line with the line that it got, as Markdown."""
    for line in BAD:
        with tempfile.TemporaryDirectory() as folder:
            done = vae_train(*line.split(), cwd=Path(folder))
        print(f"- `vae-train {line}`\n  `{done.stderr.strip()}`")


if __name__ == "__main__":
    _print_bad_lines()
