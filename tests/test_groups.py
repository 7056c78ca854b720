"""Groups of an evaluation, on runs of a second: what they find, what they leave out, and what they do not depend on."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from conftest import trained
from omegaconf import OmegaConf
from parts import CONF

from vae_cli.advice import verdict
from vae_cli.errors import ConfigError
from vae_cli.evaluation.clustering import clustering
from vae_cli.evaluation.codes import canonical_order, encoded
from vae_cli.evaluation.disentanglement import Settings as DisentanglementSettings
from vae_cli.evaluation.disentanglement import disentanglement
from vae_cli.evaluation.labelled import labelled
from vae_cli.evaluation.latents import Settings as LatentsSettings
from vae_cli.evaluation.latents import latents
from vae_cli.evaluation.likelihood import likelihood
from vae_cli.evaluation.probes import Settings as ProbesSettings
from vae_cli.evaluation.probes import probes
from vae_cli.evaluation.report import NotApplicable
from vae_cli.evaluation.subject import Subject
from vae_cli.loading import load_run

SETTINGS = OmegaConf.load(CONF / "eval.yaml")
QUICK = {"fitted_points": 200, "judged_points": 100}


def settings(group, **changes):
    return OmegaConf.merge(SETTINGS[group], QUICK if group == "disentanglement" else {}, changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of every kind that the groups tell apart, trained when first asked for."""
    known = {}

    def run(*overrides):
        if overrides not in known:
            path = tmp_path_factory.mktemp("run")
            small = ["architecture.width=16", "latent_dim=3", "trainer.max_steps=20", "trainer.accelerator=cpu"]
            trained([*overrides, *small], path)
            known[overrides] = load_run(path)
        return known[overrides]

    return run


SPRITES = (
    "dataset=shapes",
    "dataset.size=16",
    "dataset.scales=2",
    "dataset.orientations=3",
    "dataset.positions=4",
    "dataset.test=0.4",
)


def named(report):
    return {finding.name: finding for finding in report.findings}


def test_latents_of_digits(runs):
    subject = Subject(runs("dataset=digits"))
    found = named(latents(subject, settings("latents")))
    value = {name: finding.value for name, finding in found.items()}
    assert value["kl"] == pytest.approx(value["mutual_information"] + value["aggregate_kl"])
    assert value["aggregate_kl"] == pytest.approx(value["total_correlation"] + value["dimension_wise_kl"])
    assert 0 < value["mutual_information"] < np.log(180)
    z = subject.codes.latents["z"]
    assert value["kl"] == pytest.approx(float(z.kl.sum()), abs=5 * found["kl"].error)
    ratio = z.q.log_prob(z.draws) - z.p.log_prob(z.draws)
    assert value["kl"] == pytest.approx(float(ratio.mean()), rel=1e-5)
    assert found["kl"].error == pytest.approx(float(ratio.std()) / np.sqrt(180), rel=1e-5)


def test_latents_of_a_full_covariance(runs):
    found = named(latents(Subject(runs("dataset=digits", "posterior=cholesky")), settings("latents", draws=50)))
    assert found["total_correlation"].value + found["dimension_wise_kl"].value == pytest.approx(
        found["aggregate_kl"].value
    )
    assert found["mutual_information"].note == "50 draws, mixture of 180; at most 5.19"


@pytest.mark.parametrize("words", [("posterior=low_rank",), ("model=hyperspherical_vae",), ("prior=mixture",)])
def test_mutual_information_of_every_density_that_can_be_joined(runs, words):
    subject = Subject(runs("dataset=digits", *words))
    value = {name: finding.value for name, finding in named(latents(subject, settings("latents"))).items()}
    assert value["kl"] == pytest.approx(value["mutual_information"] + value["aggregate_kl"])
    z = subject.codes.latents["z"]
    ratio = z.q.log_prob(z.draws) - z.p.log_prob(z.draws)
    assert value["kl"] == pytest.approx(float(ratio.mean()), rel=1e-4)
    assert ("total_correlation" in value) == (words == ("posterior=low_rank",))


