"""Label selectors as text: what scale shows, what tables print, what list requests take. Pure."""

from headstay.model.objects import Obj


def selector_text(selector: Obj) -> str:
    """A LabelSelector in the text form that list requests take."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(sorted(expression.get("values") or []))
        form = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(form.get(expression["operator"], f"!{key}"))
    return ",".join(parts)
