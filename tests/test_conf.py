"""Everything in `conf/`: it says what the constructors take, and every combination trains or fails by name."""

import copy
import inspect
import itertools
import re
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
from conftest import composed, trained
from hydra.utils import get_object
from omegaconf import OmegaConf
from parts import CONF, GAUSSIANS, GROUPS, choices, chosen_by, leaf, often, small_architecture, small_model, targets

from vae_cli.build import build_data, build_experiment, rehearse
from vae_cli.errors import ConfigError
from vae_cli.schedules import FINAL_STEP

NUMBERED = ("architecture", "likelihood", "objective", "optimizer")
AXES = [group for group in GROUPS if group not in ("model", "dataset", "experiment", "search")]
OURS = [group for group in GROUPS if group not in ("model", "optimizer", "experiment", "search")]
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


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "hydra"])
def test_the_readme_names_every_choice_and_no_other(group):
    (row,) = [
        line
        for line in (CONF.parent / "README.md").read_text().splitlines()
        if f"| `{group}`" in line or f"`{group}` |" in line
    ]
    named = set(re.findall(r"`(\w+)`", row)) - {"beta", "optimizer", "lr_schedule", group}
    told = {choice for one in re.findall(r"`(\w+)`", row.split("|")[1]) for choice in choices(one)}
    assert named == told


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


def overridden(model):
    """The choices of a preset that are not those of the preset which it begins with, by axis."""
    words = [word for word in OmegaConf.load(CONF / "model" / f"{model}.yaml").defaults if not isinstance(word, str)]
    return {axis.removeprefix("override /"): choice for word in words for axis, choice in word.items()}


def axes_of(model):
    """The axes to try with a preset.

    Where it is `vae` under another objective, `test_every_posterior_and_prior` has the posteriors and priors, and an
    optimiser sees gradients alone.
    """
    if list(overridden(model)) != ["objective"]:
        return AXES
    return [axis for axis in AXES if axis not in ("objective", "posterior", "prior", "optimizer", "lr_schedule")]


@pytest.mark.parametrize(
    ("model", "axis", "choice"),
    [(model, axis, choice) for model in choices("model") for axis in axes_of(model) for choice in choices(axis)],
)
def test_every_preset_with_every_choice_trains_two_steps_or_fails_by_name(small, model, axis, choice):
    """There is a preset for every objective, so each is tried with all that a model and its data are made of."""
    config = chosen([*without(small, "latent_dim", "architecture"), *small_model(model)], {axis: choice})
    refused = refusal(model, axis, choice)
    with pytest.raises(ConfigError, match=refused) if refused else nullcontext():
        assert_learns(trained_two_steps(config), (model, axis, choice))


BOUNDS = [objective for objective in choices("objective") if objective != "reconstruction"]


OF_ONE_LATENT = {"beta_tc", "dip_i", "dip_ii", "dreg", "info", "mmd"}  # objectives
CONDITIONAL = {"cvae", "structured_cvae", "hybrid_cvae"}  # presets with a condition


def refusal(model, axis, choice):
    """What the refusal of a preset with a choice says; None where they fit."""
    if (axis, choice) in (("structure", "density"), ("objective", "hybrid")):
        if model not in CONDITIONAL:
            return f"{axis}={choice} needs a condition"
        return None if model != "hybrid_cvae" or axis == "objective" else "and this structure has none"
    if refused := refused_by_vamp(model, axis, choice):
        return refused
    if (axis, choice) == ("condition", "none") and model in ("structured_cvae", "hybrid_cvae"):
        return "prior=conditional needs a condition"
    chosen = [choice, *chosen_by(model).values()]
    if all(one in chosen for one in WHOLE):
        return "a mask needs a likelihood that is a product"
    both = {"posterior": chosen_by(model)["posterior"], "prior": chosen_by(model)["prior"], axis: choice}
    if both["prior"] != "vamp" and (both["posterior"] in SPHERICAL) != (both["prior"] in SPHERICAL):
        return "prior=sphere or prior=vamp, or another posterior|posterior=von_mises_fisher, or another prior"
    several = isinstance(chosen_by(model).get("latent_dim"), list)
    if several and (axis, choice) == ("structure", "single"):
        return "structure=single has one latent variable"
    if several and axis == "objective" and choice in OF_ONE_LATENT:
        return f"objective={choice.replace('mmd', 'info')} is for one latent variable"
    if several and (axis, choice) == ("objective", "reconstruction"):
        return "several latent variables need one: use elbo"
    if axis == "objective":
        for part in (both["posterior"], both["prior"]):
            if refused := WITHOUT_A_FIT.get((part, choice)):
                return refused
    if "ladder" in (chosen_by(model)["structure"], choice) and axis in ("posterior", "structure"):
        posterior = choice if axis == "posterior" else chosen_by(model)["posterior"]
        if several and posterior not in ("diagonal", "isotropic"):
            return "structure=ladder multiplies Gaussians.*use posterior=diagonal"
    if axis == "prior" and choice.startswith("conditional") and model not in CONDITIONAL:
        return "choose condition=label"
    if axis == "prior" and choice in ("mixture", "vamp") and model in ("ae", "dae"):
        return "trains no prior: use prior=standard"
    if model in ("ae", "dae") and axis == "objective" and choice in BOUNDS:
        return "use objective=reconstruction"
    if model not in ("ae", "dae") and (axis, choice) == ("posterior", "delta"):
        return "or posterior=diagonal"
    return None


