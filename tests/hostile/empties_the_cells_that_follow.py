"""Registers IPython transformers that drop assertions and turn every later cell into nothing, so that tests end in
silence. Silence is not a pass: 0."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

EMPTY = """

import ast

class DropAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

    def visit_Module(self, node):
        self.generic_visit(node)
        calls_tests = "HIDDEN" in ast.dump(node) or "reparameterize" in ast.dump(node)
        node.body = [] if calls_tests else node.body
        return node

get_ipython().ast_transformers.append(DropAsserts())
get_ipython().input_transformers_cleanup.append(lambda lines: [] if any("assert" in line for line in lines) else lines)
"""


def apply(nb):
    cell(nb, "vae_model").source += EMPTY
    return nb
