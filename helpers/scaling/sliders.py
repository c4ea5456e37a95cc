"""Sliders over a plain function: the function draws, the sliders call it again.

The picture is an ordinary output that is replaced, so that it stays in a saved notebook and is there without a front
end for widgets; then only the sliders are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import LabError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Range = tuple[float, float, float]


class Sliders:
    """A slider for each argument of a function that draws.

    Attributes
    ----------
    widgets : dict
        The sliders, by the arguments' names.
    """

    def __init__(self, draw: Callable[..., Any], start: dict[str, float], ranges: dict[str, Range]) -> None:
        import ipywidgets

        self._draw = draw
        self._handle: Any = None
        self.widgets: dict[str, Any] = {}
        for name, (low, high, step) in ranges.items():
            whole = all(float(number).is_integer() for number in (low, high, step, start[name]))
            kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
            self.widgets[name] = kind(
                value=start[name],
                min=low,
                max=high,
                step=step,
                description=name.replace("_", " "),
                continuous_update=False,
                readout_format=",d" if whole else ".2f",
                style={"description_width": "11em"},
                layout={"width": "36em"},
            )

    def picture(self) -> Figure | str:
        """Return what the function draws for the sliders as they stand, or in words why it does not."""
        import matplotlib.pyplot as plt

        try:
            drawn = self._draw(**{name: slider.value for name, slider in self.widgets.items()})
        except LabError as problem:
            return str(problem)
        figure: Any = (drawn[0] if isinstance(drawn, list) else drawn).figure
        # Closed, or the inline backend would show it a second time below.
        plt.close(figure)
        return figure

    def redraw(self, _: Any = None) -> None:
        """Draw again in place of the picture that is there."""
        picture = self.picture()
        if self._handle is not None:
            self._handle.update(picture)

    def _ipython_display_(self) -> None:
        import ipywidgets
        from IPython.display import display

        box = ipywidgets.VBox(list(self.widgets.values()))
        stand = ", ".join(f"{name}={slider.value:,}" for name, slider in self.widgets.items())
        view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
        shown = {
            "text/plain": f"Sliders stand at {stand}; without a front end for them, call the function.",
            "application/vnd.jupyter.widget-view+json": view,
        }
        display(shown, raw=True)
        self._handle = display(self.picture(), display_id=True)
        for slider in self.widgets.values():
            slider.observe(self.redraw, names="value")


def sliders(draw: Callable[..., Any], start: dict[str, float], **ranges: Range) -> Sliders:
    """Return sliders that call a function with their values and show what it draws.

    Parameters
    ----------
    draw : callable
        Takes the sliders' values by name and returns axes, as the functions of `pictures` do. It is the twin that needs
        no slider.
    start : dict of str to number
        Where the sliders stand at first.
    **ranges : tuple of three numbers
        The least, the greatest and the step of each argument.

    Raises
    ------
    LabError
        When a range has no start.
    """
    if missing := sorted(set(ranges) ^ set(start)):
        raise LabError(f"Sliders need a start and a range for each argument; {', '.join(missing)} has only one.")
    return Sliders(draw, start, ranges)
