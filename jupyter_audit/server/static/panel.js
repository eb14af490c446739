// The panel's script: fetches the page anew every few seconds, swaps the sections that changed, runs the clocks,
// and sends forms to the REST API. The server renders and escapes everything; nothing here makes HTML from text
// (the page's policy forbids it: require-trusted-types-for 'script').
'use strict';

(() => {
  const EVERY_MS = 4000;
  const SLOWEST_MS = 30000;
  const SAID_FOR_MS = 15000;
  const SAY_AT_SECONDS = [[300, 'Five minutes of access are left.'], [60, 'One minute of access is left.']];

  const page = document.body.dataset;
  const byId = id => document.getElementById(id);
  const shown = new Map();   // section id → the HTML that the server last sent for it
  const details = new Map(); // entry number → what the API said about that cell
  const announced = new Set();
  let lead = 0;              // how far the server's clock is ahead of this one, in milliseconds
  let wait = EVERY_MS;
  let timer = 0;
  let asking = null;
  let actions = 0;

  const show = (id, text) => {
    byId(id).textContent = text;
    byId(id).hidden = !text;
  };

  const say = sentence => {
    show('said', sentence);
    window.setTimeout(() => {
      if (byId('said').textContent === sentence) show('said', '');
    }, SAID_FOR_MS);
  };

  // --- the REST API ---------------------------------------------------------------------------

  const call = async (path, body) => {
    const options = { headers: { Accept: 'application/json' }, credentials: 'same-origin' };
    if (body !== undefined) {
      options.method = 'POST';
      options.headers['Content-Type'] = 'application/json';
      options.headers['X-XSRFToken'] = page.xsrf;
      options.body = JSON.stringify(body);
    }
    let answer;
    try {
      answer = await fetch(page.api + path, options);
    } catch {
      throw new Error('The server does not answer. Is it still running?');
    }
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Error([said.detail || answer.statusText || `The server answered ${answer.status}.`, said.advice]
        .filter(Boolean).join(' '));
    }
    return said;
  };

  const valueOf = field => {
    if (field.type === 'number') return field.valueAsNumber;
    if ('flag' in field.dataset) return field.value === 'true';
    // The browser's own time becomes one that means the same everywhere.
    if (field.type === 'datetime-local') return field.value ? new Date(field.value).toISOString() : null;
    return field.value;
  };

  const fieldsOf = form => {
    const fields = {};
    for (const field of form.elements) if (field.name && !field.disabled) fields[field.name] = valueOf(field);
    return fields;
  };

  document.addEventListener('submit', async event => {
    const form = event.target;
    event.preventDefault();
    if (!form.dataset.act || form.dataset.busy) return;
    form.dataset.busy = 'true';
    actions += 1;
    show('wrong', '');
    show('said', '');
    try {
      const passkey = window.auditPasskeys[event.submitter?.dataset.passkey];
      const done = passkey ? await passkey(call, form.dataset.act, fieldsOf(form)) : await call(form.dataset.act, fieldsOf(form));
      say(passkey && done ? done : form.dataset.done);
      form.reset();
      form.elements.profile?.dispatchEvent(new Event('change', { bubbles: true }));
      form.closest('details')?.removeAttribute('open');
      // The button is about to go; whoever uses the keyboard stays near, and hears what was done.
      byId('said').focus();
    } catch (error) {
      show('wrong', error.message);
    } finally {
      delete form.dataset.busy;
      actions -= 1;
    }
    refresh();
  });

  document.addEventListener('change', event => {
    const chosen = event.target.name === 'profile' && event.target.selectedOptions[0];
    if (!chosen) return;
    const form = event.target.form;
    const { minutes, reason, target } = form.elements;
    minutes.max = chosen.dataset.most;
    minutes.value = chosen.dataset.minutes;
    reason.minLength = Number(chosen.dataset.shortest);
    const targets = JSON.parse(chosen.dataset.targets);
    target.replaceChildren(...targets.map(name => element('option', '', name)));
    target.disabled = form.querySelector('[data-for=target]').hidden = targets.length === 0;
    const needs = form.querySelector('[data-for=needs]');
    if (needs) needs.textContent = chosen.dataset.needs;
    const starts = form.querySelector('[data-for=starts]');
    if (starts) starts.hidden = chosen.dataset.ahead === '0';
  });

  // --- one cell, opened -----------------------------------------------------------------------

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const fill = (place, cell) => {
    const code = element('pre', 'code', cell.full_code !== null ? cell.full_code : cell.sealed ? 'Sealed: only auditors can read the code, with their own key.' : 'The code was purged; its entry remains.');
    code.tabIndex = 0;
    const parts = [code];
    if (cell.code_cut) parts.push(element('p', 'dim', 'Cut here; the ledger holds the whole.'));
    for (const output of cell.previews) {
      parts.push(element('p', 'dim', `${output.output} · ${output.mime}${output.cut ? ' · the first part' : ''}`));
      const text = element('pre', '', output.preview);
      text.tabIndex = 0;
      parts.push(text);
    }
    place.replaceChildren(...parts);
  };

  const open = async cell => {
    const seq = cell.dataset.cell;
    const place = cell.querySelector('[data-detail]');
    const row = cell.closest('tr');
    const status = row ? row.cells[4].textContent : '';
    const known = details.get(seq);
    if (known) fill(place, known.said);
    if (known && known.status === status) return;
    try {
      const said = await call(`cells/${seq}`);
      details.set(seq, { said, status });
      const now = byId(cell.id);
      if (now && now.open) fill(now.querySelector('[data-detail]'), said);
    } catch (error) {
      show('wrong', error.message);
    }
  };

  document.addEventListener('toggle', event => {
    if (event.target.open && event.target.dataset.cell) open(event.target);
    if (event.target.open && event.target.matches('details.ending')) event.target.querySelector('input, textarea, select')?.focus();
  }, true);

  // --- clocks ---------------------------------------------------------------------------------

  const localise = place => {
    for (const time of place.querySelectorAll('time')) {
      const moment = new Date(time.dateTime);
      const today = moment.toDateString() === new Date().toDateString();
      time.textContent = today ? moment.toLocaleTimeString() : moment.toLocaleString();
      time.title = `${moment.toString()} (${time.dateTime})`;
    }
  };

  const tick = () => {
    let mine = null;
    for (const clock of document.querySelectorAll('[data-until]')) {
      const left = Math.ceil((Date.parse(clock.dataset.until) - Date.now() - lead) / 1000);
      if (left <= 0 && clock.textContent && clock.textContent !== 'ended') refresh();
      const two = number => String(number).padStart(2, '0');
      const hours = Math.floor(left / 3600);
      clock.textContent = left <= 0 ? 'ended'
        : `${hours ? `${hours}:` : ''}${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
      clock.dataset.tone = left > 300 ? 'good' : left > 60 ? 'warn' : 'bad';
      if (clock.closest('#mine') && left > 0 && (mine === null || left > mine.left)) {
        mine = { left, text: clock.textContent, until: clock.dataset.until };
      }
    }
    document.title = mine ? `${mine.text} · Audit panel` : 'Audit panel';
    for (const [seconds, sentence] of SAY_AT_SECONDS) {
      const key = mine && `${mine.until} ${seconds}`;
      if (mine && mine.left <= seconds && mine.left > seconds - 30 && !announced.has(key)) {
        announced.add(key);
        say(sentence);
      }
    }
  };

  // --- keeping up -----------------------------------------------------------------------------

  // Somebody who is typing or answering in a section keeps it as it is until they are done.
  const inUse = section => {
    const active = document.activeElement;
    if (!section.contains(active)) return section.querySelector('details.ending[open]') !== null;
    return active.matches('input, textarea, select') || section.querySelector('details.ending[open]') !== null;
  };

  const swap = (old, fresh) => {
    const opened = [...old.querySelectorAll('details[open]')].map(found => found.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : '';
    const now = document.importNode(fresh, true);
    localise(now);
    old.replaceWith(now);
    for (const id of opened) {
      const found = id && byId(id);
      if (found) {
        found.open = true;
        if (found.dataset.cell) open(found);
      }
    }
    if (focused && byId(focused)) byId(focused).focus({ preventScroll: true });
  };

  const take = fresh => {
    page.xsrf = fresh.body.dataset.xsrf;
    lead = Date.parse(fresh.body.dataset.now) - Date.now();
    const wanted = [...fresh.querySelectorAll('[data-live]')];
    const here = [...document.querySelectorAll('[data-live]')];
    if (wanted.map(found => found.id).join() !== here.map(found => found.id).join()) {
      // Roles changed, or somebody else has arrived: other sections than before.
      if (here.some(inUse)) return;
      shown.clear();
      byId('mine').parentElement.replaceWith(document.importNode(fresh.querySelector('main'), true));
      localise(document.body);
    }
    for (const section of wanted) {
      const old = byId(section.id);
      if (shown.get(section.id) !== section.outerHTML && !inUse(old)) {
        swap(old, section);
        shown.set(section.id, section.outerHTML);
      }
    }
    byId('fresh').textContent = `Up to date at ${new Date().toLocaleTimeString()}.`;
    tick();
  };

  const ask = () => new Promise((resolve, reject) => {
    // An XMLHttpRequest, because it parses the answer itself: no text is made into HTML here.
    const request = new XMLHttpRequest();
    request.open('GET', location.pathname);
    request.responseType = 'document';
    request.timeout = 20000;
    request.onload = () => {
      const fresh = request.response;
      if (request.status === 200 && fresh && fresh.body && 'panel' in fresh.body.dataset) resolve(fresh);
      else if (request.status === 200 || request.status === 401 || request.status === 403) {
        reject(new Error('You are not logged in any more, or may not see this. Load the page again to log in.'));
      } else reject(new Error(`The server answered ${request.status}. Its log says why.`));
    };
    request.onerror = request.ontimeout = () => reject(new Error('The server does not answer.'));
    request.send();
  });

  const refresh = async () => {
    if (asking) {
      asking.again = true;
      return;
    }
    const mine = asking = { again: false };
    window.clearTimeout(timer);
    try {
      const fresh = await ask();
      if (actions === 0) take(fresh);
      if (wait !== EVERY_MS) show('wrong', '');
      wait = EVERY_MS;
    } catch (error) {
      wait = Math.min(SLOWEST_MS, 2 * wait);
      show('wrong', `This page could not be brought up to date. ${error.message}`);
    }
    asking = null;
    if (mine.again) refresh();
    else if (!document.hidden) timer = window.setTimeout(refresh, wait);
  };

  document.addEventListener('visibilitychange', () => {
    window.clearTimeout(timer);
    if (!document.hidden) refresh();
  });

  lead = Date.parse(page.now) - Date.now();
  for (const section of document.querySelectorAll('[data-live]')) shown.set(section.id, section.outerHTML);
  localise(document.body);
  tick();
  window.setInterval(tick, 1000);
  timer = window.setTimeout(refresh, EVERY_MS);
})();
