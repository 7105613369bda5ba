"""Imported first by what starts often.

nbformat validates through jsonschema, which imports `rfc3987_syntax` if it is there, for a format that no notebook uses; that
builds a grammar for more than 2 s. Where it cannot be imported, jsonschema does without.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)
