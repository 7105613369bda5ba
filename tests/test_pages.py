"""Student's Markdown as HTML, without a browser; `test_browser.py` opens whole pages."""

import pytest
from bs4 import BeautifulSoup

from autograder.nbgrader import pages
from tests.hostile.script_in_everything import ATTACHED, PAYLOADS


def shown(source, **cell):
    return pages.markdown2html({"cell": cell}, source)


ACTS = {"href", "srcset", "id", "name", "action", "height"}  # and what begins with "on"


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_payload_leaves_a_tag_that_could_act(payload):
    for html in (shown(payload, attachments=ATTACHED), pages.clean_html(payload)):
        for tag in BeautifulSoup(html, "html.parser").find_all(True):
            assert tag.name in (pages.TEXT + pages.MATHML).split()
            assert not [name for name in tag.attrs if name in ACTS or name.startswith("on")]
            assert "width" not in tag.attrs or tag.name == "mspace"
            assert tag.get("src", "data:image/png;base64,").startswith("data:image/")


def test_a_picture_that_is_missing_or_elsewhere_is_named():
    assert shown("![a curve](attachment:lost.png)") == "<p>a curve (attachment:lost.png)</p>\n"
    assert shown("![a curve](https://example.org/x.png)") == "<p>a curve (https://example.org/x.png)</p>\n"
    assert (
        shown("[paper](https://example.org) <https://example.org>")
        == "<p>paper (https://example.org) https://example.org</p>\n"
    )


@pytest.mark.parametrize("latex", [r"\newcommand{\a}{xx}\a", r"\def\a{xx}\a", r"\left( x", "{" * 3000, "x" * 5000])
def test_a_formula_that_cannot_be_read_or_could_grow_is_shown_as_its_source(latex):
    assert shown(f"${latex}$") == f"<p><code>{latex}</code></p>\n"


def test_aligned_lines_are_a_table():
    assert shown("$$\\begin{aligned} a &= b \\\\ c &< d \\end{aligned}$$").count("<mtr>") == 2


def test_a_text_that_could_keep_the_parser_busy_is_shown_as_it_is():
    text = "<b>" + " " * pages.MAX_MARKDOWN
    assert shown(text) == f"<pre>&lt;b&gt;{' ' * pages.MAX_MARKDOWN}</pre>"


def test_only_a_marking_scheme_looks_like_one():
    assert "alert-info" in shown("**Marking scheme**", metadata={"autograder": {"marking_scheme": True}})
    assert "alert-info" not in shown('<div class="alert alert-info">**Marking scheme**</div>', metadata={})
