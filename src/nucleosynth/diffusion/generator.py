"""The generator: load, save, sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nucleosynth.arguments import as_flag, as_instance, as_int, as_path, shown
from nucleosynth.backbones import weights_hash
from nucleosynth.data.arrays import as_images, as_instances
from nucleosynth.data.conditions import Labels, as_indices, as_labels, as_stain
from nucleosynth.diffusion.locate import locate, shipped_name
from nucleosynth.diffusion.model.build import build_denoiser, load_tensors
from nucleosynth.diffusion.model.card import ModelCard, require_same_training
from nucleosynth.diffusion.model.conditioning import STAIN_SIZE, Condition, mask_planes, stain_vector
from nucleosynth.diffusion.model.denoiser import Denoiser
from nucleosynth.diffusion.sampling.draw import draw
from nucleosynth.diffusion.sampling.plan import SamplingPlan, SamplingRequest, active_terms, resolve_sampling
from nucleosynth.errors import InputError
from nucleosynth.files import disk_errors, is_free, partial, read_json, write_json
from nucleosynth.render.notebook import generator_html
from nucleosynth.seeds import normal
from nucleosynth.training.devices import autocast, choose_device, compile_if_asked

BATCH = 64
EARLY = "early"
OnStep = Callable[[int, int, npt.NDArray[np.uint8]], None]
"""``on_step(step, steps, tiles)``, from 1 to ``steps``."""


class Generator:
    """A trained denoiser with its card; made by `from_pretrained` or by training."""

    def __init__(self, denoiser: Denoiser, card: ModelCard, *, path: Path | None = None) -> None:
        self.denoiser = denoiser.eval()
        self.card = card
        self.path = path

    @property
    def generator_id(self) -> str:
        """Short hash of the weights."""
        return weights_hash(self.denoiser)

    @property
    def shipped_name(self) -> str | None:
        """The name of a generator of the package, such as nucleosynth/tissue-prior; else None."""
        return None if self.path is None else shipped_name(self.path)

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.denoiser.parameters())

    def _repr_html_(self) -> str:
        """Show what the model is in a notebook; nothing is sampled."""
        card, start = self.card, self.card.start
        return generator_html(
            {
                "name": self.shipped_name or (None if self.path is None else str(self.path)),
                "recipe": card.recipe.name,
                "size": card.size,
                "mpp": card.mpp,
                "classes": card.classes,
                "masks": card.masks,
                "patients": len(card.patients),
                "steps": card.steps,
                "parameters": self.parameters,
                "initial_weights": None if start is None else start.name or start.generator,
                "student": None if card.student is None else len(card.student.sigmas),
            }
        )

    def to(self, device: str) -> Generator:
        """Move to a device by name (``auto``, ``cpu``, ``cuda``)."""
        self.denoiser.to(choose_device(device)).to(memory_format=torch.channels_last)
        return self

    @classmethod
    def from_pretrained(cls, path: str | Path, *, device: str = "auto") -> Generator:
        """Load a generator from a directory, or by a name ``owner/model``.

        ``nucleosynth/tissue-prior`` comes with the package; other names are downloaded from the hub.

        Raises
        ------
        InputError
            There is no generator, or one of another architecture; weights are damaged, missing or of another
            model; or there is no network.
        """
        directory = locate(as_path(path, "path"))
        source = directory / "config.json"
        card = ModelCard.from_json(read_json(source), source=source)
        denoiser = build_denoiser(card)
        weights = directory / "model.safetensors"
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0][:80]
            raise InputError(
                f"{weights}: cannot be loaded ({reason}); train again or restore the file"
            ) from None
        load_tensors(denoiser, tensors, source=weights)
        compile_if_asked(denoiser.network)
        return cls(denoiser, card, path=directory).to(device)

    def save_pretrained(self, path: str | Path, *, half: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors``, whole or not at all.

        With ``half`` parameters are stored in half precision; after loading, the model differs by rounding.
        """
        target = as_path(path, "path")
        half = as_flag(half, "half")
        if not (is_free(target) or (target / "config.json").is_file()):
            raise InputError(f"{target}: exists and is not a generator; choose another directory")
        learned = {name for name, _ in self.denoiser.named_parameters()} if half else set()
        with partial(target) as building, disk_errors(target):
            building.mkdir()
            tensors = {n: v.detach().cpu().contiguous() for n, v in self.denoiser.state_dict().items()}
            tensors = {n: v.half() if n in learned else v for n, v in tensors.items()}
            save_file(tensors, building / "model.safetensors")
            write_json(building / "config.json", self.card.as_json())

    def push_to_hub(self, repository: str, *, salt: str) -> None:
        """Upload to a hub repository; training patients are replaced by hashes salted with ``salt``."""
        import tempfile

        from huggingface_hub import HfApi

        def hashed(patients: Sequence[str]) -> list[str]:
            return [hashlib.sha256(f"{salt}/{patient}".encode()).hexdigest() for patient in patients]

        start = self.card.start
        if start is not None:
            start = start.model_copy(update={"patients": tuple(hashed(start.patients))})
        card = replace(self.card, patients=hashed(self.card.patients), start=start)
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory) / "model"
            Generator(self.denoiser, card).save_pretrained(target)
            HfApi().upload_folder(repo_id=repository, folder_path=target)

    def sample(
        self,
        labels: Labels = None,
        masks: Any = None,
        *,
        stain: npt.ArrayLike | None = None,
        origins: Any = None,
        early: Generator | str | Path | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        batch: int = BATCH,
        on_step: OnStep | None = None,
        **sampling: Unpack[SamplingRequest],
    ) -> npt.NDArray[np.uint8]:
        """Draw tiles, or variations of tiles.

        Parameters
        ----------
        labels
            (n,) class indices; None (all, or one of them) or -1 = no class condition.
        masks
            (n, h, w) integer instance labels, 0 = background; None = no mask condition. With neither labels
            nor masks, one tile per entry of ``indices``, or a single tile.
        stain
            (6,) or (n, 6) stain descriptor; None = any stain.
        stain, labels, masks
            Conditions that the recipe does not use are ignored: ``mask-guided`` uses only the mask,
            ``per-class`` only the label.
        origins
            (n, h, w, 3) tiles of which variations are made; needs ``variation``.
        early
            An earlier model of the same training; None: ``early`` next to this one. Used by the guidance
            ``auto`` alone.
        seed, indices
            Tile ``i`` depends only on the seed and on ``indices[i]``, never on its batch.
        on_step
            Called at each noise level of each batch: ``on_step(step, steps, tiles)``, the last an
            (n, h, w, 3) uint8 estimate of the finished tiles.
        sampler
            ``spectral``, ``dpmpp-2m``, ``dpmpp-2m-sde``, ``heun``, ``ddim`` or ``ddpm``, of a student
            ``consistency``; or a function ``(denoise, sigmas, noise) -> pictures``, as in
            `sampling.solvers`. None: the recipe's or the student's own.
        steps
            Steps of the sampler, from 1; each is one network evaluation (``heun``: two, but for the last),
            times the guidance branches that are on. None: 10, ``ddim`` 50, ``ddpm`` 1000, for a student
            all noise levels that it was tuned for.
        guidance
            Weights ``{"class": 1.5, "mask": 1.0, "auto": 1.0}``; 1 is off.
        guidance_interval
            Lowest and highest noise level at which guidance is on; None: all.
        sigma_scale
            Factor on the noise level given to the denoiser, at low noise; 1 is off
            (`solvers.rescaled_sigma`). None: the recipe's own.
        variation
            Noise level to which ``origins`` are noised; sampling continues from there. Tissue has unit
            variance; at 1 its structure remains, at 40 nothing remains. Source: Meng et al. 2022, "SDEdit".

        Returns
        -------
        (n, h, w, 3) uint8.

        Raises
        ------
        InputError
            The model cannot draw this, see `resolve_sampling`; or conditions have another shape or class.
        """
        plan = resolve_sampling(self.card, **sampling)
        for term, given in (("class", labels), ("mask", masks)):
            if given is None and term in active_terms(plan.guidance):
                raise InputError(
                    f"guidance: `{term}` is on but not given as condition; give it, or leave its weight at 1"
                )
        return self.draw(
            plan,
            labels,
            masks,
            stain=stain,
            origins=origins,
            early=self.early_for(plan, early),
            seed=seed,
            indices=indices,
            batch=batch,
            on_step=on_step,
        )

    def draw(
        self,
        plan: SamplingPlan,
        labels: Labels = None,
        masks: Any = None,
        *,
        stain: npt.ArrayLike | None = None,
        origins: Any = None,
        early: Generator | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        batch: int = BATCH,
        on_step: OnStep | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Draw tiles by a plan that was resolved before; otherwise as `sample`."""
        plan = as_instance(plan, SamplingPlan, "plan", how="make one with resolve_sampling")
        size, seed, batch = self.card.size, as_int(seed, "seed"), as_int(batch, "batch", least=1)
        if on_step is not None and not callable(on_step):
            raise InputError(f"on_step is {shown(on_step)}; expected a function of step, steps and tiles")
        asked = None if masks is None else as_instances(masks, name="sample: masks", size=(size, size))
        given = None if asked is None else len(asked)
        if indices is not None:
            indices = as_indices(indices, count=given, name="sample: indices")
            given = len(indices)
        wanted = as_labels(labels, self.card.classes, count=given, name="sample: labels")
        count, indices = len(wanted), range(len(wanted)) if indices is None else indices
        if early is not None:
            as_instance(early, Generator, "early", how="load one with Generator.from_pretrained")
        condition = self._condition(wanted, asked, None if stain is None else as_stain(stain, count))
        origins = self._origins(origins, count, plan.variation)
        parts = [slice(start, min(count, start + batch)) for start in range(0, count, batch)]
        device = next(self.denoiser.parameters()).device
        made = [
            self._draw_batch(
                plan,
                condition.part(part).to(device),
                indices[part],
                seed=seed,
                origins=None if origins is None else origins[part],
                early=None if early is None else early.denoiser,
                on_step=on_step,
            )
            for part in parts
        ]
        return np.concatenate([np.zeros((0, size, size, 3), np.uint8), *made])

    def early_model(self, early: Generator | str | Path | None = None) -> Generator:
        """Return an earlier model of the same training: the one given, or ``early`` next to this generator.

        Raises
        ------
        InputError
            There is none, or it has another recipe, size, classes or patients.
        """
        if isinstance(early, Generator):
            found, name = early, "early"
        else:
            if early is not None:
                place = as_path(early, "early")
            elif self.path is not None:
                place = self.path.parent / EARLY
            else:
                raise InputError("guidance.auto: needs an earlier model of the same training; give `early`")
            device = next(self.denoiser.parameters()).device
            found, name = Generator.from_pretrained(place, device=str(device)), str(place)
        require_same_training(self.card, found.card, name=name)
        return found

    def early_for(self, plan: SamplingPlan, early: Generator | str | Path | None) -> Generator | None:
        """Return the earlier model of a plan with guidance ``auto`` (see `early_model`), else None."""
        if as_instance(plan, SamplingPlan, "plan", how="make one with resolve_sampling").needs_early:
            return self.early_model(early)
        if early is not None and not isinstance(early, Generator):
            as_path(early, "early")
        return None

    def _condition(
        self,
        labels: list[int],
        masks: npt.NDArray[np.int32] | None,
        stain: npt.NDArray[np.float32] | None,
    ) -> Condition:
        count, size = len(labels), self.card.size
        self._require_labels(labels)
        if masks is not None and not self.card.masks:
            raise InputError("sample: this generator was trained without masks; leave `masks` out")
        self.card.recipe.require_conditions(labels, masks=masks is not None)
        given = torch.full((count,), masks is not None)
        pixels = torch.zeros(count, size, size) if masks is None else torch.from_numpy(masks)
        stains = np.zeros((count, STAIN_SIZE), np.float32) if stain is None else stain
        return Condition(
            torch.tensor(labels, dtype=torch.int64),
            mask_planes(pixels, given),
            stain_vector(torch.from_numpy(stains), torch.full((count,), stain is not None)),
        )

    def _origins(self, origins: object, count: int, variation: float | None) -> npt.NDArray[np.uint8] | None:
        """Return the tiles to make variations of; refuse them without a noise level, and one without them."""
        if (origins is None) != (variation is None):
            raise InputError("sample: `origins` and `variation` need each other; give both or neither")
        if origins is None:
            return None
        return as_images(origins, name="sample: origins", count=count, size=(self.card.size, self.card.size))

    def _require_labels(self, labels: Sequence[int]) -> None:
        """Refuse classes that the generator does not have or was not trained on."""
        names, seen = self.card.classes, self.card.seen
        for label in sorted(set(labels)):
            if label >= 0 and self.card.recipe.reads_classes and seen is not None and label not in seen:
                raise InputError(
                    f"sample: label {label} ({names[label]}): the generator was trained on no tile of it"
                )

    @torch.inference_mode()
    def _draw_batch(
        self,
        plan: SamplingPlan,
        condition: Condition,
        indices: Sequence[int],
        *,
        seed: int,
        origins: npt.NDArray[np.uint8] | None,
        early: Denoiser | None,
        on_step: OnStep | None,
    ) -> npt.NDArray[np.uint8]:
        device = condition.label.device
        shape = (3, self.card.size, self.card.size)

        def noise(step: int) -> Tensor:
            name = f"noise-{step}" if step else "noise"
            drawn = torch.from_numpy(normal(seed, name, indices, shape)).to(device)
            return drawn.contiguous(memory_format=torch.channels_last)

        def report(step: int, steps: int, estimate: Tensor) -> None:
            if on_step is not None:
                on_step(step, steps, self._pixels(estimate))

        begun = None
        if origins is not None:
            pixels = torch.from_numpy(np.array(origins)).permute(0, 3, 1, 2)
            begun = self.denoiser.standardise(pixels.to(device))
        with autocast(device):
            pictures = draw(
                plan,
                self.denoiser,
                condition,
                noise,
                origins=begun,
                early=early,
                on_step=None if on_step is None else report,
            )
        return self._pixels(pictures)

    def _pixels(self, pictures: Tensor) -> npt.NDArray[np.uint8]:
        made: Tensor = self.denoiser.to_pixels(pictures.float())
        return made.permute(0, 2, 3, 1).contiguous().cpu().numpy()
