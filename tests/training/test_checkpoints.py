"""Checkpoints: exact, atomic, checked."""

import os

import keras
import method_rows
import numpy as np
import params
import pytest
import tiny

from rigl_tf import archives
from rigl_tf import files
from rigl_tf import updaters
from rigl_tf.experiments import work_directory
from rigl_tf.training import checkpoints
from rigl_tf.training.callbacks import base
from rigl_tf.training.callbacks import mask_statistics

_POINTS = (4, 5, 6)
# Before, at and right after the update of step 5: all three for RigL, one for
# one of each class and need.
POINTS = [(method_rows.BY_NAME["rigl"], "unstructured", at) for at in _POINTS]
POINTS += [
    (method, pattern, _POINTS[method_rows.number_of(method) % 3])
    for method, pattern in method_rows.EACH_NEED
]


def with_dropout(method, optimizer=tiny.sgd, pattern=None):
    keras.utils.set_random_seed(0)
    trainer = tiny.trainer(
        method.build(),
        optimizer,
        build=tiny.dropout_mlp,
        pattern=pattern,
    )
    actions = [
        base.Callback(7),
        mask_statistics.MaskStatistics(trainer.kernels),
    ]
    trainer.reset_totals(len(actions))
    return trainer, actions


def train(trainer, actions, n_steps):
    data = tiny.batches().skip(trainer.n_batches)
    trainer.train(data, n_steps, actions)


def assert_same_state(a, b):
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype
        np.testing.assert_array_equal(array, b[name], err_msg=name)


@pytest.mark.parametrize(
    "method, pattern, at",
    params.cover(POINTS, quick=lambda v: v[0].name in method_rows.SAMPLE[::2]),
    ids=lambda value: getattr(value, "name", value),
)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(
    method, pattern, at, tmp_path
):
    store = checkpoints.Checkpoints(tmp_path)
    first, actions = with_dropout(method, pattern=pattern)
    train(first, actions, at)
    assert first.step == at
    store.save(at, checkpoints.arrays_of(first, actions))
    train(first, actions, 12)
    expected = checkpoints.arrays_of(first, actions)
    keras.utils.set_random_seed(99)  # what a new process would differ in
    second, actions = with_dropout(method, pattern=pattern)
    assert checkpoints.resume(second, store, actions) == at
    train(second, actions, 12)
    assert_same_state(expected, checkpoints.arrays_of(second, actions))


def test_bfloat16_weights_come_back(tmp_path):
    rigl = method_rows.BY_NAME["rigl"]
    keras.config.set_dtype_policy("bfloat16")
    try:
        trainer, actions = with_dropout(rigl)
        other, others = with_dropout(rigl)
    finally:
        keras.config.set_dtype_policy("float32")
    train(trainer, actions, 3)
    store = checkpoints.Checkpoints(tmp_path)
    store.save(3, checkpoints.arrays_of(trainer, actions))
    checkpoints.resume(other, store, others)
    assert_same_state(
        checkpoints.arrays_of(trainer, actions),
        checkpoints.arrays_of(other, others),
    )


ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "file": np.array(3)}
KINDS = archives.kinds(ARRAYS)


def saved(directory, steps=(1, 2, 3), **kwargs):
    store = checkpoints.Checkpoints(directory, **kwargs)
    for step in steps:
        store.save(step, ARRAYS)
    return store


def test_the_newest_and_every_so_many_are_kept(tmp_path):
    store = saved(tmp_path, range(1, 11), keep_last=2, keep_every=4)
    assert store.steps() == [4, 8, 9, 10]


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.Checkpoints(tmp_path / "no").load_newest({}) is None


def test_reading_removes_nothing(tmp_path):
    store = saved(tmp_path)
    (tmp_path / ".tmp-00000009.npz").write_bytes(b"half")
    for others in (True, False):
        assert store.load_newest(KINDS, others)[0] == 3
    assert (tmp_path / ".tmp-00000009.npz").exists()


FOREIGN = ["99.npz", "²²²²²²²².npz", "0000000９.npz", "x.npz", "00000007.npy"]