def test_a_flow_has_no_mutual_information(runs):
    report = latents(Subject(runs("dataset=digits", "posterior=iaf")), settings("latents"))
    assert [finding.name for finding in report.findings] == ["active_units"]
    assert report.remarks[1] == "z: no mutual information, as q is a flow, or depends on more than x"


def test_a_prior_that_depends_on_the_condition_has_no_mutual_information(runs):
    report = latents(Subject(runs("dataset=digits", "model=cvae", "prior=conditional")), settings("latents"))
    assert [finding.name for finding in report.findings] == ["active_units"]
    assert "p depends on the condition" in report.remarks[1]
    assert len(report.details["z"]["kl_per_dimension"]) == 3


def test_an_autoencoder_is_clustered_and_has_no_latent_figures(runs):
    subject = Subject(runs("dataset=digits", "model=ae"))
    with pytest.raises(NotApplicable, match="an autoencoder has no prior"):
        latents(subject, settings("latents"))
    assert set(named(clustering(subject, settings("clustering")))) == {"cluster_accuracy", "nmi", "ari"}


def test_data_without_labels_or_factors_is_skipped_by_name(runs):
    with pytest.raises(NotApplicable, match="the data has no known factors"):
        disentanglement(Subject(runs("dataset=digits")), settings("disentanglement"))
    subject = Subject(runs(*SPRITES))
    for group in (clustering, probes):
        with pytest.raises(NotApplicable, match="the data has no labels"):
            group(subject, settings(group.__name__))


def test_factors_that_are_excluded_or_constant_are_named(runs):
    subject = Subject(runs(*SPRITES))
    all_of_them = disentanglement(subject, settings("disentanglement"))
    assert all_of_them.remarks[0] == "factors: shape, scale, orientation, x, y"
    without = disentanglement(subject, settings("disentanglement", exclude=["shape", "x"]))
    assert without.remarks[:2] == ["factors: scale, orientation, y", "excluded: shape, x"]
    assert named(without)["mig"].value != named(all_of_them)["mig"].value
    codes = subject.codes
    one_scale = replace(codes, factors=codes.factors * np.array([1, 0, 1, 1, 1]))
    object.__setattr__(subject, "codes", one_scale)
    report = disentanglement(subject, settings("disentanglement"))
    assert report.remarks[:2] == [
        "factors: shape, orientation, x, y",
        "left out, as fewer than two of their values occur twice: scale",
    ]
    assert all(np.isfinite(finding.value) for finding in report.findings)
    with pytest.raises(
        NotApplicable, match="not enough factors with 10 examples a value, two of which occur twice: needs 2, has 1"
    ):
        disentanglement(subject, settings("disentanglement", exclude=["shape", "x", "y"]))


def test_dead_dimensions_change_no_score(runs):
    subject = Subject(runs(*SPRITES))
    codes = subject.codes
    means = torch.from_numpy(codes.factors[:, :3] + np.random.default_rng(0).normal(size=(len(codes.factors), 3)))
    dead = torch.cat([means, 0.01 * torch.randn(len(means), 2)], 1)
    reports = []
    for values in (means, dead):
        latent = replace(codes.latents["z"], means=values)
        object.__setattr__(subject, "codes", replace(codes, latents={"z": latent}))
        reports.append(disentanglement(subject, settings("disentanglement")))
    assert reports[0].findings == reports[1].findings
    assert reports[1].remarks[1:] == ["3 of 5 dimensions depend on x; the others are not counted"]
    still = replace(codes.latents["z"], means=0.01 * torch.randn(len(means), 2))
    object.__setattr__(subject, "codes", replace(codes, latents={"z": still}))
    with pytest.raises(NotApplicable, match="no dimension of the codes depends on x"):
        disentanglement(subject, settings("disentanglement"))


