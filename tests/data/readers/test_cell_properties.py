"""Laws of ids and labels as tables write them: any text, any case, any blanks."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from nucleosynth.data.readers.cells import fill, typed
from nucleosynth.data.readers.labels import EMPTY, class_index, is_empty, qualified
from nucleosynth.errors import InputError

WORDS = st.text(min_size=1, max_size=12)
BLANKS = st.text(" \t\u00a0\u2003", max_size=3)
NAMES = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=8)
CLASSES = st.lists(NAMES, min_size=1, max_size=5, unique_by=str.casefold)


@given(st.sampled_from(sorted(EMPTY)), BLANKS, BLANKS, st.randoms(use_true_random=False))
def test_no_value_is_empty_in_any_case_and_between_blanks(word, before, after, random):
    mixed = "".join(random.choice([letter.lower(), letter.upper()]) for letter in word)
    assert is_empty(f"{before}{mixed}{after}")


@given(WORDS)
def test_only_those_words_are_empty(text):
    assert is_empty(text) == (text.strip().lower() in EMPTY)


@given(NAMES, NAMES)
def test_an_id_is_qualified_once(dataset, name):
    found = qualified(dataset, name)
    assert qualified(dataset, found) == found
    assert found == (name if ":" in name else f"{dataset}:{name}")
    assert ":" in found


@given(CLASSES, st.data(), BLANKS)
def test_a_class_is_found_by_its_name_in_any_case_and_between_blanks(classes, data, blanks):
    index = data.draw(st.integers(0, len(classes) - 1))
    name = classes[index]
    for written in (name, name.upper(), name.lower(), name.swapcase(), f"{blanks}{name}{blanks}"):
        if written.strip().casefold() == name.casefold():  # not every script has two cases that match
            assert class_index(written, classes, where="row 1") == index


@given(CLASSES, WORDS)
def test_a_label_is_a_class_or_nothing_or_refused_in_one_line(classes, text):
    try:
        found = class_index(text, classes, where="row 1")
    except InputError as error:
        assert str(error).startswith("row 1: label ")
        assert not is_empty(text)
    else:
        assert found is None or 0 <= found < len(classes)
        assert (found is None) <= is_empty(text)


@given(st.integers(1, 6), st.integers(-3, 9))
def test_a_number_is_an_index_where_no_class_is_called_so(count, number):
    classes = [f"grade {letter}" for letter in "abcdef"[:count]]
    if 0 <= number < count:
        assert class_index(str(number), classes, where="row 1") == number
        assert class_index(f"{number}.0", classes, where="row 1") == number
        return
    try:
        class_index(str(number), classes, where="row 1")
    except InputError:
        return
    raise AssertionError(number)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), WORDS, min_size=1, max_size=3))
def test_a_template_holds_the_cells_as_they_stand_or_is_empty(row):
    template = "_".join(f"{{{name}}}" for name in row)
    values = [value.strip() for value in row.values()]
    empty = any(is_empty(value) for value in values)
    assert fill(template, row) == (None if empty else "_".join(values))


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=8))
def test_whole_numbers_come_back_as_they_were(numbers):
    assert typed([str(number) for number in numbers]) == numbers


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_a_column_keeps_its_length_and_text_that_is_no_number(values):
    found = typed(values)
    assert len(found) == len(values)
    assume(any(isinstance(value, str) for value in found))
    assert found == values


@given(st.integers(0, 99))
def test_zeros_before_a_number_belong_to_it(number):
    written = [f"{number:03d}", "1"]
    assert typed(written) == written
