// The panel: reads the REST API every few seconds and shows it. Everything that comes from the ledger is hostile
// text, so it is only ever put into the page as text, never as HTML.
'use strict';

(() => {
  const api = document.body.dataset.api;
  const solo = document.body.dataset.solo === 'true';
  const every = 4000;
  const byId = id => document.getElementById(id);
  let me = null;
  let end = null;

  const make = (tag, props = {}, ...children) => {
    const node = document.createElement(tag);
    Object.assign(node, props);
    node.append(...children);
    return node;
  };

  const cookie = name => {
    const found = document.cookie.match('\\b' + name + '=([^;]*)\\b');
    return found ? found[1] : '';
  };

  const call = async (path, body) => {
    const options = { headers: { Accept: 'application/json' }, credentials: 'same-origin' };
    if (body !== undefined) {
      options.method = 'POST';
      options.headers['Content-Type'] = 'application/json';
      options.headers['X-XSRFToken'] = cookie('_xsrf');
      options.body = JSON.stringify(body);
    }
    const answer = await fetch(api + path, options);
    const value = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Error([value.detail || value.message || answer.statusText, value.advice].filter(Boolean).join('\n'));
    }
    return value;
  };

  const notice = text => {
    byId('notice').textContent = text || '';
    byId('notice').hidden = !text;
  };

  const act = (path, body) => async event => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await call(path, body);
      notice('');
      await refresh();
    } catch (error) {
      notice(error.message);
    } finally {
      button.disabled = false;
    }
  };

  const time = text => {
    const moment = new Date(text);
    return make('time', { dateTime: text, title: text, textContent: moment.toLocaleTimeString() });
  };

  const table = (into, heads, rows, empty) => {
    const place = byId(into);
    if (!rows.length) {
      place.replaceChildren(make('p', { className: 'empty', textContent: empty }));
      return;
    }
    const head = make('tr', {}, ...heads.map(text => make('th', { scope: 'col', textContent: text })));
    const body = rows.map(cells => make('tr', {}, ...cells.map(cell => {
      const td = make('td');
      if (cell && cell.free !== undefined) {
        td.className = 'free';
        td.append(cell.free);
      } else {
        td.append(cell === null || cell === undefined ? '' : cell);
      }
      return td;
    })));
    place.replaceChildren(make('table', {}, make('thead', {}, head), make('tbody', {}, ...body)));
  };

  const clock = () => {
    const place = byId('clock');
    if (!place || end === null) return;
    const left = Math.max(0, Math.round((end - Date.now()) / 1000));
    const pad = number => String(number).padStart(2, '0');
    const hours = Math.floor(left / 3600);
    place.textContent = (hours ? hours + ':' : '') + pad(Math.floor(left / 60) % 60) + ':' + pad(left % 60);
    place.className = 'clock ' + (left > 300 ? 'good' : left > 60 ? 'warn' : 'bad');
    if (left === 0) {
      end = null;
      refresh();
    }
  };

  const showGrant = status => {
    const grant = status.grant;
    byId('ask').hidden = grant !== null;
    if (grant === null) {
      end = null;
      byId('grant').replaceChildren();
      return;
    }
    end = Date.now() + 1000 * grant.seconds_left;
    if (byId('grant').dataset.id !== grant.id || !byId('clock')) {
      const revoke = make('button', { type: 'button', textContent: 'End it now' });
      revoke.addEventListener('click', act('grants/' + grant.id + '/revoke', { reason: 'ended by its holder' }));
      byId('grant').dataset.id = grant.id;
      byId('grant').replaceChildren(
        make('span', { id: 'clock', className: 'clock', role: 'timer' }),
        make('span', { textContent: grant.profile + ' · ' + grant.ticket + ' · ' + grant.reason + ' ' }),
        make('span', { className: 'tag', textContent: grant.self_approved ? 'self-approved' : 'approved by ' + grant.approver }),
        ' ', revoke);
    }
    clock();
  };

  const showRequests = requests => {
    const mayAnswer = me.roles.includes('approver');
    table('requests', ['Who', 'Why', 'Ticket', 'Minutes', ''], requests.map(request => {
      const own = request.principal === me.name;
      const buttons = make('span');
      if (mayAnswer) {
        const approve = make('button', { type: 'button', className: 'main',
          textContent: own && solo ? 'Approve my own request' : 'Approve',
          title: own ? 'The ledger will say that requester and approver are one person.' : '' });
        approve.addEventListener('click', act('requests/' + request.id + '/approve', {}));
        const deny = make('button', { type: 'button', textContent: 'Deny' });
        deny.addEventListener('click', event => {
          const reason = window.prompt('Why is it denied?');
          if (reason) act('requests/' + request.id + '/deny', { reason })(event);
        });
        buttons.append(approve, ' ', deny);
      } else if (own) {
        const withdraw = make('button', { type: 'button', textContent: 'Withdraw' });
        withdraw.addEventListener('click', act('requests/' + request.id + '/withdraw', {}));
        buttons.append(withdraw);
      }
      return [request.principal, { free: request.reason }, request.ticket, String(request.minutes), buttons];
    }), 'Nobody is waiting. A request that nobody answers lapses after an hour.');
  };

  const showGrants = grants => {
    table('grants', ['Who', 'Why', 'Ticket', 'Until', ''], grants.filter(g => g.state === 'active').map(grant => {
      const revoke = make('button', { type: 'button', textContent: 'Revoke' });
      revoke.addEventListener('click', event => {
        const reason = window.prompt('Why is it revoked? Everything that runs under it ends at once.');
        if (reason) act('grants/' + grant.id + '/revoke', { reason })(event);
      });
      return [grant.principal, { free: grant.reason }, grant.ticket, time(grant.not_after), revoke];
    }), 'No grant is live: no cell runs on this server now.');
  };

  const outputs = cell => cell.outputs
    .map(o => o.output + ' ' + (o.rows !== null && o.rows !== undefined ? o.rows + ' rows' : o.bytes + ' B'))
    .slice(0, 4).join(', ');

  const tones = { ok: 'good', error: 'bad', refused: 'warn', ended: 'bad', aborted: 'warn', running: '' };

  const showCells = cells => {
    table('cells', ['Entry', 'When', 'Who', 'Code', 'Status', 'Took', 'Put out'], cells.map(cell => [
      String(cell.seq), time(cell.time), cell.principal,
      { free: make('code', { textContent: cell.code }) },
      make('span', { className: tones[cell.status] || '', textContent: cell.refused ? 'refused: ' + cell.refused : cell.status + (cell.error ? ': ' + cell.error : '') }),
      cell.duration_ms === null ? '' : cell.duration_ms + ' ms', outputs(cell)
    ]), 'No cell has been run yet. Each one will stand here before it runs.');
  };

  const levels = { critical: 'bad', high: 'bad', medium: 'warn', low: '', informational: '' };

  const showFindings = findings => {
    table('findings', ['When', 'Level', 'What', 'Who', 'Why'], findings.map(finding => [
      time(finding.time),
      make('span', { className: 'tag ' + (levels[finding.level] || ''), textContent: finding.level }),
      finding.title, finding.principal, { free: finding.explanation }
    ]), 'Nothing unusual was found.');
  };

  const refresh = async () => {
    try {
      const status = await call('status');
      me = status.me;
      byId('standing').textContent = me.name + ' (' + me.roles.join(', ') + ')'
        + (status.mode === 'solo' ? ' · solo mode: one person holds every role' : '');
      showGrant(status);
      const [requests, grants, cells, findings] = await Promise.all(
        ['requests', 'grants', 'cells?limit=40', 'findings?limit=30'].map(path => call(path)));
      showRequests(requests.requests);
      showGrants(grants.grants);
      showCells(cells.cells);
      showFindings(findings.findings);
      byId('foot').textContent = status.entries + ' entries in the ledger · kernels are isolated by: ' + status.isolation
        + (status.unassured.length ? ' · not assured: ' + status.unassured.join('; ') : '')
        + (status.recording ? '' : ' · RECORDING FAILS: nothing runs');
    } catch (error) {
      notice('The panel could not be brought up to date. ' + error.message);
    }
  };

  byId('ask').addEventListener('submit', async event => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    try {
      await call('requests', { profile: form.get('profile'), reason: form.get('reason'), ticket: form.get('ticket'), minutes: Number(form.get('minutes')) });
      notice('');
      event.target.reset();
      await refresh();
    } catch (error) {
      notice(error.message);
    }
  });

  byId('ask').elements.profile.addEventListener('change', event => {
    const chosen = event.target.selectedOptions[0].dataset;
    byId('ask').elements.minutes.value = chosen.minutes;
    byId('ask').elements.minutes.max = chosen.most;
  });

  refresh();
  window.setInterval(clock, 1000);
  window.setInterval(() => { if (!document.hidden) refresh(); }, every);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
})();
