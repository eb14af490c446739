"""
What an admin can set, in `jupyter_server_config.py` as `c.JupyterAudit.<name> = …`.

The help texts here are the configuration reference (docs/configuration.md is made from them).
"""

from __future__ import annotations

from traitlets import Bool, Dict, Enum, Float, Int, List, Unicode
from traitlets.config import Configurable

from jupyter_audit.profilekeys import profile_help

MIB = 1024 * 1024


class JupyterAudit(Configurable):
    """The settings of Jupyter Audit."""

    home = Unicode(
        "",
        help="The audit home: the folder with ledger and key. Empty: $JUPYTER_AUDIT_HOME, or the "
        "account's data folder. The account that runs the server must own it; nobody else may enter it.",
    ).tag(config=True)

    solo = Bool(
        False,
        help="One person holds every role, and approves their own requests on purpose. Every approval in "
        "the ledger says so. The person is the account of the operating system that runs the server.",
    ).tag(config=True)

    roles = Dict(
        key_trait=Enum(["engineer", "approver", "auditor", "admin"]),
        value_trait=List(Unicode()),
        default_value={"engineer": ["*"]},
        help="Who holds which role: a list of user names for each of engineer, approver, auditor, admin; "
        "group:NAME is everybody in a group, scope:NAME everybody with a scope of JupyterHub (docs/people.md), "
        '"*" every authenticated user. Nobody is an approver until you name one. Not used in solo mode.',
    ).tag(config=True)

    profiles = Dict(
        help="What may be asked for: for each profile's name a dictionary with any of the keys below (default in brackets). "
        "Empty: one profile `production-debug` with the defaults, and `recovery` for admins, 15 minutes. "
        "`jupyter audit profile explain` says what a profile means for one person. " + profile_help(),
    ).tag(config=True)

    guardrail_rules = Unicode(
        "",
        help="A folder with guardrails of your own, besides those that come with Jupyter Audit: a Sigma rule in each file "
        "NAME.yml, which profiles name as NAME (docs/guardrails.md). Nobody else may be able to write there. Read at the start.",
    ).tag(config=True)

    pending_requests = Int(
        20,
        min=1,
        help="How many requests of one person may wait for an answer at a time. Whoever has so many withdraws one, or waits.",
    ).tag(config=True)

    requests_per_minute = Int(
        60,
        min=1,
        help="How many acts of access (requests, answers, broken glasses and the like) one person may send to the server in a "
        "minute; more are answered with 429 and after how many seconds to try again. Approvers, auditors and admins deny, "
        "revoke and end sessions without this limit.",
    ).tag(config=True)

    passkey_rp_id = Unicode(
        "",
        help="The host that approvers' passkeys are for (WebAuthn's RP ID): that of passkey_origins, or a domain above it. A "
        "passkey works for no other, so a change of it ends them all. Empty: the host of passkey_origins, or of the page.",
    ).tag(config=True)

    passkey_origins = List(
        Unicode(),
        default_value=[],
        help="Where approvers open the panel, such as ['https://debug.example']: passkeys sign there and nowhere else. Set it "
        "on a server that others reach, and behind a proxy that ends TLS. Empty: at the address that a request names, "
        "https or http://localhost.",
    ).tag(config=True)

    allowed_kernels = List(
        Unicode(),
        default_value=["audit"],
        help="The kernelspecs that may start. Kernels other than `audit` are gated and recorded too, but "
        "check no permits.",
    ).tag(config=True)

    isolation = Enum(
        ["auto", "bubblewrap+landlock", "bubblewrap", "landlock", "account", "none"],
        default_value="auto",
        help="The isolation rung for kernels. auto: the best that this machine has; the name of a rung: that one, or the "
        "server does not start; none: no isolation, which the ledger then says. What each withstands is in "
        "docs/threat-model.md; `jupyter audit doctor` says which one is in force and why not a higher one.",
    ).tag(config=True)

    kernel_account = Unicode(
        "",
        help="The account that kernels run under, if it is to be another than the server's. The server must be root, or have "
        "the capabilities to switch; the notebook folder must be open to that account. It goes together with every rung.",
    ).tag(config=True)

    kernel_packages = Unicode(
        "",
        help="A folder for each person's own Python packages, such as /srv/packages/{user}: {user} becomes the person's name. "
        "`pip install` in a cell puts packages there, and kernels of that person find them after everything that is installed "
        "for all. Empty: what is installed in a session goes into a folder of the session's own, which no other session sees and "
        "which is gone with it, at a restart too.",
    ).tag(config=True)

    kernel_environment = List(
        Unicode(),
        default_value=["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "HOME", "USER", "LOGNAME"],
        help="The environment variables that a kernel gets from the server. No other is passed on.",
    ).tag(config=True)

    kernel_processes = Int(
        8192,
        min=0,
        help="How many processes and threads one session may have, where that can be counted session by session: on the "
        "bubblewrap rungs, from Linux 5.14 on, where kernels do not run as root. 0: as many as the machine gives. See "
        "docs/threat-model.md.",
    ).tag(config=True)

    kernel_writable = List(
        Unicode(),
        default_value=[],
        help="Folders that a kernel may write to under a sandbox rung, besides the server's root folder "
        "and its own temporary folder.",
    ).tag(config=True)

    terminal_command = List(
        Unicode(),
        default_value=["bash", "--noprofile", "--norc", "-i"],
        help="What a terminal runs, where a profile allows terminals. The default reads no startup file: whoever can "
        "write one would have it run in the next terminal, under another grant.",
    ).tag(config=True)

    begin_seconds = Float(
        30.0,
        help="After how many seconds a cell that was sent, and that its kernel does not begin though it runs no other, is put "
        "down as a gap and shown to its user as an error. The cell stays sent: nothing is run twice.",
    ).tag(config=True)

    grace_seconds = Float(
        5.0,
        help="From a grant's end to the moment when the last process of its sessions is gone, at most. "
        "Running cells are interrupted at once and killed within this time.",
    ).tag(config=True)

    sweep_seconds = Float(
        1.0,
        help="How often the server looks for grants that have ended, in seconds (at most 15). Every cell "
        "is judged against the grant besides.",
    ).tag(config=True)

    free_space_floor = Int(
        500 * MIB,
        help="Bytes that must be free where the ledger is, or no session starts and no cell is admitted; below half of it "
        "every session is ended. Both but for those under a recovery profile. The same for files: 1,000 more must fit.",
    ).tag(config=True)

    anchors = List(
        Unicode(),
        default_value=[],
        help="Where checkpoints are sent, so that the past can be compared with what others hold: file:/path (a JSON line "
        "each, best on another machine's disk), syslog+tcp://host:port, syslog+udp://host:port (RFC 5424), "
        "witness+https://host/prefix#VKEY (a witness and the key that it cosigns with). A sink that is down gets later what it "
        "missed. `jupyter audit doctor` shows how far each is. See docs/anchors.md.",
    ).tag(config=True)

    anchor_seconds = Float(
        10.0, help="How often the server sends new checkpoints to the anchors, in seconds; besides once as it stops."
    ).tag(config=True)

    alert_targets = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        default_value={},
        help="Where alerts can go, by name: the URL of a service (Apprise's: mail, chat, webhooks; docs/alerts.md), or better, "
        "as such URLs hold secrets, file:NAME, a file of mode 0600 with the URL in the folder `alerts` of the audit home "
        "(which kernels cannot read), or env:NAME. Neither the ledger nor any page shows them. Empty: nobody is told anything, "
        "also not of a broken glass.",
    ).tag(config=True)

    alert_people = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        default_value={},
        help="Whose targets are whose: a list of targets for a person's name, or for a group as profiles and roles name it "
        "(group:NAME). Routes then reach `approvers` (those who may answer) and the `holder` of a grant.",
    ).tag(config=True)

    alert_routes = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        default_value={},
        help="What goes where: for each of the events break_glass, review_overdue, finding, request_waiting, cell_waiting, "
        "grant_ending, revoked_everyone, recording_failing and witness_alarm a list of targets, of which `everyone` stands for "
        "all, `approvers` for those of whoever may answer or review, `holder` for those of whose grant it is. An event that is "
        "not named is told nobody. Empty: request_waiting and cell_waiting to approvers, grant_ending to its holder, all else to "
        "everyone.",
    ).tag(config=True)

    alert_finding_level = Enum(
        ["informational", "low", "medium", "high", "critical"],
        default_value="high",
        help="Findings of this level and above are alerts.",
    ).tag(config=True)

    alert_ending_minutes = Int(5, min=1, help="How many minutes before a grant ends its holder is told.").tag(config=True)

    alert_review_hours = Int(
        24, min=1, help="How many hours a broken glass may wait for its review until it is an alert, and until each further one."
    ).tag(config=True)

    public_url = Unicode(
        "",
        help="The address of this server as people reach it, such as https://debug.example.org/, for links in alerts and for the "
        "commands that people are told (--server). Empty: what the server itself thinks it is; commands say --server URL.",
    ).tag(config=True)

    retention_days = Int(
        0,
        min=0,
        help="How many days contents (code, outputs) are kept; 0 keeps them for ever. `jupyter audit purge --retention` "
        "takes what is older, entries stay: run it from cron or a systemd timer, once a day.",
    ).tag(config=True)

    retention_days_of = Dict(
        key_trait=Unicode(),
        value_trait=Int(min=0),
        default_value={},
        help="The same for contents of certain names, in place of retention_days: with {'outputs': 30, 'message': 365} what "
        "cells printed goes after 30 days and their code after a year. The names are those that docs/entries.md gives.",
    ).tag(config=True)

    signing_key_days = Int(
        365,
        min=0,
        help="After how many days under one signing key `jupyter audit doctor` warns that a new one is due; 0 never. A timer "
        "with `jupyter audit keys rotate --if-older-than` changes it (docs/keys.md).",
    ).tag(config=True)

    sealed_to = List(
        Unicode(),
        default_value=[],
        help="Public keys of auditors (lines of `jupyter audit auditor-key`, auditor+NAME+ID+KEY): code and outputs are sealed "
        "to them as they are recorded, so that nobody else, this server included, can read them back. Whoever has the "
        "secret of any one of them reads all; if all secrets are lost, so is what was sealed. Empty: nothing is sealed.",
    ).tag(config=True)

    preview_bytes = Int(8192, help="How much of each output's text is kept, in bytes.").tag(config=True)

    record_timeout_seconds = Float(
        10.0,
        help="How long a cell waits for its entry to become durable before it is refused, in seconds.",
    ).tag(config=True)

    allowed_extensions = List(
        Unicode(),
        default_value=["jupyter_audit", "jupyterlab", "notebook", "notebook_shim"],
        help="The server extensions that the launcher loads. Any other is left out: an extension is code "
        "inside the server and can run cells past the gate.",
    ).tag(config=True)

    allowed_handlers = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        help="Request handlers of other extensions that may be reached, as the full name of the handler's class and "
        "its HTTP methods, such as {'their_extension.handlers.StatusHandler': ['GET']}. Whoever is logged in may use "
        "them. Any handler that is not known to be harmless is denied; some stay denied whatever stands here.",
    ).tag(config=True)

    working_hours = Unicode(
        "07:00-20:00",
        help="Hours of ordinary work on weekdays, as HH:MM-HH:MM, for the detection of work at unusual hours.",
    ).tag(config=True)

    time_zone = Unicode(
        "UTC",
        help="The IANA time zone of working_hours, such as Europe/Berlin.",
    ).tag(config=True)
