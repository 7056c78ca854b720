"""What a sweep tells where there is no terminal."""

import io
import sys

from vae_cli.cli import sweep_display
from vae_cli.sweeps.folder import Job, SweepFolder


def test_a_job_that_fails_is_named_as_it_does_and_how_far_it_is_now_and_then(tmp_path, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sweep_display, "_TOLD", -1.0)
    folder, jobs = SweepFolder(tmp_path), [Job("a_00000000", ["beta=1"], {}), Job("b_00000000", ["beta=2"], {})]
    with sweep_display.Display(folder, jobs, jobs) as display:
        (tmp_path / jobs[0].name).mkdir()
        folder.run(jobs[0]).write_status("failed", 3, "it broke")
        display._look()
        lines = err.getvalue().splitlines()
        assert "failed: a_00000000: it broke" in lines
        assert "sweep: 1 failed, 1 waiting" in lines
    assert err.getvalue().count("it broke") == 1
