"""The font that needs nothing: what it draws can be read, in the size that is asked for."""

import string

import numpy as np
import pytest

from stsr_cli.report.letters import NUM_ROWS, draw_letters


def ink(text: str, **options) -> np.ndarray:
    return draw_letters(text, NUM_ROWS, **options) == 0


def picture(text: str) -> list[str]:
    """The rows of one letter, without the blank column at each side."""
    return ["".join(" #"[int(pixel)] for pixel in row[1:-1]) for row in ink(text)]


def test_a_letter_as_it_looks() -> None:
    assert picture("R") == [
        *("#### ", "#   #", "#   #", "#### ", "# #  ", "#  # ", "#   #"),
        *("     ", "     "),
    ]
    assert picture("g") == [
        *("     ", "     ", " ####", "#   #", "#   #", "#   #", " ####"),
        *("    #", " ### "),
    ]


def test_no_two_letters_look_alike() -> None:
    letters = string.ascii_letters + string.digits + string.punctuation
    shapes = {ink(letter).tobytes() + bytes([ink(letter).shape[1]]) for letter in letters}
    assert len(shapes) == len(letters)
    box = ink("\N{CJK UNIFIED IDEOGRAPH-65E5}")
    assert all(ink(one).shape != box.shape or (ink(one) != box).any() for one in letters)


def test_accents_are_left_out_however_they_are_spelled() -> None:
    for text in ("\u00e4", "a\u0308"):
        np.testing.assert_array_equal(ink(text), ink("a"))
    np.testing.assert_array_equal(ink("a\tb"), ink("a b"))


@pytest.mark.parametrize("pixels", [1, 9, 17, 18, 27, 40])
def test_letters_are_as_high_as_asked_and_grow_in_whole_steps(pixels: int) -> None:
    drawn = draw_letters("Rg", pixels)
    scale = max(pixels // NUM_ROWS, 1)
    assert drawn.shape == (max(pixels, NUM_ROWS), ink("Rg").shape[1] * scale)
    assert (drawn == 0).sum() == ink("Rg").sum() * scale**2
    assert set(np.unique(drawn)) == {0, 255}


def test_bold_letters_are_a_pixel_wider() -> None:
    assert (ink("l", is_bold=True)[0].sum(), ink("l")[0].sum()) == (3, 2)
    assert ink("", is_bold=True).shape == (NUM_ROWS, 1)
