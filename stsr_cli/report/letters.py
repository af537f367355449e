"""A small bitmap font, so that a line of text can be drawn with NumPy alone: ASCII and a few signs, 5x7 and descenders.

A letter with an accent loses it; what is in no Latin alphabet is a box.
"""

import unicodedata

import numpy as np
from numpy.typing import NDArray

NUM_ROWS = 9  # 7 of a capital letter, 2 of a descender
_SPACE = 3  # columns
# Nine rows from the top, a digit of base 32 each: its five bits are the pixels, the left one first. Missing rows are
# blank.
_ROWS = dict(
    pair.split(" ")
    for pair in """
! 4444404|" aaa|# aavavaa|$ 4fke5u4|% op248j3|& cik8lid|' 44|( 2488842|) 8422248|* 04lel4|+ 044v44|, 00000c48|- 000e
. 00000cc|/ 01248g|: 0cc0cc|; 0cc0c48|< 248g842|= 00v0v|> 8421248|? eh12404|@ eh1dlle|[ e88888e|\\ 0g8421|] e22222e
^ 4ah|_ 0000000v|` 842|{ 2448442|} 8442448|~ 008l2|\N{MULTIPLICATION SIGN} 0ha4ah|\N{MINUS SIGN} 000v
\N{HORIZONTAL ELLIPSIS} 000000l|\N{MIDDLE DOT} 000cc|\N{DEGREE SIGN} eae
0 ehjlphe|1 4c4444e|2 eh1248v|3 v2421he|4 26aiv22|5 vgu11he|6 68guhhe|7 v124888|8 ehhehhe|9 ehhf12c
A ehhvhhh|B uhhuhhu|C ehggghe|D uhhhhhu|E vgguggv|F vgguggg|G ehgnhhf|H hhhvhhh|I e44444e|J 72222ic|K hikokih|L ggggggv
M hrllhhh|N hhpljhh|O ehhhhhe|P uhhuggg|Q ehhhlid|R uhhukih|S fgge11u|T v444444|U hhhhhhe|V hhhhha4|W hhhllla|X hha4ahh
Y hhha444|Z v1248gv
a 00e1fhf|b ggmphhu|c 00egghe|d 11djhhf|e 00ehvge|f 698s888|g 00fhhhf1e|h ggmphhh|i 40c444e|j 2062222ic|k ggikoki
l c44444e|m 00qllhh|n 00mphhh|o 00ehhhe|p 00uhhhugg|q 00fhhhf11|r 00mpggg|s 00ege1u|t 88s8896|u 00hhhjd|v 00hhha4
w 00hhlla|x 00ha4ah|y 00hhhhf1e|z 00v248v
""".replace("\n", "|")
    .strip("|")
    .split("|")
) | {"|": "4444444"}
_BOX = "vhhhhhv"


def draw_letters(text: str, pixels: int, *, is_bold: bool = False) -> NDArray[np.uint8]:
    """Draw a line of text, black on white, as wide as it needs to be.

    Args:
        text: what to write.
        pixels: height of the letters with their descenders, at most, where that is `NUM_ROWS` or more.
        is_bold: every stroke is a pixel wider.

    Returns:
        (H, W) uint8, H = `pixels` or `NUM_ROWS`, whichever is more.
    """
    gap = np.zeros((NUM_ROWS, 1), dtype=bool)
    columns = [gap]
    for letter in unicodedata.normalize("NFC", text):
        if unicodedata.combining(letter):
            continue
        columns += [_glyph(letter, is_bold), gap]
    scale = max(pixels // NUM_ROWS, 1)
    ink = np.concatenate(columns, axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
    above = (max(pixels, NUM_ROWS) - ink.shape[0]) // 2
    below = max(pixels, NUM_ROWS) - ink.shape[0] - above
    return np.where(np.pad(ink, ((above, below), (0, 0))), 0, 255).astype(np.uint8)


def _glyph(letter: str, is_bold: bool) -> NDArray[np.bool_]:
    """The pixels of a letter, without blank columns at its sides: (NUM_ROWS, W)."""
    if letter.isspace():
        return np.zeros((NUM_ROWS, _SPACE), dtype=bool)
    plain = letter if letter in _ROWS else unicodedata.normalize("NFKD", letter)[0]
    rows = _ROWS.get(plain, _BOX).ljust(NUM_ROWS, "0")
    values = np.array([int(row, 32) for row in rows])
    bits = values[:, None] >> np.arange(4, -1, -1) & 1
    ink = np.pad(bits.astype(bool), ((0, 0), (0, 1)))
    if is_bold:
        ink[:, 1:] |= ink[:, :-1].copy()
    (used,) = np.nonzero(ink.any(axis=0))
    return ink[:, used[0] : used[-1] + 1]
