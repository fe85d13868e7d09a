"""What a generator shows of itself."""

from __future__ import annotations

from tests.data.test_selection import check_html

from nucleosynth.render.notebook import generator_html

FACTS = {
    "name": "runs/<g>",
    "recipe": "unified",
    "size": 64,
    "mpp": 0.5,
    "classes": ["benign", "atypical"],
    "masks": True,
    "patients": 1234,
    "steps": 8000,
    "parameters": 3_400_000,
    "initial_weights": None,
    "student": None,
}


def test_a_generator_shows_its_card():
    text = generator_html(FACTS)
    assert not check_html(text)
    for words in ("runs/&lt;g&gt;", "unified", "64×64 px, 0.5 µm/px", "benign, atypical", "1,234", "8,000"):
        assert words in text
    assert "none: from scratch" in text
    assert "student" not in text
    assert "ns.preview(generator)" in text


def test_what_is_not_known_is_left_out():
    text = generator_html({"recipe": "unified", "student": 2, "initial_weights": "nucleosynth/tissue-prior"})
    check_html(text)
    assert "distilled, 2 sampling steps" in text
    assert "nucleosynth/tissue-prior" in text
    assert "None" not in text
