"""What a browser gets to see of a submission: nbgrader's feedback pages and formgrader, made harmless.

nbgrader puts Markdown cells into its pages as they are, HTML included, even where `sanitize_html` is set. So

    markdown2html, clean_html  stand in for nbconvert's filters of these names: what they return holds nothing that runs,
                               loads anything or leaves its place, whatever the student wrote
    formulas                   become MathML here, so that no page needs MathJax from another host
    remove_active              takes out of a folder that formgrader serves what a browser would run as a page of its own
    templates/                 what the pages' <head> gets in place of MathJax: a Content-Security-Policy, as a second wall,
                               and style that keeps each piece of a submission inside its box

`configure` and the exporter that it names put them in place, for every assignment of the course.
"""

import contextlib
import functools
import mimetypes
import pathlib
import re
import urllib.parse
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

import nh3
from jinja2 import pass_context
from latex2mathml.converter import convert
from mistune.util import striptags
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.token import STANDARD_TYPES

MAX_MARKDOWN = 20_000  # characters; a longer text could keep the parser busy for minutes, and is shown as it is
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=\s]+")

TEXT = """
    b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre q s
    small span strike strong sub summary sup table tbody td tfoot th thead tr u ul"""
MATHML = """
    math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt mstyle msub msubsup
    msup mtable mtd mtext mtr munder munderover none"""
# Known as such to some machines only.
ACTIVE = {".htm", ".html", ".mht", ".mhtml", ".shtml", ".svg", ".svgz", ".xht", ".xhtml", ".xml", ".xsl", ".xslt"}
CELL = {"colspan", "rowspan", "style"}
CLEANER = nh3.Cleaner(
    tags={*TEXT.split(), *MATHML.split()},
    # No id and no name: formgrader finds its own elements by them.
    attributes={
        "img": {"src", "alt"},
        "input": {"checked"},
        "ol": {"start"},
        "td": CELL,
        "th": CELL,
        "math": {"display"},
        "menclose": {"notation"},
        "mfrac": {"linethickness"},
        "mi": {"mathvariant"},
        "mo": {"accent", "fence", "form", "maxsize", "minsize", "stretchy"},
        "mover": {"accent"},
        "mspace": {"linebreak", "width"},
        "mstyle": {"displaystyle", "scriptlevel"},
        "mtable": {"columnspacing", "displaystyle", "rowspacing"},
        "mtd": {"columnalign"},
    },
    allowed_classes={"div": {"highlight"}, "span": set(filter(None, STANDARD_TYPES.values()))},  # Pygments' colours
    filter_style_properties={"text-align"},
    set_tag_attribute_values={"input": {"type": "checkbox", "disabled": ""}},  # Markdown's task lists
    url_schemes={"data"},  # of the only addresses that are kept, those of pictures
    attribute_filter=lambda tag, name, value: None if (name == "src" and not PICTURE.fullmatch(value)) else value,
)


def remove_active(folder: pathlib.Path) -> None:
    """Removes the files below `folder` that a browser would show as a page, scripts included: HTML, SVG and all XML.

    Beside the notebook a student may hand in anything, and formgrader serves it from its own address.
    """
    for path in folder.rglob("*"):
        kind = mimetypes.guess_type(path)[0] or ""  # what the server goes by, too
        if (kind.endswith(("html", "xml")) or path.suffix.lower() in ACTIVE) and path.is_file():
            path.unlink()


def clean(html: str) -> str:
    """`html` without anything that could run, load, be clicked or cover something else. Its tags are all closed."""
    return CLEANER.clean(html)


def clean_html(html: Any) -> str:
    """The same in a box of its own, for raw cells, which the templates give none, and for outputs."""
    html = html.decode(errors="replace") if isinstance(html, bytes) else str(html)
    return f'<div class="rendered_html">{clean(html)}</div>'


@pass_context
def markdown2html(context: Mapping[str, Any], source: str | None) -> str:
    """The HTML of a Markdown text, which may be a student's."""
    cell, source = context.get("cell", {}), source or ""
    html = markdown(source, cell.get("attachments"))
    if cell.get("metadata", {}).get("autograder", {}).get("marking_scheme"):
        return f'<div class="alert alert-info">{html}</div>'  # a look that no student can give to a cell
    return html


def markdown(source: str, attachments: Mapping[str, Any] | None = None) -> str:
    """The same of a text that is in no page yet. What many pages have in common, the lesson, is rendered once."""
    if len(source) > MAX_MARKDOWN:
        return f"<pre>{escape(source)}</pre>"
    return rendered(source, attachments) if attachments else known(source)


@functools.lru_cache(512)
def known(source: str) -> str:
    return rendered(source, {})


def remark(source: str) -> str:
    """The HTML of what a person typed into a field for a comment: Markdown, in which `<` is no more than a sign."""
    return rendered(source[:MAX_MARKDOWN], {}, escape=True)


def rendered(source: str, attachments: Mapping[str, Any], escape: bool = False) -> str:
    return clean(MarkdownWithMath(renderer=Renderer(attachments, escape)).render(source))


class Renderer(IPythonRenderer):
    """Markdown as nbconvert renders it, without MathJax, links and pictures from elsewhere."""

    def __init__(self, attachments: Mapping[str, Any], escape: bool = False) -> None:
        super().__init__(escape=escape, attachments=attachments, exclude_anchor_links=True)

    def block_math(self, body: str) -> str:
        return formula(body, "block")

    def inline_math(self, body: str) -> str:
        return formula(body, "inline")

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre><code>{escape(code)}</code></pre>"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """The address as text beside it: a link of a submission could lead anywhere, with the marker's rights."""
        if url.startswith("#") or url.endswith(unescape(striptags(text))):
            return text
        return f"{text} ({escape(url if len(url) <= 200 else url[:200] + '…')})"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        name = urllib.parse.unquote(url.removeprefix("attachment:"))
        for mime, data in self.attachments.get(name, {}).items() if url.startswith("attachment:") else ():
            url = f"data:{mime};base64,{data}"
        if PICTURE.fullmatch(url):
            return f'<img src="{url}" alt="{escape(striptags(text))}">'
        return self.link(text, url)


# Macros could grow without bound.
MACRO = re.compile(r"\\(?:new|renew|provide)(?:command|environment)|\\[egx]?def\b|\\DeclareMathOperator")
MAX_FORMULA = 4000
# What the converter does not know, by what it knows.
SAME = [
    (re.compile(r"\{(?:aligned|split|gathered)\}"), "{align*}"),
    (re.compile(r"(\\math(?:bb|bf|cal|frak|rm|scr|sf|tt))\s*([A-Za-z0-9])(?![A-Za-z0-9])"), r"\1{\2}"),
]


def formula(latex: str, display: str) -> str:
    """The formula as MathML, or its source where it cannot be read."""
    if len(latex) <= MAX_FORMULA and not MACRO.search(latex):
        for pattern, known in SAME:
            latex = pattern.sub(known, latex)
        with contextlib.suppress(Exception):  # a student's formula can be wrong in many ways
            mathml: str = convert(latex, display=display)
            return mathml
    return f"<code>{escape(latex)}</code>"
