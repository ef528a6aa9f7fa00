"""What the optional installs bring, by the modules to import."""

TRAINING = {
    "torch": "torch",
    "torchio": "torchio",
    "lightning_fabric": "lightning-fabric",
    "onnxscript": "onnxscript",
    "safetensors": "safetensors",
    "tensorboard": "tensorboard",
    "monai": "monai",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
}
"""Top-level module of every package of the extra ``[train]``, and the package's name."""