@pytest.mark.parametrize("name", [*FOREIGN, "00000009.npz"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "file"])
def test_what_is_no_checkpoint_is_passed_over(kind, name, tmp_path):
    store = saved(tmp_path)
    if kind == "directory":
        (tmp_path / name).mkdir()
    elif kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"precious")
    assert store.load_newest(KINDS)[0] == 3
    if kind != "file" or name in FOREIGN:
        assert store.steps() == [2, 3]
        store.save(4, ARRAYS)  # deletes older ones, and newer bad ones
        assert (tmp_path / name).exists()


WRITTEN = ("masks/00000040.npz", "checkpoints/00000009.npz", "result.json")
NOT_OURS = ("x", "masks/99.npz", "checkpoints/x.npz")


@pytest.mark.parametrize("step, kept", [(None, []), (20, [10, 20])])
def test_what_came_after_the_checkpoint_is_forgotten(tmp_path, step, kept):
    masks, metrics = tmp_path / "masks", tmp_path / "metrics.jsonl"
    for directory in (masks, tmp_path / "checkpoints"):
        directory.mkdir()
    for number in (10, 20, 30):
        (masks / f"{number:08}.npz").write_bytes(b"")
    for name in (*WRITTEN, *NOT_OURS):
        place = tmp_path / name
        place.with_name(f".tmp-{place.name}").write_bytes(b"half")
    (masks / "99.npz").write_bytes(b"precious")
    lines = [f'{{"step": {number}}}\n' for number in (10, 20, 30)]
    metrics.write_text("".join(lines) + '{"st')
    work_directory.forget_after(step, tmp_path)
    names = sorted(file.name for file in masks.glob("0*.npz"))
    assert names == [f"{number:08}.npz" for number in kept]
    assert (masks / "99.npz").read_bytes() == b"precious"
    assert metrics.read_text() == "".join(lines[: len(kept)])
    left = sorted(f.name.removeprefix(".tmp-") for f in tmp_path.rglob(".tmp*"))
    assert left == sorted(name.rpartition("/")[2] for name in NOT_OURS)


FIRST, SECOND, LATER = (
    b'{"step": 10, "loss": 1}\r\n',
    b'{"loss":  0.5, "step":20}\n',
    b'{"step": 30}\n',
)
ODD = [
    b"\xff\xfe\x00\n",
    b"null\n",
    b"[1]\n",
    b"{}\n",
    b'{"step": "10"}\n',
    b'{"step": -10}\n',
    b'{"step": true}\n',
    b'{"step": 1' + 5000 * b"0" + b"}\n",
    b'{"step":' * 10_000 + b"1" + b"}" * 10_000 + b"\n",
    b"\x85\xe2\x80\xa8\n",
    b"\n",
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_lines_of_others_stay_byte_for_byte(odd, tmp_path, caplog):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(FIRST + odd + SECOND + LATER + odd + LATER)
    work_directory.forget_after(20, tmp_path)
    assert metrics.read_bytes() == FIRST + odd + SECOND + odd
    assert "2 lines are no objects with a step" in caplog.text


@pytest.mark.parametrize(
    "torn", [b'{"step"', '{"step": 21, "a": "ä'.encode()[:-1], b"\xff"]
)
def test_half_a_line_at_the_end_is_cut(torn, tmp_path, caplog):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(FIRST + SECOND + torn)
    work_directory.forget_after(20, tmp_path)
    assert metrics.read_bytes() == FIRST + SECOND
    assert not caplog.text


def test_a_file_without_later_lines_is_not_written_again(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(FIRST + ODD[0] + SECOND)
    before = metrics.stat().st_ino
    work_directory.forget_after(20, tmp_path)
    assert metrics.stat().st_ino == before


def test_a_line_without_its_end_is_completed(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(FIRST + SECOND.strip())
    work_directory.forget_after(20, tmp_path)
    assert metrics.read_bytes() == FIRST + SECOND


def test_nothing_is_forgotten_before_all_is_read(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/00000030.npz").write_bytes(b"")
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(
        files.DamagedFile, match="metrics.jsonl' must be a file"
    ):
        work_directory.forget_after(20, tmp_path)
    assert (tmp_path / "masks/00000030.npz").exists()


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = b""
    elif how == "noise":
        data = bytes(range(256)) * 4
    else:  # a flipped bit in the values of "a"
        data[data.find(np.float64(4.0).tobytes()) + 6] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["truncated", "empty", "noise", "bit"])
def test_the_newest_intact_one_is_used(how, tmp_path, caplog):
    store = saved(tmp_path, keep_last=3)
    damage(tmp_path / "00000003.npz", how)
    damage(tmp_path / "00000002.npz", how)
    step, arrays = store.load_newest(KINDS)
    assert step == 1
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])
    assert "00000003.npz" in caplog.text and "00000002.npz" in caplog.text


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    store = saved(tmp_path, [1])
    path = tmp_path / "00000001.npz"
    intact = path.read_bytes()
    for position in range(0, len(intact), 7):
        data = bytearray(intact)
        data[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(data))
        try:
            _, arrays = store.load_newest(KINDS)
        except checkpoints.CheckpointError:
            continue
        for name, array in ARRAYS.items():
            assert arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "expected, message",
    [
        ({**KINDS, "mask": ((2,), "bool")}, "another run .lacks mask"),
        ({"a": KINDS["a"]}, "another run .has file"),
        ({**KINDS, "a": ((3, 2), "float64")}, r"has float64 of shape \(2, 3\)"),
        ({**KINDS, "a": ((2, 3), "int64")}, "as int64 of .*, has float64 of"),
        ({**KINDS, "a": ((2, 3), "uint16")}, "as uint16 of .*, has float64 of"),
    ],
)
def test_foreign_checkpoints_are_refused(expected, message, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match=message):
        saved(tmp_path).load_newest(expected)


