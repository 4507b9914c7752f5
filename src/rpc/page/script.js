(() => {
'use strict';
// Fills the page again with every event `status`, by the attributes that
// template.rs explains and in the forms of format.rs.
const one = id => document.getElementById(id);
const all = (where, what) => [...where.querySelectorAll(what)];
const at = (o, path) => path === '.' ? o : path.split('.').reduce((o, name) => o?.[name], o) ?? null;
const some = v => Array.isArray(v) ? v.length > 0 : v && typeof v === 'object' ? Object.keys(v).length > 0 : !!v;
const list = v => Array.isArray(v) ? v : v ? Object.entries(v).sort().map(([key, value]) => ({ key, value })) : [];
let now = 0;

// Forms.
const fixed = (n, d) => (Math.floor(n * 10 ** d + 0.5) / 10 ** d).toFixed(d);
const grouped = n => fixed(n, 0).replace(/\B(?=(\d{3})+$)/g, '\u202f');
const bytes = n => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let u = 0;
  for (; n >= 999.5 && u < 5; u++) n /= 1000;
  return fixed(n, !u ? 0 : n < 9.995 ? 2 : n < 99.95 ? 1 : 0) + ' ' + units[u];
};
const lasting = n => {
  const s = Math.max(0, Math.floor(n)), m = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(s / 86400);
  return d ? `${d} d ${h % 24} h` : h ? `${h} h ${m % 60} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
};
const date = n => {
  const d = new Date(n * 1000), two = n => String(n).padStart(2, '0');
  const month = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')[d.getUTCMonth()];
  return `${d.getUTCDate()} ${month} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())} UTC`;
};
const numbers = {
  n: grouped, b: bytes, d: lasting, t: date,
  r: n => bytes(n) + '/s',
  f: n => 'for ' + lasting(n),
  a: n => now - n < 1 ? 'now' : lasting(now - n).split(' ', 2).join(' ') + ' ago',
  p: n => fixed(n * 100, 1) + ' %',
  c: n => fixed(n, 1) + ' %',
  m: n => grouped(n) + ' ms',
  k: n => fixed(n, 1) + ' °C',
};
const words = { ok: 'Well', degraded: 'Degraded', failing: 'Failing' };
const sentences = {
  ok: 'Every part of the node does its work.',
  degraded: 'It relays, but not everything works.',
  failing: 'It does not do its job now.',
};
const form = (v, f) => {
  if (f === 's') return words[v] ? v : 'unknown';
  if (f === 'w') return words[v] || 'Unknown';
  if (f === 'v') return sentences[v] || '';
  if (v === null || v === '' || (Array.isArray(v) && !v.length)) return '–';
  if (Array.isArray(v)) return v.map(v => form(v, f)).join(', ');
  if (typeof v === 'object') return chart(v)[f] ?? '';
  if (typeof v === 'number') return numbers[f] ? numbers[f](v) : fixed(v, Number.isInteger(v) ? 0 : 2);
  if (typeof v === 'boolean') return v ? 'yes' : 'no';
  return f === 'u' ? v.replace(/_/g, ' ') : f === 'tok' ? v + ' CHR' : v;
};

// The chart's paths and words, as chart.rs draws them.
const chart = h => {
  const come = h.bandwidth_in || [], go = h.bandwidth_out || [];
  const most = p => Math.max(0, ...p.filter(v => v !== null));
  let top = 1000;
  for (let n = 0; top < Math.max(most(come), most(go)) && top < 1e18; n++) top *= [2, 2.5, 2][n % 3];
  const path = (points, height, area) => {
    const step = 1200 / (Math.max(60, points.length) - 1);
    let d = '', last = null;
    const close = () => { if (area && last !== null) d += `L${last} 200Z`; };
    points.forEach((v, n) => {
      if (v === null) { close(); last = null; return; }
      const x = fixed(1200 - (points.length - 1 - n) * step, 0);
      const y = fixed(200 + v * height, 0);
      d += last !== null ? `L${x} ${y}` : area ? `M${x} 200L${x} ${y}` : `M${x} ${y}h0`;
      last = x;
    });
    close();
    return d;
  };
  return {
    i: path(come, -200 / top, true), il: path(come, -200 / top, false),
    o: path(go, 200 / top, true), ol: path(go, 200 / top, false),
    top: bytes(top) + '/s',
    sum: `Throughput: at most ${bytes(most(come))}/s in and ${bytes(most(go))}/s out`,
  };
};

// Filling. What did not change is not touched: a selection survives.
const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };
const set = (el, name, v) => { if (el.getAttribute(name) !== v) el.setAttribute(name, v); };
const value = (o, what) => { const [path, f = ''] = what.split(':'); return form(at(o, path), f); };
const bound = '[data-t],[data-if],[data-at-class],[data-at-value]';
const fill = (els, o) => {
  for (const el of els) for (const [name, what] of Object.entries(el.dataset)) {
    if (name === 't') put(el, value(o, what));
    else if (name === 'if') el.hidden = some(at(o, what.replace('!', ''))) === what.startsWith('!');
    else if (name.startsWith('at')) {
      const v = at(o, what.split(':')[0]);
      set(el, name.slice(2).toLowerCase(), v === null && !what.endsWith(':s') ? '' : value(o, what));
    }
  }
};
// The chart's own are drawn, rows are filled with their lists.
const single = all(document, bound).filter(el => !el.closest('[data-each] > *') && !el.matches('#top,#chart-text,.legend b'));
// Rows of the node's hand have no attributes; the first event brings others.
const lists = all(document, '[data-each]');
const begun = new Set();
const refill = o => {
  fill(single, o);
  for (const box of lists) {
    const items = list(at(o, box.dataset.each));
    if (box.dataset.each === 'settings' && !o.settings) continue;
    const row = box.firstElementChild.content.firstElementChild;
    if (!begun.has(box)) { begun.add(box); while (box.children.length > 1) box.lastElementChild.remove(); }
    while (box.children.length - 1 > items.length) box.lastElementChild.remove();
    while (box.children.length - 1 < items.length) box.append(row.cloneNode(true));
    items.forEach((item, n) => { const el = box.children[n + 1]; fill([el, ...all(el, bound)], item); });
  }
};

// What the node does not say itself; page/mod.rs says the same.
const readonly = !one('readonly').hidden;
const page = s => {
  const id = s.info.node_id, name = s.info.name || 'chr-node', state = s.health.status;
  const host = s.info.public_address || location.hostname, port = s.info.edge_ports[0];
  const node = `${id}@${host.includes(':') && host[0] !== '[' ? `[${host}]` : host}:${port ?? 'PORT'}`;
  return {
    name, title: state === 'ok' ? name : words[state] + ': ' + name, time: now,
    carried: s.network.bytes_in + s.network.bytes_out,
    happened: (s.events || []).filter(e => e.topic !== 'ticket' && e.topic !== 'block'), readonly,
    publish: 'chr-node publish 8080:public --node ' + node,
    forward: 'chr-node forward 127.0.0.1:8080 0xDEVICE:8080 --node ' + node,
  };
};

// Throughput: the latest seconds by the counters, or what the pointer is at.
let span = '10min', shown = null, rate = null, picked = null, note = '';
const counts = [];
const count = (time, n) => {
  if (counts.length && n.bytes_in < counts[0].bytes_in) counts.length = 0;
  counts.push({ time, bytes_in: n.bytes_in, bytes_out: n.bytes_out });
  while (counts.length > 4) counts.shift();
  const was = counts[0], s = (time - was.time) / 1000;
  rate = s > 0 ? [(n.bytes_in - was.bytes_in) / s, (n.bytes_out - was.bytes_out) / s] : [n.bandwidth_in, n.bandwidth_out];
};
const legend = () => {
  let pair = rate, when = note;
  if (picked !== null && shown) {
    pair = [shown.bandwidth_in[picked] ?? null, shown.bandwidth_out[picked] ?? null];
    const there = shown.connections?.[picked] ?? null;
    when = date(now - (shown.bandwidth_in.length - 1 - picked) * shown.step_seconds) + (there === null ? '' : `, devices: ${there}`);
  }
  put(one('at'), when);
  if (!pair) return;
  put(one('now-in'), form(pair[0], 'r'));
  put(one('now-out'), form(pair[1], 'r'));
};
// The ten minutes end with what is carried now: their latest step may be ten seconds old.
const recent = () => {
  const h = latest.network.history || {}, [come, go] = rate;
  return { from: now - 600, step_seconds: 10, ...h, bandwidth_in: [...h.bandwidth_in || [], come].slice(-60), bandwidth_out: [...h.bandwidth_out || [], go].slice(-60) };
};
const draw = h => {
  shown = h;
  const c = chart(h);
  for (const name of ['i', 'il', 'o', 'ol']) set(one('c-' + name), 'd', c[name]);
  put(one('top'), c.top);
  put(one('chart-text'), c.sum);
  put(one('from'), span === '10min' ? '10 min ago' : form(h.from, 't'));
  pick(picked);
};
const pick = n => {
  const length = shown ? shown.bandwidth_in.length : 0;
  picked = n === null || !length ? null : Math.min(Math.max(n, 0), length - 1);
  const x = picked === null ? 0 : fixed(1200 - (length - 1 - picked) * 1200 / (Math.max(60, length) - 1), 0);
  set(one('cross'), 'd', picked === null ? '' : `M${x} 0V400`);
  legend();
};
const svg = one('chart');
svg.addEventListener('pointermove', e => {
  const box = svg.getBoundingClientRect(), length = shown ? shown.bandwidth_in.length : 0;
  const share = (e.clientX - box.left) / box.width;
  pick(length - 1 - Math.round((1 - share) * (Math.max(60, length) - 1)));
});
svg.addEventListener('pointerleave', () => pick(null));
svg.addEventListener('blur', () => pick(null));
svg.addEventListener('keydown', e => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Escape: 0 }[e.key];
  if (step === undefined || !shown) return;
  e.preventDefault();
  pick(step ? (picked ?? shown.bandwidth_in.length - 1) + step : null);
});
const call = async (method, params) => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const answer = await fetch('rpc', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  return answer.json();
};
const past = async () => {
  const asked = span;
  try {
    const { result, error } = await call('stats_history', { span: asked });
    if (asked !== span) return;
    note = error ? error.message : '';
    draw(result || { bandwidth_in: [], bandwidth_out: [], from: null });
  } catch { /* the connection's own state says it */ }
};
for (const button of all(document, '.spans button')) button.addEventListener('click', () => {
  span = button.value;
  picked = null;
  note = '';
  for (const other of all(document, '.spans button')) set(other, 'aria-pressed', String(other === button));
  if (span === '10min') latest && draw(recent()); else past();
});
setInterval(() => { if (span !== '10min' && live) past(); }, 30000);

// Settings change seldom: they are asked for when the node comes back, and each minute.
const settings = async () => {
  if (readonly) return;
  try {
    const { result } = await call('config_show');
    if (result && latest) { latest.settings = result; refill(latest); }
  } catch { /* as above */ }
};
setInterval(() => { if (live) settings(); }, 60000);

// The connection. Silence counts as lost: a stale page must not look alive.
const SILENCE = 4000, PATIENCE = 10000;
let latest = null, live = false, lost = false, source, heard = performance.now(), opened = 0, until = null;
const open = () => {
  opened = performance.now();
  source?.close();
  source = new EventSource('events?topics=status');
  source.addEventListener('status', e => hear(JSON.parse(e.data)));
};
const hear = s => {
  heard = performance.now();
  now = s.time / 1000;
  count(s.time, s.network);
  s.page = page(s);
  refill(latest = s);
  document.title = s.page.title;
  until = new Date();
  if (!live) { live = true; if (lost) settings(); lost = false; one('lost').hidden = true; document.documentElement.classList.remove('lost'); }
  one('pulse').className = 'ok';
  put(one('live'), 'live');
  if (span === '10min') draw(recent()); else legend();
};
const look = () => {
  const t = performance.now();
  if (t - heard > SILENCE) {
    live = false;
    lost = true;
    const when = until ? until.toLocaleTimeString() : 'the moment when it was loaded';
    one('pulse').className = 'failing';
    put(one('live'), 'connection lost');
    one('mark').className = 'unknown';
    put(one('verdict'), 'No connection');
    put(one('why'), until ? `The node has not been heard since ${when}.` : 'No news has come from the node.');
    put(one('lost-since'), `This page is as of ${when}. Trying again.`);
    one('lost').hidden = false;
    document.documentElement.classList.add('lost');
    document.title = 'No connection: ' + one('name').textContent;
    counts.length = 0;
    if (t - opened > PATIENCE || source.readyState === 2 && t - opened > 2000) open();
  }
};
setInterval(look, 1000);
document.addEventListener('visibilitychange', look);

one('copy').addEventListener('click', async () => {
  const id = one('id');
  let copied = true;
  try {
    await navigator.clipboard.writeText(id.textContent);
  } catch {
    // Over plain HTTP from another machine browsers have no clipboard for a page.
    getSelection().selectAllChildren(id);
    copied = document.execCommand('copy');
    if (copied) getSelection().removeAllRanges();
  }
  put(one('copy'), copied ? 'Copied' : 'Selected');
  setTimeout(() => put(one('copy'), 'Copy'), 2000);
});
document.documentElement.classList.add('on');
open();
})();
