"""Self-contained HTML pages: text, tables and plots in one file.

A page loads nothing from elsewhere: plots are PNGs embedded as data URIs, and
the same PNGs are written beside the page.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import os
import pathlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from runkit.files import atomic_write

# Pages and PNGs say who wrote them.
_MARK = "runkit report"
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;
padding:0 1rem;color:#1d2129;background:#fff}
h1{font-size:1.7rem}h2{font-size:1.25rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:.9rem;margin:.6rem 0}
th,td{border-bottom:1px solid #d8dde3;padding:.3rem .8rem;text-align:left;
overflow-wrap:anywhere}
td.n{text-align:right;font-variant-numeric:tabular-nums}
td{overflow-wrap:anywhere}td.n{white-space:nowrap}
img{max-width:100%;height:auto}figcaption{color:#566;font-size:.9rem}
figure{margin:1rem 0}pre{white-space:pre-wrap;background:#f5f6f8;
padding:.7rem;font-size:.85rem}.muted{color:#667}
"""


@contextlib.contextmanager
def optional(path: str | os.PathLike) -> Iterator[None]:
    """Lets a run finish where its report cannot be written.

    A report only shows what other files hold, so whatever goes wrong in the
    block is printed with its traceback and the run goes its way.

    Args:
        path: of the report, for the message.
    """
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        print(
            f"warning: {path} was not written ({error}); the run's other "
            "files are complete",
            file=sys.stderr,
        )


class Report:
    """Collects sections and writes one page and its PNGs.

    Args:
        title: heading of the page.
        folder: where the page and the PNGs go.
        prefix: how the names of the page and the PNGs begin.
    """

    def __init__(self, title: str, folder: str | os.PathLike, prefix: str = ""):
        self._title = title
        self._folder, self._prefix = pathlib.Path(folder), prefix
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Starts a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Adds a paragraph of plain text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def raw(self, markup: str) -> None:
        """Adds ready HTML; the caller has escaped what came from outside."""
        self._parts.append(markup)

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Adds a table; numbers are right-aligned, values as `in_words`."""
        head = "".join(f"<th>{html.escape(str(h))}</th>" for h in header)
        body = "".join(
            "<tr>" + "".join(_cell(value) for value in row) + "</tr>"
            for row in rows
        )
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def figure(
        self, figure: Any, name: str, caption: str = "", alt: str = ""
    ) -> None:
        """Adds a matplotlib figure; also writes it as `name`.png.

        Args:
            figure: to be drawn.
            name: of the file.
            caption: shown below, if the plot has no title.
            alt: text for screen readers; the caption or name by default.
        """
        buffer = io.BytesIO()
        figure.savefig(
            buffer,
            format="png",
            dpi=110,
            bbox_inches="tight",
            metadata={"Comment": _MARK},
        )
        png = buffer.getvalue()
        path = self._folder / f"{self._prefix}{name}.png"
        with atomic_write(path, "wb") as handle:
            handle.write(png)
        data = base64.b64encode(png).decode("ascii")
        alt = html.escape(alt or caption or name)
        self._parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
            + (
                f"<figcaption>{html.escape(caption)}</figcaption>"
                * bool(caption)
            )
            + "</figure>"
        )

    def write(self, name: str = "report.html") -> pathlib.Path:
        """Writes the page and returns its path."""
        path = self._folder / f"{self._prefix}{name}"
        title = html.escape(self._title)
        with atomic_write(path) as handle:
            handle.write(
                '<!doctype html><html lang="en"><head><meta charset="utf-8">'
                f'<meta name="generator" content="{_MARK}">'
                f"<title>{title}</title><style>{_STYLE}</style></head><body>"
                f"<h1>{title}</h1>{''.join(self._parts)}</body></html>\n"
            )
        return path


def is_own(path: str | os.PathLike) -> bool:
    """Whether a page or PNG was written by a `Report`."""
    with pathlib.Path(path).open("rb") as handle:
        return _MARK.encode() in handle.read(4096)


def new_figure(width: float = 8.0, height: float = 3.6, **kwargs: Any) -> Any:
    """Returns a matplotlib (figure, axes) drawn without any display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**kwargs)


def finish_curves(axes: Any, title: str, *, legend: bool) -> None:
    """Gives curves over steps their title, grid and, if wanted, legend."""
    axes.set_xlabel("step")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False)


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
        return f'<td class="n">{text}</td>'
    return f"<td>{html.escape(in_words(value))}</td>"


def in_words(value: Any) -> str:
    """Returns a value as a reader wants it: no `None`, no Python lists.

    Args:
        value: None becomes "\N{EN DASH}", true and false "yes" and "no", the
            items of lists and tuples are separated by commas, those of a dict
            are "key: value"; anything else is `str(value)`.
    """
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{key}: {in_words(item)}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value)) or "\N{EN DASH}"
    return str(value)
