"""
The panel: `<base>/audit/panel`, one page that shows access, cells, refusals and findings.

All of it is rendered here, with everything escaped; the page's script only fetches the page anew, swaps what
changed, and sends forms to the REST API. It shows hostile text (code, reasons, tickets), so its policy lets
nothing run but its own two files. Must never act: acts go through the API.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httputil import url_concat

from jupyter_audit.access.views import plain
from jupyter_audit.errors import AuditError
from jupyter_audit.gate.sessions import Session
from jupyter_audit.record.terminal import TERMINAL
from jupyter_audit.server import overview, views
from jupyter_audit.server.apibase import authorized_to
from jupyter_audit.server.authorizer import WATCHERS
from jupyter_audit.server.passkeys import passkeys_of
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import find_services
from jupyter_audit.server.terminals import TERMINALS_KEY
from jupyter_audit.server.web import find_web

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

THEMES = "lab/api/themes/@jupyterlab/theme-{}-extension/index.css"
"""JupyterLab's own two; where it is not there, panel.css has colours of its own."""


def duration(milliseconds: int | None) -> str:
    """Return how long something took, as people say it."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return str(timedelta(seconds=milliseconds // 1000))


def time_of_day(text: str) -> str:
    """Return the time of an RFC 3339 text, to the second; its day stands beside it where it matters."""
    return f"{text[11:19]} UTC"


def _environment() -> Environment:
    # Not Jupyter's: its options can be changed by configuration, and escaping must not hang on that.
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(duration=duration, time_of_day=time_of_day, counted=views.counted, plain=plain)
    return made


class AuditPage(JupyterHandler):
    """What the pages share: headers that keep hostile text from acting, and the addresses of what a page needs."""

    auth_resource = "audit"
    _templates = _environment()

    @property
    def content_security_policy(self) -> str:
        """Forbid everything but the page's own files; what the browser stops goes to the server's log."""
        report = url_path_join(self.base_url, "api/security/csp-report")
        return f"{CONTENT_SECURITY_POLICY}; report-uri {report}"

    def set_default_headers(self) -> None:
        """Keep the page out of every cache, and its address out of other sites' logs."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")

    def addresses(self) -> dict[str, Any]:
        """Return what every page's template needs."""
        return {
            "api": url_path_join(self.base_url, "audit/api/v1/"),
            "panel": url_path_join(self.base_url, "audit/panel"),
            "static": url_path_join(self.base_url, "static/jupyter_audit/"),
            "themes": self._themes(),
            "xsrf": self.xsrf_token.decode(),
        }

    def _themes(self) -> dict[str, str]:
        """Return the addresses of JupyterLab's light and dark theme, if it is there."""
        extensions: Any = self.serverapp.extension_manager.extensions if self.serverapp else {}
        lab = extensions.get("jupyterlab")
        if lab is None or not lab.enabled:
            return {}
        return {scheme: url_path_join(self.base_url, THEMES.format(scheme)) for scheme in ("light", "dark")}


class PanelHandler(AuditPage):
    """The page, and each refresh of it."""

    @authorized_to("read")
    async def get(self) -> None:
        """Show the page."""
        shared = find_web(self.settings)
        if shared is None:
            raise web.HTTPError(503, "Jupyter Audit did not load on this server.")
        principal = principal_of(self)
        try:
            sight, live = shared.sight_of(principal), shared.live_sessions()
            routes = shared.services.alert_routes
            ledger = await shared.read(lambda reader: overview.look(reader, sight, live, shared.owner_of, routes))
            standing = overview.standing(shared.services, principal, shared.now())
        except AuditError as error:
            raise web.HTTPError(error.http_status, error.explain()) from error
        if overview.shows_others(standing, ledger):
            shared.note_read(principal, "panel")
        self.finish(
            self._templates.get_template("panel.html").render(
                **standing,
                passkeys=passkeys_of(shared.services, principal, self.request),
                ledger=ledger,
                **self.addresses(),
            )
        )


class WatchHandler(AuditPage):
    """One live session, read-only, for approvers and auditors."""

    @authorized_to("read")
    async def get(self, session_id: str) -> None:
        """Show the page; what it shows comes over the kernel's or terminal's websocket, which puts the watching down."""
        services = find_services(self.settings)
        principal = principal_of(self)
        session = next((one for one in services.sessions.all() if one.id == session_id), None) if services else None
        address = self._address_of(session) if session is not None and WATCHERS & principal.roles else ""
        if session is None or not address:
            raise web.HTTPError(404, "There is no live session of this name that you may watch.")
        self.finish(
            self._templates.get_template("watch.html").render(
                session=views.session_view(session),
                channels=url_path_join(self.base_url, address),
                terminal=session.kernel_name == TERMINAL,
                solo=services is not None and services.policy.solo,
                **self.addresses(),
            )
        )

    def _address_of(self, session: Session) -> str:
        """Return where a session is watched; nothing where it has just ended."""
        if session.kernel_name != TERMINAL:
            return url_concat(f"api/kernels/{session.kernel_id}/channels", {"session_id": f"watch-{secrets.token_hex(8)}"})
        manager = self.settings.get(TERMINALS_KEY)
        terminal = manager.of_session(session) if manager is not None else None
        return f"terminals/websocket/{terminal.term_name}" if terminal is not None else ""
