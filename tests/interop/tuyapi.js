// tuyapi.js - drive the npm package tuyapi, unmodified, through one conversation with a device.
//
//   node tuyapi.js '{"ip":..,"port":..,"id":..,"key":..,"version":"3.3","toggle":true}'
//
// Prints one JSON object per step on stdout, {"step":"get","value":..}; errors that tuyapi emits are steps too. Ends
// with {"step":"done"}. The test that starts it judges.
'use strict';

const TuyAPI = require('tuyapi');
const options = JSON.parse(process.argv[2]);

const say = (step, value) => process.stdout.write(JSON.stringify({step, value}) + '\n');

// A step that takes longer than this has failed; tuyapi itself waits for ever in some cases.
const PATIENCE_MS = 30000;
const within = (promise, name) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: no answer`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

async function main() {
  const device = new TuyAPI({
    ip: options.ip, port: options.port, id: options.id, key: options.key, version: options.version,
    issueGetOnConnect: false, issueRefreshOnConnect: false,
  });
  const waiting = []; // [{test, resolve}]
  const happened = (event, payload) => {
    say(event, payload);
    for (const w of waiting.filter(w => w.test(event, payload))) {
      waiting.splice(waiting.indexOf(w), 1);
      w.resolve(payload);
    }
  };
  const event = (name, test) => within(new Promise(resolve => waiting.push({test, resolve})), name);
  device.on('data', payload => happened('data', payload));
  device.on('dp-refresh', payload => happened('dp-refresh', payload));
  device.on('heartbeat', () => happened('heartbeat', null));
  device.on('error', error => happened('error', String(error)));

  await within(device.connect(), 'connect');
  say('connected', null);

  if (options.query !== false) {
    say('get', await within(device.get({schema: true}), 'get'));
    say('get-1', await within(device.get(), 'get 1'));
  }

  const pong = event('heartbeat', e => e === 'heartbeat');
  await device._sendPing(); // what its timer calls every ten seconds
  await pong;

  // Each change is followed by a push, which is what set() waits for.
  say('set', await within(device.set({dps: 1, set: false}), 'set'));
  say('set-back', await within(device.set({dps: 1, set: true}), 'set back'));
  say('set-many', await within(device.set({multiple: true, data: {1: true, 9: 3600}}), 'set many'));

  if (options.toggle) {
    say('toggle', await within(device.toggle(1), 'toggle'));
    say('toggle-back', await within(device.toggle(1), 'toggle back'));
  }

  if (options.watch) { // the test switches the plug with a client of its own; the push comes unasked
    const push = event('push', (e, p) => e === 'data' && p && p.dps && p.dps['1'] === false);
    say('another-client-switches', null);
    await push;
  }

  if (options.refresh) {
    // The plug answers with a push of what has changed, if anything has; the mains voltage does within seconds.
    const push = event('dp-refresh', e => e === 'dp-refresh');
    const ask = () => device.refresh({requestedDPS: [18, 19, 20], schema: true}).catch(error => say('error', String(error)));
    const again = setInterval(ask, 500);
    ask();
    await push.finally(() => clearInterval(again));
  }

  device.disconnect();
  say('done', null);
}

main().then(() => process.exit(0), error => {
  say('failed', error.stack);
  process.exit(1);
});
