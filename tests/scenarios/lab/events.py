"""The jsonl's schema, as far as tests rely on it: a change of a field's name is one edit here."""

import re


def kind(event):
    return event.get("type")


def values(event):
    """Every text in an event, however deep."""
    if isinstance(event, dict):
        return [text for value in event.values() for text in values(value)]
    if isinstance(event, list):
        return [text for value in event for text in values(value)]
    return [event] if isinstance(event, str) else []


def is_request(path=None, method=None):
    return lambda e: (kind(e) == "request" and (path is None or e.get("path") == path)
                      and (method is None or e.get("method") == method))


def is_response(status=None):
    return lambda e: kind(e) == "response" and (status is None or e.get("status") == status)


def is_verdict(action, rule=None):
    return lambda e: (kind(e) == "verdict" and e.get("action") == action
                      and (rule is None or re.search(rule, e.get("rule", ""))))


def is_close(ending=None):
    return lambda e: kind(e) == "close" and (ending is None or e.get("ending") == ending)


def is_kind(wanted):
    return lambda e: kind(e) == wanted


def of_flow(events, flow):
    return [e for e in events if e.get("flow") == flow]
