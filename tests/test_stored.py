"""A stored config may come from somebody else: nothing in it resolves, and it names our own parts where they belong."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml
from conftest import command, composed, trained
from omegaconf import OmegaConf
from parts import choices, leaf

import vae_cli
from vae_cli import runs, stored
from vae_cli.cli.continuing import continued_config, continued_in_sweep, continuing_arguments
from vae_cli.cli.recorded import check_recorded
from vae_cli.errors import ConfigError
from vae_cli.making import made
from vae_cli.runs import RunDirectory, place_data
from vae_cli.schema import PARTS
from vae_cli.sweeps.folder import SweepFolder
from vae_cli.types import OptimizerFactory

LEAVES = [(part, choice) for part in PARTS for choice in choices(part)]
DATA = {"shape": [8], "support": "Binary", "levels": None, "classes": None, "factors": {}, "condition": None, "size": 9}
RECORD = {"format": 4, "version": "0", "choices": {}, "overrides": ["dataset.path='${oc.env:X}'"], "data": DATA}


@cache
def _default():
    return composed([])


def content_of(part: str, choice: str) -> dict[str, Any]:
    """The default config with another leaf on one axis, as it is stored."""
    config = deepcopy(_default())
    config[part] = leaf(part, choice)
    return {**stored.plain(config), "recorded": RECORD}


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """Reads a config that stands there; nothing may be looked up."""
    monkeypatch.setattr(stored, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    (tmp_path / "config.yaml").touch()

    def read(content: dict[str, Any], trust: tuple[str, ...] = ()):
        monkeypatch.setattr(runs, "_read_plain", lambda path: deepcopy(content))
        return RunDirectory(tmp_path).read_config(list(trust))[0]

    return read


def places(node: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Every node and value, the outer ones first."""
    yield place
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from places(node[key], (*place, key))


