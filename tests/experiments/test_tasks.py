"""Every task, and every method on a tiny network."""

import functools
import types

import numpy as np
import params
import pytest
import records
import tensorflow_datasets as tfds

from rigl_tf.datasets import text_files
from rigl_tf.datasets import tfds_source
from rigl_tf.experiments import config
from rigl_tf.experiments import runs
from rigl_tf.models import mobilenet

# Networks of fewer and narrower layers, smaller images: what takes the time is
# to trace them.
_RESNET = ["models.resnet.depth=18", "models.resnet.width=0.25"]
_VGG = ["models.vgg.variant=a", "models.vgg.width=0.1"]
SMALL = {
    "tasks/cifar10_wrn22_2": ["models.wide_resnet.depth=10"],
    "tasks/cifar100_resnet50": _RESNET,
    "tasks/imagenet_resnet50": [*_RESNET, "datasets.imagenet2012.size=64"],
    "tasks/imagenette_resnet50": [*_RESNET, "datasets.imagenette.size=64"],
    "tasks/imagenet_vgg16": [*_VGG, "datasets.imagenet2012.size=64"],
    "tasks/imagenet_mobilenet_v1": [
        "models.mobilenet_v1.width=0.25",
        "datasets.imagenet2012.size=64",
    ],
    "tasks/imagenet_mobilenet_v2": [
        "models.mobilenet_v2.width=0.25",
        "datasets.imagenet2012.size=64",
    ],
    "tasks/extreme_labels": [
        "datasets.extreme_labels.n_classes=500",
        "datasets.extreme_labels.n_inputs=60",
        "datasets.extreme_labels.n_train=100",
        "datasets.extreme_labels.n_test=40",
    ],
    # Of a density at which the sparse layers gain.
    "tasks/mnist_wide_sparse": [
        "DISTRIBUTION=uniform",
        "models.mlp.hidden=(64, 32)",
    ],
    "tasks/wikitext103_gru": [
        "models.char_gru.units=16",
        "datasets.wikitext103.sequence=8",
        "datasets.wikitext103.train=test",
    ],
}
DIGITS = ["tasks/digits_mlp", "models.mlp.hidden=(16,)"]
TINY = [
    "TRAIN_STEPS=4",
    "BATCH_SIZE=4",
    "UPDATE_INTERVAL=1",
    "UPDATE_END_STEP=3",
    "PRUNE_BEGIN_STEP=1",
    "PRUNE_END_STEP=3",
    "PRUNE_INTERVAL=1",
    "LOG_INTERVAL=1",
    "CHECKPOINT_INTERVAL=2",
]
BEGIN_WITH_MASKS = {
    "methods/lottery": ("INITIAL_MASKS", "INITIAL_RUN"),
    "methods/scratch": ("INITIAL_MASKS",),
}


@pytest.fixture(scope="module")
def images(tfds_dir, tmp_path_factory):
    """Return builders of the data sets, by name; some by another's images."""
    directory = tmp_path_factory.mktemp("images")
    imagenet = tfds_source.builder("imagenet2012", tfds_dir)
    cifar = _shortened(tfds_source.builder("cifar10", tfds_dir))
    return {
        "mnist": _shortened(tfds_source.builder("mnist", tfds_dir)),
        "cifar10": cifar,
        "cifar100": cifar,
        "imagenet2012": _of_records(directory / "1000", imagenet, 1000),
        "imagenette/full-size-v2": _of_records(directory / "10", imagenet, 10),
    }


def _shortened(builder):
    """Return a builder of the first few examples."""

    @functools.cache
    def as_dataset(split, batch_size, as_supervised):
        del batch_size
        few = {"train": "train[:5500]", "test": "test[:50]"}[split]
        return builder.as_dataset(
            split=few, batch_size=-1, as_supervised=as_supervised
        )

    return types.SimpleNamespace(
        as_dataset=as_dataset, data_path=f"a few of {builder.data_path}"
    )