def refused_by_vamp(model, axis, choice):
    """Of what does not go with pseudo-inputs."""
    if (model, axis) == ("vampprior", "condition") and choice != "none":
        return "without a condition: choose condition=none"
    if (axis, choice) == ("prior", "vamp"):
        return (
            "without a condition"
            if model in CONDITIONAL
            else WITHOUT_A_FIT.get((choice, chosen_by(model)["objective"]))
        )
    return None


SPHERICAL = {"von_mises_fisher", "sphere"}
WHOLE = {"quadrant", "gaussian_optimal"}  # a mask, and a likelihood that takes its scale from all of x

WITHOUT_A_FIT = {  # (axis choices) that no model can have together, and what the refusal names
    **{("delta", objective): "use objective=reconstruction" for objective in BOUNDS},
    **{
        (part, "beta_tc"): "needs independent dimensions.*use posterior=diagonal and prior=standard"
        for part in (*choices("posterior"), *choices("prior"))
        if part not in ("delta", "isotropic", "diagonal", "standard", "conditional", "conditional_mlp")
    },
    **{
        (prior, "beta_tc"): "this prior depends on the condition: use prior=standard"
        for prior in ("conditional", "conditional_mlp")
    },
    **{
        (prior, "hybrid"): "GaussianMixture carry no gradient: use prior=conditional_mlp"
        for prior in ("mixture", "conditional_mixture")
    },
    **{
        (posterior, "dip_ii"): "needs the covariance of q"
        for posterior in choices("posterior")
        if posterior not in ("delta", *GAUSSIANS)
    },
    **{
        (prior, objective): f"{told} trains no prior: use prior=standard"
        for prior in choices("prior")
        if prior not in ("standard", "sphere")
        for objective, told in (("reconstruction", "objective=reconstruction"), ("mmd", "has no KL and so"))
    },
    ("vamp", "hybrid"): "objective=hybrid needs a condition",
    ("vamp", "dreg"): "use objective=iwae, or prior=standard",
    **{
        (posterior, prior): "choose prior=sphere or prior=vamp, or another posterior"
        if prior not in SPHERICAL
        else "choose posterior=von_mises_fisher, or another prior"
        for posterior, prior in itertools.product(choices("posterior"), choices("prior"))
        if (posterior in SPHERICAL) != (prior in SPHERICAL) and prior != "vamp"
    },
}


ALL_DIFFERENT = ("iwae", "beta_tc", "dip_ii", "dreg", "hybrid", "mmd", "piwae", "reconstruction")  # objectives


def test_every_objective_has_a_preset():
    """What `test_every_preset_with_every_choice` counts on."""
    assert {overridden(model).get("objective") for model in choices("model")} - {None} == set(choices("objective"))


@pytest.mark.parametrize(
    ("likelihood", "objective"),
    often(
        [*((one, "elbo") for one in choices("likelihood")), *(("bernoulli", one) for one in choices("objective"))],
        [("bernoulli", "elbo"), ("gaussian_pixel", "elbo"), *(("bernoulli", one) for one in ALL_DIFFERENT)],
    ),
)
def test_every_posterior_and_prior_under_every_likelihood_and_objective(small, likelihood, objective):
    """Two steps, and a gradient for every parameter; or a refusal that says what would work.

    Not all four axes at once: every likelihood under the ELBO and every objective under Bernoulli, with every posterior
    and prior; an objective and a likelihood meet in the preset of the objective. What an objective asks of a likelihood
    is ln p(x | z), whatever the posterior and the prior are.
    """
    for posterior, prior in itertools.product(choices("posterior"), choices("prior")):
        axes = {"likelihood": likelihood, "posterior": posterior, "prior": prior, "objective": objective}
        config = chosen([*small, f"condition={'none' if prior == 'vamp' else 'label'}"], axes)
        refusals = [text for pair, text in WITHOUT_A_FIT.items() if {*pair} <= {posterior, prior, objective}]
        if refusals:
            with pytest.raises(ConfigError, match="|".join(refusals)):
                trained_two_steps(config)
        else:
            assert_learns(trained_two_steps(config), axes)


