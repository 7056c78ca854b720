"""TensorBoard's CUSTOM SCALARS tab: what belongs together on one chart, on a scale of its own.

TensorBoard merges the layouts of all runs below its folder chart by chart, so charts of one title have the same tags in
every run. A tag is a regular expression that only has to match from the start: all are closed with `$`.
"""

from torch.utils.tensorboard import SummaryWriter

from vae_cli.types import Model, Objective

Charts = dict[str, list[str]]  # title -> tags


def add_layout(writer: SummaryWriter, model: Model, objective: Objective) -> None:
    """The charts of what this objective logs of this model."""
    content = {
        category: {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        for category, charts in layout(model, objective).items()
    }
    writer.add_custom_scalars(content)


def layout(model: Model, objective: Objective) -> dict[str, Charts]:
    """Category -> its charts. Without a bound there is no ELBO; without latent variables the ELBO is ln p(x) itself.

    Reconstructions are of thousands of nats where a KL is of tens, so they share no chart.
    """
    fit = _of_both("loss", "reconstruction")
    schedules: Charts = {"learning rate": ["train/lr"], **{name: [f"train/{name}"] for name in objective.schedules}}
    if not objective.bounds:
        return {"fit": fit, "schedules": schedules}
    bounds: Charts = {"bounds on ln p(x)": ["train/elbo", "val/elbo", r"(train/bound|val/bound|val/iwae_\d+)"]}
    if not model.latents:
        return {"fit": {**fit, **bounds}, "schedules": schedules}
    sides: Charts = {
        f"ELBO and reconstruction, {title}": [f"{split}/elbo", f"{split}/reconstruction"]
        for title, split in (("training", "train"), ("validation", "val"))
    }
    latents: Charts = {
        "KL": ["train/kl", "val/kl"],
        "KL by latent variable, validation": ["val/kl/.+"],
        "active units": ["val/active_units"],
    }
    return {"fit": {**fit, **bounds, **sides}, "latents": latents, "schedules": schedules}


def _of_both(*names: str) -> Charts:
    return {name: [f"train/{name}", f"val/{name}"] for name in names}
