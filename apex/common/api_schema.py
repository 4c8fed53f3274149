"""How the API's schema describes our tokens. Loaded when the apps are ready, which makes it known."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ScopedTokenScheme(OpenApiAuthenticationExtension):
    target_class = "apex.common.api.ScopedTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema) -> dict:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "apex_…",
            "description": "A token from the settings page, with the scopes that the call needs.",
        }