@pytest.mark.parametrize("architecture", choices("architecture"))
def test_every_architecture_condition_and_likelihood(small, architecture):
    tried = [{"condition": condition} for condition in choices("condition")]
    tried += [{"condition": "label", "likelihood": likelihood} for likelihood in choices("likelihood")]
    for axes in tried:
        axes = {"architecture": architecture, **axes}
        assert_learns(trained_two_steps(chosen(small, axes)), axes)
    config = chosen(small, {"architecture": architecture, "condition": "label"})
    if "conditioning" in config.architecture:
        config.architecture.conditioning = "film"
        assert_learns(trained_two_steps(config), "film")


@pytest.mark.parametrize("structure", [name for name in choices("structure") if name != "single"])
@pytest.mark.parametrize("architecture", ["mlp", "gated_mlp", "conv"])
def test_every_structure_condition_and_prior(small, structure, architecture):
    """Of two latent variables; a gradient for every parameter."""
    config = [*without(small, "latent_dim"), "latent_dim=[3,2]"]
    for condition in choices("condition"):
        if (structure, condition) == ("density", "none"):
            continue  # refused: tests/test_structured.py
        axes = {"structure": structure, "architecture": architecture, "condition": condition}
        assert_learns(trained_two_steps(chosen(config, axes)), axes)
    axes = {"structure": structure, "architecture": architecture, "condition": "label", "prior": "conditional"}
    assert_learns(trained_two_steps(chosen(config, axes)), axes)
    axes = {"structure": structure, "architecture": architecture, "prior": "vamp"}
    refused = {"hierarchical": "use structure=top_down", "density": "needs a condition"}.get(structure)
    with pytest.raises(ConfigError, match=refused) if refused else nullcontext():
        assert_learns(trained_two_steps(chosen(config, axes)), axes)


def without(overrides, *keys):
    return [word for word in overrides if not word.startswith(keys)]


def chosen(overrides, axes):
    """As if `axis=choice` had been typed too, with small nets and few draws: Hydra composes once for many."""
    config = copy.deepcopy(composed_once(tuple(overrides)))
    for axis, choice in axes.items():
        config[axis] = leaf(axis, choice)
        if axis == "architecture":
            OmegaConf.update(config, axis, OmegaConf.from_dotlist(small_architecture(choice))[axis])
    for key in {"groups", "num_samples"} & set(config.objective):
        config.objective[key] = 2
    if "components" in config.prior:
        config.prior.components = 3
    return config


@cache
def composed_once(overrides):
    return composed(list(overrides))


def trained_two_steps(config):
    data = data_of(config)
    experiment = build_experiment(config, data)
    rehearse(experiment, data)
    assert all(loss.isfinite() for loss in two_steps(experiment, data))
    return experiment


_DATA = {}


def data_of(config):
    """Built once for all configs that say the same of it; it goes on where the last one stopped."""
    said = str(config.dataset), *(config[axis]["_target_"] for axis in ("likelihood", "condition")), config.seed
    if said not in _DATA:
        data = build_data(config)
        _DATA[said] = data, config.dataset.binarize
    data, config.dataset.binarize = _DATA[said]
    return data


def assert_learns(experiment, axes):
    for name, parameter in experiment.model.named_parameters():
        assert parameter.grad is not None, (axes, name)
        assert parameter.grad.abs().sum() > 0, (axes, name)


def two_steps(experiment, data):
    optimizer = experiment.configure_optimizers()
    losses = []
    for batch in itertools.islice(data.train, 2):
        weights = experiment.schedule_values(FINAL_STEP)  # warm-ups begin at weights of 0
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
        ("latent_dim=257", "x has 256 coordinates, and a larger latent has nothing to tell of it: use latent_dim=256"),
        ("objective.warmup_steps=-1", "warmup_steps=-1: 0 for none"),
        ("objective.cycles=2", "cycles=2: 1 or more, with objective.warmup_steps above 0"),
        ("objective.free_bits=-1", "free_bits=-1"),
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


