"""The interface, described on one plain page made from its own OpenAPI: no script, nothing from elsewhere."""

import json
from html import escape
from typing import Any

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>lookalike: the interface</title><link rel="stylesheet" href="/page/page.css"></head>
<body class="docs"><main><h1>The interface</h1>
<p>For programs; people begin <a href="/">at the search page</a>. The same for machines: <a href="/openapi.json">
openapi.json</a>. Every error is <code>{"error": "a sentence"}</code>.</p>
"""


def docs_html(openapi: dict[str, Any]) -> str:
    """The page."""
    schemas: dict[str, Any] = openapi["components"]["schemas"]
    parts = [HEAD]
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            parts.append(_route(method, path, route, schemas))
    return "\n".join([*parts, "</main></body></html>"])


def _route(method: str, path: str, route: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = f"{method.upper()} {path}"
    parts = [f"<section><h2><code>{escape(name)}</code></h2><p>{escape(route['summary'])} ", ""]
    parts.append(f"{escape(_quoted(route.get('description', '')))}</p>")
    rows = [(value["name"], value.get("required", False), value["schema"]) for value in route.get("parameters", [])]
    parts.append(_table("Parameters", rows))
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content["schema"], schemas)
        needed = schema.get("required", [])
        fields = [(field, field in needed, value) for field, value in schema.get("properties", {}).items()]
        parts.append(_table(f"Body: {kind}", fields))
        for example in schema.get("examples", []):
            parts.append(f"<pre>{escape(json.dumps(example))}</pre>")
    for status, answer in route["responses"].items():
        for content in answer.get("content", {}).values():
            schema = _resolved(content.get("schema", {}), schemas)
            if status.startswith("2") and "properties" in schema:
                named = ", ".join(schema["properties"])
                parts.append(f"<p>Answers {status}: <code>{escape(named)}</code></p>")
    return "".join(parts) + "</section>"


def _table(title: str, rows: list[tuple[str, bool, dict[str, Any]]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><th scope=row><code>{escape(name)}</code>{' (needed)' if needed else ''}</th>"
        f"<td>{escape(_kind(schema))}</td><td>{escape(_quoted(schema.get('description', '')))}</td></tr>"
        for name, needed, schema in rows
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """The type, its bounds and what it is if it is not given."""
    kinds = [schema, *schema.get("anyOf", [])]
    names = [str(kind["type"]) for kind in kinds if kind.get("type") not in (None, "null")]
    bounds = [f"{said} {kind[key]:g}" for kind in kinds for key, said in _BOUNDS.items() if key in kind]
    default = [f"else {schema['default']}"] if schema.get("default") is not None else []
    return ", ".join([" or ".join(dict.fromkeys(names)), *bounds, *default])


_BOUNDS = {"minimum": "from", "maximum": "to", "maxLength": "at most this long:", "maxItems": "at most"}


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _quoted(markdown: str) -> str:
    return markdown.replace("`", "")