def replaced(subject, **changes):
    """The codes of a subject with other values of its latent variable; they stay the subject's."""
    codes = subject.codes
    values = {name: torch.from_numpy(array).float() for name, array in changes.items()}
    object.__setattr__(subject, "codes", replace(codes, latents={"z": replace(codes.latents["z"], **values)}))
    return subject


def test_means_or_samples_of_some_examples(runs):
    """Means that are the factors, samples that are noise: examples, codes and factors stay together."""
    factors = Subject(runs(*SPRITES)).codes.factors
    noise = np.random.default_rng(0).normal(size=factors.shape)
    subject = replaced(Subject(runs(*SPRITES)), means=1.0 * factors, draws=noise)
    mean, sample = (
        named(disentanglement(subject, settings("disentanglement", codes=codes, examples=80)))
        for codes in ("mean", "sample")
    )
    assert mean["dci_disentanglement"].value > 0.9
    assert sample["dci_disentanglement"].value < 0.3
    assert (mean["mig"].note, sample["mig"].note) == ("means, 20 bins", "samples, 20 bins")


def test_hidden_labels_are_not_judged(runs):
    codes = Subject(runs("dataset=digits")).codes
    hidden = replace(codes, labels=np.where(np.arange(180) % 3 == 0, -1, codes.labels))
    found = labelled(hidden)
    assert len(found.labels) == 120
    assert np.array_equal(found.codes, codes.means[np.arange(180) % 3 > 0])
    assert np.array_equal(found.labels, codes.labels[np.arange(180) % 3 > 0])


def test_several_latent_variables_are_told_by_name_and_stand_side_by_side(runs):
    subject = Subject(runs("dataset=digits"))
    z = subject.codes.latents["z"]
    object.__setattr__(subject, "codes", replace(subject.codes, latents={"z1": z, "z2": replace(z, p=None)}))
    report = latents(subject, settings("latents"))
    assert {"active_units/z1", "mutual_information/z1", "active_units/z2"} <= set(named(report))
    assert "mutual_information/z2" not in named(report)
    assert any(remark.startswith("z2: no mutual information, as p depends") for remark in report.remarks)
    assert subject.codes.means.shape == (180, 6)


def test_probes_say_what_few_labels_give(runs):
    report = probes(Subject(runs("dataset=digits")), settings("probes", labels=[5, 10, 100, 5000]))
    found = named(report)
    assert list(found) == ["linear_probe", "nearest_neighbours", "linear_probe_10", "linear_probe_100"]
    assert report.remarks == ["no probe with 5, 5000 labels: 10 classes and 1437 training examples are there"]
    assert found["linear_probe"].note == "1437 labels, means"
    assert 0.1 < found["linear_probe_10"].value < found["linear_probe"].value


# ---- a verdict needs examples ----------------------------------------------------------------------------------------


def small_subject(runs, small_npz, examples=None):
    """75 images in 3 classes, with 2 factors."""
    data = ("dataset=arrays", f"dataset.path={small_npz}", "dataset.val=0.15", "dataset.test=0.15")
    return Subject(runs(*data), examples=examples)


def with_codes(subject, **changes):
    object.__setattr__(subject, "codes", replace(subject.codes, **changes))
    return subject


def collapsed(subject):
    latent = subject.codes.latents["z"]
    return with_codes(subject, latents={"z": replace(latent, means=torch.zeros_like(latent.means))})


def of_one_class(subject):
    return with_codes(subject, labels=np.ones_like(subject.codes.labels))


def of_one_value(subject):
    return with_codes(subject, factors=subject.codes.factors * np.array([1, 0]))


