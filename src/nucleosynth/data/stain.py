"""Stain mathematics in optical density: unmixing, the stain descriptor, stain jitter.

Light that passes a stained section follows Beer and Lambert: the optical density
``-log10(I / 255)`` of a pixel is the sum of its stains' densities times their colour
vectors. All functions are pure numpy: arrays in, arrays out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import InputError

Floats = NDArray[np.float32]
Images = NDArray[Any]  # uint8, or floats on the same 0-255 scale

# Optical density in R, G, B, measured by the method of Macenko et al. 2009. On 11 patients of breast
# H&E these leave a residual of 0.01; the vectors of Ruifrok & Johnston 2001 (0.65 0.70 0.29 and
# 0.07 0.99 0.11) leave 0.05 and find hardly any eosin.
HAEMATOXYLIN = (0.5626, 0.7201, 0.4062)
EOSIN = (0.2159, 0.8012, 0.5581)
BACKGROUND_OD = 0.06  # mean over R, G, B: an even grey of 222; empty glass of real scans has 0.04-0.055
_LN10 = float(np.log(10.0))


def stain_matrix(haematoxylin: tuple[float, float, float], eosin: tuple[float, float, float]) -> Floats:
    """Stack unit stain vectors: haematoxylin, eosin, and the residual at right angles to both.

    Parameters
    ----------
    haematoxylin, eosin
        Optical density in R, G, B; any positive length.

    Returns
    -------
    (3, 3) float32; the optical density of a pixel is ``concentrations @ matrix``.
    """
    rows = np.array([haematoxylin, eosin, np.cross(haematoxylin, eosin)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


HE_MATRIX = stain_matrix(HAEMATOXYLIN, EOSIN)
_UNMIX = np.linalg.inv(HE_MATRIX.astype(np.float64)).astype(np.float32)
_OD_TABLE = (-np.log10(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)


def rgb_to_od(images: Images) -> Floats:
    """Return the optical density per channel.

    Parameters
    ----------
    images
        (..., 3) uint8, or floats on the same 0-255 scale. Values under 1 count as 1.

    Returns
    -------
    (..., 3) float32, from 0 (white) to 2.41 (black).

    Raises
    ------
    InputError
        If the last axis is not R, G, B.
    """
    images = np.asarray(images)
    if images.ndim < 1 or images.shape[-1] != 3:
        raise InputError(f"images: expected R, G, B on the last axis, got shape {images.shape}; convert them")
    if images.dtype == np.uint8:
        table: Floats = _OD_TABLE[images]
        return table
    light = np.clip(images.astype(np.float32), 1.0, 255.0)
    density: Floats = -np.log10(light / np.float32(255.0))
    return density


def _transmit(od: Floats) -> Floats:
    """Light on the 0-255 scale that passes a density; densities under 0 are clipped."""
    light = np.maximum(od, np.float32(0.0))
    light *= np.float32(-_LN10)
    np.exp(light, out=light)
    light *= np.float32(255.0)
    return light


def od_to_rgb(od: NDArray[Any]) -> NDArray[np.uint8]:
    """Invert `rgb_to_od`: (..., 3) densities to uint8; densities under 0 become white."""
    return np.rint(_transmit(np.asarray(od, np.float32))).astype(np.uint8)


def concentrations(images: Images) -> Floats:
    """Unmix pixels by `HE_MATRIX` into haematoxylin, eosin and residual (Ruifrok & Johnston 2001).

    Parameters
    ----------
    images
        (..., 3) uint8, or floats on the 0-255 scale.

    Returns
    -------
    (..., 3) float32: H, E and residual density.
    """
    stains: Floats = rgb_to_od(images) @ _UNMIX
    return stains


def tissue_fraction(images: Images) -> Floats:
    """Return the share of the pixels with tissue.

    A pixel is background when its optical density, averaged over R, G and B, is below
    `BACKGROUND_OD` (0.06: brighter than an even grey of 222).

    Parameters
    ----------
    images
        (..., h, w, 3) uint8, or floats on the 0-255 scale.

    Returns
    -------
    (...) float32 in [0, 1]: (n,) for a batch, 0-d for one image.
    """
    tissue = _mean_channel(rgb_to_od(images)) >= BACKGROUND_OD
    return np.asarray(tissue.mean(axis=(-2, -1)), np.float32)


def _mean_channel(od: Floats) -> Floats:
    mean: Floats = (od[..., 0] + od[..., 1] + od[..., 2]) * np.float32(1 / 3)
    return mean


# --- the stain descriptor -------------------------------------------------------------------------
DESCRIPTOR_NAMES = ("dark_h", "dark_e", "dark_residual", "pale_h", "pale_e", "pale_residual")
# Middle and spread of the raw descriptor over 11 patients of breast H&E (TNBC, 0.5 µm/px) and 24
# phantom patients, equally weighted: fixed, so that a descriptor means the same in every data set.
_CENTRE = np.array([0.360, 0.040, 0.005, 0.135, 0.100, 0.007], np.float32)
_SCALE = np.array([0.090, 0.060, 0.017, 0.030, 0.050, 0.010], np.float32)
_MIN_PIXELS = 64  # less tissue than this says nothing of the stain
_MAX_PIXELS = 250_000  # a larger slide is read at every k-th pixel of each tile


def stain_descriptor(images: Images) -> Floats:
    """Return six numbers that describe the stain of a slide, frame or patient.

    Tissue pixels are parted by Otsu's threshold on haematoxylin density into dark (nuclei)
    and pale (stroma, cytoplasm); the descriptor holds the median H, E and residual density of
    each. The threshold moves with the stain, so the six numbers follow `jitter_stain` by
    `move_descriptor`, and depend little on how many nuclei there are.

    Parameters
    ----------
    images
        (n, h, w, 3) uint8, or floats on the 0-255 scale: the tiles of ONE slide or frame, in
        any order. A single tile's descriptor would leak its density and class.

    Returns
    -------
    (6,) float32 in the order of `DESCRIPTOR_NAMES`, about zero mean and unit scale over
    laboratories; all zeros (the middle of the scale) when there is next to no tissue.
    """
    n, h, w, _ = np.shape(images)
    step = -(-n * h * w // _MAX_PIXELS) | 1  # odd: visits every column
    od = rgb_to_od(np.reshape(images, (n, h * w, 3))[:, ::step]).reshape(-1, 3)
    od = od[_mean_channel(od) >= BACKGROUND_OD]
    if len(od) < _MIN_PIXELS:
        return np.zeros(6, np.float32)
    stains = od @ _UNMIX
    dark = stains[:, 0] > _otsu(stains[:, 0])
    if not 0 < dark.sum() < len(dark):  # one even tone: nothing to part
        raw = np.tile(np.median(stains, axis=0), 2)
    else:
        raw = np.concatenate([np.median(stains[dark], axis=0), np.median(stains[~dark], axis=0)])
    descriptor: Floats = ((raw - _CENTRE) / _SCALE).astype(np.float32)
    return descriptor


def move_descriptor(descriptors: NDArray[Any], factors: NDArray[Any], shifts: NDArray[Any]) -> Floats:
    """Descriptor of a slide after `jitter_stain` with the same factors and shifts.

    Exact but for pixels at the edge of the background rule and densities clipped at white.

    Parameters
    ----------
    descriptors
        (n, 6) of `stain_descriptor`.
    factors, shifts
        (n, 2) for H and E.

    Returns
    -------
    (n, 6) float32.
    """
    scale = np.tile(np.insert(np.asarray(factors, np.float32), 2, 1.0, axis=1), 2)
    shift = np.tile(np.insert(np.asarray(shifts, np.float32), 2, 0.0, axis=1), 2)
    raw = np.asarray(descriptors, np.float32) * _SCALE + _CENTRE
    moved: Floats = ((raw * scale + shift - _CENTRE) / _SCALE).astype(np.float32)
    return moved


def _otsu(values: Floats, *, bins: int = 128) -> float:
    """Return Otsu's threshold between the 0.5 % and 99.5 % quantiles; it scales with the values."""
    low, high = (float(q) for q in np.quantile(values, (0.005, 0.995)))
    if high - low < 1e-4:
        return high
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    return float(edges[int(np.nanargmax(between[:-1])) + 1])


