"""Table of the character language model."""

from rigl_tf import accounting
from rigl_tf import models
from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks
from rigl_tf.layers import masking


def gru() -> cells.Table:
    """Count the character language model, for which no counts are published."""
    model = models.char_gru((512,))
    dense = accounting.count(model)
    rows = {"Dense": _per_character("Dense", dense, dense)}
    for title, distribution in (
        ("uniform", "uniform"),
        ("ERK", "erdos_renyi_kernel"),
    ):
        found = masking.target_sparsities(model, 0.75, distribution)
        sparse = accounting.count(model, sparsities=found)
        for method in ("Static", "SET", "RigL", "SNFS"):
            rows[f"{method}, {title}, 0.75"] = _per_character(
                method, sparse, dense
            )
    return cells.Table(
        "gru",
        "The character GRU on sequences of 512, exact counts per character; "
        "all kernels but the embedding are sparse.",
        {
            "train": ".4f",
            "inference": ".4f",
            "FLOPs": ",.0f",
            "active parameters": ",d",
            "MB": ".3f",
        },
        rows,
    )


def _per_character(method, sparse, dense):
    return {
        "train": networks.training_ratio(method, sparse.flops, dense.flops),
        "inference": sparse.flops / dense.flops,
        "FLOPs": sparse.flops / 512,
        "active parameters": sparse.active,
        "MB": sparse.bytes / 1e6,
    }
