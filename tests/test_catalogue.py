"""The list of models: all that functions take by name, each with its scale and purpose."""

from __future__ import annotations

from nucleosynth.catalogue import list_models
from nucleosynth.diffusion.config import PRIORS
from nucleosynth.evaluate.fidelity.features import extractor_names
from nucleosynth.segmentation.segmenter import segmenter_names
from tests.data.test_selection import check_html


def test_every_model_is_listed_and_says_what_it_is_for():
    models = list_models()
    by_kind = {kind: {one.name for one in models if one.kind == kind} for kind in ("generator", "segmenter")}
    assert by_kind["generator"] == set(PRIORS)
    assert by_kind["segmenter"] == set(segmenter_names())
    assert {one.name for one in models if one.kind == "extractor"} == set(extractor_names())
    assert all(one.purpose for one in models)
    prior = next(one for one in models if one.name == "nucleosynth/tissue-prior-40x")
    assert (prior.mpp, prior.size) == (0.25, 128)


def test_the_list_is_read_in_print_and_in_a_notebook():
    models = list_models()
    lines = str(models).splitlines()
    assert len(lines) == len(models)
    text = models._repr_html_()
    check_html(text)
    assert all(one.name in text for one in models)
