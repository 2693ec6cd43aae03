"""Every rule text and configuration text of the tests, so that a change of the syntax is one edit here."""

import json
import re


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_value(v)}" for k, v in value.items()) + "}"
    text = str(value)
    return text if isinstance(value, int) or re.fullmatch(r"[a-z][a-z-]*", text) else json.dumps(text)


def rule(action, options=None, **match):
    """One rule: rule("bypass", {"unverified": True}, name=["a.test"]). Underscores in keys become hyphens."""
    matched = {key.replace("_", "-"): value for key, value in match.items()}
    text = f"  - match: {_value(matched)}\n    action: {action}\n"
    return text + "".join(f"    {key}: {_value(value)}\n" for key, value in (options or {}).items())


def rules(*each, default="inspect", loopback=True, **top):
    """A whole rule file. The servers of the tests are on loopback, which has to be allowed."""
    head = {"default": default, **({"allow": ["loopback"]} if loopback else {}), **top}
    text = "".join(f"{key.replace('_', '-')}: {_value(value)}\n" for key, value in head.items())
    return text + ("rules:\n" + "".join(each) if each else "")


BYPASS_UNSEEN = {"unverified": True}  # a bypass by name that does not look at the server first


def configuration(**values):
    """A whole configuration file of flat keys."""
    return "".join(f"{key.replace('_', '-')}: {_value(value)}\n" for key, value in values.items())


DISCLOSURE = {"operator": "Lab", "contact": "lab@site.test", "purpose": "tests of the proxy", "retention": "30d"}
