"""The pages of a report: nothing that a section says becomes markup, and nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ffem_cli.evidence.report import inputs, markdown, page, plots, view
from ffem_cli.evidence.report.run import Entry, Report
from ffem_cli.evidence.report.saved import Saved
from ffem_cli.evidence.result import Claim, Plot, Result, Series, Sheet, Table, Text

NAN = float("nan")
EVIL = "<script>alert('1')</script> \"><img src=http://evil.example/x onerror=1> {{ 7 * 7 }} $x$ | [a](javascript:b)"
SERIES = Series(EVIL, (EVIL, "b"), (0.0, 2.0), (0.0, 1.0), (1.0, 3.0))
PLOT = Plot("plot", EVIL, "bars", EVIL, EVIL, (SERIES,), EVIL, True)


def report() -> Report:
    result = Result(
        {},
        {"note": EVIL},
        (
            Text(f"{EVIL}\n\nSee https://example.org/a?b=1&c=<2>, and `code <b>`."),
            Table(EVIL, (EVIL, "n"), ((EVIL, 1), (None, 2.5)), EVIL),
            PLOT,
            Sheet("sheet", EVIL, b"png", EVIL),
        ),
        (Claim(EVIL, EVIL, EVIL, None),),
    )
    made = {"command": EVIL, "version": "1", "model": "m", "model_id": "ab", "seconds": 200}
    made["environment"] = environment = inputs.environment()
    kept = Saved("one", EVIL, EVIL, {"seed": 1, "small": True}, made, result)
    return Report([Entry("one", "measured", kept), Entry("privacy")], environment)


class Tags(HTMLParser):
    """All tags with their attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_name_of_a_picture_leads_out_of_the_folder() -> None:
    kept = report().entries[0].saved
    assert kept is not None
    names = [kept.file(Sheet(name, "", b"")) for name in ("a_b", "../../x", "Ü/..", "..")]
    assert names == ["one-a_b.png", "one-x.png", "one-part.png", "one-part.png"]


@pytest.fixture(scope="module")
def html() -> str:
    made = report()
    return page.html(made, view.section_views(made), {"one-plot.svg": plots.svg(PLOT)})


def test_the_page_is_well_formed_and_inert(html: str) -> None:
    found = Tags(html)
    assert found.open == []
    assert not {tag for tag, _ in found.tags} & {"script", "iframe", "object", "link", "form", "b"}
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            allowed = ("#", "data:image/png;base64,") if tag != "a" else ("#", "https://example.org/")
            assert not value or value.startswith(allowed), (tag, name, value)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_what_was_said_is_shown_as_it_was(html: str) -> None:
    found = Tags(html)
    for tag, attributes in found.tags:
        assert tag != "svg" or attributes["viewbox"]
    assert found.text.count("<script>alert('1')</script>") >= 12
    assert "{{ 7 * 7 }}" in found.text and " 49 " not in found.text
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a" and "rel" in attributes]
    assert links == ["https://example.org/a?b=1&c="]
    assert "code <b>" in found.text
    assert "small run" in found.text and "not measured yet" in found.text and "took 3 min" in found.text


def test_every_link_in_the_page_leads_somewhere(html: str) -> None:
    found = Tags(html)
    ids = [attributes["id"] for _, attributes in found.tags if attributes.get("id")]
    assert len(ids) == len(set(ids)), "plots share one space of ids with the page"
    for _, attributes in found.tags:
        for name in ("href", "xlink:href"):
            value = attributes.get(name) or ""
            assert not value.startswith("#") or value[1:] in ids
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_markdown_holds_no_markup_of_sections() -> None:
    made = report()
    text = re.sub(r"```.*?```", "", markdown.markdown(made, view.section_views(made)), flags=re.DOTALL)
    assert "<script" not in text and "<img" not in text and not re.search(r"(?<!\\)\]\(java", text)
    assert "](one-plot.svg)" in text and "](one-sheet.png)" in text and "(one.json)" in text
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    for line in tables:
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 5), line
    said = markdown.text("I_enc, 1.5 and *x*\n1. no list\n# no title")
    assert said == "I_enc, 1.5 and \\*x\\*\n1\\. no list\n\\# no title"


@pytest.mark.parametrize(
    "plot",
    [
        PLOT,
        Plot(
            "a",
            "a",
            "lines",
            "n",
            "ms",
            (Series("", (1e-4, 1e-2), (1, 2)), Series("b", (1e-4, 1e-2), (2, float("nan")))),
        ),
        Plot("a", "a", "lines", "n", "ms", (Series("", ("x", "y"), (1, 2), (0, 1), (2, 3)),), log_y=True),
        Plot("a", "a", "bars", "n", "ms", (Series("one", tuple("abc"), (1, 2, 3)), Series("two", ("a", "c"), (2, 1)))),
        Plot("a", "a", "bars", "n", "ms", (Series("", ("a",), (0.0,)),), log_y=True),
        Plot("a", "a", "bars", "n", "ms", ()),
    ],
)
def test_plots_are_the_same_bytes_twice(plot: Plot) -> None:
    first = plots.svg(plot)
    import matplotlib

    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        assert plots.svg(plot) == first, "whatever style the user has"
    assert "<dc:date>" not in first and "matplotlib.org" not in first
    assert "<script" not in first
