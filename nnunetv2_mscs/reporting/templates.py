"""HTML pages from the templates in results_templates/."""

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


def fill_template(name: str, **values: Any) -> str:
    """The page that a template makes of these values; text in them cannot become markup.

    Raises:
        jinja2.UndefinedError: the template needs a value that is not given.
    """
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def _read(name: str) -> str:
    return (resources.files("nnunetv2_mscs.results_templates") / name).read_text(encoding="utf-8")
