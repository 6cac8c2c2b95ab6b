// faults_tuyapi.js - the npm package tuyapi, unmodified, against devices that misbehave; what it notices.
//
//   node faults_tuyapi.js '[{"ip":..,"port":..,"id":..,"key":..,"version":"3.3"}]'
//
// Prints one line of JSON per device, in their order: {"connect":.., "get":.., "getMs":.., "set":.., "setMs":.., "ping":..,
// "second":.., "errors":[..], "pushes":[..], "disconnected":..}; a step that failed is {"error":".."}.
'use strict';

const TuyAPI = require('tuyapi');
const PATIENCE_MS = 2500; // tuyapi itself gives up a request after 2 s
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

const attempt = async (start, name) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: no answer`)), PATIENCE_MS);
  });
  const begin = Date.now();
  try {
    return [await Promise.race([start(), late]), Date.now() - begin];
  } catch (error) {
    return [{error: String(error.message || error)}, Date.now() - begin];
  } finally {
    clearTimeout(timer);
  }
};

const newDevice = options => new TuyAPI({...options, issueGetOnConnect: false, issueRefreshOnConnect: false});

const drive = async options => {
  const seen = {errors: [], pushes: [], disconnected: false};
  const device = newDevice(options);
  device.on('error', error => seen.errors.push(String(error.message || error)));
  device.on('disconnected', () => {
    seen.disconnected = true;
  });
  for (const event of ['data', 'dp-refresh']) {
    device.on(event, (payload, command) => command === 8 && payload && payload.dps && seen.pushes.push(payload.dps));
  }
  let beats = 0;
  device.on('heartbeat', () => beats++);
  [seen.connect] = await attempt(() => device.connect(), 'connect');
  [seen.get, seen.getMs] = await attempt(() => device.get({schema: true}), 'get');
  [seen.set, seen.setMs] = await attempt(() => device.set({dps: 1, set: false}), 'set');
  await wait(300);
  try {
    device.client.write(device.device.parser.encode({data: Buffer.allocUnsafe(0), commandByte: 9, sequenceN: ++device._currentSequenceN + 50}));
  } catch (error) {
    seen.errors.push(String(error.message || error));
  }
  await wait(500);
  seen.ping = beats > 0;
  const second = newDevice(options);
  second.on('error', () => {});
  [seen.second] = await attempt(async () => {
    await second.connect();
    return second.get();
  }, 'second');
  second.disconnect();
  const result = {...seen};
  device.disconnect();
  return result;
};

(async () => {
  for (const result of await Promise.all(JSON.parse(process.argv[2]).map(drive))) {
    process.stdout.write(JSON.stringify(result) + '\n');
  }
  process.exit(0);
})();
