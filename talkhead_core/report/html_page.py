"""Pages from templates: one file with its styles and scripts inside, escaped, that loads nothing."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

__all__ = ["render_page"]


class _PackageTemplates(jinja2.BaseLoader):
    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        file = resources.files("talkhead_core.report") / "templates" / template
        if not file.is_file():
            raise jinja2.TemplateNotFound(template)
        return file.read_text(encoding="utf-8"), template, lambda: True


def render_page(template: str, **values: Any) -> str:
    """The HTML text of a page.

    Args:
        template: a file of ``talkhead_core/report/templates``.
        values: what the template uses; text in them is escaped, SVG elements come as they are through the filter ``svg``.
    """
    environment = jinja2.Environment(
        loader=_PackageTemplates(), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["svg"] = Markup
    environment.globals["inline"] = _inline
    return environment.get_template(template).render(**values)


def _inline(name: str) -> Markup:
    """A style sheet or script of ours, as it is: it holds nothing that a user gave."""
    return Markup((resources.files("talkhead_core.report") / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704
