"""GraSP: masks that preserve the flow of gradients, before training."""

import dataclasses
import typing

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import choose_once
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class GraSP(choose_once.ChooseOnce):
    """Choose the mask once, before training, to preserve the gradient flow.

    Drop: all but the largest w * Hg on one batch, at step 0: those whose
        removal lowers the norm of the gradient least, or raises it
        (S(-w) = -w * Hg, equation 8).
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step, once 9 f_D for the Hessian-gradient product.
    Hyper-parameters: temperature 200 of the softmax (authors' code); without
        it LeNet-300-100 at 98 % hardly learns.
    Deviations: one training batch, where the paper takes ten examples of each
        class. `scope="global"` ranks over all kernels, as the paper does.
        `absolute=True` ranks |w * Hg|, as the original code of RigL did.
    Reference: Wang et al. 2020, "Picking Winning Tickets Before Training by
        Preserving Gradient Flow", equation 8 and algorithm 1.

    Attributes:
        absolute: whether to rank by magnitude.
        temperature: what logits are divided by, above 0; for losses that take
            no logits 1.
    """

    absolute: bool = False
    temperature: float = 200.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(
            super().needs,
            batch=True,
            second_order=True,
            temperature=self.temperature,
        )

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("absolute", self.absolute, (True, False))
        checks.above("temperature", self.temperature, 0)

    def check_loss(self, loss: typing.Any) -> None:
        """Require a loss of logits, or a temperature of 1."""
        for part in keras.tree.flatten(loss):
            if isinstance(part, str):
                part = keras.losses.get(part)
            if isinstance(part, keras.losses.Loss):
                takes_logits = part.get_config().get("from_logits")
            else:  # a function of Keras takes none by default
                module = getattr(part, "__module__", "")
                takes_logits = not module.startswith("keras.")
            if self.temperature != 1 and not takes_logits:
                raise ValueError(
                    "GraSP divides logits by its temperature: give `loss` "
                    "`from_logits=True`, or GraSP `temperature=1`. Received: "
                    f"{part!r}, temperature={self.temperature}"
                )

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `9 f_D`: a gradient, and the gradient of a function of it."""
        del sparse
        return 9 * dense

    def scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return `w Hg`, or its magnitude."""
        del step
        scores = kernel.kernel.value * gradient
        return tf.abs(scores) if self.absolute else scores
