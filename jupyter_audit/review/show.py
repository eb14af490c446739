"""
What an auditor sees in a notebook: the report, sessions, one session cell by cell, findings, refusals.

Pure. Everything that an engineer, a kernel or a client had a hand in passes through `inert`: no markup,
script, formula or escape sequence of theirs reaches the auditor's browser or terminal. Must never put such
text into an attribute other than a quoted `title`, or into a style, a script or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from jupyter_audit.clock import parse_time
from jupyter_audit.errors import AuditError, VerificationError
from jupyter_audit.ledger import LedgerReport
from jupyter_audit.review.findings import LEVELS, Finding, Refusal
from jupyter_audit.review.inert import escape, escape_line, inert, one_line
from jupyter_audit.review.sessions import GrantFacts, SessionFacts
from jupyter_audit.review.timeline import CellStep, EventStep, Outcome, OutputFacts, Timeline

MOST_CODE = 20_000
MOST_PREVIEW = 4_000
WORTH_TELLING_MS = 100
"""A wait behind other cells that is shorter is not told of."""
"""Characters of code, and of one output, that are shown."""

_STYLE = """<style>
.ja {--l: var(--jp-border-color2, #ccc); --m: var(--jp-ui-font-color2, #666);
  --f: var(--jp-layout-color2, #f5f5f5);
  --bad: var(--jp-error-color1, #c62828); --ok: var(--jp-success-color1, #2e7d32);
  --warn: var(--jp-warn-color1, #e65100); --code: var(--jp-code-font-family, monospace);
  font-size: 13px; line-height: 1.45; max-width: 1080px}
.ja table {border-collapse: collapse; font-size: 12px; margin: 4px 0}
.ja th, .ja td {text-align: left !important; vertical-align: top; padding: 3px 9px; overflow-wrap: anywhere}
.ja th, .ja td code, .ja td.n b {white-space: nowrap}
.ja td.w {min-width: 9em}
.ja td.n {text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap}
.ja td.t {white-space: nowrap; font-variant-numeric: tabular-nums}
.ja pre {font-family: var(--code); font-size: 12px; white-space: pre-wrap; overflow-wrap: anywhere;
  overflow: auto; max-height: 30em; border: 0;
  margin: 4px 0 !important; padding: 6px 9px !important; background: var(--f) !important}
.ja code {font-family: var(--code)} .ja pre code {background: none !important; padding: 0 !important}
.ja .step {border-left: 3px solid var(--l); padding: 3px 0 5px 12px; margin: 0 0 10px}
.ja .step.ok {border-color: var(--ok)} .ja .step.bad {border-color: var(--bad)}
.ja .step.warn {border-color: var(--warn)}
.ja .event {margin: 0 0 6px; padding: 0 0 0 15px; color: var(--m)} .ja .event.bad {color: var(--bad)}
.ja .m {color: var(--m)} .ja .ok-t {color: var(--ok)} .ja .bad-t {color: var(--bad)}
.ja .warn-t {color: var(--warn)}
.ja .out {border-left: 2px solid var(--l); margin: 4px 0 4px 2px; padding-left: 9px}
.ja .box {border: 2px solid var(--l); border-radius: 4px; padding: 8px 14px; margin: 6px 0}
.ja .box.bad {border-color: var(--bad)} .ja .box.ok {border-color: var(--ok)}
.ja .box p {margin: 4px 0}
</style>"""


@dataclass(frozen=True, slots=True)
class Shown:
    """Something to look at: HTML for a notebook, text for anything else. Both are inert."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def show_report(report: LedgerReport, checkpoint_note: str) -> Shown:
    """Return what verification found, with the checkpoint to keep until the next time."""
    facts = [
        ("Ledger", report.origin),
        ("Entries", f"{report.entries:,}, from {_time(report.first)} to {_time(report.last)} UTC"),
        ("Root hash", report.root),
        ("Checkpoints", f"{report.checkpoints:,}, each signed by the key in force"),
        ("Contents", f"{report.contents_held:,} held, {report.contents_purged:,} purged, each by an entry"),
    ]
    if report.contents_sealed:
        facts.append(("Sealed", f"{report.contents_sealed:,} of those held, {report.contents_opened:,} opened with your key"))
    if report.since is not None:
        facts.append(("Compared", f"extends the checkpoint of {report.since:,} entries that was remembered"))
    facts += [("Not checked", sentence) for sentence in report.not_checked]
    if report.clock_went_back:
        facts.append(("Clock", f"went back {report.clock_went_back} times; the entries say where"))
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    html = _page(
        f'<div class="box ok"><p><b class="ok-t">✔ Verified.</b> Whole {escape(report.finding)}</p><table>{rows}</table>'
        "<details><summary>The checkpoint to keep for the next time</summary>"
        f"<pre>{escape(checkpoint_note)}</pre></details></div>"
    )
    lines = [f"{name}: {inert(value)}" for name, value in facts]
    return Shown(html, "\n".join(["VERIFIED", *lines, inert(checkpoint_note)]))


def show_error(error: AuditError) -> Shown:
    """Return the red box that stands in place of a review."""
    title, where = "This ledger cannot be reviewed.", ""
    if isinstance(error, VerificationError):
        title = "This ledger is not what was signed."
        entry = f"first bad entry: {error.seq}, " if error.seq is not None else ""
        where = f"({entry}damage: {error.damage})"
    advice = error.advice or "Keep the file as it is, for evidence, and tell whoever is responsible for it."
    stop = "Nothing of it is shown below."
    html = _page(
        f'<div class="box bad"><p><b class="bad-t">✘ {title}</b> {escape(where)}</p><p>{escape(error)}</p>'
        f"<p>{escape(advice)}</p><p><b>{stop}</b></p></div>"
    )
    return Shown(html, "\n".join([f"STOPPED: {title} {where}", inert(error), inert(advice), stop]))


def show_sessions(sessions: Sequence[SessionFacts], zone: tzinfo = UTC) -> Shown:
    """Return the table of sessions."""
    head = ("Session", "Who", "Why", "Began", "Lasted", "Ended by", "Run", "Errors", "Refused", "Late",
            "Findings")  # fmt: skip
    rows, texts = [], []
    for session in sessions:
        grant = session.grant or GrantFacts("")
        refused = session.cells_refused + session.messages_refused
        cells = [
            _cell(_name(session.id)),
            _cell(_who(session), "w"),
            _cell(_why(session), "w"),
            _cell(_time(session.started or session.first, zone), "t"),
            _cell(_lasted(session), "n"),
            _cell(_cause(session), "t"),
            _count(session.cells_run),
            _count(session.errors),
            _count(refused, "warn-t"),
            _count(session.late_outputs, "warn-t"),
            _cell(_badge(session.worst, str(session.findings)) if session.findings else "", "n"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
        texts.append(
            f"{one_line(session.id)}  {one_line(session.principal)}  {one_line(grant.ticket)}  "
            f"{_time(session.started or session.first, zone)}  run {session.cells_run}, refused {refused}, "
            f"findings {session.findings}"
        )
    return _table(head, rows, texts, "No session.")


def show_findings(findings: Sequence[Finding], zone: tzinfo = UTC) -> Shown:
    """Return the table of findings and gaps."""
    rows, texts = [], []
    for finding in findings:
        named = ", ".join(str(seq) for seq in finding.entries[:20])
        more = " …" if len(finding.entries) > 20 else ""
        cells = [
            _cell(_badge(finding.level), "t"),
            _cell(f"<b>{escape_line(finding.title)}</b><br>{escape(finding.explanation, 2000)}"),
            _cell(escape_line(finding.principal)),
            _cell(_name(finding.session)),
            _cell(escape(named) + more),
            _cell(_time(finding.time, zone), "t"),
            _cell(str(finding.seq), "n"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
        texts.append(
            f"[{one_line(finding.level)}] {one_line(finding.title)}: {one_line(finding.explanation)}"
        )
    head = ("Level", "Finding", "Who", "Session", "About entries", "When", "Entry")
    return _table(head, rows, texts, "No findings.")


def show_refusals(refusals: Sequence[Refusal], zone: tzinfo = UTC) -> Shown:
    """Return the table of refusals."""
    rows, texts = [], []
    for refusal in refusals:
        cells = [
            _cell(_time(refusal.time, zone), "t"),
            _cell(escape_line(refusal.principal)),
            _cell(escape_line(refusal.what)),
            _cell(escape_line(refusal.cause)),
            _cell(_name(refusal.session)),
            _cell(str(refusal.seq), "n"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
        texts.append(
            f"{_time(refusal.time, zone)}  {one_line(refusal.principal)}  {one_line(refusal.what)}: "
            f"{one_line(refusal.cause)}"
        )
    head = ("When", "Who", "What", "Why refused", "Session", "Entry")
    return _table(head, rows, texts, "Nothing was refused.")


def show_timeline(timeline: Timeline, zone: tzinfo = UTC) -> Shown:
    """Return one session, cell by cell."""
    html, texts = [_head_of(timeline.session, zone)], [one_line(f"Session {timeline.session.id}")]
    for step in timeline.steps:
        if isinstance(step, EventStep):
            html.append(_event(step, zone))
            texts.append(f"{_time(step.time, zone)}  {one_line(step.principal)}: {one_line(step.what, 1000)}")
        elif step.canary:
            html.append(f'<div class="event">{_when(step, zone)} · the server\'s canary cell</div>')
        else:
            html.append(_cell_step(step, zone))
            texts.append(_cell_text(step, zone))
    return Shown(_page("".join(html)), "\n".join(texts))


# --- a session ------------------------------------------------------------------------------------


def _head_of(session: SessionFacts, zone: tzinfo) -> str:
    grant = session.grant
    voucher = f'<span class="m">(vouched for by {escape_line(session.vouched_by)})</span>'
    rows = [("Who", f"{escape_line(session.principal)} {voucher}")]
    if grant is not None:
        until = f"{_stated(grant.not_before, zone)} to {_stated(grant.not_after, zone)}"
        ended = f", {escape_line(grant.ended_by)}" if grant.ended_by else ""
        rows += [
            ("Why", escape(grant.reason, 2000)),
            ("Ticket", escape_line(grant.ticket)),
            ("Grant", f"<code>{escape_line(grant.id)}</code> {escape_line(grant.profile)}, {until}{ended}"),
            ("Approval", _approver(grant)),
        ]
        rows += [("Target", escape_line(grant.target))] if grant.target else []
        rows += [("Took over", f"<code>{escape_line(grant.takes_over)}</code>")] if grant.takes_over else []
        rows += [("More time", escape(more, 2000)) for more in grant.extensions]
        rows += [("Review", escape(grant.review, 2000))] if grant.review else []
        rows += [("No effect", f'<b class="bad-t">{escape_line(odd)}</b>') for odd in grant.anomalies]
    else:
        rows.append(("Grant", '<span class="warn-t">none: no cell of this session was admitted</span>'))
    kernel = f"{escape_line(session.kernel_name)}, isolation {escape_line(session.isolation)}"
    canary = {True: "canary read back", False: '<b class="bad-t">canary failed</b>', None: "no canary"}
    began = _time(session.started or session.first, zone)
    rows += [
        ("Kernel", f"{kernel}, {canary[session.canary]}"),
        ("When", f"{began}, {_lasted(session)}, {_cause(session)}"),
    ]
    if session.notebook:
        theirs = '<span class="m">(the client\'s word)</span>'
        rows.append(("Notebook", f"{escape_line(session.notebook)} {theirs}"))
    if session.folder:
        rows.append(("Folder", escape_line(session.folder)))
    if session.unreadable:
        lacking = f"{session.unreadable} entries lack what their kind has"
        rows.append(("Unreadable", f'<b class="bad-t">{lacking}</b>'))
    table = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    title = f"<b>Session <code>{escape_line(session.id)}</code></b>"
    return f'<div class="box">{title}<table>{table}</table></div>'


def _event(step: EventStep, zone: tzinfo) -> str:
    word = "" if step.reported_by == "server" else f" <i>({escape_line(step.reported_by)}'s word)</i>"
    who = f"{escape_line(step.principal)}: " if step.type.startswith("access.") else ""
    css = "event bad" if step.grave else "event"
    return f'<div class="{css}">{_when(step, zone)} · {who}{escape(step.what, 2000)}{word}</div>'


def _cell_step(step: CellStep, zone: tzinfo) -> str:
    tone, verdict = _verdict(step)
    silent = ' · <span class="warn-t">silent: not shown in the notebook</span>' if step.silent else ""
    head = f"{_when(step, zone)} · {escape_line(step.principal)} · {verdict}{silent}"
    parts = [f'<div class="step {tone}"><div>{head}</div>']
    if step.code is None:
        lines = _many(step.lines, "line")
        parts.append(f'<p class="m">Code of {lines}: {escape_line(_absent(step))}.</p>')
    else:
        parts.append(f"<pre><code>{escape(step.code, MOST_CODE)}</code></pre>")
    if step.outcome is not None:
        parts += [_output(output) for output in step.outcome.outputs]
    for late in step.late:
        told = f"late output, after the cell had finished{_word(late)}"
        parts.append(f'<div class="warn-t">{_when(late, zone)} · {told}</div>')
        parts += [_output(output) for output in late.outputs]
    for finding in step.findings:
        parts.append(
            f"<div>{_badge(finding.level)} <b>{escape_line(finding.title)}</b> "
            f"<span class='m'>(entry {finding.seq})</span><br>{escape(finding.explanation, 2000)}</div>"
        )
    return "".join(parts) + "</div>"


def _verdict(step: CellStep) -> tuple[str, str]:
    """Return a cell's colour, and in HTML what became of it."""
    if step.refused:
        return "bad", f'<b class="bad-t">refused: {escape_line(step.refused)}</b>, never reached the kernel'
    outcome = step.outcome
    if outcome is None:
        return "warn", '<b class="warn-t">no entry tells how it ended</b>'
    took = f", {(outcome.duration_ms - outcome.waited_ms) / 1000:,.2f} s" if outcome.duration_ms is not None else ""
    took += f" (after {outcome.waited_ms / 1000:,.2f} s behind other cells)" if outcome.waited_ms >= WORTH_TELLING_MS else ""
    if outcome.status == "ok":
        tone, said = ("warn" if step.findings or step.late else "ok"), '<b class="ok-t">ok</b>'
    else:
        error = f": {escape_line(outcome.error)}" if outcome.error else ""
        tone, said = "warn", f'<b class="warn-t">{escape_line(outcome.status)}{error}</b>'
    cut = "" if outcome.complete else ', <span class="warn-t">output seen only in part</span>'
    return tone, f"{said}{took}{cut}{_word(outcome)}"


def _word(outcome: Outcome) -> str:
    by = outcome.reported_by
    return f' <span class="m">({escape_line(by)}\'s word)</span>' if by and by != "server" else ""


def _output(output: OutputFacts) -> str:
    size = _many(output.size, "byte")
    size += f", {_many(output.lines, 'line')}" if output.lines else ""
    size += f", <b>{_many(output.rows, 'row')}</b>" if output.rows is not None else ""
    size += ", kept in part" if output.cut else ""
    title = f' title="{escape_line(output.digest)}"' if output.digest else ""
    kind = f"{escape_line(output.output)} · {escape_line(output.mime)}"
    facts = f'<div class="m"{title}>{kind} · {size}</div>'
    if output.preview is None:
        return f'<div class="out">{facts}<div class="m">text {escape_line(_absent(output))}</div></div>'
    if not output.preview or (output.mime.startswith("image/") and output.mime != "image/svg+xml"):
        return f'<div class="out">{facts}</div>'  # a picture's base64 tells nobody anything
    preview = f"<pre>{escape(output.preview, MOST_PREVIEW)}</pre>"
    if output.output in ("display", "result") and output.mime != "text/plain":
        # Markup and pictures are shown as the text they are, on demand: rendered they would run here.
        preview = f"<details><summary>as text</summary>{preview}</details>"
    return f'<div class="out">{facts}{preview}</div>'


def _cell_text(step: CellStep, zone: tzinfo) -> str:
    ended = step.outcome.status if step.outcome else "no end recorded"
    status = f"refused: {step.refused}" if step.refused else ended
    lines = [f"{_time(step.time, zone)}  [{step.seq}] {one_line(step.principal)}  {one_line(status)}"]
    lines.append(inert(step.code, MOST_CODE) if step.code is not None else f"(code {one_line(_absent(step))})")
    for outcome in (*([step.outcome] if step.outcome else ()), *step.late):
        for output in outcome.outputs:
            late = "late " if outcome.status == "late" else ""
            lines.append(f"  {late}{one_line(output.output)} {one_line(output.mime)} {output.size} bytes")
            if output.preview:
                lines.append(inert(output.preview, MOST_PREVIEW))
    lines += [f"  {one_line(finding.level)}: {one_line(finding.title)}" for finding in step.findings]
    return "\n".join(lines)


# --- pieces ---------------------------------------------------------------------------------------


def _page(html: str) -> str:
    # The classes keep MathJax away: a formula in code would be typeset, and its links could run scripts.
    return f'{_STYLE}<div class="ja tex2jax_ignore mathjax_ignore">{html}</div>'


def _table(head: Iterable[str], rows: Sequence[str], texts: Sequence[str], nothing: str) -> Shown:
    if not rows:
        return Shown(_page(f'<p class="m">{nothing}</p>'), nothing)
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return Shown(_page(table), "\n".join(texts))


def _cell(html: str, css: str = "") -> str:
    return f'<td class="{css}">{html}</td>' if css else f"<td>{html}</td>"


def _count(number: int, css: str = "") -> str:
    if not number:
        return '<td class="n m">–</td>'
    return _cell(f'<b class="{css}">{number:,}</b>' if css else f"{number:,}", "n")


def _badge(level: str, text: str = "") -> str:
    css = {"critical": "bad-t", "high": "bad-t", "gap": "bad-t", "medium": "warn-t"}.get(level, "")
    css = css or ("m" if level in LEVELS else "bad-t")
    return f'<b class="{css}">{escape_line(f"{text} {level}".strip())}</b>'


def _approver(grant: GrantFacts) -> str:
    if grant.break_glass:
        review = escape_line(grant.review, 60) if grant.review else '<b class="bad-t">not reviewed yet</b>'
        return f'<b class="bad-t">approved by nobody: the glass was broken</b>; {review}'
    before = "".join(f"{escape_line(name, 60)} and " for name in grant.endorsers)
    if grant.self_approved:
        return f'{before}<span class="warn-t">approved by themselves</span>'
    return f'<span class="m">approved by</span> {before}{escape_line(grant.approver, 60)}'


def _who(session: SessionFacts) -> str:
    approval = f"<br>{_approver(session.grant)}" if session.grant is not None else ""
    return escape_line(session.principal, 60) + approval


def _why(session: SessionFacts) -> str:
    if session.grant is None:
        return '<span class="m">no grant: nothing was run</span>'
    return f"<b>{escape_line(session.grant.ticket, 60)}</b> {escape_line(session.grant.reason)}"


def _cause(session: SessionFacts) -> str:
    if session.ended is None:
        return '<span class="warn-t">no end recorded</span>'
    unclean = "" if session.clean else ' <b class="bad-t">not clean</b>'
    return escape_line(session.cause) + unclean


def _lasted(session: SessionFacts) -> str:
    begin, end = session.started or session.first, session.ended or session.last
    seconds = max(0, round((end - begin).total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def _stated(text: str, zone: tzinfo) -> str:
    """A time that stands in an entry's body, in HTML; as it stands where it is none."""
    try:
        return _time(parse_time(text), zone)
    except ValueError:
        return escape_line(text)


def _name(text: str | None) -> str:
    return f"<code>{escape_line(text)}</code>" if text else ""


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _absent(what: CellStep | OutputFacts) -> str:
    if what.sealed:
        return f"sealed for {what.sealed}"
    return "purged" if what.purged else "cannot be read"


def _when(step: CellStep | EventStep | Outcome, zone: tzinfo) -> str:
    return f"{_time(step.time, zone)} · <code>{step.seq}</code>"


def _time(moment: datetime, zone: tzinfo = UTC) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
