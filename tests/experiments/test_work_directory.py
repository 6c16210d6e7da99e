"""Work directories: of one run, for one process."""

import pytest

from rigl_tf.experiments import work_directory
from rigl_tf.training.callbacks import base

TEXT = "SEED = 1\nSTRATEGY = None\n"


def test_a_workdir_keeps_its_first_configuration(tmp_path):
    with work_directory.claim(tmp_path / "w", TEXT) as directory:
        assert (directory / "config.gin").read_text() == TEXT
    moved = "# elsewhere\n\nSEED  =  1\nSTRATEGY = @strategies.cpu\n"
    with work_directory.claim(tmp_path / "w", moved) as directory:
        assert (directory / "config.gin").read_text() == TEXT


@pytest.mark.parametrize(
    "text, message",
    [
        ("SEED = 2\n", "has SEED = 1, the words say SEED = 2"),
        ("", "has SEED = 1, the words say nothing"),
        ("SEED = 1\nL2 = 0.1\n", "has nothing, the words say L2 = 0.1"),
        (
            "SEED = 1\nhardware.Hardware.precision = 'float64'\n",
            "the words say hardware.Hardware.precision",
        ),
    ],
)
def test_settings_that_differ_are_named(text, message, tmp_path):
    with work_directory.claim(tmp_path, TEXT):
        pass
    with pytest.raises(work_directory.WorkdirError, match=message):
        work_directory.require_own(tmp_path, text)


def test_a_claim_holds_a_lock(tmp_path):
    with work_directory.claim(tmp_path, TEXT):
        with pytest.raises(
            work_directory.WorkdirError, match="one process at a"
        ):
            with work_directory.claim(tmp_path, TEXT):
                pass
    with work_directory.claim(tmp_path, TEXT):  # free again
        pass


@pytest.mark.parametrize("name", [".lock", ".tmp-config.gin", "thesis.tex"])
def test_a_new_workdir_may_hold_what_a_killed_process_left(name, tmp_path):
    (tmp_path / name).write_text("x")
    if name == "thesis.tex":
        with pytest.raises(work_directory.WorkdirError, match="no config.gin"):
            work_directory.require_own(tmp_path, TEXT)
    else:
        work_directory.require_own(tmp_path, TEXT)


class _Elsewhere:
    """Stands for a trainer in a worker that is not the chief."""

    class workers:
        from_chief = staticmethod(lambda function: None)


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_chief_alone_writes(everywhere):
    seen = []
    action = base.Callback(1)
    action.everywhere = everywhere
    action.on_interval = lambda *arguments: seen.append(arguments)
    action.fire(_Elsewhere, 3, {})
    assert seen == [(_Elsewhere, 3, {})] * everywhere
