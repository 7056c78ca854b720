"""What others wrote is never an order: to a terminal, a spreadsheet, a viewer of Markdown, pictures or points."""

import ast
import csv
import io
import json
import re
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from rich.progress import Progress
from test_runs_table import command  # noqa: F401 (a fixture)

from vae_cli.callbacks.projector import write_projector
from vae_cli.callbacks.session import start_session
from vae_cli.callbacks.tensorboard import writer_in
from vae_cli.canvas import as_written, blank, own_style
from vae_cli.cli.errors import print_error
from vae_cli.cli.sweep_display import line
from vae_cli.consoles import Words, console
from vae_cli.errors import ConfigError
from vae_cli.listing.summary import write_summary
from vae_cli.listing.where import matches
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import Job, SweepFolder
from vae_cli.sweeps.results import Result
from vae_cli.sweeps.table import csv_lines, markdown_rows
from vae_cli.telling import clean, say, warn

PACKAGE = Path(__file__).parent.parent / "vae_cli"
HOSTILE = "=a\x1b[31m\n\tb\x07\x9b2J\u202e\u2066\u2028$\\x$[red]c[/red]|<b>](x)é中\ud800"
ORDERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")


def hostile_run(path: Path) -> RunDirectory:
    """Every string that a run stores."""
    run, word = RunDirectory(path), HOSTILE.replace("\ud800", "")
    path.mkdir(parents=True)
    config = DictConfig({"beta": 1.0, "name": word, "optimizer": {word: word}, "trainer": {"max_epochs": 1}})
    run.write_config(config, {"choices": {"model": word, word: word}, "overrides": [word]})
    finding = {"name": word, "value": 1.0, "unit": word}
    evaluation = {word: {"findings": [finding]}}
    run.write_metrics(
        {"weights": word, "steps": 1, "epochs": 1, "test": {f"test/{word}": 1.0}, "evaluation": evaluation}
    )
    now = "2026-11-29T00:00:00+00:00"
    status = {"state": "finished", "reason": word, "step": 1, "started": now, "updated": now}
    (path / "status.json").write_text(json.dumps(status))
    return run


@pytest.mark.parametrize("words", [[], ["format=csv"], ["format=markdown"], ["over=beta"], ["metrics=*", "columns=*"]])
def test_a_listing_gives_no_orders(tmp_path, command, words):  # noqa: F811
    for name in ("a", "b\x1b[2J"):
        hostile_run(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "status.json").write_text(json.dumps({"state": HOSTILE}))
    _, out, err = command(tmp_path, *words)
    assert out
    assert not ORDERS.search(out + err)
    assert "é中" in out or words in ([], ["over=beta"])


def test_an_error_is_one_line_without_orders(capsys):
    print_error(ConfigError(f"{HOSTILE}: no"), "train")
    warn(HOSTILE)
    say(HOSTILE)
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), len(err.splitlines())) == (1, 2)
    assert not ORDERS.search(out + err)


def test_letters_stay_and_the_rest_is_seen():
    assert clean("é中 ½ λ=1e-3 [a] \\") == "é中 ½ λ=1e-3 [a] \\"
    assert clean("a\x1b\n\u202e\ud800") == r"a\x1b\n\u202e\ud800"


def test_a_spreadsheet_computes_nothing():
    rows = [{"=key": word, "figure": -1.5} for word in ("=cmd|' /C calc'!A0", "@x", "+x", "-x", "-1e-3", "a,b\n=c")]
    found = list(csv.reader(io.StringIO("\n".join(csv_lines(rows)))))
    assert found[0] == ["'=key", "figure"]
    assert [row[0] for row in found[1:]] == ["'=cmd|' /C calc'!A0", "'@x", "'+x", "'-x", "-1e-3", "a,b\\n=c"]
    assert {row[1] for row in found[1:]} == {"-1.5"}


def test_a_markdown_cell_is_one_cell():
    for row in markdown_rows([{HOSTILE: HOSTILE, "other": 1}]):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3
        assert not ORDERS.search(row)
        assert "<b>" not in row
        assert "](" not in row


def test_the_summary_of_a_sweep(tmp_path):
    sweep, word = SweepFolder(tmp_path / "sweep"), HOSTILE.replace("\ud800", "")
    sweep.ask_for([Job("a", [word], {word: word})], word)
    hostile_run(sweep.path / "a")
    write_summary(sweep)
    for name in ("jobs.csv", "summary.csv", "summary.md"):
        assert not ORDERS.search((sweep.path / name).read_text()), name
    assert len((sweep.path / "jobs.csv").read_text().splitlines()) == 2
    with console(io.StringIO()) as terminal, Progress(Words("{task.description}"), console=terminal) as progress:
        progress.add_task(line(Result(Job(word, []), "failed", word, 0, None, {})))
    assert isinstance(terminal.file, io.StringIO)
    assert "[red]" in terminal.file.getvalue()
    assert not ORDERS.search(terminal.file.getvalue())


def test_the_projector_has_a_row_an_example(tmp_path):
    word = HOSTILE.replace("\ud800", "")
    write_projector(tmp_path, "z", torch.zeros(3, 2), {word: [1, 2, 3], "row": [0, 1, 2]}, None)
    rows = (tmp_path / "projector" / "metadata.tsv").read_text().split("\n")
    assert [len(row.split("\t")) for row in rows] == [2, 2, 2, 2, 1]
    assert not ORDERS.search("".join(rows).replace("\t", ""))


def test_a_title_is_no_formula():
    with own_style():
        figure, axes = blank((2, 2), r"$\frac{$ $x$")
        axes.set_xlabel(as_written(HOSTILE.replace("\ud800", "").replace("中", "")))
        figure.canvas.draw()
    assert not ORDERS.search(axes.get_xlabel())


def test_the_text_of_a_config_is_one_block(tmp_path):
    writer = writer_in(tmp_path, suffix=".test")
    start_session(writer, {"a\x1b": "b\x1b"}, "name: |\n  ```\n  # no heading\n  \x1b\n")
    writer.close()
    (events,) = tmp_path.glob("events.*")
    content = events.read_bytes()
    assert b"````yaml\nname: |\n  ```\n" in content
    assert b"\x1b" not in content.partition(b"````yaml")[2].partition(b"````")[0]


def test_a_pattern_takes_no_longer_than_its_words():
    assert not matches("*a" * 40 + "*b", "a" * 100_000)
    for pattern, words, holds in [
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("*b*b*", "abb", True),
        ("*b*b*", "abc", False),
        ("a*b*c", "abxbc", True),
        ("abc", "abc", True),
        ("ab", "abc", False),
        ("*", "", True),
        ("a.c", "abc", False),
        ("[ab]*", "[ab]c", True),
    ]:
        assert matches(pattern, words) is holds, (pattern, words)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_place_prints(path):
    allowed = {"telling.py": {"print"}, "consoles.py": {"Console"}}.get(str(path.relative_to(PACKAGE)), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id in allowed or node.func.id not in ("print", "Console", "TextColumn"), node.lineno
        if isinstance(node, ast.Attribute) and node.attr in ("write", "writelines"):
            assert ast.unparse(node.value) not in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