@pytest.mark.parametrize("others", [True, False])
def test_numbers_of_another_kind_are_not_reinterpreted(others, tmp_path):
    trainer, actions = with_dropout(method_rows.METHODS[0])
    arrays = checkpoints.arrays_of(trainer, actions)
    arrays["model/fc1/kernel"] = arrays["model/fc1/kernel"].view("int32")
    store = checkpoints.Checkpoints(tmp_path)
    store.save(0, arrays)
    before = checkpoints.arrays_of(trainer, actions)
    with pytest.raises(checkpoints.CheckpointError, match="has int32 of shape"):
        checkpoints.resume(trainer, store, None if others else actions)
    assert_same_state(before, checkpoints.arrays_of(trainer, actions))


@pytest.mark.parametrize(
    "name, value",
    [
        ("loop/n_batches", -5),
        ("loop/n_batches", 10**6),
        ("trainer/step", -1),
        ("trainer/step", 4),
        ("trainer/skipped_updates", -1),
        ("trainer/last_update_step", -2),
        ("trainer/last_done_step", 4),
    ],
)
def test_counters_that_cannot_be_are_refused(name, value, tmp_path):
    trainer, actions = with_dropout(method_rows.METHODS[0])
    arrays = checkpoints.arrays_of(trainer, actions)
    arrays["trainer/step"] = np.full_like(arrays["trainer/step"], 3)
    store = checkpoints.Checkpoints(tmp_path)
    store.save(3, arrays)
    assert checkpoints.resume(trainer, store, actions) == 3
    arrays[name] = np.full_like(arrays[name], value)
    store.save(3, arrays)
    message = f"has {name}={value} after 3 steps"
    with pytest.raises(checkpoints.CheckpointError, match=message):
        checkpoints.resume(trainer, store, actions)


def test_a_run_may_stop_between_an_update_and_the_first_step(tmp_path):
    rigl = method_rows.BY_NAME["rigl"]
    first, actions = with_dropout(rigl)
    answers = iter([False, True])
    first.train(tiny.batches(), 12, actions, lambda: next(answers))
    assert (first.step, first.last_update_step, first.n_batches) == (0, 0, 1)
    store = checkpoints.Checkpoints(tmp_path)
    store.save(0, checkpoints.arrays_of(first, actions))
    second, actions = with_dropout(rigl)
    assert checkpoints.resume(second, store, actions) == 0
    assert second.n_batches == 1