def replaced(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = deepcopy(content)
    node = found
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return found


RESOLVERS = [
    "${oc.env:PATH}",
    "${oc.create:{_target_: os.mkdir, path: executed}}",
    "a${oc.decode:'1'}b",
    "${beta}",
    "\\${beta}",
    "${",
]


@pytest.mark.parametrize(("part", "choice"), LEAVES)
def test_what_our_leaves_say_can_be_read_and_nothing_in_its_place_resolves(part, choice, reading):
    content = content_of(part, choice)
    read = OmegaConf.to_container(reading(content))
    assert {**read, "recorded": RECORD} == content
    for number, place in enumerate(places(content[part], (part,))):
        for hostile in (RESOLVERS[number % len(RESOLVERS)], [RESOLVERS[1]], {RESOLVERS[0]: 1}):
            with pytest.raises(ConfigError, match=r"config.yaml is damaged: .*what is stored is resolved"):
                reading(replaced(content, place, hostile))


@pytest.mark.parametrize("place", [("beta",), ("name",), ("trainer", "precision"), ("recorded", "version"), ("init",)])
@pytest.mark.parametrize("text", RESOLVERS)
def test_no_root_key_resolves(place, text, reading):
    with pytest.raises(ConfigError, match="what is stored is resolved"):
        reading(replaced(content_of("dataset", "mnist"), place, text))


FOREIGN = ["os.system", "torch.hub.load", "vae_cli.making.made", "torch.optim.optimizer.torch.hub.load", "system", ""]
FOREIGN += [3, None, True, ["os.system"], {"_target_": "os.system"}, "vae_cli.data.folder.DataFolder"]


def nodes(content: dict[str, Any], part: str) -> list[tuple[Any, ...]]:
    return [place[:-1] for place in places(content[part], (part,)) if place[-1] == "_target_"]


@pytest.mark.parametrize(("part", "choice"), LEAVES)
def test_no_other_part_is_named_anywhere(part, choice, reading):
    content = content_of(part, choice)
    for place in nodes(content, part):
        for target in FOREIGN:
            if place != ("dataset", "source", "folder") or target != FOREIGN[-1]:
                with pytest.raises(ConfigError, match=r"config\.yaml.*(none of ours|the name of a part)"):
                    reading(replaced(content, (*place, "_target_"), target), ("shutil", "hub"))
        for key in ("_args_", "_recursive_", "_convert_", "_mode_"):
            with pytest.raises(ConfigError, match="which nothing reads"):
                reading(replaced(content, (*place, key), ["a"]))
        for value in (None, 1, [True], "true", {}):
            with pytest.raises(ConfigError, match="true or false are needed"):
                reading(replaced(content, (*place, "_partial_"), value))
        for nested in ({"_target_": "os.system"}, [{"a": [{"_target_": "os.system"}]}]):
            with pytest.raises(ConfigError, match="none of ours"):
                reading(replaced(content, (*place, "more"), nested))


@pytest.mark.parametrize("key", ["hydra", "more", "_target_", "defaults"])
def test_no_other_root_key_is_read(key, reading):
    with pytest.raises(ConfigError):
        reading({**content_of("dataset", "digits"), key: {"run": {"dir": "/"}, "_target_": "os.system"}})


@pytest.mark.parametrize("value", ["!!binary aGE=", "2001-01-01", "!!set {a, b}", "!!omap [a: 1]", "{1: 2}"])
def test_plain_values_alone_are_read(value, reading):
    with pytest.raises(ConfigError, match="damaged"):
        reading(replaced(content_of("dataset", "digits"), ("likelihood", "from_mean"), yaml.safe_load(value)))


def test_trust_lets_in_what_a_module_defines_and_imports_no_other(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").touch()
    content = replaced(content_of("optimizer", "adam"), ("optimizer", "_target_"), "torch.optim.AdamW")
    monkeypatch.setattr(runs, "_read_plain", lambda path: deepcopy(content))
    assert RunDirectory(tmp_path).read_config(["torch.optim"])[0].optimizer._target_ == "torch.optim.AdamW"
    for trust in ("torch", "torch.optim.lr_scheduler"):
        with pytest.raises(ConfigError, match=r"add trust=\[torch.optim\]"):
            RunDirectory(tmp_path).read_config([trust])
    inner = {"_target_": "vae_cli.heads.bernoulli.BernoulliHead"}
    content = replaced(content, ("optimizer", "inner"), inner)
    RunDirectory(tmp_path).read_config(["torch.optim"])


def test_what_was_checked_is_what_is_made():
    found = []
    OmegaConf.register_new_resolver("turning", lambda: found.append(0) or [0.1, "harm"][len(found) - 1])
    try:
        node = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": "${turning:}"}
        assert made(OmegaConf.create(node), "optimizer", OptimizerFactory).keywords == {"lr": 0.1}
    finally:
        OmegaConf.clear_resolver("turning")


def test_what_would_resolve_when_it_is_read_is_not_written(small, tmp_path):
    with pytest.raises(ConfigError, match=r"init='\$\{x\}': what is stored is resolved"):
        trained([*small, "init='\\${x}'"], tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


# ---- every command that reads a run --------------------------------------------------------------------------------

ATTACKS = {
    "code": (("corruption",), "${oc.create:{_target_: os.mkdir, path: executed}}", "what is stored is resolved"),
    "environment": (("trainer", "precision"), "${oc.env:PATH}", "what is stored is resolved"),
    "target": (("corruption",), {"_target_": "os.mkdir", "path": "executed"}, "names os.mkdir, which is none of ours"),
}
COMMANDS = [("train", "run=run"), ("sample", "run=run"), ("encode", "run=run"), ("export", "run=run")]
COMMANDS += [("eval", "run=run", "metrics=[likelihood]")]


@pytest.fixture(scope="module")
def hostile(small_npz, tmp_path_factory):
    """A run whose config is replaced by what an attack makes of it."""
    from conftest import small_overrides

    folder = tmp_path_factory.mktemp("hostile")
    trained([*small_overrides(small_npz), "trainer.max_steps=2"], folder / "run")
    good = yaml.safe_load((folder / "run" / "config.yaml").read_text())

    def attacked(name):
        place, value, message = ATTACKS[name]
        (folder / "run" / "config.yaml").write_text(yaml.safe_dump(replaced(good, place, value)))
        return folder, message

    return attacked


@pytest.mark.parametrize("name", ATTACKS)
def test_in_one_process_none_runs_code(name, hostile, monkeypatch):
    folder, message = hostile(name)
    monkeypatch.chdir(folder)
    config = composed(["run=run"])
    readers = [
        lambda: vae_cli.load_run("run"),
        lambda: continuing_arguments(["run=run"]),
        lambda: continued_config(config, RunDirectory(folder / "run"), [], {}),
        lambda: continued_in_sweep(config, RunDirectory(folder / "run")),
    ]
    for reader in readers:
        with pytest.raises(ConfigError, match=message):
            reader()
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_no_command_runs_code(words, hostile):
    folder, message = hostile("code")
    done = command(*words, cwd=folder)
    assert (done.status, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert message in done.stderr
    assert not (folder / "executed").exists()


def test_the_table_shows_such_a_run_as_damaged(hostile):
    folder, _ = hostile("code")
    done = command("runs", "run", cwd=folder)
    assert "damaged" in done.stdout
    assert not (folder / "executed").exists()


# ---- what is fetched -----------------------------------------------------------------------------------------------

PUBLISHED = [choice for choice in choices("dataset") if "mirrors" in str(leaf("dataset", choice))]


@pytest.mark.parametrize("choice", PUBLISHED)
def test_a_stored_data_set_is_fetched_from_our_own_mirrors_to_where_the_user_says(choice, reading):
    def mirrors(*changes, place=None):
        content = content_of("dataset", choice)
        for key, value in changes:
            content = replaced(content, ("dataset", "source", "folder", key), value)
        config = reading(content)
        place_data(config, place or {})
        return config.dataset.source.folder.mirrors

    ours, foreign = leaf("dataset", choice).source.folder.mirrors, ["http://127.0.0.1:1/"]
    assert mirrors() == mirrors(("mirrors", foreign)) == ours
    assert mirrors(("checksums", {"a": "md5:" + 32 * "0"})) == mirrors(("name", "b")) == mirrors(("root", "/")) == []
    assert mirrors(("mirrors", foreign), ("checksums", {}), place={"root": "data", "download": True}) == []
    assert mirrors(("root", "/"), place={"download": True}) == []
    assert mirrors(("root", "/"), ("mirrors", foreign), place={"root": "data"}) == ours


# ---- sweep.yaml ----------------------------------------------------------------------------------------------------

JOB = {"words": ["beta=4"], "swept": {"beta": "4"}}
DEFINITION = {"format": 1, "version": "0", "versions": {}, "commands": ["vae-train"], "jobs": {"beta4_00000000": JOB}}
NAMES = ["../x", "/x", ".", "..", "", "a/b", "a\\b", "a\nb", "a\x1b[2J", ".lock", "x" * 300, "a/../../x", 3, None, True]
NAMES += ["\u202ea"]
DAMAGES = [
    *({**DEFINITION, "jobs": {name: JOB}} for name in NAMES),
    *({**DEFINITION, "jobs": {"a": job}} for job in (None, [], "a", 3, {}, {**JOB, "more": 1}, {"words": []})),
    *({**DEFINITION, "jobs": {"a": {**JOB, "words": words}}} for words in (None, "beta=4", {}, [1], [None], [["a"]])),
    *({**DEFINITION, "jobs": {"a": {**JOB, "swept": swept}}} for swept in (None, [], "a", {"a": 1}, {1: "a"})),
    *({**DEFINITION, "jobs": jobs} for jobs in (None, [], "a", 3)),
    *({**DEFINITION, "commands": commands} for commands in (None, "a", [1], {})),
    *({key: value for key, value in DEFINITION.items() if key != left_out} for left_out in ("format", "jobs")),
    None,
    [],
    3,
    {**DEFINITION, "format": {}},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_a_definition_is_as_we_write_it_or_refused(damage, tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(damage))
    with pytest.raises(ConfigError, match=r"sweep.yaml (is damaged: |was written by)"):
        SweepFolder(tmp_path).jobs()


def test_a_good_definition_is_read(tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(DEFINITION))
    (job,) = SweepFolder(tmp_path).jobs()
    assert (job.name, job.words, job.swept) == ("beta4_00000000", ["beta=4"], {"beta": "4"})


WORDS = [
    "corruption._target_=os.abort",
    "corruption={_target_: os.abort}",
    "optimizer.more=[{_target_: os.abort}]",
    "objective._args_=[1]",
    "trainer.precision=${oc.env:PATH}",
    "trainer.precision='${oc.env:PATH}'",
    "trainer.precision=$\\{oc.env\\:PATH\\}",
    "corruption.more={a: ['${oc.create:{_target_: os.abort}}']}",
    "name=${${beta}:x}",
    "name=${hydra:runtime.cwd}",
    "hydra.run.dir=/tmp",
    "hydra/launcher=basic",
    "++hydra.searchpath=[/tmp]",
    "+hydra.searchpath=[/tmp]",
    "~hydra.run",
    "hydra={}",
    "+model@hydra.launcher=vae",
    "model@prior=vae",
    "--config-dir=/tmp",
    "--config-path=/tmp",
    "-m",
    "model=../../evil",
    "likelihood=/tmp/evil",
    "likelihood='../evil'",
    "theirs=../evil",
    "theirs/more=../evil",
    "trust=[os]",
    "sweep=/tmp",
    "run=/tmp",
    "retry=failed",
    "beta=1,4",
    "beta=range(1,10)",
    "model=glob(*)",
    "dataset.source.folder.mirrors=[http://a]",
    "dataset.source={folder: {mirrors: [http://a]}}",
    "dataset.source.folder.checksums={a: b}",
    "dataset.source.folder.root=/tmp",
    "++beta=4",
    "nonsense",
    "",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_recorded_word_does_no_more_than_set_a_job(word, monkeypatch):
    monkeypatch.setattr(stored, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(ConfigError, match=r"^sweep\.yaml"):
        check_recorded(["beta=4", word], ["shutil"], "sweep.yaml")


@pytest.mark.parametrize(
    "word",
    [
        "beta=4",
        "model=beta_vae",
        "dataset.path='my data/a,b.npz'",
        "dataset.root=/data",
        "architecture.channels=[8,16]",
        "objective.warm_up=${trainer.max_epochs}",
        "objective._target_=vae_cli.objectives.bounds.ELBO",
        "optimizer._target_=torch.optim.AdamW",
        "~experiment",
        "init=outputs/run",
    ],
)
def test_a_recorded_word_may_be_what_a_sweep_writes(word):
    check_recorded([word], ["torch.optim"], "sweep.yaml")


def test_no_command_is_offered_that_would_do_harm(hostile, monkeypatch):
    folder, _ = hostile("code")
    monkeypatch.chdir(folder)
    content = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    content = {**content, "corruption": content_of("corruption", "none")["corruption"]}
    for words, offered in ((["seed=3"], "seed=3"), (["corruption._target_=os.abort"], "...")):
        content["recorded"]["overrides"] = words
        (folder / "run" / "config.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(ConfigError, match=f"vae-train {offered} beta=4 init=run"):
            continuing_arguments(["run=run", "beta=4"])


@pytest.mark.parametrize(
    ("job", "words"),
    [("../outside", ["beta=4"]), ("a_00000000", ["corruption._target_=os.mkdir", "+corruption.path=executed"])],
)
def test_a_hostile_sweep_writes_and_runs_nothing(job, words, small, tmp_path):
    (tmp_path / "sweep").mkdir()
    content = {**DEFINITION, "jobs": {job: {"words": [*small, *words], "swept": {}}}}
    (tmp_path / "sweep" / "sweep.yaml").write_text(yaml.safe_dump(content))
    done = command("train", "-m", "sweep=sweep", cwd=tmp_path)
    assert (done.status, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith("error: sweep/sweep.yaml")
    assert {path.name for path in tmp_path.iterdir()} == {"sweep", "stdout.txt", "stderr.txt"}
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"sweep.yaml"}


@pytest.mark.slow
def test_a_sweep_over_ones_own_parts_goes_on_when_they_are_trusted(small, tmp_path):
    words = [*small, "optimizer._target_=torch.optim.AdamW", "beta=1,4", "trainer.max_steps=2", "name=mine"]
    assert command("train", "-m", *words, cwd=tmp_path).status == 0
    again = ["-m", "sweep=outputs/sweeps/mine", "trainer.max_steps=4"]
    refused = command("train", *again, cwd=tmp_path)
    assert "names torch.optim.AdamW, which is none of ours: if you wrote it, add trust=[torch.optim]" in refused.stderr
    done = command("train", *again, "trust=[torch.optim]", cwd=tmp_path)
    assert (done.status, "2 finished" in done.stdout) == (0, True), done.stderr
    typed = command("train", "-m", *words, "trainer.max_steps=6", "trust=[torch.optim]", cwd=tmp_path)
    assert (typed.status, "2 finished" in typed.stdout) == (0, True), typed.stderr


def test_all_modules_that_a_config_needs_are_named_at_once():
    content = {
        "prior": {"_target_": "mine.Prior", "inner": {"_target_": "mine.nets.Net"}},
        "optimizer": {"_target_": "theirs.Adam", "_partial_": True},
    }
    message = (
        "c names mine.Prior, mine.nets.Net, theirs.Adam, which are none of ours: if you wrote them, add "
        "trust=[mine,mine.nets,theirs]"
    )
    with pytest.raises(ConfigError) as refused:
        stored.check_names(content, [], "c")
    assert str(refused.value) == message
