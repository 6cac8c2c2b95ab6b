// stub.js - run the device of the npm package @tuyapi/stub, unmodified.
//
//   node stub.js PORT ID KEY
'use strict';

const TuyaStub = require('@tuyapi/stub');
const [port, id, key] = process.argv.slice(2);

// It goes on writing to clients that have left.
process.on('uncaughtException', error => {
  if (!['EPIPE', 'ECONNRESET'].includes(error.code)) throw error;
});

const stub = new TuyaStub({id, key, state: {1: true, 2: 17}});
stub.startServer(Number(port));
stub.server.on('listening', () => console.log('listening'));
