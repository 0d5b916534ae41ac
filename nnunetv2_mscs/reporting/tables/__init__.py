"""The tables of a paper: templates found, filled with the statistics of models, written as Markdown, LaTeX and CSV."""

from nnunetv2_mscs.reporting.tables.cells import Cell
from nnunetv2_mscs.reporting.tables.filling import Table, check_template, fill_table
from nnunetv2_mscs.reporting.tables.templates import Template, find_templates
from nnunetv2_mscs.reporting.tables.writing import write_table

__all__ = ["Cell", "Table", "Template", "check_template", "fill_table", "find_templates", "write_table"]
