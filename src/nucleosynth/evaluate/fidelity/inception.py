"""The Inception network of the standard FID, by torch-fidelity, with weights of its cache or of a file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError
from nucleosynth.evaluate.fidelity.extractors import NetworkExtractor, written_as

if TYPE_CHECKING:
    from torch import Tensor

MODULE = "torch_fidelity.feature_extractor_inceptionv3"
HASH = "6726825d"
FILE = f"weights-inception-2015-12-05-{HASH}.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SIZE = 299
FEATURES = "2048"


@written_as("inception[:FILE]", purpose="features that papers print FID in; weights of the hub or a file")
def inception_extractor(file: str = "") -> NetworkExtractor:
    """Return an extractor of pooled features of the Inception network of the FID paper; d = 2048.

    Parameters
    ----------
    file : str
        torch-fidelity's weights, a `.pth` file; without it the file in torch's cache, downloaded if it is
        absent. Only tensors are read from it, nothing else is unpickled.

    Raises
    ------
    InputError
        The package is not installed, or the weights are not available or are others.

    Notes
    -----
    Heusel et al. 2017; torch-fidelity resizes to 299 px as TensorFlow 1 did.
    """
    import torch

    from nucleosynth.backbones import weights_hash

    build = _network_class()
    path = Path(file) if file else _cached()
    _check_weights(path)
    try:
        network = build("inception-v3-compat", [FEATURES], feature_extractor_weights_path=str(path))
    except RuntimeError as error:  # a state dict of another network
        raise _other_weights(path) from error
    network.eval()

    def forward(images: NDArray[np.uint8]) -> Tensor:
        tiles = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()  # n 3 h w
        features: Tensor = network(tiles)[0]
        return features

    return NetworkExtractor(f"inception@{SIZE}", weights_hash(network), forward)


def _network_class() -> Any:
    try:
        return import_module(MODULE).FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            "extractor inception: needs the package torch-fidelity; pip install 'nucleosynth[inception]'"
        ) from error


def _cached() -> Path:
    """Return the path of torch-fidelity's weights in torch's cache; download them once, checked by hash."""
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=HASH, progress=False)
    except (OSError, RuntimeError) as error:  # no network; a file of another hash
        raise InputError(
            f"extractor inception: {FILE} could not be downloaded ({type(error).__name__}); "
            f"fetch {URL} elsewhere and name the file: inception:FILE"
        ) from error
    return path


def _check_weights(path: Path) -> None:
    """Refuse a file with anything but tensors, which torch-fidelity would unpickle on older torch."""
    import torch

    if not path.is_file():
        raise InputError(f"extractor inception: {path}: no such file; expected torch-fidelity's {FILE}")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds of errors for another file
        raise _other_weights(path) from error
    if not isinstance(stored, dict) or not all(torch.is_tensor(value) for value in stored.values()):
        raise _other_weights(path)


def _other_weights(path: Path) -> InputError:
    return InputError(f"extractor inception: {path}: not the weights of this network; expected {FILE}")