NOT_ENOUGH = r"not enough [^:]+: needs \d+, has \d+"
KINDS = {
    **{f"{num} examples": (num, lambda subject: subject) for num in (1, 2, 3, 11)},
    "one class": (None, of_one_class),
    "one value of a factor": (None, of_one_value),
    "collapsed": (None, collapsed),
}
FEW = ("1 examples", "2 examples", "3 examples")
FINDS_NOTHING = {  # group -> of what it finds no figure at all
    likelihood: (),
    latents: FEW,
    disentanglement: (*KINDS,),
    clustering: (*FEW, "one class"),
    probes: (*FEW, "one class"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", FINDS_NOTHING, ids=lambda group: group.__name__)
def test_a_figure_is_finite_or_named_as_not_applicable(runs, small_npz, group, kind):
    """Nothing warns, nothing is 0/0, and what would be a matter of course is no finding."""
    examples, change = KINDS[kind]
    subject = change(small_subject(runs, small_npz, examples))
    chosen = settings(group.__name__)
    if group is likelihood:
        chosen = OmegaConf.merge(chosen, {"samples": 2, "ais": {"chains": 1, "steps": 2}, "gaps": {"steps": 2}})
    if kind in FINDS_NOTHING[group]:
        with pytest.raises(NotApplicable, match=NOT_ENOUGH):
            group(subject, chosen)
        return
    for finding in group(subject, chosen).findings:
        assert np.isfinite(finding.value)
        assert finding.error is None or (np.isfinite(finding.error) and finding.error >= 0)
        assert (finding.error is None) == (group is clustering or finding.unit == "dimensions" or examples == 1)


def test_scores_that_need_a_second_dimension_or_more_examples_say_so(runs):
    subject = Subject(runs(*SPRITES))
    one = torch.from_numpy(1.0 * subject.codes.factors[:, :1])
    with_codes(subject, latents={"z": replace(subject.codes.latents["z"], means=one)})
    report = disentanglement(subject, settings("disentanglement"))
    assert not {"mig", "sap", "dci_completeness", "factor_vae_score"} & set(named(report))
    assert "sap: not enough dimensions: needs 2, has 1" in report.remarks
    coarse = disentanglement(Subject(runs(*SPRITES)), settings("disentanglement", bins=200))
    assert not {"mig", "modularity"} & set(named(coarse))
    entropy, values = np.log(4), 4  # of x and y, nearly
    assert (needed := round(199 * (values - 1) / entropy, -1)) == 430
    (told,) = [remark for remark in coarse.remarks if remark.startswith("modularity: not enough examples for 200 bins")]
    assert int(told.split()[-3].strip(",")) == pytest.approx(needed, rel=0.05)


def test_probes_need_a_training_example_of_each_class_and_as_many_as_neighbours(runs, small_npz):
    subject = small_subject(runs, small_npz)
    with pytest.raises(NotApplicable, match="not enough training examples of 3 classes: needs 3, has 2"):
        probes(subject, settings("probes", examples=2))
    report = probes(subject, settings("probes", neighbours=54))
    assert "nearest_neighbours" not in named(report)
    assert report.remarks[0] == "nearest_neighbours: not enough training examples: needs 54, has 53"


def test_an_accuracy_of_one_has_an_error(runs, small_npz):
    """Agresti & Coull (1998): two successes and two failures more."""
    subject = small_subject(runs, small_npz)
    sure = torch.eye(3)[subject.codes.labels]
    object.__setattr__(subject, "training_codes", lambda most: subject.codes)
    with_codes(subject, latents={"z": replace(subject.codes.latents["z"], means=sure)})
    found = named(probes(subject, settings("probes", neighbours=1)))["nearest_neighbours"]
    assert found.value == 1
    assert found.error == pytest.approx(np.sqrt(13 / 15 * 2 / 15 / 15))


@pytest.mark.parametrize(
    ("group", "kind"),
    [("latents", LatentsSettings), ("disentanglement", DisentanglementSettings), ("probes", ProbesSettings)],
)
def test_the_config_lists_exactly_the_settings_of_a_group(group, kind):
    assert set(SETTINGS[group]) == {field.name for field in fields(kind)}


GROUPS = [(latents, "dataset=digits"), (clustering, "dataset=digits"), (probes, "dataset=digits")]


@pytest.mark.parametrize(("group", "data"), [*GROUPS, (disentanglement, SPRITES)], ids=lambda one: str(one)[:20])
def test_twice_gives_the_same_and_another_seed_does_not(runs, group, data):
    run = runs(*data) if isinstance(data, tuple) else runs(data)
    found = [group(Subject(run, seed=seed), settings(group.__name__)).findings for seed in (0, 0, 1)]
    assert found[0] == found[1]
    if group is not clustering:  # the best of ten starts is often the same
        assert found[0] != found[2]


@pytest.mark.parametrize(
    ("group", "changes", "said"),
    [
        ("latents", {"draws": 1}, "latents.draws=1: 2 or more"),
        ("latents", {"draws": "many"}, "latents.draws=many: a whole number is needed"),
        ("disentanglement", {"codes": "median"}, "disentanglement.codes=median: mean or sample"),
        ("disentanglement", {"bins": 1}, "disentanglement.bins=1: 2 or more"),
        ("disentanglement", {"exclude": "shape"}, r"disentanglement.exclude=shape: a list of factors, \[shape\]"),
        (
            "disentanglement",
            {"exclude": ["form"]},
            r"exclude=\[form\]: the factors are shape, scale, orie",
        ),
        ("disentanglement", {"fitted_points": 99}, "disentanglement.fitted_points=99: 100 or more"),
        ("probes", {"labels": [10, 0]}, "probes.labels=0: 1 or more"),
        ("probes", {"labels": 10}, "probes.labels=10: a list of whole numbers"),
        ("probes", {"repeats": 1}, "probes.repeats=1: 2 or more"),
    ],
)
def test_settings_are_checked(runs, group, changes, said):
    function = {"latents": latents, "disentanglement": disentanglement, "probes": probes}[group]
    node = OmegaConf.merge(OmegaConf.create({**settings(group)}), {})
    for key, value in changes.items():
        node[key] = value
    with pytest.raises(ConfigError, match=said):
        function(Subject(runs(*SPRITES)), node)


def test_a_group_is_no_single_value(runs):
    with pytest.raises(ConfigError, match="latents=5: this is no single value"):
        latents(Subject(runs(*SPRITES)), 5)


@pytest.mark.parametrize("posterior", ["diagonal", "cholesky"])
def test_codes_depend_neither_on_batches_nor_on_the_order_of_the_data(runs, posterior):
    run = runs("dataset=digits", f"posterior={posterior}")
    (batch,) = Subject(run).batches(180)
    shuffled = torch.randperm(180, generator=torch.Generator().manual_seed(1))
    batches = [batch._replace(x=batch.x[rows], y=batch.y[rows]) for rows in shuffled.split(7)]
    whole, parts = encoded(run.model, [batch], 0), encoded(run.model, batches, 0)
    other = encoded(run.model, [batch], 1)
    for name in ("means", "draws"):
        assert getattr(whole, name) == pytest.approx(getattr(parts, name), abs=1e-5)
    assert np.array_equal(whole.labels, parts.labels)
    assert np.array_equal(whole.means, other.means)
    assert (whole.draws != other.draws).all()


def test_the_order_of_examples_is_forgotten():
    factors, means = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0], [0, 0]]), torch.tensor([0.3, 0.1, 0.2, 0.5, -0.5])
    order = canonical_order([means, factors])
    assert order.tolist() == [4, 3, 0, 1, 2]
    shuffled = torch.randperm(5)
    assert torch.equal(means[shuffled][canonical_order([means[shuffled], factors[shuffled]])], means[order])


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (20, "no collapse: all 20 dimensions of z are active"),
        (7, "partly collapsed: 7 of the 20 dimensions of z are active; the others hardly depend on x"),
        (1, "posterior collapse: 1 of the 20 dimensions of z is active, so the decoder hardly uses z"),
        (0, "posterior collapse: none of the 20 dimensions of z is active, so the decoder hardly uses z"),
    ],
)
def test_a_verdict_in_words(units, said):
    assert verdict("z", units, 20) == said