# --- stain jitter ---------------------------------------------------------------------------------
def jitter_stain(images: Images, factors: NDArray[Any], shifts: NDArray[Any]) -> Images:
    """Scale and shift the haematoxylin and eosin density of each tile.

    ``H' = factor * H + shift`` and likewise for E; the residual stays. The change fades out
    from 1.5 times `BACKGROUND_OD` down to `BACKGROUND_OD`, so that glass keeps its colour.

    Parameters
    ----------
    images
        (n, h, w, 3) uint8, or floats on the 0-255 scale.
    factors
        (n, 2) positive multipliers for H and E; 1 changes nothing.
    shifts
        (n, 2) densities added to H and E; 0 changes nothing.

    Returns
    -------
    (n, h, w, 3): uint8 for uint8 images, otherwise float32.

    Raises
    ------
    InputError
        If factors or shifts are not (n, 2), or a factor is not positive.
    """
    images = np.asarray(images)
    n = len(images)
    factors, shifts = np.asarray(factors, np.float32), np.asarray(shifts, np.float32)
    if factors.shape != (n, 2) or shifts.shape != (n, 2):
        raise InputError(
            f"stain jitter of {n} tiles: expected factors and shifts of shape ({n}, 2), "
            f"got {factors.shape} and {shifts.shape}"
        )
    if not (factors > 0).all():
        raise InputError(f"stain jitter: factors must be positive, got {factors.min()}")
    od = rgb_to_od(images).reshape(n, -1, 3)
    # UNMIX diag(f, 1) M = 1 + (f - 1) UNMIX M, stain by stain: only the change is mixed
    outer = _UNMIX.T[:2, :, None] * HE_MATRIX[:2, None, :]  # (2, 3, 3)
    change = od @ np.einsum("ns,sij->nij", factors - 1, outer)
    change += (shifts @ HE_MATRIX[:2])[:, None, :]
    change *= np.clip(_mean_channel(od) * np.float32(2 / BACKGROUND_OD) - 2, 0, 1)[..., None]
    light = _transmit(np.add(od, change, out=od)).reshape(images.shape)
    return np.rint(light, out=light).astype(np.uint8) if images.dtype == np.uint8 else light
