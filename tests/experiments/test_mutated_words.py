import fuzz_words
import pytest


@pytest.mark.slow
def test_mutated_words_are_obeyed_or_refused(tmp_path):
    cases = list(fuzz_words.mutated_command_lines(seed=11, n=24))
    assert cases == list(fuzz_words.mutated_command_lines(seed=11, n=24))
    wrong = []
    assert not fuzz_words.failures(cases, tmp_path, wrong.append), wrong


@pytest.mark.slow
def test_mutated_files_are_obeyed_or_refused(tmp_path):
    cases = list(fuzz_words.mutated_gin_files(seed=11, n=12))
    wrong = []
    assert not fuzz_words.failures(cases, tmp_path, wrong.append), wrong


def test_what_goes_wrong_is_found(tmp_path, monkeypatch):
    cases = [fuzz_words.Case(("report", "neighbor"), {})]

    def main(words):
        (tmp_path / "neighbor" / "result.json").unlink()
        raise KeyError(words)

    monkeypatch.setattr(fuzz_words.cli, "main", main)
    monkeypatch.setattr(fuzz_words, "make_run", make_run)
    wrong = []
    assert fuzz_words.failures(cases, tmp_path, wrong.append) == 1
    assert "KeyError" in wrong[0] and "neighbor has changed" in wrong[0]


def make_run(directory):
    directory.mkdir()
    (directory / "result.json").write_text("{}", encoding="utf-8")
    return fuzz_words.contents(directory)
