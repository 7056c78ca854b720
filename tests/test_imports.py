"""Imports point one way only, and commands start without torch."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vae_cli"
LAYERS = [
    {"telling", "older", "nodes"},
    {
        "errors",
        "older",
        "nodes",
        "consoles",
        "files",
        "forms",
        "names",
        "leaves",
        "allocator",
        "canvas",
        "schema",
        "progress",
    },
    {"stored"},
    {"types", "making", "records", "classes"},
    {"shapes", "schedules", "noise", "distributions"},
    {"networks"},
    {"heads"},
    {"priors"},
    {"structures"},
    {"objectives"},
    {"conditions"},
    {"data"},
    {"monitors", "advice", "inference", "metrics"},
    {"experiment", "precision", "compilation", "accelerator"},
    {"threads"},
    {"callbacks", "loop"},
    {"build", "runs"},
    {"loading"},
    {"reuse"},
    {"training", "sweeps", "evaluation", "encoding", "exporting"},
    {"sampling"},
    {"listing"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own == "__init__":
        return
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module != "vae_cli" else [f"vae_cli.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        imported |= {name.split(".")[1] for name in names if name and name.startswith("vae_cli.")}
    for name in imported - {"__version__"}:
        assert name == own or RANK[name] < RANK[own], f"{own} may not import {name}"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", ["--help"]),
        ("train", ["--cfg", "job"]),
        ("train", ["-sc", "query=bash"]),
        ("train", ["seed=abc"]),
        ("train", ["bta=4"]),
        ("train", ["model=betavae"]),
        ("train", ["trainer.max_epochs=0"]),
        ("eval", ["--help"]),
        ("eval", ["run=nowhere"]),
        ("eval", ["run=.", "metrics=[mig]"]),
        ("sample", ["--help"]),
        ("sample", ["run=.", "what=picture"]),
        ("encode", ["--help"]),
        ("encode", ["run=nowhere"]),
        ("encode", ["run=.", "out=codes.csv"]),
        ("encode", ["run=.", "dataset=digits", "dataset.path=x"]),
        ("export", ["--help"]),
        ("export", ["run=nowhere"]),
        ("export", ["run=.", "out=nowhere/export"]),
    ],
)
def test_torch_is_not_imported_before_a_config_is_good(command, arguments, tmp_path):
    code = f"""
import sys
sys.argv = ["vae-{command}", *{arguments}]
from vae_cli.cli.{command} import main
try:
    main()
finally:
    heavy = [name for name in ("torch", "pytorch_lightning", "numpy", "sklearn") if name in sys.modules]
    print("heavy:", heavy)
"""
    line = {"COMP_LINE": "vae-train model=beta", "COMP_POINT": "20"}  # what a shell says when TAB is pressed
    environment = {**os.environ, **line} if "-sc" in arguments else None
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "-sc" not in arguments or "model=beta_vae" in done.stdout
    assert "heavy: []" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["."], ["nowhere"], [".", "over=seed", "where=model=vae"]])
def test_a_table_of_runs_needs_neither_torch_nor_matplotlib(words, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(
        "seed: 0\nrecorded: {format: 4, version: '0', choices: {model: vae}, overrides: []}"
    )
    (tmp_path / "run" / "status.json").write_text('{"state": "interrupted"}')
    code = f"""
import sys
sys.argv = ["vae-runs", *{words}]
from vae_cli.cli.runs import main
try:
    main()
finally:
    names = ("torch", "pytorch_lightning", "numpy", "matplotlib")
    print("heavy:", [name for name in names if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "heavy: []" in done.stdout
    assert done.returncode == (words == ["nowhere"]), done.stderr
