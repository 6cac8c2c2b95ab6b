// profiles_tuyapi.js - the npm package tuyapi, unmodified, with one device after the other.
//
//   node profiles_tuyapi.js '[{"ip":..,"port":..,"id":..,"key":..,"version":"3.3","dp":"1","cid":null}]'
//
// Prints one line of JSON per device: {"id":..,"got":[..],"pushed":[..],"errors":[..]} or {"id":..,"error":..}.
'use strict';

const TuyAPI = require('tuyapi');
const PATIENCE_MS = 20000;

const within = (promise, name) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: no answer`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// A connection each time: in 3.4 tuyapi loses count of the device's numbers after a set(), as the device sends two frames
// for one of tuyapi's, and its next get() waits for ever.
const drive = async ({ip, port, id, key, version, dp, cid}) => {
  const errors = [];
  const pushed = [];
  const named = cid ? {cid} : {};
  const once = async set => {
    const device = new TuyAPI({ip, port, id, key, version, issueGetOnConnect: false, issueRefreshOnConnect: false});
    const onPush = (payload, command) => command === 8 && payload && payload.dps && dp in payload.dps &&
      pushed.push(payload.dps[dp]);
    device.on('error', error => errors.push(String(error)));
    device.on('data', onPush);
    device.on('dp-refresh', onPush); // its name for pushes without data point 1
    await within(device.connect(), 'connect');
    const {dps} = await within(device.get({schema: true, ...named}), 'get');
    if (set !== undefined) {
      await within(device.set({dps: Number(dp), set, ...named}), `set ${set}`);
    }
    device.disconnect();
    return dps;
  };
  const before = (await once())[dp];
  const got = [(await once(!before))[dp], (await once(before))[dp], (await once())[dp]];
  return {id, got, pushed, errors};
};

(async () => {
  for (const options of JSON.parse(process.argv[2])) {
    const result = await drive(options).catch(error => ({id: options.id, error: error.stack}));
    process.stdout.write(JSON.stringify(result) + '\n');
  }
  process.exit(0);
})();
