"""The classical segmenter: haematoxylin, a threshold, and a watershed of the distance transform.

It is the baseline for learned segmenters and needs no weights. Settings were
chosen on the seven training patients of TNBC.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.arrays import checked_images, checked_mpp


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassicalSegmenter:
    """A segmenter by HED haematoxylin, Otsu with a lowest threshold, hole filling and watershed.

    Attributes
    ----------
    blur : float
        Standard deviation of the Gaussian over the haematoxylin channel, µm.
    lowest : float
        Haematoxylin (scale of `skimage.color.rgb2hed`) below which nothing is a nucleus: Otsu alone always
        finds two classes, in empty stroma too.
    min_area : float
        Smaller objects are dropped, µm².
    spacing : float
        Least distance between the seeds of two nuclei, µm.
    """

    blur: float = 0.4
    lowest: float = 0.022
    min_area: float = 6.0
    spacing: float = 3.0

    @property
    def name(self) -> str:
        """Name in reports."""
        return "classical"

    @property
    def weights_hash(self) -> str:
        """Short hash of the settings: there are no weights."""
        settings = f"{self.name}|{sorted(dataclasses.asdict(self).items())}"
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    def __call__(self, images: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Label nuclei.

        Parameters
        ----------
        images : (n, h, w, 3) uint8
            RGB tiles.
        mpp : float
            Scale in µm/px; all lengths and areas above are converted by it.

        Returns
        -------
        (n, h, w) int32
            0 = background, 1..k per tile.

        Raises
        ------
        InputError
            `mpp` is missing or impossible, or images have another shape or dtype.
        """
        scale = checked_mpp(mpp)
        labels = np.zeros(checked_images(images).shape[:3], dtype=np.int32)
        for image, found in zip(images, labels, strict=True):
            found[:] = self._separate(self._foreground(image, scale), scale)
        return labels

    def _foreground(self, image: NDArray[np.uint8], mpp: float) -> NDArray[np.bool_]:
        from scipy import ndimage
        from skimage.color import rgb2hed
        from skimage.filters import threshold_otsu
        from skimage.morphology import remove_small_objects

        haematoxylin = ndimage.gaussian_filter(rgb2hed(image)[..., 0], self.blur / mpp)
        threshold = max(float(threshold_otsu(haematoxylin)), self.lowest)
        filled = ndimage.binary_fill_holes(haematoxylin > threshold)
        kept: NDArray[np.bool_] = remove_small_objects(filled, max_size=int(self.min_area / mpp**2))
        return kept

    def _separate(self, mask: NDArray[np.bool_], mpp: float) -> NDArray[np.int32]:
        from scipy import ndimage
        from skimage.feature import peak_local_max
        from skimage.segmentation import watershed

        depth = ndimage.distance_transform_edt(mask)
        depth = ndimage.gaussian_filter(depth, self.blur / mpp)  # a plateau would seed one nucleus twice
        parts, _ = ndimage.label(mask)
        peaks = peak_local_max(
            depth, min_distance=max(1, round(self.spacing / mpp)), labels=parts, exclude_border=False
        )
        seeds = np.zeros(mask.shape, dtype=np.int32)
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        labels: NDArray[np.int32] = watershed(-depth, seeds, mask=mask)
        return labels
