"""The models that HA-GAN is compared with, a short file each, on the shared blocks."""