@pytest.mark.parametrize("dataset", [["digits"], ["shapes", "size=16", "scales=2", "orientations=3", "positions=4"]])
@pytest.mark.parametrize("model", choices("model"))
def test_every_preset_trains_on_data_that_needs_no_files(model, dataset):
    name, *settings = dataset
    words = [*small_model(model), f"dataset={name}", *[f"dataset.{word}" for word in settings]]
    if (model, name) == ("sigma_vae", "shapes"):  # 0 and 1 have no Gaussian
        with pytest.raises(ConfigError, match="choose likelihood=bernoulli"):
            trained_two_steps(composed(words))
    elif (model, name) == ("cvae", "shapes"):
        with pytest.raises(ConfigError, match="condition=label needs labels and this data set has none"):
            trained_two_steps(composed(words))
        trained_two_steps(composed([*words, "condition=factors"]))
    else:
        trained_two_steps(composed(words))


@cache
def recipe(experiment):
    """What it sets besides choices, with what the recipe sets that it begins with."""
    config = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
    for base in config.pop("defaults"):
        if isinstance(base, str) and base != "_self_":
            config = OmegaConf.merge(recipe(base), config)
    return config


def numbered(experiment):
    """The axes of whose parts a recipe sets numbers."""
    return [axis for axis in NUMBERED if axis in recipe(experiment)]


def swapped(experiment, small, axis, choice):
    """As if the choice had been typed too; Hydra composes once a recipe."""
    data_of_theirs = [word for word in small if word.startswith("dataset")]
    config = copy.deepcopy(composed_once((f"experiment={experiment}", *data_of_theirs)))
    config[axis] = OmegaConf.merge(leaf(axis, choice), recipe(experiment)[axis])
    return config


def test_a_choice_swapped_into_a_recipe_is_as_if_typed(small):
    for experiment, axis, choice in (
        ("burda2016_mnist_two_layers", "architecture", "gated_mlp"),
        ("tomczak2018_hvae_static_mnist", "objective", "capacity"),
    ):
        data_of_theirs = [word for word in small if word.startswith("dataset")]
        typed = composed([f"experiment={experiment}", *data_of_theirs, f"{axis}={choice}"])
        assert swapped(experiment, small, axis, choice) == typed


@pytest.mark.parametrize(
    ("experiment", "axis", "choice"),
    [(one, axis, choice) for one in choices("experiment") for axis in numbered(one) for choice in choices(axis)],
)
def test_every_experiment_with_every_choice_trains_two_steps_or_fails_in_one_line(small, experiment, axis, choice):
    """On the axes whose numbers it sets; on the others it is its preset."""
    config = swapped(experiment, small, axis, choice)
    if "width" in config.architecture:
        config.architecture.width = 8
    try:
        trained_two_steps(config)
    except ConfigError as error:
        assert re.search(
            "has no such setting; leave it out|use (objective|likelihood|posterior|structure)=", str(error)
        )


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes_and_what_is_typed_beats_it(experiment):
    config = composed([f"experiment={experiment}", "trainer.max_epochs=7", "posterior=cholesky", "optimizer.lr=0.5"])
    assert config.trainer.max_epochs == 7
    assert config.optimizer.lr == 0.5
    assert config.posterior._target_.endswith("Cholesky")
    assert OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml").name == experiment


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["posterior=delta"], "posterior=delta is a point without a density.*use objective=reconstruction"),
        (["posterior=cholesky", "objective.free_bits=0.1"], "is not a sum over dimensions: use posterior=diagonal"),
        (["prior=conditional"], "prior=conditional needs a condition: choose condition=label"),
        (
            ["posterior=von_mises_fisher"],
            "posterior=von_mises_fisher gives points on the unit sphere, and prior=standard is over real numbers: "
            "choose prior=sphere or prior=vamp, or another posterior",
        ),
        (
            ["prior=sphere"],
            "posterior=diagonal gives real numbers, and prior=sphere is over points on the unit sphere: choose "
            "posterior=von_mises_fisher, or another prior",
        ),
        (
            ["model=hyperspherical_vae", "objective.free_bits=0.1"],
            "is not a sum over dimensions: use posterior=diagonal",
        ),
        (["model=iaf_vae", "objective.free_bits=0.1"], "is not a sum over dimensions: use posterior=diagonal"),
        (["prior=mixture", "objective.free_bits=0.1"], "is not a sum over dimensions: use posterior=diagonal"),
        (["prior=mixture", "prior.components=0"], "prior.components=0: a mixture needs at least 1"),
        (["likelihood=gaussian", "likelihood.squash=true", "dataset.path=REAL"], "x holds real numbers: use squash"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(small, tmp_path, overrides, message):
    np.savez(tmp_path / "real.npz", x=np.random.default_rng(0).normal(size=(60, 9)))
    words = [word.replace("REAL", str(tmp_path / "real.npz")) for word in overrides]
    with pytest.raises(ConfigError, match=message):
        trained([*small, *words], tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.*"))
