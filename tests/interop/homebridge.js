// homebridge.js - drive the LAN client inside the npm package homebridge-tuya, unmodified, through one conversation.
//
//   node homebridge.js '{"ip":..,"port":..,"id":..,"key":..,"version":"3.3"}'
//
// Its TuyaAccessory queries by itself once connected, then tells changes only. Prints one JSON object per step.
'use strict';

const TuyaAccessory = require('homebridge-tuya/lib/TuyaAccessory.js');
const options = JSON.parse(process.argv[2]);

const say = (step, value) => process.stdout.write(JSON.stringify({step, value}) + '\n');
const quiet = () => {};
const log = {
  info: (...words) => say('log', words.map(String).join(' ')), warn: (...words) => say('log', words.map(String).join(' ')),
  debug: quiet, error: (...words) => say('log', words.map(String).join(' ')),
};

const accessory = new TuyaAccessory({...options, name: 'plug', log, connectTimeout: 30, pingTimeout: 30});

// What to do when the state has become so; each step waits for the push that the one before caused.
const script = [
  [state => '1' in state, () => accessory.update({1: !accessory.state['1']})],
  [(state, first) => state['1'] !== first['1'], () => accessory.update({9: 60})],
  [state => state['9'] === 60, () => accessory.update({1: true, 9: 0})],
  [state => state['1'] === true && state['9'] === 0, () => {
    say('done', accessory.state);
    process.exit(0);
  }],
];

let first = null;
accessory.on('connect', () => say('connected', null));
accessory.on('change', (changes, state) => {
  say('change', changes);
  if (first === null && '1' in state) {
    first = {...state};
    say('first', first);
  }
  while (script.length > 0 && first !== null && script[0][0](state, first)) script.shift()[1]();
});

setTimeout(() => {
  say('failed', 'no answer in time');
  process.exit(1);
}, 60000);