def _of_records(path, source, n_classes):
    """Return a builder of a few images of another, with fewer classes."""
    examples = source.as_dataset(
        split="validation[:20]", decoders={"image": tfds.decode.SkipDecoding()}
    )
    pairs = [
        (example["image"], int(example["label"]) % n_classes)
        for example in tfds.as_numpy(examples)
    ]
    return records.builder(path, pairs, n_classes)


def train(words, workdir):
    """Train four steps; return the run and its result."""
    run = runs.Run(config.parse(config.read(words))())
    workdir.mkdir()
    (workdir / "config.gin").write_text(config.resolved(), encoding="utf-8")
    result = run.train(workdir)
    assert np.isfinite(result["loss"])
    assert result["steps"] == 4
    return run, result


def require_repeatable(run, result, workdir):
    """Go back to the second step, and do the rest again."""
    newest = workdir / "checkpoints" / "00000004.npz"
    with np.load(newest) as arrays:
        before = dict(arrays)
    newest.unlink()
    again = run.train(workdir)
    for name in ("loss", "task", "accuracy", "steps", "sparsity_achieved"):
        assert again[name] == result[name], name
    with np.load(newest) as arrays:
        assert arrays.keys() == before.keys()
        for name, array in before.items():
            assert array.tobytes() == arrays[name].tobytes(), name


@pytest.fixture
def few_blocks(monkeypatch):
    """End MobileNets, whose depth is no argument, after a few blocks."""
    for name in ("_V1", "_V2"):
        monkeypatch.setattr(mobilenet, name, getattr(mobilenet, name)[:4])


@pytest.fixture
def few_examples(images, monkeypatch):
    monkeypatch.setattr(tfds_source, "builder", lambda name, _: images[name])
    whole = text_files.wikitext
    monkeypatch.setattr(
        text_files, "wikitext", lambda *arguments: whole(*arguments)[:20_000]
    )


@pytest.mark.usefixtures("few_blocks", "few_examples")
@pytest.mark.parametrize(
    "task",
    params.cover(
        config.shipped("tasks"),
        quick=("tasks/digits_mlp",),
    ),
)
def test_every_task_trains_and_goes_on(task, tmp_path, request):
    if "wikitext" in task:
        request.getfixturevalue("text_dir")
    # An update of many kernels takes long to trace, and is the same for all.
    deep = any(name in task for name in ("resnet50", "mobilenet"))
    method = "methods/static" if deep else "methods/rigl"
    words = [task, method, "SPARSITY=0.8", *TINY, *SMALL.get(task, ())]
    run, result = train(words, tmp_path / "run")
    assert 0.79 < result["sparsity_achieved"] < 0.81
    if not deep:  # what resumes are the data, and other tasks have the same
        require_repeatable(run, result, tmp_path / "run")


@pytest.mark.parametrize(
    "method",
    params.cover(
        config.shipped("methods"),
        quick=[f"methods/{n}" for n in ("dense", "rigl")],
    ),
)
def test_every_method_trains(method, tmp_path):
    words = [method, *DIGITS, *TINY]
    if method in BEGIN_WITH_MASKS:
        first = [*DIGITS, *TINY, "methods/static", "SPARSITY=0.8"]
        train(first, tmp_path / "first")
        words += [
            f"{name}={tmp_path / 'first'}" for name in BEGIN_WITH_MASKS[method]
        ]
    elif method != "methods/dense":
        words.append("SPARSITY=0.8")
    train(words, tmp_path / "run")


@pytest.mark.parametrize(
    "task",
    [
        "tasks/digits_mlp",
        params.slow("tasks/cifar10_wrn22_2"),
        params.slow("tasks/wikitext103_gru"),
    ],
)
def test_fake_data_need_nothing(task, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("real data were asked for")

    monkeypatch.setattr(tfds_source, "builder", refuse)
    monkeypatch.setattr(text_files, "wikitext", refuse)
    words = [task, "methods/rigl", "SPARSITY=0.8", *TINY, *SMALL.get(task, [])]
    run, result = train([*words, "FAKE_DATA=True"], tmp_path / "run")
    require_repeatable(run, result, tmp_path / "run")
    assert result["task"] == f"{task.removeprefix('tasks/')}, fake data"
