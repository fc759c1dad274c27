"""The one palette, for components and for curves."""

from __future__ import annotations

Colour = tuple[int, int, int]

# Okabe and Ito's palette for all kinds of colour vision, pale yellow last.
OKABE_ITO = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (0, 114, 178), (213, 94, 0), (240, 228, 66))
_LINES = (4, 5, 2, 3, 1, 0, 6)  # strong colours first: a thin line has less contrast than an area
_DARKER = (6, 3, 1, 2, 0, 5, 4)  # least like those that come first: olive, plum, brown


def colour(component: int) -> Colour:
    """The colour of the component with this index; after seven the same with half white, then again."""
    red, green, blue = OKABE_ITO[component % len(OKABE_ITO)]
    if component // len(OKABE_ITO) % 2 == 0:
        return red, green, blue
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def line_colour(index: int) -> Colour:
    """The colour of the curve with this index; after seven the same three fifths as light, then again."""
    again, place = divmod(index, len(OKABE_ITO))
    if again % 2 == 0:
        return OKABE_ITO[_LINES[place]]
    red, green, blue = OKABE_ITO[_DARKER[place]]
    return 3 * red // 5, 3 * green // 5, 3 * blue // 5


def css(shown: Colour) -> str:
    """As `#rrggbb`."""
    return "#" + bytes(shown).hex()
