"""Pages that belong to no app."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator


@login_required
def api_docs(request):
    """Every call of `/api/v1/`, read from the very schema that clients read, without a script from elsewhere."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    calls = [
        {"method": method.upper(), "path": path, **operation}
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    return render(request, "api_docs.html", {"schema": schema, "calls": calls})
