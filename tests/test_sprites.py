"""Each factor of the drawn sprites moves what it says, and nothing else."""

import itertools

import pytest
import torch
from parts import leaf

from vae_cli.data.sprites import shapes
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor

SMALL = {"size": 32, "scales": 3, "orientations": 5, "positions": 4, "val": 0.1, "test": 0.1}
COUNTS = (3, 3, 5, 4, 4)  # shape, scale, orientation, x, y


def everything(source):
    splits = (source.train, source.val, source.test)
    return torch.cat([split.x for split in splits]), torch.cat([split.factors for split in splits])


@pytest.fixture(scope="module")
def sprites():
    """All pictures by their factors, [3, 3, 5, 4, 4, 32, 32], put together again from the splits."""
    found = shapes(**SMALL)
    x, factors = everything(found)
    pictures = torch.full((*COUNTS, 32, 32), 2, dtype=torch.uint8)
    pictures[factors.unbind(1)] = x[:, 0]
    return pictures


def centre(pictures):
    """Mean column and mean row of the ones, [..., 2]."""
    places = torch.arange(pictures.shape[-1], dtype=torch.float64)
    columns, rows = pictures.double().sum(-2), pictures.double().sum(-1)
    return torch.stack([(columns * places).sum(-1), (rows * places).sum(-1)], -1) / rows.sum(-1, keepdim=True)


def test_every_combination_once():
    found = shapes(**SMALL)
    assert found.support == Binary()
    names = ("shape", "scale", "orientation", "x", "y")
    assert found.factors == tuple(Factor(name, count) for name, count in zip(names, COUNTS, strict=True))
    rows = everything(found)[1].tolist()
    assert sorted(map(tuple, rows)) == list(itertools.product(*map(range, COUNTS)))
    assert [len(split) for split in (found.train, found.val, found.test)] == [576, 72, 72]


def test_every_picture_is_distinct(sprites):
    assert set(sprites.unique().tolist()) == {0, 1}
    assert len(sprites.flatten(0, 4).unique(dim=0)) == 720


def test_x_and_y_move_the_sprite_as_it_is(sprites):
    """By whole pixels, to the right and downwards: the area stays."""
    step = 5  # 16 places for the middle of a sprite, 4 positions
    for axis, move in ((3, [step, 0.0]), (4, [0.0, step])):
        found = centre(sprites).diff(dim=axis)
        assert torch.allclose(found, torch.tensor(move, dtype=torch.float64).expand_as(found))
    assert torch.equal(sprites[..., :3, 0, :, :].roll(step, -1), sprites[..., 1:, 0, :, :])
    assert torch.equal(sprites[..., 0, :3, :, :].roll(step, -2), sprites[..., 0, 1:, :, :])


def test_positions_are_centred(sprites):
    squares = sprites[0, 2].double().sum((0, 1, 2))  # of the largest scale
    assert (abs(centre(squares) - 15.5) <= 0.6).all()


def test_scale_moves_the_area_by_its_square():
    """On average over orientations, for an upright outline may take a row of pixels more or less."""
    x, factors = everything(shapes(**{**SMALL, "size": 128, "positions": 1}))
    radius = 32
    areas = {"square": 2, "ellipse": torch.pi / 2}
    for shape, area in enumerate(areas.values()):
        for scale, factor in enumerate((0.5, 0.75, 1.0)):
            found = x[(factors[:, 0] == shape) & (factors[:, 1] == scale)].sum((1, 2, 3)).double().mean()
            assert abs(found / (area * (factor * radius) ** 2) - 1) < 0.02


def test_orientation_turns_counterclockwise():
    """Four orientations: a quarter of a turn each, which numpy's rot90 gives as well."""
    found = shapes(**{**SMALL, "orientations": 4, "positions": 1, "size": 33})
    x, factors = everything(found)
    pictures = torch.empty(3, 3, 4, 33, 33, dtype=torch.uint8)
    pictures[factors[:, :3].unbind(1)] = x[:, 0]
    assert torch.equal(pictures[:, :, 1], pictures[:, :, 0].rot90(1, (-2, -1)))
    assert torch.equal(pictures[0, :, 1], pictures[0, :, 0]), "a square repeats after a quarter of a turn"
    assert torch.equal(pictures[1, :, 2], pictures[1, :, 0]), "an ellipse after a half"
    assert not torch.equal(pictures[2, :, 2], pictures[2, :, 0])


def test_equal_pictures_stay_in_one_split():
    """At 28 pixels many turns look alike."""
    found = shapes(size=28, scales=4, orientations=15, positions=6, val=0.1, test=0.1)
    splits = [{row.numpy().tobytes() for row in part.x} for part in (found.train, found.val, found.test)]
    assert (
        sum(map(len, splits))
        == len(set().union(*splits))
        < sum(len(part.x) for part in (found.train, found.val, found.test))
    )


def test_the_default_size():
    config = leaf("dataset", "shapes")
    found = shapes(**{key: config[key] for key in SMALL})
    assert sum(map(len, (found.train, found.val, found.test))) == 3 * 4 * 15 * 11 * 11 == 21_780
    assert found.train.x.shape[1:] == (1, 64, 64)
    x = everything(found)[0]
    border = torch.cat([x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]])
    assert border.sum() == 0, "sprites stay inside"


@pytest.mark.parametrize(
    "change", [{"scales": 0}, {"orientations": -1}, {"positions": 0}, {"positions": 17}, {"size": 15}, {"val": 0.0}]
)
def test_counts_out_of_range_are_named(change):
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=f"dataset.{name}={value:g}"):
        shapes(**{**SMALL, **change})
