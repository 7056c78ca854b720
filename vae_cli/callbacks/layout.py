"""TensorBoard's CUSTOM SCALARS tab: what belongs together on one chart.

TensorBoard merges the layouts of all runs below its folder chart by chart, so charts of one title have the same tags in
every run. A tag is a regular expression that only has to match from the start: all are closed with `$`.
"""

from torch.utils.tensorboard import SummaryWriter

from vae_cli.types import Objective

Charts = dict[str, list[str]]  # title -> tags


def add_layout(writer: SummaryWriter, objective: Objective) -> None:
    """The charts of what this objective logs."""
    content = {
        category: {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        for category, charts in layout(objective).items()
    }
    writer.add_custom_scalars(content)


def layout(objective: Objective) -> dict[str, Charts]:
    """Category -> its charts. Without a bound there are no KL and no units to count."""
    both: Charts = {name: [f"train/{name}", f"val/{name}"] for name in ("reconstruction", "loss")}
    schedules: Charts = {"learning rate": ["train/lr"], **{name: [f"train/{name}"] for name in objective.schedules}}
    if not objective.bounds:
        return {"fit": both, "schedules": schedules}
    parts = ("elbo", "reconstruction", "kl")
    bound: Charts = {
        f"ELBO = reconstruction - KL, {title}": [f"{split}/{name}" for name in parts]
        for title, split in (("training", "train"), ("validation", "val"))
    }
    bound["bounds on ln p(x)"] = ["train/elbo", "val/elbo", r"(train/bound|val/bound|val/iwae_\d+)"]
    latents: Charts = {"KL by latent variable, validation": ["val/kl/.+"], "active units": ["val/active_units"]}
    return {"fit": {**bound, **both}, "latents": latents, "schedules": schedules}
