'use strict';
// Trouble on demand. Loaded before the SDK, so that the SDK's own hooks see a request before this does.
// One JSON object a line on the Unix socket TROUBLE_SOCKET changes the state; the answer is the state.
const fs = require('fs');
const http = require('http');
const net = require('net');

const state = { slow_ms: 0, fail_before: 0, busy_share: 0, leak_kb: 0 };
const kept = [];

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  if (event !== 'request') return emit.apply(this, arguments);
  if (Math.random() < state.fail_before) {
    response.statusCode = 500;
    response.end('broken');
    return true;
  }
  if (state.slow_ms) {
    setTimeout(() => emit.call(this, event, request, response), state.slow_ms * (0.5 + Math.random()));
    return true;
  }
  return emit.apply(this, arguments);
};

// A handler that a bad release broke.
exports.check = (what) => {
  if (Math.random() < Number(process.env.BROKEN_SHARE || 0)) {
    throw new TypeError(`cannot read properties of undefined (reading '${what}')`);
  }
};

setInterval(() => {
  const until = Date.now() + 100 * state.busy_share;
  while (Date.now() < until);
}, 100).unref();

setInterval(() => {
  // Small objects: they live on the heap that has a limit, which buffers do not.
  for (let i = 0; i < state.leak_kb * 2; i += 1) kept.push({ at: Date.now(), text: `entry ${i} `.repeat(16) });
}, 500).unref();

if (process.env.TROUBLE_SOCKET) {
  fs.rmSync(process.env.TROUBLE_SOCKET, { force: true });
  net
    .createServer((socket) => {
      let text = '';
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        text += chunk;
        if (!text.endsWith('\n')) return;
        Object.assign(state, JSON.parse(text));
        socket.end(JSON.stringify(state));
      });
    })
    .listen(process.env.TROUBLE_SOCKET)
    .unref();
}
