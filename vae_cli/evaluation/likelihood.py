"""How probable the model finds the examples."""

from omegaconf import DictConfig

from vae_cli.evaluation.report import Finding, NotApplicable, Report
from vae_cli.evaluation.subject import Subject
from vae_cli.noise import stream
from vae_cli.objectives.bounds import elbo_terms


def likelihood(subject: Subject, _settings: DictConfig) -> Report:
    """The ELBO and its parts."""
    if not subject.bounds:
        raise NotApplicable("an autoencoder has no prior, so no bound on ln p(x)")
    batch = subject.some(subject.num_examples)
    with stream(subject.device, subject.seed, "likelihood"):
        terms = elbo_terms(subject.model(batch))
    return Report([Finding(name, float(terms[name]), "nats") for name in ("elbo", "reconstruction", "kl")])
