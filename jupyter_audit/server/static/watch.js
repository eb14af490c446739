// Shows one live session to somebody who watches. Everything that comes is hostile: it is shown as text and nothing
// else, control characters and what turns text around made visible, and only so much of it is kept.
'use strict';

(() => {
  const MOST_PARTS = 400;
  const MOST_TEXT = 20000;
  const SCREENFUL = 4000;

  const page = document.body.dataset;
  const byId = id => document.getElementById(id);
  const live = byId('live');
  let open = null; // the part that a stream goes on in

  const show = (id, text) => {
    byId(id).textContent = text;
    byId(id).hidden = !text;
  };

  // What could hide, move or reorder text: control characters but tab and newline, and bidirectional marks.
  const inert = text => String(text)
    .replace(/\u001b\[[0-9;]*m/g, '')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
      found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`);

  const add = (title, text, kind) => {
    const part = document.createElement('article');
    const head = document.createElement('p');
    head.className = 'dim';
    head.textContent = title;
    const body = document.createElement('pre');
    body.className = kind;
    body.textContent = cut(inert(text));
    part.append(head, body);
    live.append(part);
    while (live.childElementCount > MOST_PARTS) live.firstElementChild.remove();
    return body;
  };

  const cut = text => (text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}\n(cut here; the ledger has counts and the first part)` : text);

  const stream = (name, text) => {
    if (!open || open.name !== name) open = { name, body: add(name, '', ''), length: 0 };
    if (open.length > MOST_TEXT) return;
    open.length += text.length;
    open.body.append(cut(inert(text)));
  };

  // A terminal's sequences that move the cursor or name the window have no meaning in a log.
  const screen = text => String(text).replace(/\u001b\][^\u0007\u001b]*(\u0007|\u001b\\)/g, '')
    .replace(/\u001b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])/g, '').replace(/\r+\n/g, '\n').replace(/\n\r+/g, '\n');

  let begun = false; // whether the line is, in which the terminal writes
  const terminal = ([kind, text]) => {
    if (kind === 'setup') byId('state').textContent = 'live';
    if (kind === 'disconnect') byId('state').textContent = 'ended';
    if (kind !== 'stdout') return;
    if (open && open.length > SCREENFUL) open = null;
    // A return at the beginning of a line goes nowhere; anywhere else it could hide what stands there, and is shown.
    const told = begun ? screen(text) : screen(text).replace(/^\r+/, '');
    if (told) begun = !told.endsWith('\n');
    stream('terminal', told);
  };

  const plain = data => (typeof data?.['text/plain'] === 'string'
    ? data['text/plain'] : `(${Object.keys(data ?? {}).join(', ')}: not shown)`);

  const take = message => {
    if (Array.isArray(message)) {
      terminal(message);
      return;
    }
    const { header, content } = message;
    if (header.msg_type === 'stream') {
      stream(content.name === 'stderr' ? 'stderr' : 'stdout', String(content.text));
      return;
    }
    const shown = {
      audit_admitted: () => add(`Entry ${content.entry} · ${content.msg_type}`, content.code, 'code'),
      execute_result: () => add('result', plain(content.data), ''),
      display_data: () => add('display', plain(content.data), ''),
      update_display_data: () => add('display', plain(content.data), ''),
      error: () => add('error', `${content.ename}: ${content.evalue}`, ''),
      audit_left_out: () => add('left out', content.messages
        ? `${content.messages} messages: they came faster than this page could show them`
        : `a message of ${content.bytes} bytes`, ''),
      status: () => { byId('state').textContent = String(content.execution_state).slice(0, 20); },
    }[header.msg_type];
    if (!shown) return;
    if (header.msg_type !== 'status') open = null;
    shown();
  };

  const connect = () => {
    const address = new URL(page.channels, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const socket = new WebSocket(address);
    socket.onmessage = event => {
      if (typeof event.data !== 'string') return;
      const low = live.scrollTop + live.clientHeight >= live.scrollHeight - 40;
      try {
        take(JSON.parse(event.data));
      } catch (error) {
        add('not shown', `a message that cannot be read: ${error.message}`, '');
      }
      if (low) live.scrollTop = live.scrollHeight;
    };
    socket.onclose = event => {
      byId('state').textContent = 'closed';
      show('said', event.reason || 'The connection is closed. Load the page again to go on.');
    };
  };

  byId('end').addEventListener('toggle', () => {
    if (byId('end').open) byId('end-reason').focus();
  });

  byId('end-form').addEventListener('submit', async event => {
    event.preventDefault();
    show('wrong', '');
    try {
      const answer = await fetch(`${page.api}sessions/${page.session}/end`, {
        method: 'POST',
        credentials: 'same-origin',
        headers: { 'Content-Type': 'application/json', Accept: 'application/json', 'X-XSRFToken': page.xsrf },
        body: JSON.stringify({ reason: byId('end-reason').value }),
      });
      const said = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(said.detail || `The server answered ${answer.status}.`);
      show('said', 'The session is ended.');
      byId('end').removeAttribute('open');
      byId('said').focus();
    } catch (error) {
      show('wrong', error.message);
    }
  });

  connect();
})();
