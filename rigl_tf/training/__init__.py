"""Train masked models: steps, loops, callbacks, checkpoints and hardware."""