def test_a_full_disk_leaves_the_older_checkpoints(tmp_path, monkeypatch):
    store = saved(tmp_path)
    # The device on which every write fails for want of space.
    (tmp_path / ".tmp-00000004.npz").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.save(4, ARRAYS)
    assert store.steps() == [2, 3]
    assert not list(tmp_path.glob(".*"))
    assert store.load_newest(KINDS)[0] == 3


def test_a_checkpoint_without_masks_is_refused(tmp_path):
    trainer, actions = with_dropout(method_rows.METHODS[0])
    arrays = checkpoints.arrays_of(trainer, actions)
    del arrays["model/fc1/kernel_mask"]
    store = checkpoints.Checkpoints(tmp_path)
    store.save(1, arrays)
    with pytest.raises(checkpoints.CheckpointError, match="fc1/kernel_mask"):
        checkpoints.resume(trainer, store, actions)


def test_statistics_count_what_moves():
    method = method_rows.BY_NAME["rigl"]
    trainer = tiny.trainer(method.build())
    statistics = mask_statistics.MaskStatistics(trainer.kernels)
    first = [item.mask.numpy() for item in trainer.kernels]
    trainer.train(tiny.batches(), 8, [statistics])  # updates at 0 and 5
    line = statistics.line()
    for before, item, layer in zip(first, trainer.kernels, line["layers"]):
        now = item.mask.numpy()
        assert layer["moved"] >= np.sum((now == 1) & (before == 0)) > 0
        assert layer["grown_gradient_norm"] > 0
        assert layer["dead_rows"] == np.sum(now.sum(1) == 0)
        assert layer["dead_columns"] == np.sum(now.sum(0) == 0)
        overlap = np.sum(now * before) / now.sum()
        assert layer["first_mask_overlap"] == pytest.approx(overlap)
    assert 0.5 < line["itop_rate"] <= 1.0
    for layer in statistics.line()["layers"]:  # without an update since
        assert (layer["moved"], layer["grown_gradient_norm"]) == (0, 0)


def test_a_static_mask_explores_nothing():
    trainer = tiny.trainer(updaters.Static())
    statistics = mask_statistics.MaskStatistics(trainer.kernels)
    trainer.train(tiny.batches(), 5, [statistics])
    assert statistics.itop_rate() == 0.5
    assert [la["first_mask_overlap"] for la in statistics.layers()] == [1, 1]


def test_training_stops_at_the_first_step_without_a_finite_loss():
    x, y = tiny.arrays(64)
    weights = np.ones(64, "float32")
    # In batch 2 of 16 examples. (As an input it might not get far: where oneDNN
    # fuses a product with a ReLU, NaN becomes 0.)
    weights[40] = np.nan
    data = tiny.tf.data.Dataset.from_tensor_slices((x, y, weights))
    data = data.repeat().batch(16)
    trainer = tiny.trainer(updaters.Static())
    with pytest.raises(FloatingPointError, match="not finite at step 2"):
        trainer.train(data, 20)


def test_a_request_to_stop_ends_after_the_current_step():
    answers = iter([False, False, True])
    trainer = tiny.trainer(updaters.Static())
    done = trainer.train(tiny.batches(), 10**6, (), lambda: next(answers))
    assert not done
    assert 0 < trainer.step < 100


@pytest.mark.parametrize("interval", [1, 3, 10])
def test_sums_do_not_depend_on_how_calls_are_cut(interval):
    whole, cut = _Last(20), _Last(20)
    tiny.trainer(updaters.Static()).train(tiny.batches(), 20, [whole])
    keras.utils.set_random_seed(0)
    others = base.Callback(interval)
    tiny.trainer(updaters.Static()).train(tiny.batches(), 20, [cut, others])
    assert whole.means == cut.means


class _Last(base.Callback):
    def on_interval(self, trainer, step, means):
        self.means = means


def test_bad_newer_files_do_not_displace_a_new_one(tmp_path):
    store = checkpoints.Checkpoints(tmp_path, keep_last=1, keep_every=20)
    for step in (20, 40):
        store.save(step, {"a": np.ones(2)})
    (tmp_path / "00000040.npz").write_bytes(b"damaged")
    assert store.load_newest({"a": ((2,), "float64")})[0] == 20
    store.save(30, {"a": np.zeros(2)})
    assert store.steps() == [20, 30]
