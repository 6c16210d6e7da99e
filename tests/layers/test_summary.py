"""What a summary says of each weight."""

from masked_models import pictures
import tiny
import zoo

import rigl_tf


def test_summary_says_what_is_masked_and_why(capsys):
    model = rigl_tf.sparsify(
        pictures(), 0.5, "uniform", dense_layers="out", verbose=True
    )
    printed = capsys.readouterr().out
    rows = {row["path"]: row for row in rigl_tf.summary(model)}
    assert capsys.readouterr().out == printed
    assert rows["hidden/kernel"] == {
        "path": "hidden/kernel",
        "type": "Dense",
        "shape": (16, 8),
        "sparsity": 0.5,
        "why": "masked",
    }
    assert {path: row["why"].split()[0] for path, row in rows.items()} == {
        "stem/kernel": "masked",
        "depth/kernel": "dense",
        "sep/depthwise_kernel": "dense",
        "sep/pointwise_kernel": "masked",
        "hidden/kernel": "masked",
        "out/kernel": "dense",
    }
    assert rows["out/kernel"]["sparsity"] is None
    assert "named in masked_layers" in rows["depth/kernel"]["why"]
    assert "as asked for" in rows["out/kernel"]["why"]
    assert all(path in printed for path in rows)
    assert "16x8" in printed and "0.5000" in printed
    # Five biases and four vectors of the normalisation.
    assert f"never masked: {4 + 4 + 4 + 8 + 3 + 4 * 4}" in printed


def test_summary_of_plain_models_and_of_other_weights(capsys):
    model = zoo.attention()
    model.layers[-1].trainable = False
    why = {row["path"]: row["why"] for row in rigl_tf.summary(model)}
    assert why["dense/kernel"] == "not trainable"
    assert why["multi_head_attention/query_dense/bias"] == "no kernel"
    assert "not masked yet" in why["einsum_dense/kernel"]
    rigl_tf.summary(tiny.dropout_mlp())
    assert "never masked: 12" in capsys.readouterr().out
