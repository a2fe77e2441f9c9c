"""Writes the pages of a report: index.html, README.md, and the plots as SVG."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ffem_cli.evidence.report import page, plots, view
from ffem_cli.evidence.report.markdown import markdown
from ffem_cli.evidence.report.run import Report
from ffem_cli.evidence.report.saved import to_json, write_file
from ffem_cli.evidence.result import Plot, Sheet


class Pages:
    """Callable as `run.run` wants it. Plots are drawn once, however often the pages are written."""

    def __init__(self) -> None:
        self._drawn: dict[bytes, str] = {}

    def __call__(self, out: Path, report: Report) -> list[str]:
        """The names of the plots' and sheets' files that the pages show. DiskFull, or OSError."""
        files, drawn = [], {}
        for entry in report.entries:
            for part in entry.saved.result.parts if entry.saved else ():
                if not isinstance(part, Plot | Sheet):
                    continue
                assert entry.saved is not None
                file = entry.saved.file(part)
                files.append(file)
                if isinstance(part, Plot):
                    drawn[file] = self._svg(part)
                    write_file(out / file, drawn[file].encode())
        views = view.section_views(report)
        write_file(out / "README.md", markdown(report, views).encode())
        write_file(out / "index.html", page.html(report, views, drawn).encode())
        return files

    def _svg(self, plot: Plot) -> str:
        numbers = to_json(dataclasses.asdict(plot))
        if numbers not in self._drawn:
            self._drawn[numbers] = plots.svg(plot)
        return self._drawn[numbers]
