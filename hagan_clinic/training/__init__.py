"""Training: cohort, split, prepared cache, queue, loop, checkpoints."""
