"""Progress bars: tqdm's in a terminal or notebook, and a line now and then where output goes to a file."""

import sys
import time
from typing import Any

from tqdm import tqdm

LINE_INTERVAL = 30.0  # between two lines; TQDM_MININTERVAL may ask for more


class Bar(tqdm):
    """tqdm whose updates are lines in a file, where a carriage return would make them one long line.

    A line is written every 30 seconds, and at the end of a bar that stays. A notebook shows the text of a terminal, not
    a widget as tqdm.auto does.
    """

    disable: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._written, self._last = time.monotonic(), ""
        super().__init__(*args, **kwargs)

    @property
    def _in_lines(self) -> bool:
        try:
            return not self.fp.isatty() and "ipykernel" not in sys.modules
        except (AttributeError, ValueError):  # an object with `write` and `flush` alone, or a closed file
            return True

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if not self._in_lines:
            super().display(msg, pos)
        elif time.monotonic() - self._written >= max(LINE_INTERVAL, self.mininterval):
            self._write_line()

    def _write_line(self) -> None:
        self._written, line = time.monotonic(), str(self)
        if line != self._last and not getattr(self.fp, "closed", False):
            self._last = line
            self.fp.write(f"{line}\n")
            self.fp.flush()

    def clear(self, *args: Any, **kwargs: Any) -> None:
        if self.disable or not self._in_lines:
            super().clear(*args, **kwargs)

    def close(self) -> None:
        if self.disable or not self._in_lines:
            super().close()
            return
        self.disable = True
        self._decr_instances(self)
        if self.leave:
            self._ema_dt = lambda: None  # the rate of the whole bar
            self._write_line()
