"""Pages that belong to no app."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator


@login_required
def api_docs(request):
    """Every call of `/api/v1/`, read from the very schema that clients read, without a script from elsewhere."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    calls = [
        {"method": method.upper(), "path": path, "body": body_fields(schema, operation), **operation}
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    return render(request, "api_docs.html", {"schema": schema, "calls": calls})


def body_fields(schema: dict, operation: dict) -> list[dict]:
    """What the call sends: name, type, whether it is required, and what it means."""
    content = operation.get("requestBody", {}).get("content", {})
    reference = next((kind["schema"].get("$ref") for kind in content.values()), None)
    if reference is None:
        return []
    described = schema["components"]["schemas"][reference.rpartition("/")[2]]
    required = described.get("required", [])
    return [
        {
            "name": name,
            "type": field.get("format") or field.get("type", ""),
            "required": name in required,
            "description": field.get("description", ""),
        }
        for name, field in described.get("properties", {}).items()
    ]
