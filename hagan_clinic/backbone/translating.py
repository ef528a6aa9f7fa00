"""What a conditional model deploys: the network that an exported file holds."""

from torch import nn


class TranslatingNetwork(nn.Module):
    """Source sequences (B, C, D, H, W) to the target and the scale of its error.

    ``forward`` gives target and scale, (B, 1, D, H, W) each, and after them the features A of the
    low-resolution branch where there is one.
    """

    free_axes: tuple[int, ...] = (2, 3, 4)
    """Axes of the input that an exported file takes in any size; the others are the training
    box's. D (axis 2) is free where slabs with their halo are what the whole volume is."""
