import importlib.util
import pathlib
import re

import pytest
import tiny

SCRIPTS = pathlib.Path(__file__).parent.parent / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_measures_all_candidates_in_turn():
    bench = load("bench_step")
    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in "abc"}
    medians = bench.measure(candidates, 3)
    assert set(medians) == {"a", "b", "c"}
    assert "".join(calls[-9:]) == "abcbcacab"


def test_the_benchmark_runs_every_kind_of_step():
    bench = load("bench_step")
    row = bench.bench_model(lambda: (tiny.mlp(), 8), 2)
    ratios = ("noise", "masked_step", "loop_over_keras", "masked_loop")
    assert all(row[name] > 0 for name in (*ratios, "masked_tape"))


def test_tables_go_between_their_markers():
    readme_table = load("readme_table")
    text = "a\n<!-- table: x -->\nold\n<!-- end of table -->\nb"
    assert readme_table.insert(text, "x", "new") == (
        "a\n<!-- table: x -->\nnew\n<!-- end of table -->\nb"
    )
    with pytest.raises(ValueError, match="must hold.*'y'"):
        readme_table.insert(text, "y", "new")
    assert re.fullmatch(
        r"`cmd`, \d+ CPU cores \(\w+\), \d{4}-\d\d-\d\d\.",
        readme_table.caption("cmd"),
    )


def test_the_benchmark_of_methods_runs_all_of_them(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    bench = load("bench_methods")
    rows = bench.bench(lambda: (tiny.mlp(), 8), 2)
    assert [name for name, _, _ in rows] == ["dense again", *bench.METHODS]
    assert all(step > 0 for _, step, _ in rows)
    assert all(update > 0 for _, _, update in rows[1:])
