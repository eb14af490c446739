"""The panel's page: `<base>/audit/panel`. Its script and styles are files of their own, so that nothing inline may run."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from jupyter_server.extension.handler import ExtensionHandlerJinjaMixin, ExtensionHandlerMixin
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from jupyter_audit.server.services import find_services

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"


class PanelHandler(ExtensionHandlerJinjaMixin, ExtensionHandlerMixin, JupyterHandler):  # type: ignore[misc]
    """The first page: one's own grant, requests, latest cells, findings."""

    auth_resource = "audit"

    @property
    def content_security_policy(self) -> str:
        """Forbid everything but the page's own files: it shows hostile text."""
        return POLICY

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        """Show the page."""
        services = find_services(self.settings)
        if services is None:
            raise web.HTTPError(503, "Jupyter Audit did not load on this server.")
        page = self.render_template(
            "panel.html",
            api=url_path_join(self.base_url, "audit/api/v1/"),
            static=url_path_join(self.base_url, "static/jupyter_audit/"),
            solo=services.policy.solo,
            profiles=services.policy.profiles.values(),
        )
        # Jupyter's login link is the only thing that may set this page's XSRF cookie before the first POST.
        self.xsrf_token  # noqa: B018
        self.finish(page)
