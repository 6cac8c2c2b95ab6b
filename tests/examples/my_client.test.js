// my_client.test.js - how a project in node tests its client against tuya-sim: here with tuyapi and node's own asserts.
//
//   TUYA_SIM=tuya-sim node my_client.test.js
'use strict';

const assert = require('assert');
const {spawn} = require('child_process');
const {once} = require('events');
const TuyAPI = require('tuyapi');

// A plug of one's own on a free port; it ends with the process that started it.
const startPlug = async (...options) => {
  const plug = spawn(process.env.TUYA_SIM || 'tuya-sim',
    ['--port', '0', '--discovery', 'off', '--exit-with-parent', '--json', ...options], {stdio: ['ignore', 'pipe', 'ignore']});
  const [line] = await once(require('readline').createInterface(plug.stdout), 'line');
  return {plug, ready: JSON.parse(line)};
};

(async () => {
  const {plug, ready} = await startPlug('-P', '3.3');
  const {id, key, version, ip, port} = ready.devices[0];
  const device = new TuyAPI({id, key, version, ip, port, issueGetOnConnect: false});
  await device.connect();
  assert.strictEqual(await device.get({dps: 1}), true);
  await device.set({dps: 1, set: false});
  assert.strictEqual(await device.get({dps: 1}), false);
  device.disconnect();
  plug.kill('SIGTERM');
  const [status] = await once(plug, 'exit');
  assert.strictEqual(status, 0);
  console.log('the plug was switched off');
})().catch(error => {
  console.error(error);
  process.exit(1);
});
