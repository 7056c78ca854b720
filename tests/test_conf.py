"""Everything in `conf/`: it says what the constructors take, and every combination trains or fails by name."""

import inspect
import itertools

import pytest
from conftest import composed
from hydra.utils import get_object
from omegaconf import OmegaConf
from parts import CONF, GROUPS, choices, leaf, targets

from vae_cli.build import build_data, build_experiment
from vae_cli.errors import ConfigError

AXES = [group for group in GROUPS if group not in ("model", "dataset")]
OURS = [group for group in GROUPS if group not in ("model", "optimizer")]
LEAVES = [(group, choice) for group in OURS for choice in choices(group)]


def keyword_only(target: str) -> set[str]:
    parameters = inspect.signature(get_object(target)).parameters.values()
    assert all(p.default is p.empty for p in parameters if p.kind is p.KEYWORD_ONLY), f"{target}: defaults live in YAML"
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize(("group", "choice"), LEAVES)
def test_a_leaf_lists_exactly_the_keys_of_its_constructor(group, choice):
    found = targets(OmegaConf.to_container(leaf(group, choice), resolve=False))
    assert found, "a leaf names what it builds"
    for node in found:
        keys = {key for key in node if key not in ("_target_", "_partial_")}
        assert keys == keyword_only(node["_target_"])


@pytest.mark.parametrize("choice", choices("optimizer"))
def test_an_optimizer_takes_its_keys(choice):
    config = leaf("optimizer", choice)
    keys = {key for key in config if not key.startswith("_")}
    assert "lr" in keys
    assert keys <= inspect.signature(get_object(config._target_)).parameters.keys()


@pytest.mark.parametrize("model", choices("model"))
def test_a_preset_selects_leaves_and_sets_root_keys(model):
    """Numbers for one leaf live in that leaf, so that replacing the axis replaces them."""
    preset = OmegaConf.load(CONF / "model" / f"{model}.yaml")
    root_keys = {"beta", "latent_dim"}
    assert set(preset) - {"defaults"} <= root_keys


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize(("axis", "choice"), [(axis, choice) for axis in AXES for choice in choices(axis)])
def test_every_preset_with_every_choice_trains_two_steps_or_fails_by_name(small, model, axis, choice):
    config = composed([f"model={model}", *small, f"{axis}={choice}"])
    try:
        data = build_data(config)
        experiment = build_experiment(config, data)
    except ConfigError as error:
        assert "choose" in str(error) or "use" in str(error)
        return
    losses = two_steps(experiment, data)
    assert all(loss.isfinite() for loss in losses)


def test_every_combination_of_axes(small):
    """architecture x likelihood x posterior x condition: two steps, and a gradient for every parameter."""
    groups = ("architecture", "likelihood", "posterior", "condition")
    for combination in itertools.product(*map(choices, groups)):
        overrides = [f"{group}={choice}" for group, choice in zip(groups, combination, strict=True)]
        if combination[0] == "gated_mlp":
            overrides.append("architecture.depth=1")
        config = composed([*small, *overrides])
        data = build_data(config)
        experiment = build_experiment(config, data)
        assert all(loss.isfinite() for loss in two_steps(experiment, data)), combination
        for name, parameter in experiment.named_parameters():
            assert parameter.grad is not None, (combination, name)
            assert parameter.grad.abs().sum() > 0, (combination, name)


def two_steps(experiment, data):
    optimizer = experiment.configure_optimizers()
    losses = []
    for batch in itertools.islice(data.train, 2):
        weights = experiment.schedule_values(0)
        loss = experiment.objective(experiment.model, batch, weights)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert optimizer.param_groups[0]["lr"] > 0
    return losses


def test_presets_beat_defaults_and_the_command_line_beats_presets():
    assert composed(["model=beta_vae"]).beta == 4
    assert composed(["model=beta_vae", "beta=7"]).beta == 7
    assert composed(["model=vae", "posterior=cholesky"]).posterior._target_.endswith("Cholesky")
    assert composed(["model=cvae", "condition=none"]).condition._target_.endswith("Unconditional")
    assert composed(["model=cvae"]).condition._target_.endswith("Label")


def test_the_likelihood_must_be_able_to_model_the_data(small):
    for overrides, message in (
        (["dataset.binarize=none"], "likelihood=gaussian.*or dataset.binarize=dynamic"),
        (["likelihood=gaussian", "dataset.binarize=static"], "choose likelihood=bernoulli"),
        (["dataset.binarize=sometimes"], "unknown; choose one of auto, none"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_data(composed([*small, *overrides]))


def test_auto_binarises_for_bernoulli_alone(small):
    config = composed(small)
    build_data(config)
    assert config.dataset.binarize == "dynamic"
    config = composed([*small, "likelihood=gaussian"])
    build_data(config)
    assert config.dataset.binarize == "none"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("beta=-1", "beta=-1"),
        ("beta=nan", "beta=nan"),
        ("latent_dim=0", "latent_dim=0"),
        ("optimizer.lr=0", "optimizer.lr=0"),
        ("optimizer.lr=fast", "optimizer.lr=fast"),
        ("architecture.width=0", "architecture.width=0"),
        ("architecture.depth=-1", "architecture.depth=-1"),
        ("architecture.activation=sigmod", "choose one of relu"),
        ("objective.num_samples=0", "num_samples=0"),
        ("dataset.batch_size=0", "dataset.batch_size=0"),
        ("dataset.val=0", "dataset.val=0"),
        ("dataset.val=0.9", "cannot be split into"),
        ("dataset.path=nowhere.npz", "there is no such file"),
    ],
)
def test_a_value_out_of_range_is_named(small, override, message):
    config = composed([*small, override])
    with pytest.raises(ConfigError, match=message):
        build_experiment(config, build_data(config))
