"""The generator as users hold it: load, save, sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nucleosynth.backbones import weights_hash
from nucleosynth.config import parse
from nucleosynth.diffusion.conditioning import STAIN_SIZE, Condition, mask_planes, stain_vector
from nucleosynth.diffusion.config import SAMPLER, SIGMA_SCALE, NetworkConfig
from nucleosynth.diffusion.denoiser import Denoiser
from nucleosynth.diffusion.guidance import guided
from nucleosynth.diffusion.samplers import SAMPLERS, Denoise, Noise, karras_sigmas, overstated
from nucleosynth.diffusion.spectrum import Spectrum
from nucleosynth.diffusion.unet import UNet
from nucleosynth.errors import InputError
from nucleosynth.runs import disk_errors, partial, read_json, write_json
from nucleosynth.seeds import normal
from nucleosynth.training.devices import autocast, choose_device

ARCHITECTURE = "unified-2"
BATCH = 64


@dataclass(frozen=True)
class ModelCard:
    """What must be known to use a generator: its world and the patients it saw."""

    classes: list[str]
    size: int
    mpp: float | None
    masks: bool
    patients: list[str]
    content_hash: str
    network: NetworkConfig
    steps: int


class Generator:
    """A trained denoiser with its card; made by `from_pretrained` or by training."""

    def __init__(self, denoiser: Denoiser, card: ModelCard) -> None:
        self.denoiser = denoiser.eval()
        self.card = card

    @property
    def generator_id(self) -> str:
        """A short hash of the weights."""
        return weights_hash(self.denoiser)

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.denoiser.parameters())

    def to(self, device: str) -> Generator:
        """Move to a device by name (``auto``, ``cpu``, ``cuda``)."""
        self.denoiser.to(choose_device(device)).to(memory_format=torch.channels_last)
        return self

    @classmethod
    def from_pretrained(cls, path: str | Path, *, device: str = "auto") -> Generator:
        """Load a generator from a directory, or by its hub name ``owner/model`` when the network allows.

        Raises
        ------
        InputError
            No generator there, one of another architecture, damaged weights, or no network.
        """
        directory = _locate(path)
        config = read_json(directory / "config.json")
        if not isinstance(config, dict) or config.get("architecture") != ARCHITECTURE:
            found = config.get("architecture") if isinstance(config, dict) else None
            raise InputError(
                f"{directory / 'config.json'}: architecture {found!r} is not {ARCHITECTURE!r}; "
                "train the generator again with this version"
            )
        fields = {name: config[name] for name in ModelCard.__dataclass_fields__}
        card = ModelCard(**{**fields, "network": parse(NetworkConfig, config["network"])})
        denoiser = build_denoiser(card)
        weights = directory / "model.safetensors"
        try:
            denoiser.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:80]
            raise InputError(
                f"{weights}: cannot be loaded ({reason}); train again or restore the file"
            ) from None
        return cls(denoiser, card).to(device)

    def save_pretrained(self, path: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``, whole or not at all."""
        card = {**vars(self.card), "network": self.card.network.model_dump(mode="json")}
        with partial(Path(path)) as building, disk_errors(Path(path)):
            building.mkdir()
            tensors = {n: v.detach().cpu().contiguous() for n, v in self.denoiser.state_dict().items()}
            save_file(tensors, building / "model.safetensors")
            write_json(building / "config.json", {"architecture": ARCHITECTURE, **card})

    def push_to_hub(self, repository: str, *, salt: str) -> None:
        """Upload to a hub repository; the patients it saw leave as hashes salted with ``salt``."""
        import tempfile

        from huggingface_hub import HfApi

        hashed = [hashlib.sha256(f"{salt}/{p}".encode()).hexdigest() for p in self.card.patients]
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory) / "model"
            Generator(self.denoiser, ModelCard(**{**vars(self.card), "patients": hashed})).save_pretrained(
                target
            )
            HfApi().upload_folder(repo_id=repository, folder_path=target)

    def sample(
        self,
        labels: Sequence[int | None] | None = None,
        masks: npt.NDArray[Any] | None = None,
        *,
        stain: npt.ArrayLike | None = None,
        steps: int = 10,
        guidance: Mapping[str, float] | None = None,
        sampler: str = SAMPLER,
        sigma_scale: float = SIGMA_SCALE,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        batch: int = BATCH,
    ) -> npt.NDArray[np.uint8]:
        """Make tiles.

        Parameters
        ----------
        labels
            (n,) class indices; None (all, or one of them) or -1 = no class asked for.
        masks
            (n, h, w) integer instance labels, 0 = background; None = no mask asked for. With neither labels
            nor masks, one tile per entry of ``indices``, or a single tile.
        stain
            (6,) or (n, 6) stain descriptor; None = any stain.
        steps
            Network evaluations per tile (times the guidance branches that are on).
        guidance
            Weights ``{"class": 1.5, "mask": 1.0}``; 1 is off.
        sampler
            ``dpmpp-2m-sde`` (stochastic) or ``dpmpp-2m``.
        sigma_scale
            How many times more noise the denoiser is told of than there is, where texture is decided; short
            trainings need more, 1 is off (`samplers.overstated`).
        seed, indices
            Tile ``i`` depends on the seed and on ``indices[i]`` alone, never on the batch it is made in.

        Returns
        -------
        (n, h, w, 3) uint8.
        """
        count = (
            len(labels) if labels is not None else len(masks) if masks is not None else len(indices or [0])
        )
        indices = range(count) if indices is None else indices
        condition = self._condition(count, labels, masks, stain)
        if len(indices) != count:
            raise InputError(f"sample: {len(indices)} indices for {count} tiles; give one each")
        if sampler not in SAMPLERS:
            raise InputError(f"sample: unknown sampler {sampler!r}; known are {', '.join(SAMPLERS)}")
        made = []
        for start in range(0, count, batch):
            part = slice(start, min(count, start + batch))
            chosen = _on(condition, part, next(self.denoiser.parameters()).device)
            denoise = overstated(guided(self.denoiser, chosen, guidance or {}), sigma_scale)
            made.append(
                self._sample_batch(denoise, SAMPLERS[sampler], karras_sigmas(steps), indices[part], seed)
            )
        return np.concatenate(made)

    def _condition(
        self,
        count: int,
        labels: Sequence[int | None] | None,
        masks: npt.NDArray[Any] | None,
        stain: npt.ArrayLike | None,
    ) -> Condition:
        size = self.card.size
        wanted = [-1] * count if labels is None else [-1 if label is None else int(label) for label in labels]
        worst = max(wanted, default=-1)
        if worst >= len(self.card.classes) or min(wanted, default=-1) < -1:
            raise InputError(f"sample: label {worst} is outside the generator's classes {self.card.classes}")
        if masks is not None and masks.shape != (count, size, size):
            raise InputError(f"sample: masks of shape {masks.shape}; expected ({count}, {size}, {size})")
        if masks is not None and not self.card.masks:
            raise InputError("sample: this generator was trained without masks; leave `masks` out")
        given = torch.full((count,), masks is not None)
        pixels = torch.zeros(count, size, size) if masks is None else torch.from_numpy(masks.astype(np.int32))
        descriptors = (
            np.zeros((count, STAIN_SIZE)) if stain is None else np.broadcast_to(stain, (count, STAIN_SIZE))
        )
        stains = torch.from_numpy(np.array(descriptors, dtype=np.float32))
        return Condition(
            torch.tensor(wanted, dtype=torch.int64),
            mask_planes(pixels, given),
            stain_vector(stains, torch.full((count,), stain is not None)),
        )

    @torch.inference_mode()
    def _sample_batch(
        self,
        denoise: Denoise,
        sampler: Callable[[Denoise, Tensor, Noise], Tensor],
        sigmas: Tensor,
        indices: Sequence[int],
        seed: int,
    ) -> npt.NDArray[np.uint8]:
        device = next(self.denoiser.parameters()).device
        shape = (3, self.card.size, self.card.size)

        def noise(step: int) -> Tensor:
            name = f"noise-{step}" if step else "noise"
            drawn = torch.from_numpy(normal(seed, name, indices, shape)).to(device)
            return drawn.contiguous(memory_format=torch.channels_last)

        with autocast(device):
            pictures = sampler(denoise, sigmas.to(device), noise)
        pixels: Tensor = self.denoiser.to_pixels(pictures.float())
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def build_denoiser(
    card: ModelCard,
    *,
    mean: Tensor | None = None,
    std: Tensor | None = None,
    spectrum: Spectrum | None = None,
) -> Denoiser:
    """Build an untrained denoiser for a card; refuses a tile size that the network cannot fold.

    Without statistics of the training tiles it waits for weights to be loaded into it.
    """
    network = card.network
    factor = network.unshuffle or default_unshuffle(card.size)
    grain = factor * 2 ** (len(network.multipliers) - 1)
    if card.size % grain:
        raise InputError(
            f"generator: tile size {card.size} px must be a multiple of {grain} px for this network"
        )
    unet = UNet(
        classes=len(card.classes),
        unshuffle=factor,
        width=network.width,
        multipliers=network.multipliers,
        blocks=network.blocks,
        embedding=network.embedding,
    )
    denoiser = Denoiser(
        unet,
        mean=torch.zeros(3) if mean is None else mean,
        std=torch.ones(3) if std is None else std,
        spectrum=spectrum or Spectrum.flat(card.size),
    )
    return denoiser.to(memory_format=torch.channels_last)


def _on(condition: Condition, part: slice, device: torch.device) -> Condition:
    return Condition(*(tensor[part].to(device) for tensor in vars(condition).values()))


def default_unshuffle(size: int) -> int:
    """Return the folding factor for a tile size: 2 up to 64 px, 4 up to 128 px, 8 above."""
    return 2 if size <= 64 else 4 if size <= 128 else 8


def _locate(path: str | Path) -> Path:
    """Return the directory with ``config.json``: the path, its ``generator`` folder, or a hub download."""
    for directory in (Path(path), Path(path) / "generator"):
        if (directory / "config.json").is_file():
            return directory
    name = str(path)
    if Path(path).exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"{path}: no generator here (no config.json); train one with `nucleosynth train`")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        raise InputError(
            f"{path}: neither a directory nor to be had from the hub; give the path of a generator"
        ) from None
